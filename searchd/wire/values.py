"""Parameter values, times and enums between wire and domain."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from searchd.domain.space import Parameters, ParameterValue
from searchd.v1 import study_pb2

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

E = TypeVar("E", bound=StrEnum)

# In this order: a bool is an int too.
_SCALARS = ((bool, "bool_value"), (int, "int_value"), (float, "double_value"), (str, "string_value"))


def encode_value(value: ParameterValue) -> study_pb2.ParameterValue:
    """A JSON value as a message; integers stay integers and None is a message with nothing set.

    Raises:
        TypeError: it is no JSON value.
        ValueError: an integer outside 64 bits, or text that is no Unicode.
    """
    message = study_pb2.ParameterValue()
    for kind, field in _SCALARS:
        if isinstance(value, kind):
            setattr(message, field, value)
            return message
    if isinstance(value, list | tuple):
        message.list_value.values.extend(map(encode_value, value))
        message.list_value.SetInParent()
    elif isinstance(value, Mapping):
        message.object_value.SetInParent()
        for name, item in value.items():
            message.object_value.fields[name].CopyFrom(encode_value(item))
    elif value is not None:
        raise TypeError(f"{type(value).__name__} is not a JSON value")
    return message


def decode_value(message: study_pb2.ParameterValue) -> ParameterValue:
    """The JSON value of a message; lists and objects become ``list`` and ``dict``."""
    kind = message.WhichOneof("kind")
    if kind == "list_value":
        return [decode_value(item) for item in message.list_value.values]
    if kind == "object_value":
        return decode_parameters(message.object_value.fields)
    return getattr(message, kind) if kind is not None else None


def encode_parameters(parameters: Parameters) -> dict[str, study_pb2.ParameterValue]:
    """A configuration as what a message's map is built from."""
    return {name: encode_value(value) for name, value in parameters.items()}


def decode_parameters(fields: Mapping[str, study_pb2.ParameterValue]) -> dict[str, ParameterValue]:
    """A configuration from a message's map, in name order: the order on the wire means nothing."""
    return {name: decode_value(fields[name]) for name in sorted(fields)}


def encode_time(at: datetime | None) -> Timestamp | None:
    """A time, to the microsecond; None stays unset."""
    if at is None:
        return None
    message = Timestamp()
    message.FromDatetime(at)
    return message


def decode_time(message: Timestamp) -> datetime:
    """The time in UTC, to the microsecond."""
    return message.ToDatetime(tzinfo=UTC)


def encode_duration(duration: timedelta | None) -> Duration | None:
    """A duration, to the microsecond; None stays unset."""
    if duration is None:
        return None
    message = Duration()
    message.FromTimedelta(duration)
    return message


def decode_duration(message: Duration) -> timedelta:
    """The duration, to the microsecond.

    Raises:
        ValueError: its parts disagree in sign or are out of range.
    """
    if not -999_999_999 <= message.nanos <= 999_999_999 or message.seconds * message.nanos < 0:
        raise ValueError("nanos out of range")
    try:
        return timedelta(seconds=message.seconds, microseconds=int(message.nanos / 1000))
    except OverflowError as error:
        raise ValueError("too long") from error


def printable(text: str) -> str:
    """The text with what would not show, such as control characters, written as Python escapes it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@cache
def short_names(enum: EnumDescriptor) -> dict[str, int]:
    """The values of a wire enum as study files write them (lower case, no prefix), without the unspecified one."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values if value.number}


def encode_enum(enum: EnumDescriptor, member: StrEnum) -> Any:  # each wire enum is an int type of its own
    """The number of a domain enum's member in the wire enum of the same names."""
    return short_names(enum)[member.value]


def decode_enum(enum: EnumDescriptor, number: int, kind: type[E]) -> E:
    """The domain enum's member of a wire number.

    Raises:
        ValueError: the number is the unspecified one, or none that this version knows.
    """
    for name, value in short_names(enum).items():
        if value == number:
            return kind(name)
    raise ValueError(f"{number} is not a {enum.name}")
