"""Numbers, durations, parameter values and texts as people read them."""

import json
import math
from datetime import timedelta
from typing import Any

from searchd.wire.values import printable


def number(value: float, digits: int = 4) -> str:
    """At most ``digits`` significant digits, without a leading or trailing zero: .9833, 12, 1.2e-5."""
    if not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{digits}g}")
    if rounded != 0 and not 1e-3 <= abs(rounded) < 10**digits:
        return _power_of_ten(value, min(digits, 3))
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded)))) if rounded else 0
    return _without_leading_zero(_trimmed(f"{rounded:.{decimals}f}"))


def fixed(value: float, decimals: int) -> str:
    """Exactly that many decimals, without a leading zero: .983, so that a column lines up."""
    if not math.isfinite(value):
        return f"{value:g}"
    text = f"{value:.{decimals}f}"
    return _without_leading_zero(text.removeprefix("-") if float(text) == 0 else text)


def decimals_for(values: list[float], digits: int = 4) -> int:
    """Decimals that show the largest of the values with ``digits`` significant digits; at most ``digits``."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    if largest == 0:
        return 0
    return min(digits, max(0, digits - 1 - math.floor(math.log10(largest))))


def parameter(value: Any) -> str:
    """A parameter's value, numbers with at most 3 significant digits: 3.1e-3, 32, adam."""
    if isinstance(value, float):
        if value != 0 and abs(value) < 0.01:
            return _power_of_ten(value, 3)
        return number(value, 3)
    return printable(value) if isinstance(value, str) else json.dumps(value)


def one_line(text: str) -> str:
    """Somebody else's text on one line, without control characters, which a terminal would obey."""
    return printable(" ".join(text.split()))


def clock(duration: timedelta) -> str:
    """As on a clock: 04:12, 1:04:12."""
    seconds = max(0, int(duration.total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


def span(duration: timedelta) -> str:
    """Roughly: 40s, 21m, 3h05m, 2d4h."""
    seconds = max(0, round(duration.total_seconds()))
    if seconds < 60:
        return f"{seconds}s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02}m"
    return f"{hours // 24}d{hours % 24}h"


def percent(part: float, whole: float) -> str:
    """A share in whole percent; a dash of nothing."""
    return f"{100 * part / whole:.0f}%" if whole else "-"


def _power_of_ten(value: float, digits: int) -> str:
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{_trimmed(mantissa)}e{int(exponent)}"


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _without_leading_zero(text: str) -> str:
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    return sign + (digits[1:] if digits.startswith("0.") else digits)
