"""A study message as what a study file holds, in its shorthand."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from searchd.v1 import study_pb2
from searchd.wire.file_fields import OUTPUT_ONLY
from searchd.wire.values import decode_parameters, decode_value, short_names


def study_to_mapping(study: study_pb2.Study) -> dict[str, Any]:
    """The definition of a study in the shorthand of study files; what only the server sets is left out.

    Returns:
        Strings, numbers, booleans, None, lists and dicts, the keys in the order in which they are usually read.
        ``study_from_mapping`` gives the same definition back.
    """
    mapping: dict[str, Any] = {"study_id": study.name.rsplit("/", 1)[-1]} if study.name else {}
    for field, value in study.ListFields():
        if field.name in OUTPUT_ONLY:
            continue
        if field.name == "search_space":
            mapping[field.name] = {parameter.name: _parameter(parameter) for parameter in value.parameters}
        elif field.name == "fixed":
            mapping[field.name] = decode_parameters(value)
        else:
            mapping[field.name] = _value(field, value)
    return mapping


def duration_text(duration: Duration) -> str:
    """A duration as files write it: ``90s`` is ``1m30s``, and nothing is lost."""
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{duration.nanos:09d}".rstrip("0") if duration.nanos else ""
    rest = f"{seconds}{fraction}s" if seconds or fraction else ""
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "") + rest or "0s"


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(sorted(value.items()))
    if field.is_repeated:
        return [_single(field, item) for item in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Duration):
        return duration_text(value)
    if isinstance(value, study_pb2.Rung):
        return [value.folds, value.epochs]
    if isinstance(value, study_pb2.Constraint) and value.expression:
        return value.expression
    if isinstance(value, study_pb2.Search | study_pb2.Scheduler):
        return _algorithm(value)
    if isinstance(value, Message):
        return {inner.name: _value(inner, item) for inner, item in value.ListFields()}
    if field.enum_type is not None:
        enum: Any = field.enum_type  # one of two classes, by protobuf's implementation
        return next((name for name, number in short_names(enum).items() if number == value), "unspecified")
    return value


def _algorithm(message: study_pb2.Search | study_pb2.Scheduler) -> dict[str, Any]:
    """Settings whose algorithm may be one of Ray Tune's, written as ray:NAME."""
    mapping = {field.name: _value(field, value) for field, value in message.ListFields()}
    name = mapping.pop("ray_searcher", None) or mapping.pop("ray_scheduler", None)
    return {**mapping, "algorithm": f"ray:{name}"} if name else mapping


def _parameter(parameter: study_pb2.Parameter) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    kind = parameter.WhichOneof("domain")
    if kind is not None:
        domain = getattr(parameter, kind)
        if isinstance(domain, study_pb2.ChoiceDomain):
            mapping[kind] = [decode_value(value) for value in domain.values]
        elif domain.HasField("step"):
            mapping[f"q{kind.removeprefix('q')}"] = [domain.low, domain.high, domain.step]
        else:
            mapping[kind] = [domain.low, domain.high]
    if parameter.when:
        mapping["when"] = {c.parameter: [decode_value(value) for value in c.values] for c in parameter.when}
    return mapping
