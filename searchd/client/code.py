"""Gathers the Python files that a study is to be trained with."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from searchd.domain.code import IMPORTED_FOR_CARDS, SourceFile, check_files
from searchd.domain.errors import InvalidArgument
from searchd.worker.sources import imported_names

_GENERATED = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist"})
_MARKS = ("pyvenv.cfg", "searchd.db")
"""What lies in folders that are no code: a virtual environment, the data directory of a server."""


def packed(folder: Path) -> tuple[SourceFile, ...]:
    """All Python files below a folder, in order of their paths.

    Hidden files and folders, caches, virtual environments, and folders named build, dist, node_modules or
    site-packages are left out; links to folders are not followed.

    Raises:
        InvalidArgument: it is no folder, or there are none, too many, or too large files in it.
        OSError: a file cannot be read.
    """
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "is not there"
        raise InvalidArgument("code", f"{folder} {problem}", "name the folder that your modules lie in")
    return _read(folder, sorted(_below(folder)))


def refuse_while_imported(what: str) -> None:
    """Refuse to start anything from a file that is only imported for the trainables in it.

    Raises:
        InvalidArgument: that is what this process does.
    """
    if IMPORTED_FOR_CARDS in os.environ:
        reason = "a study is started by a file that is imported for its trainables"
        raise InvalidArgument(what, reason, "put what does it under: if __name__ == '__main__':")


def packed_module(folder: Path, module: str) -> tuple[SourceFile, ...]:
    """A module, the package that it is in, and what these import from their folder, directly or not.

    Args:
        folder: The folder of the module or package.
        module: Dotted name from there.

    Raises:
        InvalidArgument: there are too many or too large files.
        OSError: a file cannot be read.
    """
    found = set(_module(folder, module.partition(".")[0]))
    waiting = list(found)
    while waiting:
        for name in imported_names(waiting.pop(), ""):
            fresh = [path for path in _module(folder, name.partition(".")[0]) if path not in found]
            found.update(fresh)
            waiting += fresh
    return _read(folder, sorted(found))


def _module(folder: Path, name: str) -> Iterator[Path]:
    """The files of a top-level module or package, if it lies in the folder."""
    if name and (folder / f"{name}.py").is_file():
        yield folder / f"{name}.py"
    elif name and (folder / name).is_dir():
        yield from _below(folder / name)


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _GENERATED]
        folders[:] = [name for name in folders if not any((here / name / mark).exists() for mark in _MARKS)]
        yield from (here / name for name in names if name.endswith(".py") and not name.startswith("."))


def _read(folder: Path, files: Sequence[Path]) -> tuple[SourceFile, ...]:
    read = tuple(SourceFile(file.relative_to(folder).as_posix(), file.read_bytes()) for file in files)
    check_files(read)
    return read
