"""Places at which a test can have this process killed, stopped, delayed or refused: nothing unless it is asked for.

``SEARCHD_FAILPOINTS`` lists what is to happen, separated by semicolons, as ``NAME=ACTION`` or ``NAME=ACTION@N`` for
the N-th time that the place is reached (else the first). Actions: ``kill`` (SIGKILL), ``stop`` (SIGSTOP),
``sleep:SECONDS``, ``refuse`` (an OSError, as from a full disk). ``SEARCHD_FAILPOINTS_LOG`` names a file that gets a
line ``NAME ACTION PID`` before each one acts, so that a test can tell that its fault has happened. Both are read once,
when the process starts.
"""

import errno
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SERVER = (
    "lease.taken",
    "loop.decided",
    "commit.begun",
    "commit.written",
    "commit.done",
    "reply.sent",
    "start.decided",
    "start.sent",
    "report.arrived",
    "adopt.begun",
    "adopt.done",
)
"""Places in the server, in the order in which the first event of a study passes them."""

WORKER = ("segment.begun", "report.made", "report.posted", "checkpoint.written", "checkpoint.done", "segment.ended")
"""Places in a worker's process."""

STORE = ("migration.step",)
"""Places in the store that only an upgrade passes."""

CARE = (
    "backup.copied",
    "backup.packed",
    "restore.noted",
    "restore.unpacked",
    "restore.filled",
    "restore.placed",
    "restore.done",
)
"""Places in a backup and in a restore."""

NAMES = frozenset((*SERVER, *WORKER, *STORE, *CARE))


@dataclass(frozen=True, slots=True)
class _Fault:
    action: str
    seconds: float
    nth: int


def parsed(text: str) -> Mapping[str, _Fault]:
    """The faults that a value of ``SEARCHD_FAILPOINTS`` asks for, by place.

    Raises:
        ValueError: it is malformed, or names a place or an action that there is not.
    """
    faults: dict[str, _Fault] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, what = part.partition("=")
        action, _, nth = what.partition("@")
        action, _, seconds = action.partition(":")
        if name not in NAMES or action not in ("kill", "stop", "sleep", "refuse"):
            raise ValueError(f"SEARCHD_FAILPOINTS: {part!r} is not NAME=ACTION[@N] of a known place and action")
        faults[name] = _Fault(action, float(seconds or 0), int(nth or 1))
    return faults


_faults = parsed(os.environ.get("SEARCHD_FAILPOINTS", ""))
_log = os.environ.get("SEARCHD_FAILPOINTS_LOG", "")
_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """Say that a place is reached; whatever is to happen there happens now."""
    if _faults:
        _happen(name)


def _happen(name: str) -> None:
    _reached[name] += 1
    fault = _faults.get(name)
    if fault is None or _reached[name] != fault.nth:
        return
    if _log:
        with Path(_log).open("a") as log:
            log.write(f"{name} {fault.action} {os.getpid()}\n")
            log.flush()
            os.fsync(log.fileno())
    match fault.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "sleep":
            time.sleep(fault.seconds)
        case _:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
