"""Messages as plain JSON values: field names as in the protos, integers as numbers, parameter values as themselves."""

import math
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from searchd.v1 import study_pb2
from searchd.wire.values import decode_value

_FLOATS = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)


def plain_message(message: Message) -> dict[str, Any]:
    """The message's JSON mapping, with three departures that suit people and scripts better.

    Parameter values become the plain values that they hold, 64-bit integers stay numbers, and fields without presence
    are there even at their default, so that a count of 0 is a 0. Times and enums are as the mapping has them.
    """
    plain: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        plain[field.name] = _field(field, getattr(message, field.name))
    return plain


# Descriptors are of one of two unrelated classes, depending on protobuf's backend: hence Any.
def _field(field: Any, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        item = field.message_type.fields_by_name["value"]
        return {str(key): _single(item, value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_single(field, item) for item in value]
    return _single(field, value)


def _single(field: Any, value: Any) -> Any:
    if isinstance(value, study_pb2.ParameterValue):
        return decode_value(value)
    if field.message_type is not None:
        if field.message_type.file.package == "google.protobuf":
            return json_format.MessageToDict(value)
        return plain_message(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    if field.type in _FLOATS and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
