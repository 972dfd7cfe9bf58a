"""Files and folders that appear whole or not at all."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from searchd.care.errors import CareRefused

_PARTIAL = ".partial-backup"


@contextlib.contextmanager
def workshop(file: Path) -> Iterator[Path]:
    """A folder beside a file in which to make it; gone at the end, or else at the next call in the same place.

    Raises:
        CareRefused: the file is being made by another process.
        OSError: the folder cannot be made.
    """
    for left in file.parent.glob(f".*{_PARTIAL}"):
        with contextlib.suppress(OSError), _locked(left):  # one that is in use stays locked, however its process ends
            shutil.rmtree(left, ignore_errors=True)
    folder = file.with_name(f".{file.name}{_PARTIAL}")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise CareRefused(f"another process is writing {file}", "wait for it, or choose another name") from None
    with _locked(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def put_in_place(made: Path, file: Path) -> None:
    """Give a file that has been made its name, durably, in one step.

    Raises:
        OSError: that is not possible.
    """
    with made.open("rb") as content:
        os.fsync(content.fileno())
    made.replace(file)
    sync(file.parent)


def sync(folder: Path) -> None:
    """Make what was made, renamed and removed in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
