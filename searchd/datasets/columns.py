"""From columns to arrays: features, target, groups, order and given folds."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from searchd.datasets.loaded import Array
from searchd.domain.errors import SearchdError, Violation

if TYPE_CHECKING:
    import pandas as pd

ONE_HOT_LIMIT = 20
"""Text columns with more distinct values than this become one column of codes instead of one column a value."""

STRAY_SHARE = 0.05
"""Text with more distinct values than the limit, of which fewer than this share are no numbers, was to be numbers."""

CLASS_LIMIT = 50
"""Whole-numbered targets with more distinct values than this are numbers, not classes."""


class ColumnError(SearchdError):
    """A column cannot serve its purpose: what is wrong and what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def at(self, path: str) -> Violation:
        """The violation of the field that named the column."""
        return Violation(path, self.message, self.remedy)


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """An encoded target: see LoadedDataset."""

    y: Array
    task: Literal["classification", "regression"]
    classes: tuple[str | int | float | bool, ...]


def encode_target(column: "pd.Series[Any]") -> Target:
    """Classes as codes in the sorted order of their values, or numbers as they are.

    Text, booleans and categories are classes. So are whole numbers with at most 50 distinct values that are also no
    more than half as many as the rows (two classes are always allowed); other numbers are a regression target.

    Raises:
        ColumnError: a value is missing or infinite, there is only one class, or the column holds dates, objects, or
            numbers but for a few stray texts.
    """
    from pandas.api import types  # noqa: PLC0415  (slow to import)

    _whole(column)
    column = _unboxed(column)
    if types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column):
        raise ColumnError(f"column {column.name!r} holds dates", "name a column of classes or numbers")
    if not types.is_numeric_dtype(column) or types.is_bool_dtype(column):
        text = _text(column) if column.dtype.name in {"object", "category", "str", "string"} else column
        if text.nunique() > ONE_HOT_LIMIT:
            _refuse_stray(text, "correct that value, or remove the row")
        return _classes(text)
    values = column.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise ColumnError(_infinite(column, values), "remove those rows")
    distinct = np.unique(values)
    whole = (distinct == np.floor(distinct)).all() and np.abs(distinct).max() < 2**53
    if whole and len(distinct) <= min(CLASS_LIMIT, max(2, len(values) // 2)):
        return _classes(column.astype("int64"))
    return Target(values, "regression", ())


def encode_groups(column: "pd.Series[Any]") -> Array:
    """Group codes from 0 in the sorted order of their values, shape (n,).

    The order matters: scikit-learn's group splitters shuffle the sorted groups, so that other codes would give other
    folds than the column itself.

    Raises:
        ColumnError: a value is missing.
    """
    return _sorted_codes(column)[0]


def encode_order(column: "pd.Series[Any]") -> Array:
    """Positions in time as numbers, shape (n,): numbers as they are, dates and ISO 8601 text as time stamps.

    Raises:
        ColumnError: a value is missing, or text is no date.
    """
    import pandas as pd  # noqa: PLC0415  (slow to import)
    from pandas.api import types  # noqa: PLC0415

    _whole(column)
    if types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64)
    try:
        stamps = pd.to_datetime(column, format="ISO8601", utc=True)
    except (ValueError, TypeError) as error:
        message = f"column {column.name!r} holds neither numbers nor dates"
        raise ColumnError(message, "write dates as ISO 8601, like 2024-01-31") from error
    return stamps.to_numpy(dtype="datetime64[ns]").astype(np.int64)


def encode_fold(column: "pd.Series[Any]") -> Array:
    """Fold codes from 0 in sorted order, shape (n,); a value of -1 stays, as in scikit-learn's PredefinedSplit.

    Raises:
        ColumnError: a value is missing.
    """
    codes, lowest = _sorted_codes(column)
    return codes - 1 if lowest == -1 else codes


def is_text(column: "pd.Series[Any]") -> bool:
    """Whether ``encode_feature`` takes the column for text: neither numbers, booleans and decimals, nor dates."""
    from pandas.api import types  # noqa: PLC0415  (slow to import)

    column = _unboxed(column)
    dates = types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column)
    return not dates and not types.is_numeric_dtype(column)


