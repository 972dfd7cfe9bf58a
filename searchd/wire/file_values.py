"""Single values of a study file: text, numbers, enums, durations and parameter values."""

import datetime
import difflib
import numbers
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration

from searchd.domain.errors import Violation
from searchd.domain.space import ParameterValue
from searchd.v1 import study_pb2
from searchd.wire.values import INT64_MAX, INT64_MIN, encode_value, short_names

WHOLE_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (INT64_MIN, INT64_MAX),
}

MAX_DURATION_SECONDS = 315_576_000_000  # protobuf's limit: 10,000 years
MAX_LEVELS = 20
"""Lists and mappings inside each other in one parameter value; protobuf takes no message much deeper."""

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


class Misread(Exception):  # noqa: N818  (it carries what a reader will be told, and never leaves this package)
    """A value that cannot be put into the message."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation)
        self.violation = violation


def misread(path: str, message: str, remedy: str) -> Misread:
    """The exception for one violation."""
    return Misread(Violation(path, message, remedy))


def described(value: Any) -> str:
    """What somebody wrote, in words: ``a list``, ``text 'abc'``, ``the number 3``."""
    match value:
        case None:
            return "empty"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value!r}" if len(value) <= 40 else f"the text {value[:37]!r}…"
        case datetime.date():
            return f"the date {value.isoformat()}"
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
    return f"of the kind {type(value).__name__}"


def as_written(value: Any) -> Any:
    """A value from Python as a file would have it: tuples are lists there, and numbers of numpy plain ones."""
    match value:
        case bool() | int() | float() | str():
            return value
        case Mapping():
            return {name: as_written(item) for name, item in value.items()}
        case list() | tuple():
            return [as_written(item) for item in value]
        case numbers.Integral():
            return int(value)
        case numbers.Real():
            return float(value)
    return value


def nearest(name: str, known: Sequence[str]) -> str:
    """A remedy for a name that is not known: the nearest one, or all there are."""
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"


def read_scalar(field: FieldDescriptor, value: Any, path: str) -> Any:
    """The value of a scalar or enum field.

    Raises:
        Misread: the value is of another type or out of the field's range.
    """
    if field.enum_type is not None:
        enum: Any = field.enum_type  # one of two classes, by protobuf's implementation
        return _option(enum, value, path)
    if field.cpp_type in WHOLE_RANGES:
        return _whole(value, path, *WHOLE_RANGES[field.cpp_type])
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return _number(value, path)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if not isinstance(value, bool):
            raise misread(path, f"is {described(value)}", "write true or false")
        return value
    return read_text(value, path)


def read_text(value: Any, path: str) -> str:
    """Text.

    Raises:
        Misread: it is something else, or holds half a character.
    """
    if not isinstance(value, str):
        remedy = f"put it in quotes: '{value}'" if isinstance(value, int | float | datetime.date) else "write text"
        raise misread(path, f"is {described(value)}, not text", remedy)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise misread(path, "is not valid text", "write whole characters") from error
    return value


def read_duration(value: Any, path: str) -> Duration:
    """A duration written as ``90s``, ``15m``, ``12h`` or ``1h30m``.

    Raises:
        Misread: it is a bare number, or something else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise misread(path, f"is {described(value)}, without a unit", f"write {value}s, {value}m or {value}h")
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not match.group():
        raise misread(path, f"is {described(value)}, not a duration", "write it as 90s, 15m, 12h or 1h30m")
    parts = zip(match.groups(), _UNITS.values(), strict=True)
    total = sum((Decimal(number) * unit for number, unit in parts if number), Decimal(0))
    if total > MAX_DURATION_SECONDS:
        raise misread(path, f"is {described(value)}, which is too long", "use a shorter one, or leave it out")
    seconds = int(total)
    return Duration(seconds=seconds, nanos=int((total - seconds) * 10**9))


def read_parameter_value(value: Any, path: str) -> study_pb2.ParameterValue:
    """A parameter's value: any JSON value, null included.

    Raises:
        Misread: it holds a date, an integer beyond 64 bits or something else that JSON has not, or too many levels.
    """
    _check_json(value, path, MAX_LEVELS)
    return encode_value(value)


def _check_json(value: ParameterValue, path: str, levels: int) -> None:
    if levels < 0:
        raise misread(path, f"is nested more than {MAX_LEVELS} levels deep", "use fewer levels")
    match value:
        case None | bool() | float():
            return
        case int():
            _whole(value, path, INT64_MIN, INT64_MAX)
        case str():
            read_text(value, path)
        case list():
            for index, item in enumerate(value):
                _check_json(item, f"{path}[{index}]", levels - 1)
        case dict():
            for name, item in value.items():
                read_text(name, path)
                _check_json(item, f"{path}.{name}", levels - 1)
        case datetime.date():
            raise misread(path, f"is {described(value)}", f"put it in quotes: '{value}'")
        case _:
            raise misread(path, f"is {described(value)}", "use numbers, text, true, false, null, lists or mappings")


def _option(enum: EnumDescriptor, value: Any, path: str) -> int:
    options = short_names(enum)
    if isinstance(value, str) and value in options:
        return options[value]
    names = list(options)
    if not isinstance(value, str):
        raise misread(path, f"is {described(value)}", f"use one of {', '.join(names)}")
    raise misread(path, f"{value!r} is not one of {', '.join(names)}", nearest(value, names))


def _whole(value: Any, path: str, low: int, high: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise misread(path, f"is {described(value)}, not a whole number", _number_remedy(value, "use a whole number"))
    if not low <= value <= high:
        raise misread(path, f"{value} is out of range", f"use a whole number from {low} to {high}")
    return value


def _number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise misread(path, f"is {described(value)}, not a number", _number_remedy(value, "use a number"))
    try:
        return float(value)
    except OverflowError as error:
        raise misread(path, "is a number without end", "use a smaller one") from error


def _number_remedy(value: Any, otherwise: str) -> str:
    try:
        float(value if isinstance(value, str) else "")
    except ValueError:
        return otherwise
    return "write it without quotes"
