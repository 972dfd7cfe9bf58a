"""Numbers, durations and parameter values as people read them."""

from datetime import timedelta
from typing import Any

import pytest

from searchd.client.numbers import clock, decimals_for, fixed, number, parameter, percent, span


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.98333, ".9833"),
        (0.97, ".97"),
        (-0.0021, "-.0021"),
        (0.0, "0"),
        (1.0, "1"),
        (0.99996, "1"),
        (9999.6, "1e4"),
        (12.3456, "12.35"),
        (1234.56, "1235"),
        (123456.0, "1.23e5"),
        (0.0001234, "1.23e-4"),
        (0.001, ".001"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_a_number_has_at_most_four_significant_digits(value: float, text: str) -> None:
    """No leading zero, no trailing zeros, powers of ten only where they are shorter."""
    assert number(value) == text


def test_a_column_of_numbers_lines_up() -> None:
    """Decimals are the same for all and come from the largest."""
    assert decimals_for([0.9833, 0.98]) == 4
    assert decimals_for([12.5, 0.1]) == 2
    assert decimals_for([12500.0]) == 0
    assert decimals_for([]) == 0
    assert decimals_for([float("nan")]) == 0
    assert [fixed(value, 3) for value in (0.98, -0.0001, -0.5, 2.0, float("inf"))] == [
        ".980",
        ".000",
        "-.500",
        "2.000",
        "inf",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0031, "3.1e-3"),
        (1e-05, "1e-5"),
        (0.25, ".25"),
        (0.0, "0"),
        (32, "32"),
        (True, "true"),
        ("adam", "adam"),
        (None, "null"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_a_parameter_is_short(value: Any, text: str) -> None:
    """Small numbers as powers of ten, text as it is, the rest as JSON."""
    assert parameter(value) == text


def test_durations() -> None:
    """As on a clock for what has passed, roughly for what is left."""
    assert [clock(timedelta(seconds=s)) for s in (0, 252, 3852)] == ["00:00", "04:12", "1:04:12"]
    assert clock(timedelta(seconds=-3)) == "00:00"
    spans = [timedelta(seconds=40), timedelta(minutes=21), timedelta(minutes=185), timedelta(days=2, hours=4)]
    assert [span(s) for s in spans] == ["40s", "21m", "3h05m", "2d4h"]


def test_a_share_of_nothing_is_a_dash() -> None:
    """Percentages are whole, and there is none of zero."""
    assert percent(61, 100) == "61%"
    assert percent(1, 0) == "-"
