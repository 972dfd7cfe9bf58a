"""The reasons given for lost workers, and what they count as."""

import pickle
import signal
from pathlib import Path
from typing import Any

import pytest
import ray.exceptions
from ray.core.generated import common_pb2

from searchd.domain.failure import Failure
from searchd.engines.ray.calls import PREEMPTED_STATUS, ProcessEnded
from searchd.engines.ray.losses import failure_of, log_tail, reason_of

# Neither is typed.
exceptions: Any = ray.exceptions
protos: Any = common_pb2

CRASHED = """The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail:
Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was
killed by the OOM killer due to high memory usage"""
NODE_DIED = "The actor died because its node has died. Node Id: 12ab\n\tthe actor's node was terminated unexpectedly"
TRACEBACK = """\x1b[36mray::WorkerActor\x1b[39m
  File "actor.py", line 53, in __init__
searchd.engines.ray.calls.ProcessEnded: its process ended with exit code 1"""


def died(message: str, *, preempted: bool = False) -> Exception:
    """Ray's error for an actor that died."""
    reasons = protos.NodeDeathInfo
    death = reasons(reason=reasons.AUTOSCALER_DRAIN_PREEMPTED if preempted else reasons.UNSPECIFIED)
    context = protos.ActorDiedErrorContext(
        error_message=message, actor_id=b"a" * 16, class_name="WorkerActor", pid=17812, node_death_info=death
    )
    error: Exception = exceptions.ActorDiedError(context)
    return error


def not_started() -> Exception:
    """Ray's error for an actor whose ``__init__`` raised."""
    raised = exceptions.RayTaskError("WorkerActor.__init__", TRACEBACK, ProcessEnded(1), actor_id="aa")
    error: Exception = exceptions.ActorDiedError(raised)
    return error


@pytest.mark.parametrize(
    ("error", "failure", "said"),
    [
        (ProcessEnded(3), Failure.WORKER_KILLED, "its process ended with exit code 3"),
        (ProcessEnded(-signal.SIGSEGV), Failure.WORKER_KILLED, "its process was ended by SIGSEGV"),
        (ProcessEnded(-signal.SIGKILL), Failure.WORKER_KILLED, "ended by SIGKILL, perhaps for its use of memory"),
        (ProcessEnded(-signal.SIGTERM), Failure.PREEMPTED, "its process was ended by SIGTERM"),
        (ProcessEnded(PREEMPTED_STATUS), Failure.PREEMPTED, "its process was told to end by SIGTERM, and left"),
        (died(CRASHED), Failure.WORKER_KILLED, "its process ended unexpectedly"),
        (died("killed by `ray.kill`"), Failure.WORKER_KILLED, "its actor was killed"),
        (died(NODE_DIED), Failure.NODE_LOST, "its node was lost"),
        (died(NODE_DIED, preempted=True), Failure.PREEMPTED, "its node was taken back"),
        (exceptions.RayActorError(preempted=True), Failure.PREEMPTED, "its node was taken back"),
        (exceptions.RayActorError(), Failure.WORKER_KILLED, "The actor experienced an error"),
        (exceptions.ActorUnavailableError("Socket closed", b"a" * 16), Failure.NODE_LOST, "connection to its node"),
        (exceptions.NodeDiedError("Node 12ab is dead"), Failure.NODE_LOST, "Node 12ab is dead"),
        (exceptions.LocalRayletDiedError(), Failure.NODE_LOST, "raylet died"),
        (
            exceptions.OutOfMemoryError("Task was killed due to the node running low on memory.\nMore"),
            Failure.OUT_OF_MEMORY,
            "memory",
        ),
        (not_started(), Failure.WORKER_KILLED, "it could not start: searchd.engines.ray.calls.ProcessEnded: its"),
        (RuntimeError("something new\nat last"), Failure.WORKER_KILLED, "at last"),
        (RuntimeError(), Failure.WORKER_KILLED, "RuntimeError"),
    ],
)
def test_every_loss_has_a_class_and_a_reason(error: Exception, failure: Failure, said: str) -> None:
    """Whatever Ray raises becomes one of the ways to fail, and one line that says what happened."""
    assert failure_of(error) is failure
    reason = reason_of(error)
    assert said in reason
    assert "\n" not in reason
    assert "\x1b" not in reason


def test_the_end_of_a_process_survives_pickling() -> None:
    """The error crosses processes with its status."""
    ended = pickle.loads(pickle.dumps(ProcessEnded(-signal.SIGTERM)))
    assert (ended.status, ended.preempted) == (-signal.SIGTERM, True)


def test_log_tails(tmp_path: Path) -> None:
    """A tail is the last twenty lines, with progress bars as they were last drawn, whatever the length of the log."""
    log = tmp_path / "0-0.log"
    log.write_text("x" * 100_000 + "\n" + "".join(f"line {i}\n" for i in range(50)) + "10%\r50%\r99%\n")
    assert log_tail(log).splitlines() == [*(f"line {i}" for i in range(31, 50)), "99%"]
    assert log_tail(tmp_path / "none.log") == ""
