"""Errors as gRPC statuses: the one table from what went wrong to what the caller is told."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2

from searchd.domain import errors
from searchd.domain.errors import InvalidArgument, InvalidStudy, SearchdError, Violation

DOMAIN = "searchd"

# Clients take 8 KiB of metadata unless told otherwise, and a status travels in it twice: as text and as details.
MAX_MESSAGE_CHARACTERS = 1500
MAX_VIOLATION_BYTES = 4000
MAX_FIELD_CHARACTERS = 300

Details = Callable[[Any], Iterable[Message]]


def _fields(violations: Sequence[Violation]) -> Iterable[Message]:
    request = details.BadRequest()
    for index, violation in enumerate(violations):
        # The client takes it apart again at the last semicolon.
        remedy = _clipped(violation.remedy.replace(";", ","), MAX_FIELD_CHARACTERS)
        description = f"{_clipped(violation.message, MAX_FIELD_CHARACTERS)}; {remedy}"
        request.field_violations.add(field=_clipped(violation.path, MAX_FIELD_CHARACTERS), description=description)
        if index and request.ByteSize() > MAX_VIOLATION_BYTES:
            left = len(violations) - index
            request.field_violations[-1].CopyFrom(
                details.BadRequest.FieldViolation(field="study", description=f"has {left} more; mend these first")
            )
            break
    yield request


def _resource(kind: str, name: Callable[[Any], str]) -> Details:
    def of(error: SearchdError) -> Iterable[Message]:
        described, named = (_clipped(text, MAX_FIELD_CHARACTERS) for text in (str(error), name(error)))
        yield details.ResourceInfo(resource_type=kind, resource_name=named, description=described)

    return of


def _precondition(subject: Callable[[Any], str]) -> Details:
    def of(error: SearchdError) -> Iterable[Message]:
        failure = details.PreconditionFailure()
        described, on = (_clipped(text, MAX_FIELD_CHARACTERS) for text in (str(error), subject(error)))
        failure.violations.add(type=reason(error), subject=on, description=described)
        yield failure

    return of


def _retry(after: timedelta) -> Details:
    delay = Duration()
    delay.FromTimedelta(after)
    return lambda _: [details.RetryInfo(retry_delay=delay)]


def _nothing(_: SearchdError) -> Iterable[Message]:
    return ()


TABLE: Mapping[type[SearchdError], tuple[grpc.StatusCode, Details]] = {
    InvalidStudy: (grpc.StatusCode.INVALID_ARGUMENT, lambda e: _fields(e.violations)),
    InvalidArgument: (
        grpc.StatusCode.INVALID_ARGUMENT,
        lambda e: _fields([Violation(e.field, e.reason, e.remedy)]),
    ),
    errors.StudyNotFound: (grpc.StatusCode.NOT_FOUND, _resource("searchd.v1.Study", lambda e: e.study)),
    errors.TrialNotFound: (
        grpc.StatusCode.NOT_FOUND,
        _resource("searchd.v1.Trial", lambda e: f"{e.study}/trials/{e.trial}"),
    ),
    errors.TrainableNotFound: (grpc.StatusCode.NOT_FOUND, _resource("searchd.v1.Trainable", lambda e: e.name)),
    errors.CodeNotFound: (grpc.StatusCode.NOT_FOUND, _resource("code", lambda e: e.code_id)),
    errors.CodeRefused: (grpc.StatusCode.FAILED_PRECONDITION, _precondition(lambda _: "code")),
    errors.StudyExists: (grpc.StatusCode.ALREADY_EXISTS, _resource("searchd.v1.Study", lambda e: e.study)),
    errors.RequestReused: (grpc.StatusCode.ALREADY_EXISTS, _resource("request_id", lambda e: e.request_id)),
    errors.StudyActive: (grpc.StatusCode.FAILED_PRECONDITION, _precondition(lambda e: e.study)),
    errors.StudyEnded: (grpc.StatusCode.FAILED_PRECONDITION, _precondition(lambda e: e.study)),
    errors.BudgetUsed: (grpc.StatusCode.FAILED_PRECONDITION, _precondition(lambda e: e.study)),
    errors.StudyChanged: (grpc.StatusCode.ABORTED, _nothing),
    errors.NoCompleteTrial: (grpc.StatusCode.FAILED_PRECONDITION, _precondition(lambda e: e.study)),
    errors.ImportanceUnknown: (grpc.StatusCode.FAILED_PRECONDITION, _precondition(lambda e: e.study)),
    errors.Overloaded: (grpc.StatusCode.RESOURCE_EXHAUSTED, _retry(timedelta(seconds=1))),
    errors.RevisionExpired: (grpc.StatusCode.OUT_OF_RANGE, _nothing),
    errors.StoreUnavailable: (grpc.StatusCode.UNAVAILABLE, _retry(timedelta(seconds=1))),
    errors.StoreFull: (grpc.StatusCode.RESOURCE_EXHAUSTED, _retry(timedelta(seconds=10))),
    errors.LeaseLost: (grpc.StatusCode.UNAVAILABLE, _retry(timedelta(seconds=1))),
    errors.StoreDamaged: (grpc.StatusCode.DATA_LOSS, _nothing),
    errors.NotLeader: (grpc.StatusCode.UNAVAILABLE, _retry(timedelta(seconds=1))),
    errors.TrainableQuarantined: (grpc.StatusCode.FAILED_PRECONDITION, _precondition(lambda e: e.name)),
    errors.StoreTooNew: (grpc.StatusCode.FAILED_PRECONDITION, _precondition(lambda _: "store")),
    errors.ServerStopping: (grpc.StatusCode.UNAVAILABLE, _retry(timedelta(seconds=1))),
    # What a client raises; a server that is a client of another would pass it on.
    errors.ServerUnreachable: (grpc.StatusCode.UNAVAILABLE, _retry(timedelta(seconds=1))),
    errors.UnknownAnswer: (grpc.StatusCode.INTERNAL, _nothing),
}


def reason(error: SearchdError) -> str:
    """The error's name as ErrorInfo has it: StudyNotFound is STUDY_NOT_FOUND."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).upper()


