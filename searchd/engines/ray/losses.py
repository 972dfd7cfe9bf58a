"""Says in one line why a worker is gone, and what that counts as, from what Ray raised; and what was printed last."""

import os
import re
from pathlib import Path

from searchd.domain.failure import Failure
from searchd.engines.ray.calls import ProcessEnded

TAIL_LINES = 20
_TAIL_BYTES = 16_384
_LONGEST_REASON = 300

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NODE_LOST = re.compile(r"node has died|node (was|is) (terminated|dead)|unexpected(ly)? (node )?termina")
_KNOWN = (
    (re.compile(r"running low on memory|out.of.memory \(OOM\)|OutOfMemory"), "its node ran out of memory and ended it"),
    (_NODE_LOST, "its node was lost"),
    (re.compile(r"killed by `ray\.kill`"), "its actor was killed"),
    (
        re.compile(r"connection error code|SYSTEM_ERROR"),
        "its process ended unexpectedly: it crashed, exited by itself, or was killed, perhaps for its use of memory",
    ),
)


def reason_of(error: BaseException) -> str:
    """Why a worker is gone, one line."""
    if isinstance(error, ProcessEnded):
        return str(error)
    if getattr(error, "preempted", False):
        return "its node was taken back by whoever lends it"
    if type(error).__name__ == "ActorUnavailableError":
        return "the connection to its node was lost"
    text = _COLOURS.sub("", str(error)).strip()
    if "creation task" in text:
        return f"it could not start: {text.splitlines()[-1].strip()}"[:_LONGEST_REASON]
    for pattern, reason in _KNOWN:
        if pattern.search(f"{type(error).__name__} {text}"):
            return reason
    return (text.splitlines() or [type(error).__name__])[-1].strip()[:_LONGEST_REASON]


def failure_of(error: BaseException) -> Failure:
    """What a worker's end counts as for the segment that it ran.

    A process that was ended by SIGKILL counts as killed: the kernel does not say whether that was for its memory.
    """
    from ray import exceptions  # noqa: PLC0415  # not before its environment is in place

    match error:
        case ProcessEnded() | exceptions.RayActorError() if error.preempted:
            return Failure.PREEMPTED
        case exceptions.OutOfMemoryError():
            return Failure.OUT_OF_MEMORY
        # A process that ends on a node that lives is reported as dead, not as out of reach.
        case exceptions.NodeDiedError() | exceptions.LocalRayletDiedError() | exceptions.ActorUnavailableError():
            return Failure.NODE_LOST
        case exceptions.RayActorError() if _NODE_LOST.search(str(error)):
            return Failure.NODE_LOST
        case _:
            return Failure.WORKER_KILLED


def log_tail(path: Path) -> str:
    """The last lines of a log, at most 20; empty if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").rstrip("\n").split("\n")
    except OSError:
        return ""
    return "\n".join(line.rsplit("\r", 1)[-1] for line in lines[-TAIL_LINES:])
