"""Servers that are stopped, killed and started again."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from searchd.client import Client
from searchd.domain.study import StudyState
from tests.acceptance.server import Server, environment, eventually, processes_of, searchd

TRIALS = 4
EPOCHS = 12


def slow_study(client: Client, study_id: str = "slow", trials: int = TRIALS, seconds: float = 0.25) -> Any:
    """A study whose trials train long enough to be interrupted."""
    return client.create_study(
        study_id=study_id,
        trainable="quadratic",
        fixed={"seconds": seconds},
        search={"algorithm": "random"},
        scheduler={"algorithm": "none"},
        evaluation={"epochs": EPOCHS},
        budget={"trials": trials},
        seed=3,
    )


def measured(study: Any) -> dict[tuple[int, int, int, int], float]:
    """The measurements there are, by trial, repeat, fold and epoch."""
    return {(m.trial, m.repeat, m.fold, m.epoch): m.metrics["loss"] for m in study.measurements(None)}


def test_killed_server_continues(make_server: Callable[..., Server]) -> None:
    """After kill -9 of the server its workers are adopted, nothing shown is lost, and the study finishes."""
    server = make_server().start()
    with server.client() as client:
        study = slow_study(client)
        eventually(lambda: len(measured(study)) >= 8)
        shown = measured(study)
    server.kill()
    time.sleep(1.0)
    workers_before = {p.pid for p in processes_of(server.data_dir)}
    server.start()
    with server.client() as client:
        study = client.study("slow")
        final = study.wait(progress=False)
        assert final.state is StudyState.SUCCEEDED
        after = measured(study)
        assert shown.items() <= after.items()
        assert len(after) == TRIALS * EPOCHS
        assert {m.attempt for m in study.measurements(None)} == {1}, "an epoch was trained twice"
        assert {p.pid for p in processes_of(server.data_dir)} & workers_before, "the local Ray was not adopted"


def test_sigterm_drains(make_server: Callable[..., Server]) -> None:
    """SIGTERM saves what runs, ends the local Ray, exits with 0, and the next server goes on from there."""
    server = make_server().start()
    with server.client() as client:
        study = slow_study(client)
        eventually(lambda: len(measured(study)) >= 8)
    assert server.terminate() == 0
    eventually(lambda: not processes_of(server.data_dir), 20)
    server.start()
    with server.client() as client:
        study = client.study("slow")
        assert study.wait(progress=False).state is StudyState.SUCCEEDED
        assert len(measured(study)) == TRIALS * EPOCHS
        first_epochs = [m for m in study.measurements(None) if m.epoch == 1]
        assert {m.attempt for m in first_epochs} == {1}, "a drained fold run began anew instead of from its checkpoint"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_a_server_told_to_leave_while_it_starts_never_serves(
    number: signal.Signals, make_server: Callable[..., Server]
) -> None:
    """A signal while Ray is starting ends the server without a line and without an error, and nothing is left."""
    data_dir = make_server().data_dir
    command = [sys.executable, "-m", "searchd", "up", "--listen", "127.0.0.1:0", "--data-dir", str(data_dir)]
    server = subprocess.Popen(
        [*command, "--num-cpus", "1"], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    eventually((data_dir / "ray.json").exists)
    server.send_signal(number)
    assert server.communicate(timeout=60) == ("", "")
    assert server.returncode == 0
    assert not processes_of(data_dir)


def held_back(pid: int) -> list[bool]:
    """Of each thread of a process, whether it holds SIGTERM back."""
    found = [
        re.search(r"^SigBlk:\s*(\w+)", status.read_text(), re.MULTILINE)
        for status in Path(f"/proc/{pid}/task").glob("*/status")
    ]
    return [bool(int(mask[1], 16) >> (signal.SIGTERM - 1) & 1) for mask in found if mask is not None]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_thread_of_a_server_runs_a_handler_of_sigterm(shared_server: Server) -> None:
    """Ray's would abort the server; the server waits for the signal, and what it starts for Ray can be told to end."""
    assert held_back(shared_server.pid).count(False) == 1, "only the thread that waits for it"
    daemons = [p for p in processes_of(shared_server.data_dir) if p.name() in {"raylet", "gcs_server"}]
    assert len(daemons) == 2
    assert not any(held for daemon in daemons for held in held_back(daemon.pid))


def test_interrupted_watch(shared_server: Server) -> None:
    """Ctrl-C during a watch ends the command quietly, leaves no process of it behind, and the study goes on."""
    with shared_server.client() as client:
        study = slow_study(client, "watched", seconds=0.1)
        watching = subprocess.Popen(
            [sys.executable, "-m", "searchd", "watch", "watched"],
            env={**environment(), "SEARCHD_ADDRESS": shared_server.address},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert watching.stdout is not None
        assert watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=10)
        assert "Traceback" not in errors
        assert study.wait(progress=False).state is StudyState.SUCCEEDED


def test_interrupted_demo_leaves_nothing(make_server: Callable[..., Server]) -> None:
    """Ctrl-C in the middle of the demo ends the server and the Ray that it started."""
    data_dir = make_server().data_dir
    demo = subprocess.Popen(
        [sys.executable, "-m", "searchd", "demo", "--data-dir", str(data_dir)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("serving"):
            break
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=60)
    assert "Traceback" not in errors
    eventually(lambda: not processes_of(data_dir), 20)


def test_down_ends_what_a_killed_server_left(make_server: Callable[..., Server]) -> None:
    """After kill -9 the local Ray lives on, and `searchd down` ends it."""
    server = make_server().start()
    server.kill()
    assert processes_of(server.data_dir)
    done = searchd("down", "--data-dir", str(server.data_dir))
    assert done.returncode == 0, done.stderr
    eventually(lambda: not processes_of(server.data_dir), 20)


def test_second_server_refused(shared_server: Server) -> None:
    """A second server on a data directory in use ends at once, in one line that says what to do."""
    done = searchd("up", "--listen", "127.0.0.1:0", "--data-dir", str(shared_server.data_dir))
    assert done.returncode == 4
    assert "searchd down" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_only_loopback(make_server: Callable[..., Server]) -> None:
    """A server without access control refuses to listen beyond the loopback interface."""
    done = searchd("up", "--listen", "0.0.0.0:0", "--data-dir", str(make_server().data_dir))
    assert done.returncode == 2
    assert "--listen" in done.stderr