def status_of(error: SearchdError) -> status_pb2.Status:
    """The status for an error: code, message, ErrorInfo with the error's fields, and details of its kind.

    The whole fits into what a client accepts: long texts are cut, and of very many violations the rest is counted.

    Raises:
        KeyError: neither the error's class nor one above it is in the table.
    """
    row = next((TABLE[cls] for cls in type(error).__mro__ if cls in TABLE), None)
    if row is None:
        raise KeyError(type(error).__name__)
    code, more = row
    info = details.ErrorInfo(reason=reason(error), domain=DOMAIN, metadata=_metadata(error))
    return build_status(code, str(error), [info, *more(error)])


def build_status(code: grpc.StatusCode, message: str, parts: Iterable[Message]) -> status_pb2.Status:
    """A status with details."""
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=_clipped(message, MAX_MESSAGE_CHARACTERS))
    for part in parts:
        packed = AnyMessage()
        packed.Pack(part)
        status.details.append(packed)
    return status


def _metadata(error: SearchdError) -> dict[str, str]:
    """The error's fields by name, sequences joined by commas."""
    if isinstance(error, InvalidStudy):
        return {"violations": str(len(error.violations))}
    fields = {}
    for name in list(inspect.signature(type(error).__init__).parameters)[1:]:
        value = getattr(error, name, None)
        if value is not None:
            text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            fields[name] = _clipped(text, MAX_FIELD_CHARACTERS)
    return fields


def _clipped(text: str, limit: int) -> str:
    """At most about ``limit`` characters of metadata; what is not plain ASCII takes three for each of its bytes."""
    room = limit
    for index, character in enumerate(text):
        room -= 1 if " " <= character <= "~" else 3 * len(character.encode(errors="replace"))
        if room < 0:
            return f"{text[:index]}..."
    return text
