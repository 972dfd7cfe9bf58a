"""How columns become arrays."""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from searchd.datasets.columns import (
    ColumnError,
    encode_feature,
    encode_fold,
    encode_groups,
    encode_order,
    encode_target,
    is_text,
)


def series(*values: Any, **options: Any) -> "pd.Series[Any]":
    column: pd.Series[Any] = pd.Series(list(values), name="c", **options)
    return column


@pytest.mark.parametrize(
    ("column", "classes"),
    [
        (series("b", "a", "b"), ("a", "b")),
        (series(True, False, True), (False, True)),
        (series(5, 3, 3, 5), (3, 5)),
        (series(1.0, 2.0, 1.0, 2.0), (1, 2)),
        (series("x", "y", dtype="category"), ("x", "y")),
        (series(1, "a", 1), ("1", "a")),
        (series(4, 2, 4, dtype="Int64"), (2, 4)),
    ],
)
def test_classes_are_coded_in_sorted_order(column: "pd.Series[Any]", classes: tuple[Any, ...]) -> None:
    """Text, booleans, categories and few whole numbers are classes, coded in the sorted order of their values."""
    target = encode_target(column)
    assert target.task == "classification"
    assert target.classes == classes
    assert [target.classes[code] for code in target.y] == [type(classes[0])(v) for v in column]


@pytest.mark.parametrize("column", [series(0.5, 1.0, 2.0), series(*range(10)), series(*range(60), *range(60))])
def test_other_numbers_are_predicted_as_numbers(column: "pd.Series[Any]") -> None:
    """Fractions, whole numbers that hardly repeat and more than 50 distinct ones are a regression target."""
    target = encode_target(column)
    assert (target.task, target.classes) == ("regression", ())
    assert target.y.tolist() == column.tolist()


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (series("a", None, "b"), "lacks a value in 1 row, first in row 2 of 3"),
        (series(1.0, np.nan, np.nan), "lacks a value in 2 rows, first in row 2 of 3"),
        (series(1.5, np.inf, 2.5), "infinite"),
        (series("a", "a"), "only the class 'a'"),
        (series(*pd.date_range("2024-01-01", periods=3)), "dates"),
        (series([1], [2]), "list objects"),
    ],
)
def test_unusable_targets_say_why(column: "pd.Series[Any]", reason: str) -> None:
    """A target with missing or infinite values, one class, dates or objects is refused with the reason."""
    with pytest.raises(ColumnError, match=reason):
        encode_target(column)


def test_numbers_keep_missing_values() -> None:
    """Numeric columns stay one column, with NaN where a value is missing, nullable types included."""
    for column in (series(1.0, None, 3.0), series(1, None, 3, dtype="Int64")):
        assert np.array_equal(encode_feature(column)["c"], [1.0, np.nan, 3.0], equal_nan=True)


def test_few_texts_become_one_column_each() -> None:
    """Text becomes one column of 0 and 1 for each value, all 0 where it is missing."""
    encoded = encode_feature(series("red", None, "blue", "red"))
    assert {name: column.tolist() for name, column in encoded.items()} == {
        "c=blue": [0, 0, 1, 0],
        "c=red": [1, 0, 0, 1],
    }


def test_many_texts_become_codes() -> None:
    """Text of more than 20 values becomes one column of codes in sorted order, NaN where it is missing."""
    encoded = encode_feature(series(*(f"v{i:02}" for i in reversed(range(21))), None))
    assert encoded["c"][:21].tolist() == list(reversed(range(21)))
    assert np.isnan(encoded["c"][21])


def test_only_text_is_text() -> None:
    """Text and mixed values are text; numbers, boxed ones, booleans, dates and empty columns are not."""
    assert all(is_text(series(*values)) for values in (("a", None), ("a", 1), ("1", "2")))
    others = [(1, 2), (Decimal(1), Decimal(2)), (True, None), (pd.Timestamp("2024-01-01"),), (None, np.nan)]
    assert not any(is_text(series(*values)) for values in others)


def test_stray_text_among_numbers_is_refused() -> None:
    """A column of numbers with a text in it is refused with column, text and row; many texts or few values are not."""
    with pytest.raises(ColumnError, match=r"column 'c' holds numbers, but 'n\.a\.' in row 22 of 40") as raised:
        encode_feature(series(*map(str, range(21)), "n.a.", *map(str, range(18))))
    assert "leave the cell empty" in raised.value.remedy
    assert set(encode_feature(series(*map(str, range(21)), *["n.a."] * 3))) == {"c"}
    assert len(encode_feature(series(*"0123456789", "n.a.", *"0123456789"))) == 11


def test_boxed_numbers_are_numbers() -> None:
    """Decimals, and booleans with gaps, are numbers although they are stored as objects."""
    assert encode_feature(series(Decimal("1.5"), Decimal(2)))["c"].tolist() == [1.5, 2.0]
    assert np.array_equal(encode_feature(series(True, None, False))["c"], [1.0, np.nan, 0.0], equal_nan=True)
    assert encode_target(series(Decimal("1.5"), Decimal(2), Decimal(3))).task == "regression"


def test_booleans_and_dates_become_numbers() -> None:
    """Booleans become 0 and 1, dates seconds since 1970, with and without a zone."""
    assert encode_feature(series(True, False))["c"].tolist() == [1.0, 0.0]
    for zone in (None, "UTC"):
        dates = series(pd.Timestamp("1970-01-02", tz=zone), pd.NaT)
        assert np.array_equal(encode_feature(dates)["c"], [86400.0, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("column", "reason"),
    [(series(1.0, -np.inf), "infinite"), (series({"a": 1}, {"b": 2}), "dict objects"), (series(1j, 2j), "complex")],
)
def test_unusable_features_say_why(column: "pd.Series[Any]", reason: str) -> None:
    """A feature with infinite values or objects is refused with the reason, not turned into something else."""
    with pytest.raises(ColumnError, match=reason):
        encode_feature(column)


@pytest.mark.parametrize(
    "column", [series(3, 1, 2), series("2024-03-01", "2024-01-01T10:00", "2024-02-01"), series(0.3, 0.1, 0.2)]
)
def test_time_sorts_numbers_and_dates(column: "pd.Series[Any]") -> None:
    """Rows sort by number or by ISO date, whichever the column holds."""
    assert np.argsort(encode_order(column)).tolist() == [1, 2, 0]


@pytest.mark.parametrize("column", [series("soon", "later"), series("31/12/2024", "01/02/2024")])
def test_ambiguous_time_is_refused(column: "pd.Series[Any]") -> None:
    """Text that is no ISO date is refused rather than sorted by the alphabet."""
    with pytest.raises(ColumnError, match="neither numbers nor dates"):
        encode_order(column)


def test_groups_are_coded_in_sorted_order() -> None:
    """Groups are coded in the sorted order of their values, as scikit-learn's group splitters see them."""
    assert encode_groups(series("q", "p", "q")).tolist() == [1, 0, 1]
    assert encode_groups(series(10, 9, 10)).tolist() == [1, 0, 1]
    with pytest.raises(ColumnError, match="lacks a value"):
        encode_groups(series("q", None))


def test_given_folds_are_coded_in_order() -> None:
    """Fold names are coded in sorted order, and -1 stays for rows that only ever train."""
    assert encode_fold(series("f2", "f1", "f2")).tolist() == [1, 0, 1]
    assert encode_fold(series(10, 20, 10)).tolist() == [0, 1, 0]
    assert encode_fold(series(-1, 3, 1)).tolist() == [-1, 1, 0]
