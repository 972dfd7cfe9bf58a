"""What a file of rows is like: its target, the columns that cannot tell anything, and how large it is."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from searchd.datasets.columns import ColumnError, encode_feature, encode_target, is_text
from searchd.datasets.loaded import Array
from searchd.datasets.names import suggestion
from searchd.datasets.reading import read, read_frame
from searchd.datasets.source import Source
from searchd.domain.errors import InvalidStudy, Violation
from searchd.domain.study import Dataset

if TYPE_CHECKING:
    import pandas as pd

GROWTH: Mapping[str, float] = {"csv": 3.0, "parquet": 8.0, "npz": 2.0}
"""Bytes of memory that reading and encoding takes at its peak for each byte of a file of numbers, roughly; of an NPZ
for each byte of its arrays."""

FEWEST_ROWS = 10
"""With fewer rows there is nothing to search on."""

SURE_ROWS = 20
"""Below so many rows, a column whose values all differ may do so by chance."""

ID_NAMES = ("id", "uuid", "guid", "index", "rowid", "row_id", "unnamed: 0")
"""Whole numbers that all differ, under such a name or one that ends in ``_id``, are names of rows."""

Values = Literal["text", "booleans", "whole numbers", "numbers"]


@dataclass(frozen=True, slots=True)
class TargetProfile:
    """What is to be predicted.

    Attributes:
        name: Of its column or array.
        values: What its values are; categories are text.
        counts: Rows of each class, in the order of the classes; empty if the values are no classes to a dataset.
        distinct: Number of distinct values.
        reach: Largest distance from the median, in interquartile ranges; 0 for text, and where the range is 0.
    """

    name: str
    values: Values
    counts: Mapping[str, int]
    distinct: int
    reach: float = 0.0

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.values in ("whole numbers", "numbers")


@dataclass(frozen=True, slots=True)
class Profile:
    """A file that can be searched on.

    Attributes:
        rows: Number of rows, at least 10.
        features: Columns of features that the dataset will have, those of text counted for each of their values.
        target: What is to be predicted.
        useless: Columns that certainly tell nothing, each with the reason.
        suspects: Columns that may name rows, which only somebody who knows the data can say, each with the reason.
    """

    rows: int
    features: int
    target: TargetProfile
    useless: Mapping[str, str] = field(default_factory=dict)
    suspects: Mapping[str, str] = field(default_factory=dict)


def check_memory(source: Source, available: int | None) -> None:
    """Refuse a file that would not fit into memory, before it is read: datasets are read whole.

    Args:
        source: A file.
        available: Bytes that may be used; None if nobody knows, which admits any file.

    Raises:
        InvalidStudy: it would not.
    """
    if source.path is None or available is None:
        return
    size = source.path.stat().st_size
    if source.kind == "npz" and zipfile.is_zipfile(source.path):
        with zipfile.ZipFile(source.path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    needed = size * GROWTH.get(source.kind, 1.0)
    if needed > available:
        message = f"has {_gigabytes(size)}, reading it takes about {_gigabytes(needed)} of memory"
        message += f", and {_gigabytes(available)} are free"
        remedy = "give it a part of the rows, drawn by chance, or a machine with more memory"
        raise InvalidStudy([Violation(source.field, message, remedy)])


def profile(source: Source, dataset: Dataset, keep: Sequence[str] = ()) -> Profile:
    """What the file is like.

    Args:
        source: A file.
        dataset: Its target (of an NPZ ``y`` if None), and the columns that are no features.
        keep: Columns that are features whatever they look like.

    Raises:
        InvalidStudy: it cannot be read, has too few rows, lacks a column, or a column cannot be used; all reasons.
    """
    return _of_arrays(source, dataset) if source.kind == "npz" else _of_table(source, dataset, keep)


def _of_arrays(source: Source, dataset: Dataset) -> Profile:
    loaded = read(source, dataset)
    _check_rows(source, len(loaded))
    target = _target(dataset.target or "y", loaded.y, loaded.classes)
    return Profile(len(loaded), loaded.table.shape[1], target)


def _of_table(source: Source, dataset: Dataset, keep: Sequence[str]) -> Profile:
    frame = read_frame(source)
    _check_rows(source, len(frame))
    known = tuple(frame.columns)
    problems = [
        Violation(path, f"there is no column {name!r}", suggestion(name, known))
        for path, name in _named(dataset, keep)
        if name not in known
    ]
    if not dataset.target:
        remedy = f"name the column to predict: {suggestion('', known)}"
        problems.append(Violation("dataset.target", "is not set", remedy))
    useless: dict[str, str] = {}
    suspects: dict[str, str] = {}
    features = 0
    for column in (frame[name] for name in known if name not in {dataset.target, *dataset.drop}):
        name = str(column.name)
        reason, certain = ("", False) if name in keep else _tells_nothing(column)
        if reason and certain:
            useless[name] = reason
            continue
        if reason:
            suspects[name] = reason
        try:
            features += len(encode_feature(column))
        except ColumnError as error:
            problems.append(error.at("dataset.drop"))
    if not features and not problems:
        told = "; ".join(f"{name}: {reason}" for name, reason in useless.items()) or "there are no others"
        message = f"no column is left to predict {dataset.target!r} by ({told})"
        problems.append(Violation("dataset", message, "give it a column that tells something"))
    return Profile(len(frame), features, _target_of(frame, dataset, problems), useless, suspects)


def _target_of(frame: "pd.DataFrame", dataset: Dataset, problems: Sequence[Violation]) -> TargetProfile:
    """The target of a table.

    Raises:
        InvalidStudy: there are ``problems`` already, or it cannot be one.
    """
    name, found = dataset.target or "", [*problems]
    try:
        target = encode_target(frame[name]) if name in frame.columns else None
    except ColumnError as error:
        target = None
        found.append(error.at("dataset.target"))
    if found or target is None:
        raise InvalidStudy(found)
    return _target(name, target.y, target.classes)


def _check_rows(source: Source, rows: int) -> None:
    if rows < FEWEST_ROWS:
        counted = f"{rows} row{'' if rows == 1 else 's'}"
        remedy = f"give at least {FEWEST_ROWS} rows"
        raise InvalidStudy([Violation(source.field, f"has {counted}, which is too little to search on", remedy)])


def _named(dataset: Dataset, keep: Sequence[str]) -> list[tuple[str, str]]:
    named = [("dataset.target", dataset.target)] if dataset.target else []
    named += [("dataset.drop", name) for name in dataset.drop]
    return [*named, *(("--keep", name) for name in keep)]


def _target(name: str, y: Array, classes: Sequence[Any]) -> TargetProfile:
    """The target as a dataset encodes it."""
    if not classes:
        return _of_numbers(name, y)
    counts = {str(value): int(count) for value, count in zip(classes, np.bincount(y), strict=True)}
    kind: Values = "whole numbers"
    if isinstance(classes[0], str | bool):
        kind = "text" if isinstance(classes[0], str) else "booleans"
    return TargetProfile(name, kind, counts, len(classes))


def _of_numbers(name: str, y: Array) -> TargetProfile:
    low, middle, high = np.quantile(y, [0.25, 0.5, 0.75])
    reach = float(np.abs(y - middle).max() / (high - low)) if high > low else 0.0
    whole = bool((y == np.floor(y)).all())
    return TargetProfile(name, "whole numbers" if whole else "numbers", {}, len(np.unique(y)), reach)


def _tells_nothing(column: "pd.Series[Any]") -> tuple[str, bool]:
    """Why a column tells nothing about other rows, empty if it may tell something; and whether that is certain."""
    from pandas.api import types  # noqa: PLC0415  (slow to import)

    distinct = column.nunique(dropna=False)
    if distinct == 1:
        return ("is empty" if column.isna().all() else f"is {column.iloc[0]!r} in every row"), True
    if distinct < len(column) or len(column) < SURE_ROWS or types.is_float_dtype(column):
        return "", False
    if is_text(column):
        return "is another text in every row", not _is_numeric(column)
    if not types.is_integer_dtype(column) or column.isna().any():
        return "", False
    if np.array_equal(np.diff(column.to_numpy()), np.ones(len(column) - 1)):
        return "counts the rows", True
    name = str(column.name).strip().lower()
    if name in ID_NAMES or name.endswith("_id"):
        return "is another whole number in every row, and its name is that of an identifier", True
    return "is another whole number in every row", False


def _is_numeric(column: "pd.Series[Any]") -> bool:
    """Whether most of the text reads as numbers, so that what is wrong with the rest is to be said."""
    import pandas as pd  # noqa: PLC0415  (slow to import)

    return bool(pd.to_numeric(column, errors="coerce").notna().mean() > 0.5)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2g} GB"
