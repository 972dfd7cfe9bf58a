"""Code that callers send: Python files, and the id that their content gives them."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NewType

from searchd.domain.errors import InvalidArgument, Violation

CodeId = NewType("CodeId", str)
"""SHA-256 over the paths and contents of files, 64 hex digits."""

IMPORTED_FOR_CARDS = "SEARCHD_IMPORTED_FOR_CARDS"
"""Set in the environment of processes that import code only to read its cards."""

MAX_FILES = 1000
MAX_BYTES = 3_500_000
"""Of all paths and contents, so that one message holds them."""

MAX_PATH_CHARACTERS = 200

_ID = re.compile("[0-9a-f]{64}")
_PART = re.compile(r"[^./\\:\x00-\x1f\x7f][^/\\:\x00-\x1f\x7f]*")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A Python file: where it lies in its folder, with slashes, and what is in it."""

    path: str
    content: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes of ``MAX_BYTES``."""
        return len(self.path.encode()) + len(self.content)


def code_id(files: Sequence[SourceFile]) -> CodeId:
    """The id of these files, in whatever order they are given."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path):
        for part in (file.path.encode(), file.content):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return CodeId(digest.hexdigest())


def check_files(files: Sequence[SourceFile]) -> None:
    """Check that files can be put into one folder, and no others besides.

    Raises:
        InvalidArgument: there are none or too many, they are too large, two would be in each other's place, or a path
            is no plain relative one of a Python file.
    """
    if not files:
        raise InvalidArgument("code", "has no Python file", "give the folder that your modules lie in")
    if len(files) > MAX_FILES:
        remedy = f"give the folder of your own modules alone, at most {MAX_FILES}"
        raise InvalidArgument("code", f"has {len(files)} Python files", remedy)
    size = sum(file.size for file in files)
    if size > MAX_BYTES:
        largest = sorted(files, key=lambda file: -file.size)[:3]
        named = ", ".join(f"{file.path} ({file.size / 1e6:.2g} MB)" for file in largest)
        reason = f"takes {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:g}; the largest are {named}"
        raise InvalidArgument("code", reason, "leave out what is generated, and keep data in data files")
    for file in files:
        if not _is_plain(file.path):
            raise InvalidArgument("code", f"{file.path!r} cannot be a file in it", "name it such as layers/conv.py")
    _check_places([file.path for file in files])
    if any(file.path.split("/", 1)[0] in ("searchd", "searchd.py") for file in files):
        reason = "has a module searchd, which would hide the server's own"
        raise InvalidArgument("code", reason, "give the folder of your own modules alone")


def code_violations(written: str) -> Iterator[Violation]:
    """What is wrong with the id in a study's definition; an empty one means that it names none."""
    if written and not _ID.fullmatch(written):
        remedy = "leave it out, and name the folder as in `searchd submit study.yaml --code .`"
        yield Violation("code_id", f"{written!r} is no id of uploaded code", remedy)


def _is_plain(path: str) -> bool:
    """Whether each part is a name, neither hidden nor a step up, and the last one a Python file's."""
    parts = path.split("/")
    return len(path) <= MAX_PATH_CHARACTERS and path.endswith(".py") and all(map(_PART.fullmatch, parts))


def _check_places(paths: Sequence[str]) -> None:
    """No two paths may be the same, and none may lie in another: also where case makes no difference."""
    taken = {path.casefold(): path for path in paths}
    if len(taken) < len(paths):
        twice = next(path for path in paths if taken[path.casefold()] != path or list(paths).count(path) > 1)
        raise InvalidArgument("code", f"has {twice!r} twice", "name each file once")
    for path in paths:
        for above in PurePosixPath(path.casefold()).parents:
            if str(above) in taken:
                raise InvalidArgument("code", f"{taken[str(above)]!r} is a file and a folder", "rename one of the two")
