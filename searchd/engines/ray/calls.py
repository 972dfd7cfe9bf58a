"""What an engine and a worker's process say to each other: calls and answers as bytes.

Bytes, since Ray copies them where other values pass through its pickler. Every call carries the epoch of the server
that makes it. Free of Ray, which must not be loaded before its environment is in place.
"""

import pickle
import signal
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from searchd.domain.errors import SearchdError
from searchd.domain.trial import FoldRunKey
from searchd.ports.engine import Segment
from searchd.worker.messages import Adopted, Reply, WorkerSettings


@dataclass(frozen=True, slots=True)
class Exchange:
    """Call of ``Worker.exchange``; answered by a Reply."""

    number: int
    epoch: int
    acknowledged: int
    segments: tuple[Segment, ...]
    cancels: tuple[tuple[FoldRunKey, int], ...]
    wait: timedelta


@dataclass(frozen=True, slots=True)
class Adopt:
    """Call of ``Worker.adopt``, then of a first exchange; answered by Taken."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A worker was taken over: what it runs or has queued, and what its outbox had kept."""

    told: Adopted
    outbox: Reply


@dataclass(frozen=True, slots=True)
class Drain:
    """Call of ``Worker.drain``; answered by None."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Retire:
    """Call of ``Worker.retire``; answered by None. ``heard`` says whether anybody will fetch its last messages."""

    epoch: int
    heard: bool = True


Call = Exchange | Adopt | Drain | Retire


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a worker's process is told first.

    Attributes:
        settings: The worker's.
        data_cache: Folder of its node for cached datasets.
        data_roots: Folders that dataset files may come from.
    """

    settings: WorkerSettings
    data_cache: Path
    data_roots: tuple[Path, ...]


PREEMPTED_STATUS = 128 + signal.SIGTERM
"""Exit code of a process that was told to leave by SIGTERM, and has saved what it held."""


class ProcessEnded(SearchdError):  # noqa: N818  # named for what went wrong
    """The process that trained is gone; ``status`` is its exit code, or minus the signal that ended it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    @property
    def preempted(self) -> bool:
        """Whether it was told to end, as processes are whose node is taken back."""
        return self.status in (PREEMPTED_STATUS, -signal.SIGTERM)

    def __str__(self) -> str:
        if self.status == PREEMPTED_STATUS:
            return "its process was told to end by SIGTERM, and left"
        if self.status >= 0:
            return f"its process ended with exit code {self.status}"
        name = signal.Signals(-self.status).name
        hint = ", perhaps for its use of memory" if -self.status == signal.SIGKILL else ""
        return f"its process was ended by {name}{hint}"


def packed(value: object) -> bytes:
    """A call or an answer as bytes; an error is an answer too."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def unpacked(content: bytes) -> Any:
    """The call or the answer.

    Raises:
        Exception: the answer was an error.
    """
    value = pickle.loads(content)  # noqa: S301  # from the engine or its worker, over Ray's authenticated channel
    if isinstance(value, Exception):
        raise value
    return value