def encode_feature(column: "pd.Series[Any]") -> dict[str, Array]:
    """The feature columns that one column becomes, by name; each float64 of shape (n,).

    Numbers, decimals and booleans stay one column, with NaN where a value is missing. Dates become seconds since 1970.
    Text and categories become a 0/1 column for each value in sorted order, named ``column=value`` (all 0 where
    missing); with more than 20 values, one column of codes in sorted order (NaN where missing). No target is looked
    at, so that encoding before splitting tells the validation rows' answers to nobody.

    Raises:
        ColumnError: a value is infinite, the column holds objects, or it holds numbers but for a few stray texts.
    """
    from pandas.api import types  # noqa: PLC0415  (slow to import)

    name = str(column.name)
    column = _unboxed(column)
    if types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column):
        zone_free = column.dt.tz_localize(None) if getattr(column.dtype, "tz", None) is not None else column
        raw = zone_free.to_numpy(dtype="timedelta64[ns]" if column.dtype.kind == "m" else "datetime64[ns]")
        seconds = raw.astype(np.int64) / 1e9
        return {name: np.where(np.isnat(raw), np.nan, seconds)}
    if types.is_numeric_dtype(column):
        if types.is_complex_dtype(column):
            raise ColumnError(f"column {name!r} holds complex numbers", "drop it, or split it into two columns")
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isinf(values).any():
            raise ColumnError(_infinite(column, values), "drop it, or leave those cells empty")
        return {name: values}
    text = _text(column)
    codes, distinct = text.factorize(sort=True)
    if len(distinct) <= ONE_HOT_LIMIT:
        return {f"{name}={value}": (codes == code).astype(np.float64) for code, value in enumerate(distinct)}
    _refuse_stray(text, "correct that value or leave the cell empty, or drop the column")
    return {name: np.where(codes < 0, np.nan, codes.astype(np.float64))}


def texts_of(column: "pd.Series[Any]") -> tuple[str, ...]:
    """The texts that the codes of a column of text stand for, from code 0 on."""
    return tuple(map(str, _text(column).factorize(sort=True)[1]))


def _sorted_codes(column: "pd.Series[Any]") -> tuple[Array, Any]:
    """Codes of the values in sorted order, text if they are not numbers; and the lowest value."""
    from pandas.api import types  # noqa: PLC0415  (slow to import)

    _whole(column)
    codes, values = (column if types.is_numeric_dtype(column) else _text(column)).factorize(sort=True)
    return np.asarray(codes, dtype=np.int64), values[0]


def _classes(column: "pd.Series[Any]") -> Target:
    codes, values = column.factorize(sort=True)
    if len(values) < 2:
        raise ColumnError(f"column {column.name!r} has only the class {values[0]!r}", "name a column with two or more")
    classes: list[Any] = values.tolist()
    return Target(np.asarray(codes, dtype=np.int64), "classification", tuple(classes))


def _whole(column: "pd.Series[Any]") -> None:
    missing = np.flatnonzero(column.isna())
    if len(missing) and len(missing) == len(column):
        raise ColumnError(f"column {column.name!r} has no value in any row", "name another column")
    if len(missing):
        rows = "1 row" if len(missing) == 1 else f"{len(missing)} rows"
        first = f"first in row {missing[0] + 1} of {len(column)}"
        raise ColumnError(
            f"column {column.name!r} lacks a value in {rows}, {first}", "fill them in or remove those rows"
        )


def _infinite(column: "pd.Series[Any]", values: Array) -> str:
    first = np.flatnonzero(np.isinf(values))[0]
    return f"column {column.name!r} holds infinite values, first in row {first + 1} of {len(values)}"


def _unboxed(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Numbers that are stored as objects (decimals; booleans with gaps) as floats; anything else as it is."""
    from pandas.api import types  # noqa: PLC0415  (slow to import)

    boxed = {"decimal", "boolean", "integer", "floating", "mixed-integer-float"}
    if column.dtype.name == "object" and types.infer_dtype(column, skipna=True) in boxed:
        return column.astype("float64")
    return column


def _refuse_stray(text: "pd.Series[Any]", remedy: str) -> None:
    import pandas as pd  # noqa: PLC0415  (slow to import)

    stray = np.flatnonzero(text.notna() & pd.to_numeric(text, errors="coerce").isna())
    if 0 < len(stray) <= STRAY_SHARE * text.notna().sum():
        raise ColumnError(
            f"column {text.name!r} holds numbers, but {text.iloc[stray[0]]!r} in row {stray[0] + 1} of {len(text)}",
            remedy,
        )


def _text(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """The column as text, so that mixed values can be sorted; missing values stay missing."""
    present = column.dropna()
    if len(present) and isinstance(present.iloc[0], list | dict | tuple | bytes | np.ndarray):
        raise ColumnError(f"column {column.name!r} holds {type(present.iloc[0]).__name__} objects", "drop it")
    return column.map(str, na_action="ignore")
