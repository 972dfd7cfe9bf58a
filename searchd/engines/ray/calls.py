"""What is sent to a worker's actor. Free of Ray, which must not be loaded before its environment is in place."""

import pickle
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from searchd.domain.trial import FoldRunKey
from searchd.ports.engine import Segment


@dataclass(frozen=True, slots=True)
class Exchange:
    """The arguments of ``Worker.exchange``."""

    number: int
    epoch: int
    acknowledged: int
    segments: tuple[Segment, ...]
    cancels: tuple[tuple[FoldRunKey, int], ...]
    wait: timedelta

    def packed(self) -> bytes:
        """As bytes, for the way to the worker."""
        return pickle.dumps(self, pickle.HIGHEST_PROTOCOL)


@dataclass(frozen=True, slots=True)
class DataSettings:
    """Where a worker finds datasets.

    Attributes:
        cache: Folder of each node for cached datasets.
        roots: Folders that dataset files may come from.
    """

    cache: Path
    roots: tuple[Path, ...]
