"""Folders of uploaded code, by id, under the storage that servers and workers share."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from searchd.domain.code import CodeId, SourceFile, check_files, code_id

KIND = "code"
"""The folder of them in the storage."""

_TEMPORARY = "."
_DECLARES = re.compile(
    rb"^[ \t]*(from[ \t]+searchd\.trainable[ \t]+import|import[ \t]+searchd\.trainable"
    rb"|from[ \t]+searchd[ \t]+import[ \t].*\btrainable\b)",
    re.MULTILINE,
)


class CodeFolders:
    """One folder for each id, which appears with everything in it and is never changed.

    Args:
        storage: Root of the storage.
    """

    def __init__(self, storage: Path) -> None:
        self._root = storage / KIND

    def folder(self, code: str) -> Path:
        """Where the files of an id lie, whether or not they are there."""
        return self._root / code

    def ids(self) -> Sequence[CodeId]:
        """The ids whose files are there."""
        if not self._root.is_dir():
            return ()
        return [CodeId(path.name) for path in sorted(self._root.iterdir()) if not path.name.startswith(_TEMPORARY)]

    def put(self, files: Sequence[SourceFile]) -> CodeId:
        """Write files, unless they are there; their id.

        Raises:
            InvalidArgument: they cannot be put into one folder.
            OSError: they cannot be written.
        """
        check_files(files)
        code = code_id(files)
        if self.folder(code).exists():
            return code
        self._root.mkdir(parents=True, exist_ok=True)
        fresh = self._root / f"{_TEMPORARY}{secrets.token_hex(8)}"
        try:
            fresh.mkdir()
            for file in files:
                _write(fresh, file)
            for folder in (fresh, *(path for path in fresh.rglob("*") if path.is_dir())):
                _sync(folder)
            fresh.rename(self.folder(code))
        except OSError:
            shutil.rmtree(fresh, ignore_errors=True)
            if not self.folder(code).exists():  # else another server was quicker
                raise
        _sync(self._root)
        return code

    def delete(self, code: str) -> None:
        """Delete the files of an id, all at once for whoever looks.

        Raises:
            OSError: they cannot be deleted.
        """
        gone = self._root / f"{_TEMPORARY}{secrets.token_hex(8)}"
        self.folder(code).rename(gone)
        shutil.rmtree(gone)


def declaring_modules(folder: Path) -> tuple[str, ...]:
    """Modules of a folder that import ``searchd.trainable``, by dotted name from there, in order: those that may
    declare a trainable."""
    return tuple(sorted(_declaring(folder)))


def _declaring(folder: Path) -> Iterator[str]:
    for file in folder.rglob("*.py"):
        parts = list(file.relative_to(folder).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        named = bool(parts) and parts[-1] != "__main__" and all(part.isidentifier() for part in parts)
        if named and _DECLARES.search(file.read_bytes()):
            yield ".".join(parts)


def _write(folder: Path, file: SourceFile) -> None:
    path = folder.joinpath(*file.path.split("/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as opened:
        opened.write(file.content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
