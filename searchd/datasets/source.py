"""Where a dataset comes from: a bundled one by name, or a file under an allowed root."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from searchd.datasets.names import suggestion
from searchd.domain.errors import InvalidStudy, Violation
from searchd.domain.study import Dataset

BUILTINS = ("breast_cancer", "diabetes", "digits", "iris", "wine")

KINDS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".npz": "npz"}

LAYOUT = 2
"""Raised when what is written to the cache changes, so that older entries are not read."""


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset that exists.

    Attributes:
        kind: ``builtin``, ``csv``, ``parquet`` or ``npz``.
        name: Name of a bundled dataset, else empty.
        path: Resolved path of a file, else None.
        version: What changes when the content does: size and modification time of a file, scikit-learn's version
            of a bundled dataset.
    """

    kind: str
    name: str
    path: Path | None
    version: tuple[int | str, ...]

    @property
    def field(self) -> str:
        """The field of the study that names the source."""
        return "dataset.builtin" if self.path is None else "dataset.uri"

    def key(self, dataset: Dataset) -> str:
        """Name of the cache entry: 24 hex digits over the source's identity and the choice of columns."""
        identity = [LAYOUT, self.kind, self.name, str(self.path), *self.version, options(dataset)]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:24]


def options(dataset: Dataset) -> str:
    """The choice of columns as text, equal for equal choices."""
    chosen = [dataset.target, list(dataset.drop), dataset.groups, dataset.order_by, dataset.fold_column]
    return json.dumps(chosen)


def find(dataset: Dataset, roots: tuple[Path, ...]) -> Source:
    """The source that a dataset names. A relative path is looked for under each root in turn.

    Raises:
        InvalidStudy: neither or both of ``builtin`` and ``uri``, an unknown name or extension, a path outside the
            roots (symbolic links and ``..`` followed), or no such file.
    """
    if bool(dataset.builtin) == bool(dataset.uri):
        message = "names both a bundled dataset and a file" if dataset.uri else "names no source of rows"
        raise refusal("dataset", message, "set exactly one of builtin and uri")
    if dataset.uri:
        return _file(dataset.uri, roots)
    if dataset.builtin not in BUILTINS:
        name = dataset.builtin or ""
        raise refusal("dataset.builtin", f"there is no bundled dataset {name!r}", suggestion(name, BUILTINS))
    return Source("builtin", dataset.builtin, None, (_scikit_learn_version(),))


def refusal(path: str, message: str, remedy: str) -> InvalidStudy:
    """The error with one violation."""
    return InvalidStudy([Violation(path, message, remedy)])


@cache
def _scikit_learn_version() -> str:
    """Read once from the package's metadata, which takes a millisecond, without importing it, which takes a second."""
    return version("scikit-learn")


def _file(uri: str, roots: tuple[Path, ...]) -> Source:
    field = "dataset.uri"
    path = _allowed(uri.removeprefix("file://"), roots)
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        message = f"the extension {path.suffix!r} is not known" if path.suffix else "the file has no extension"
        raise refusal(field, message, f"use a file that ends in {', '.join(KINDS)}")
    try:
        if not path.is_file():
            message = "is a directory" if path.is_dir() else f"there is no file {uri!r}"
            raise refusal(field, message, "check the path; it is read where the server and its workers run")
        stat = path.stat()
    except OSError as error:
        raise refusal(field, f"cannot be read: {error.strerror}", "let the server read it") from error
    return Source(kind, "", path, (stat.st_size, stat.st_mtime_ns))


def _allowed(uri: str, roots: tuple[Path, ...]) -> Path:
    allowed = [root.resolve() for root in roots]
    try:
        found = [path for root in allowed if (path := (root / uri).resolve()).is_relative_to(root)]
        found.sort(key=lambda path: not path.exists())
    except (OSError, ValueError, RuntimeError) as error:  # unreadable or too long; a NUL; a circle of links
        raise refusal("dataset.uri", f"cannot be followed: {error}", "give the path of a readable file") from error
    if found:
        return found[0]
    where = ", ".join(map(str, allowed)) or "none are allowed on this server"
    raise refusal("dataset.uri", f"{uri!r} is outside the directories that data may come from", f"put it under {where}")
