"""Reads a source whole into memory: CSV and Parquet tables, NPZ arrays, scikit-learn's bundled datasets."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from searchd.datasets.columns import (
    ColumnError,
    Target,
    encode_feature,
    encode_fold,
    encode_groups,
    encode_order,
    encode_target,
    is_text,
    texts_of,
)
from searchd.datasets.loaded import Array, LoadedDataset
from searchd.datasets.names import column_violations
from searchd.datasets.source import Source, options, refusal
from searchd.domain.errors import InvalidStudy, Violation
from searchd.domain.study import Dataset

if TYPE_CHECKING:
    import pandas as pd

FEATURE_ARRAYS = ("X", "x", "images", "data")
"""Names under which an NPZ may hold its features; the first that is there counts."""


def read(source: Source, dataset: Dataset) -> LoadedDataset:
    """The dataset, read and encoded.

    Raises:
        InvalidStudy: it cannot be read, has fewer than two rows, lacks a column, or a column cannot be used.
    """
    with _damage_explained(source):
        match source.kind:
            case "builtin":
                return _bundled(source, dataset)
            case "npz":
                loaded = _npz(source, dataset)
            case _:
                loaded = _table(read_frame(source), source, dataset, None)
        content = _file_digest(source)
    return _fingerprinted(loaded, content, dataset)


def read_frame(source: Source) -> "pd.DataFrame":
    """The table of a CSV or Parquet file as it is, the names of its columns as text.

    Raises:
        InvalidStudy: it cannot be read.
    """
    import pandas as pd  # noqa: PLC0415  (slow to import)

    path = source.path or Path()
    with _damage_explained(source):
        # In pieces, a column's type would be guessed piece by piece.
        frame = pd.read_parquet(path) if source.kind == "parquet" else pd.read_csv(path, low_memory=False)
    frame.columns = frame.columns.map(str)
    return frame


@contextmanager
def _damage_explained(source: Source) -> Iterator[None]:
    try:
        yield
    except (InvalidStudy, MemoryError):
        raise
    except Exception as error:
        # Parsers fail on damaged files in more ways than can be listed, and a caller can send any of them.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = f"cannot be read as {source.kind.upper()}: {reason}"
        raise refusal(source.field, message, "check that the file is whole and of that format") from error


def texts(source: Source, columns: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """What the codes of these columns of a CSV or Parquet file stand for."""
    frame = read_frame(source)
    return {name: texts_of(frame[name]) for name in columns}


def _bundled(source: Source, dataset: Dataset) -> LoadedDataset:
    from sklearn import datasets  # noqa: PLC0415  (slow to import)

    bunch = getattr(datasets, f"load_{source.name}")(as_frame=True)
    loaded = _table(bunch.frame, source, dataset, "target")
    if dataset.target in {None, "target"} and "target_names" in bunch:
        names = tuple(str(name) for name in bunch.target_names)
        loaded = dataclasses.replace(loaded, classes=names if loaded.task == "classification" else ())
    if source.name == "digits" and loaded.X.shape[1] == bunch.images[0].size:
        loaded = dataclasses.replace(loaded, image_shape=bunch.images.shape[1:])
    digest = hashlib.sha256(np.ascontiguousarray(bunch.frame.to_numpy(dtype=np.float64)).tobytes())
    digest.update(",".join(bunch.frame.columns).encode())
    return _fingerprinted(loaded, digest.hexdigest(), dataset)


def _table(frame: "pd.DataFrame", source: Source, dataset: Dataset, target: str | None) -> LoadedDataset:
    known = tuple(frame.columns)
    problems = _row_problems(source, len(frame))
    if not (dataset.target or target):
        remedy = f"name the column to predict, one of {', '.join(known[:12])}"
        problems.append(Violation("dataset.target", "is not set", remedy))
    problems += column_violations(dataset, target, known, "column")
    named = {dataset.target or target, dataset.groups, dataset.order_by, dataset.fold_column, *dataset.drop}
    features: dict[str, Array] = {}
    coded: list[str] = []
    for name in known:
        if name not in named:
            try:
                feature = encode_feature(frame[name])
            except ColumnError as error:
                problems.append(error.at("dataset.drop"))
                continue
            features |= feature
            if is_text(frame[name]) and name in feature:
                coded.append(name)
    if not features and not problems:
        problems.append(Violation("dataset.drop", "no feature column is left", "keep at least one"))
    table = np.column_stack(list(features.values())) if features else np.empty((len(frame), 0))
    columns = {name: frame[name] for name in known}
    encoded = _encoded(columns if len(frame) else {}, dataset, dataset.target or target, problems)
    return dataclasses.replace(encoded, X=table, feature_names=tuple(features), coded=tuple(coded))


def _npz(source: Source, dataset: Dataset) -> LoadedDataset:
    import pandas as pd  # noqa: PLC0415  (slow to import)

    with (source.path or Path()).open("rb") as stream:
        archive = np.load(stream, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise refusal(source.field, "holds a single array", "save features and target together with np.savez")
        arrays = {name: _array(source, archive, name) for name in archive.files}
    problems = column_violations(dataset, "y", tuple(arrays), "array")
    name = next((name for name in FEATURE_ARRAYS if name in arrays), None)
    if name is None:
        remedy = f"save the features as {FEATURE_ARRAYS[0]!r} beside {', '.join(arrays) or 'the target'}"
        raise InvalidStudy([*problems, Violation(source.field, "the NPZ holds no array of features", remedy)])
    features = arrays.pop(name)
    problems += _row_problems(source, features.shape[0] if features.ndim else 0)
    if features.ndim not in {2, 3, 4} or features.dtype.kind not in "buif":
        message = f"array {name!r} has shape {features.shape} and type {features.dtype}"
        remedy = "save numbers of shape (n, d), (n, h, w) or (n, h, w, c)"
        raise InvalidStudy([*problems, Violation(source.field, message, remedy)])
    if features.dtype.kind == "f" and np.isinf(features).any():
        message = f"array {name!r} holds infinite values"
        problems.append(Violation(source.field, message, "use NaN where a value is missing"))
    if features.ndim == 2 and features.dtype.kind != "f":
        features = features.astype(np.float64)
    columns: dict[str, pd.Series[Any]] = {}
    for path, column in ((p, c) for p, c in _arrays_in_use(dataset) if c in arrays):
        values = arrays[column].reshape(-1) if arrays[column].ndim == 2 else arrays[column]
        if values.shape == features.shape[:1]:
            columns[column] = pd.Series(values, name=column)
        else:
            message = f"array {column!r} has shape {arrays[column].shape}, the features have {features.shape[0]} rows"
            problems.append(Violation(path, message, "save one value for each row"))
    names = tuple(f"{name}_{i}" for i in range(features.shape[1])) if features.ndim == 2 else ()
    encoded = _encoded(columns if len(features) else {}, dataset, dataset.target or "y", problems)
    return dataclasses.replace(encoded, X=features, feature_names=names)


def _array(source: Source, archive: Any, name: str) -> Array:
    """One array of an NPZ.

    Raises:
        InvalidStudy: it holds Python objects, such as images that differ in size.
        ValueError: it is damaged.
    """
    try:
        return np.asarray(archive[name])
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        message = f"array {name!r} holds Python objects, such as images that differ in size or strings of type object"
        raise refusal(source.field, message, "save one shape for all rows, and text with a text type") from error


def _arrays_in_use(dataset: Dataset) -> list[tuple[str, str]]:
    named = [("dataset.target", dataset.target or "y"), ("dataset.groups", dataset.groups)]
    named += [("dataset.order_by", dataset.order_by), ("dataset.fold_column", dataset.fold_column)]
    return [(path, name) for path, name in named if name]


def _encoded(
    columns: "Mapping[str, pd.Series[Any]]", dataset: Dataset, target: str | None, problems: list[Violation]
) -> LoadedDataset:
    """The dataset without its features and fingerprint, from the columns with a purpose.

    Raises:
        InvalidStudy: there are ``problems`` already, or a column cannot serve its purpose. A column that is not among
            ``columns`` has been reported.
    """

    def encoded(path: str, name: str | None, encode: "Callable[[pd.Series[Any]], Any]") -> Any:
        if name is None or name not in columns:
            return None
        try:
            return encode(columns[name])
        except ColumnError as error:
            problems.append(error.at(path))
            return None

    answer: Target | None = encoded("dataset.target", target, encode_target)
    groups = encoded("dataset.groups", dataset.groups, encode_groups)
    order = encoded("dataset.order_by", dataset.order_by, encode_order)
    fold = encoded("dataset.fold_column", dataset.fold_column, encode_fold)
    if problems or answer is None:
        raise InvalidStudy(problems)
    nothing = np.empty((0, 0))
    return LoadedDataset("", answer.task, nothing, answer.y, answer.classes, (), groups, order, fold)


def _row_problems(source: Source, rows: int) -> list[Violation]:
    if rows >= 2:
        return []
    return [Violation(source.field, f"has {rows} row{'' if rows == 1 else 's'}", "give at least 2 rows")]


def _file_digest(source: Source) -> str:
    """SHA-256 of the file's bytes.

    Raises:
        InvalidStudy: the file has changed since it was found.
    """
    path = source.path or Path()
    with path.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    stat = path.stat()
    if (stat.st_size, stat.st_mtime_ns) != source.version:
        raise refusal(source.field, "changed while it was read", "submit again when it is written completely")
    return content


def _fingerprinted(loaded: LoadedDataset, content: str, dataset: Dataset) -> LoadedDataset:
    digest = hashlib.sha256(f"{content}{options(dataset)}".encode()).hexdigest()
    return dataclasses.replace(loaded, fingerprint=digest[:12])
