"""A checkpoint store for tests: objects in memory, which can be made to fail."""

import errno
import os
from typing import Any

import pyarrow.fs
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem  # type: ignore[import-untyped]

from searchd.worker.checkpoint_store import ObjectStore


class _Object(MemoryFile):  # type: ignore[misc]
    """An object that is being written; it appears when it is closed, as it is."""

    closed_once = False

    def write(self, data: Any) -> int:
        room = self.fs.after - self.tell() if self.fs.fault in ("full", "cut") else len(data)
        if room >= len(data):
            return int(super().write(data))
        super().write(bytes(data)[: max(room, 0)])
        self.fs.happened = True
        if self.fs.fault == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(data)

    def close(self) -> None:
        if not self.closed_once:
            self.commit()
        self.closed_once = True


class FaultyObjects(MemoryFileSystem):  # type: ignore[misc]
    """Objects in memory.

    Attributes:
        fault: ``full`` refuses what comes after ``after`` bytes of an object, ``cut`` drops it and tells nobody,
            ``unreachable`` refuses to read; None does none of it.
        after: See ``fault``.
        happened: Whether the fault did.
    """

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.store: dict[str, Any] = {}
        self.pseudo_dirs = [""]
        self.fault: str | None = None
        self.after = 0
        self.happened = False

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode == "wb":
            return _Object(self, self._strip_protocol(path))
        if self.fault == "unreachable":
            self.happened = True
            raise OSError(errno.EIO, "the network is down")
        return super()._open(path, mode, **options)


def object_store(objects: FaultyObjects) -> ObjectStore:
    """The store that keeps its objects there."""
    files = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(objects))
    return ObjectStore(files, "bucket/checkpoints", "memory://bucket/checkpoints")
