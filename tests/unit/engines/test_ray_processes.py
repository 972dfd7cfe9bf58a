"""Telling processes apart, and ending them."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from searchd.engines.ray.local import LocalRay, LocalRaySettings
from searchd.engines.ray.processes import ProcessRecord, end, marked, records

FAMILY = """
    import signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    print(child.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def family() -> Iterator[tuple[psutil.Process, psutil.Process]]:
    """A process that ignores SIGTERM, and its child in another session."""
    environment = {**os.environ, "SEARCHD_TEST_MARK": "ours"}
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(FAMILY)], stdout=subprocess.PIPE, env=environment, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        yield psutil.Process(parent.pid), child
        for process in (parent, child):
            if process.poll() is None if isinstance(process, subprocess.Popen) else process.is_running():
                process.send_signal(signal.SIGKILL)


def test_a_record_finds_its_process_and_no_other(family: tuple[psutil.Process, psutil.Process]) -> None:
    """A record finds its process while it lives, and does not take another one with the same pid for it."""
    parent, _ = family
    (record,) = records([parent])
    assert record.find() == parent
    assert ProcessRecord(record.pid, record.started - 5).find() is None
    parent.kill()
    parent.wait(5)
    assert record.find() is None


def test_marks_are_inherited(family: tuple[psutil.Process, psutil.Process]) -> None:
    """A mark finds a process and all its descendants, also those that left its session, and nobody else."""
    assert {process.pid for process in marked("SEARCHD_TEST_MARK", "ours")} == {process.pid for process in family}
    assert marked("SEARCHD_TEST_MARK", "theirs") == []


def test_ending_takes_the_stubborn_and_the_children_too(family: tuple[psutil.Process, psutil.Process]) -> None:
    """A process that ignores being asked is made to end, with its descendants."""
    began = time.monotonic()
    end([family[0]], timedelta(seconds=0.3))
    assert time.monotonic() - began < 5
    assert all(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE for process in family)


def test_a_start_that_was_cut_short_is_cleared_away(tmp_path: Path) -> None:
    """What a server noted of a cluster before it was killed in the middle of starting it is removed."""
    folder, temp_dir = tmp_path / "data", tmp_path / "searchd-x"
    folder.mkdir()
    temp_dir.mkdir()
    (folder / "ray.json").write_text(f'{{"temp_dir": "{temp_dir}", "address": "", "daemons": []}}')
    ray = LocalRay(LocalRaySettings(folder))
    assert ray.find() is None
    ray.stop()
    assert not temp_dir.exists()
    assert list(folder.iterdir()) == []


def test_an_unreadable_note_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A note that cannot be read names nothing that could be ended, and is said to be so."""
    (tmp_path / "ray.json").write_text("{")
    ray = LocalRay(LocalRaySettings(tmp_path))
    assert ray.find() is None
    ray.stop()
    assert "cannot be read" in caplog.text
