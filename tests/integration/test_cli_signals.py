"""Ctrl-C and SIGTERM: what a command started ends with it, and what it only looked at goes on."""

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from searchd.domain.facts import Event, TrialPut
from searchd.v1 import study_service_pb2
from searchd.wire.codec import encode_event
from tests.unit.client import samples
from tests.unit.client.front import Front, serving

MARK = "SEARCHD_TEST_MARK"


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A command; if the test fails it is interrupted, so that it cleans up, and at last killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "searchd", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def read_until(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"{text!r} was never printed")


def marked(mark: str) -> list[psutil.Process]:
    """Processes that a command with that mark started, or their children."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_ctrl_c_ends_a_watch_and_not_the_study() -> None:
    """Exit code 0, nothing on stderr, and the server is asked for nothing."""
    front = Front()

    def silent(_: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        gone = threading.Event()
        context.add_callback(gone.set)
        yield encode_event(Event(1, samples.START, TrialPut(samples.trial(1))), {})
        gone.wait()

    front.answers["WatchStudy"] = silent
    with serving(front), started("watch", "digits-cnn", SEARCHD_ADDRESS=front.address) as process:
        read_until(process, "trial 1")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert [type(request) for request in front.requests] == [study_service_pb2.WatchStudyRequest]


@pytest.mark.parametrize(
    ("number", "moment", "code"),
    [(signal.SIGINT, "trial 1 ", 130), (signal.SIGTERM, "starting a server", 143)],
)
def test_an_interrupted_demo_leaves_no_process_behind(number: int, moment: str, code: int, tmp_path: Path) -> None:
    """In mid-run or while starting: server, Ray and workers end, and the exit code says why."""
    mark = uuid.uuid4().hex
    with started("demo", TMPDIR=str(tmp_path), RAY_USAGE_STATS_ENABLED="0", **{MARK: mark}) as process:
        read_until(process, moment)
        process.send_signal(number)
        assert process.wait(60) == code
    assert marked(mark) == []
    assert not list(tmp_path.glob("searchd-demo-*"))
