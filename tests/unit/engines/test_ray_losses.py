"""The reasons given for lost workers."""

import pickle
import signal
from pathlib import Path

import pytest

from searchd.engines.ray.calls import ProcessEnded
from searchd.engines.ray.losses import log_tail, reason_of

CRASHED = """The actor died unexpectedly before finishing this task.
\tclass_name: WorkerActor
\tpid: 17812
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker
unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was killed
by the OOM killer due to high memory usage"""
NOT_STARTED = """The actor died because of an error raised in its creation task, \x1b[36mray::WorkerActor\x1b[39m
  File "actor.py", line 53, in __init__
searchd.engines.ray.calls.ProcessEnded: its process ended with exit code 1"""


class OutOfMemoryError(Exception):
    """Named as Ray's, which is of no family that engines could catch."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ProcessEnded(3), "its process ended with exit code 3"),
        (ProcessEnded(-signal.SIGSEGV), "its process was ended by SIGSEGV"),
        (ProcessEnded(-signal.SIGKILL), "its process was ended by SIGKILL, perhaps for its use of memory"),
        (RuntimeError(CRASHED), "its process ended unexpectedly"),
        (RuntimeError("The actor is dead because its node has died. Node Id: 12ab"), "its node was lost"),
        (OutOfMemoryError("Task was killed due to the node running low on memory.\nMore"), "out of memory"),
        (RuntimeError(NOT_STARTED), "it could not start: searchd.engines.ray.calls.ProcessEnded: its process ended"),
        (RuntimeError("something new\nat last"), "at last"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_reasons_are_one_line(error: Exception, said: str) -> None:
    """Whatever Ray raises becomes one line that says what happened."""
    reason = reason_of(error)
    assert said in reason
    assert "\n" not in reason
    assert "\x1b" not in reason


def test_the_end_of_a_process_survives_pickling() -> None:
    """The error crosses processes with its status."""
    assert pickle.loads(pickle.dumps(ProcessEnded(-9))).status == -9


def test_log_tails(tmp_path: Path) -> None:
    """A tail is the last twenty lines, with progress bars as they were last drawn, whatever the length of the log."""
    log = tmp_path / "0-0.log"
    log.write_text("x" * 100_000 + "\n" + "".join(f"line {i}\n" for i in range(50)) + "10%\r50%\r99%\n")
    assert log_tail(log).splitlines() == [*(f"line {i}" for i in range(31, 50)), "99%"]
    assert log_tail(tmp_path / "none.log") == ""
