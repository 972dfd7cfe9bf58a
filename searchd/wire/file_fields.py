"""Mappings of a study file into messages, field by field as the messages declare them."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from searchd.domain.errors import Violation
from searchd.v1 import study_pb2
from searchd.wire.file_values import (
    Misread,
    described,
    misread,
    nearest,
    read_duration,
    read_parameter_value,
    read_scalar,
    read_text,
)

OUTPUT_ONLY = frozenset(
    {
        *("name", "state", "reason", "progress", "create_time", "start_time", "end_time"),
        *("code_fingerprint", "data_fingerprint", "rungs", "other_metrics", "etag", "tracked"),
    }
)
"""Fields of a study that only the server sets."""

LATER_KEYS = {
    "Dataset": ("weight", "positive"),
}
"""Keys that are documented for a later version, by the message's name."""

Found = list[Violation]
Reader = Callable[[Any, Any, str, Found], None]
"""Puts a written value into the message at a path, adding to what was found."""


def fill(message: Message, written: Any, path: str, found: Found, shorthand: Mapping[str, Reader]) -> None:
    """Put everything of ``written`` that can be read into ``message``; the rest is added to ``found``.

    Args:
        message: Filled in place.
        written: Should be a mapping from the message's field names; a null value leaves its field unset.
        path: Of the message, empty at the top.
        found: Violations so far.
        shorthand: Readers for fields that are not written as they are declared, by the field's full name.
    """
    descriptor: Any = message.DESCRIPTOR  # one of two classes, by protobuf's implementation
    if not isinstance(written, Mapping):
        remedy = f"use the keys {', '.join(known_keys(descriptor))}"
        found.append(Violation(path, f"is {described(written)}, not a mapping", remedy))
        return
    message.SetInParent()
    fields = {field.name: field for field in descriptor.fields}
    for key, value in written.items():
        here = f"{path}.{key}" if path else str(key)
        if key not in fields or _is_output(descriptor, key):
            found.append(unknown_key(descriptor, str(key), here))
        elif value is not None:
            try:
                _put(message, fields[key], value, here, found, shorthand)
            except Misread as error:
                found.append(error.violation)


def unknown_key(descriptor: Descriptor, key: str, path: str) -> Violation:
    """Why a message takes no such key: it comes later, the server sets it, or nobody knows it."""
    if key in LATER_KEYS.get(descriptor.name, ()):
        return Violation(path, "is not supported by this version", "leave it out")
    if _is_output(descriptor, key):
        return Violation(path, "is set by the server", "leave it out")
    return Violation(path, "is not a known key", nearest(key, known_keys(descriptor)))


def known_keys(descriptor: Descriptor) -> list[str]:
    """The keys that a file may use for a message."""
    names = [field.name for field in descriptor.fields if not _is_output(descriptor, field.name)]
    return ["study_id", *names] if descriptor.name == "Study" else names


def read_entries(written: Any, path: str, remedy: str) -> Mapping[Any, Any]:
    """A mapping from names of the writer's own choice.

    Raises:
        Misread: it is something else.
    """
    if not isinstance(written, Mapping):
        raise misread(path, f"is {described(written)}, not a mapping", remedy)
    return written


def read_list(written: Any, path: str) -> list[Any]:
    """A list.

    Raises:
        Misread: it is something else.
    """
    if not isinstance(written, list):
        raise misread(path, f"is {described(written)}, not a list", "write it as [first, second]")
    return written


def _put(
    message: Message, field: FieldDescriptor, value: Any, path: str, found: Found, shorthand: Mapping[str, Reader]
) -> None:
    target = getattr(message, field.name)
    if field.full_name in shorthand:
        shorthand[field.full_name](message, value, path, found)
    elif field.message_type is not None and field.message_type.GetOptions().map_entry:
        _put_entries(target, field.message_type, value, path, found)
    elif field.is_repeated:
        _put_items(target, field, read_list(value, path), path, found, shorthand)
    elif isinstance(target, Duration):
        target.CopyFrom(read_duration(value, path))
        target.SetInParent()
    elif isinstance(target, Message):
        fill(target, value, path, found, shorthand)
    else:
        setattr(message, field.name, read_scalar(field, value, path))


def _put_entries(target: Any, entry: Descriptor, written: Any, path: str, found: Found) -> None:
    kind = entry.fields_by_name["value"]
    for name, value in read_entries(written, path, f"write it as {path}: {{name: value}}").items():
        here = f"{path}.{name}"
        try:
            key = read_text(name, here)
            if kind.message_type is not None:
                parameter = read_parameter_value(value, here)
                target[key].CopyFrom(parameter)  # only now: looking an entry up makes one
            else:
                target[key] = read_scalar(kind, value, here)
        except Misread as error:
            found.append(error.violation)


def _put_items(
    target: Any, field: FieldDescriptor, items: list[Any], path: str, found: Found, shorthand: Mapping[str, Reader]
) -> None:
    for index, item in enumerate(items):
        here = f"{path}[{index}]"
        try:
            if field.message_type is None:
                target.append(read_scalar(field, item, here))
            elif field.message_type.full_name == study_pb2.ParameterValue.DESCRIPTOR.full_name:
                target.append(read_parameter_value(item, here))
            else:
                fill(target.add(), item, here, found, shorthand)
        except Misread as error:
            found.append(error.violation)


def _is_output(descriptor: Descriptor, key: str) -> bool:
    return descriptor.full_name == study_pb2.Study.DESCRIPTOR.full_name and key in OUTPUT_ONLY
