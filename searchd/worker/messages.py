"""What passes between a worker and the engine that drives it."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from searchd.domain.errors import SearchdError
from searchd.domain.trial import FoldRunKey
from searchd.ports.engine import Ended, PoolKey, Report, WorkerId

PROTOCOL_VERSION = 4
"""Version of the calls between engine and worker; a worker that speaks another one is emptied and retired."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is told when it starts.

    Attributes:
        worker: Its id.
        pool: The pool it belongs to; with GPUs among the resources, trainables get ``device`` cuda.
        modules: Modules that register trainables; if the pool has uploaded code, those of its folder.
        search_path: Folders in which to look for modules before the usual ones.
        storage: Root of logs and artifacts.
        grace: Without any exchange for so long, the worker saves and ends.
        installed: Whether to look for trainables among the installed entry points too.
        checkpoints: Root of the checkpoints, a folder or a URI that pyarrow knows (``s3://bucket/folder``), and no
            other server's; None means a folder under ``storage``.
    """

    worker: WorkerId
    pool: PoolKey
    modules: tuple[str, ...]
    search_path: tuple[str, ...]
    storage: Path
    grace: timedelta
    installed: bool = True
    checkpoints: str | None = None


@dataclass(frozen=True, slots=True)
class SegmentMessage:
    """Epochs of a segment, and its end if it ended: the fields of SegmentReported, without the worker.

    ``sequence`` counts a worker's messages from 1.
    """

    sequence: int
    key: FoldRunKey
    attempt: int
    reports: tuple[Report, ...]
    ended: Ended | None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to an exchange: new messages in order of sequence, and the segment running now, for how long."""

    messages: tuple[SegmentMessage, ...]
    running: tuple[FoldRunKey, int, timedelta] | None


@dataclass(frozen=True, slots=True)
class Adopted:
    """The answer to an adoption; ``holding`` is what the worker runs or has queued, as (key, attempt)."""

    protocol: int
    pool: PoolKey
    holding: tuple[tuple[FoldRunKey, int], ...]


class StaleEpoch(SearchdError):  # noqa: N818  # named for what went wrong
    """A call of a server that has been succeeded by another one."""

    def __init__(self, epoch: int, current: int) -> None:
        super().__init__(epoch, current)
        self.epoch = epoch
        self.current = current

    def __str__(self) -> str:
        return (
            f"the call is of epoch {self.epoch}, the worker belongs to epoch {self.current}; this server was succeeded"
        )
