"""What an engine and a worker's process say to each other: calls and answers as bytes.

Bytes, since Ray copies them where other values pass through its pickler, and since the actor in between need not look
inside. Free of Ray, which must not be loaded before its environment is in place.
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
from searchd.worker.messages import WorkerSettings


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
    """Call of ``Worker.adopt``; answered by Adopted."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Call of ``Worker.drain``; answered by None."""


@dataclass(frozen=True, slots=True)
class Retire:
    """Call of ``Worker.retire``; answered by None."""


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


class ProcessEnded(SearchdError):  # noqa: N818  # named for what went wrong
    """The process that trained is gone; ``status`` is its exit code, or minus the signal that ended it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
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
