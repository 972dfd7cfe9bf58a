"""The server's refusals as the errors that they were on the server."""

from collections.abc import Callable, Mapping

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from searchd.domain import errors
from searchd.domain.errors import InvalidStudy, SearchdError, ServerUnreachable, UnknownAnswer, Violation

_OUT_OF_REACH = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


def _names(text: str) -> tuple[str, ...]:
    """Names that were joined by commas; the last of a list that the server cut short is not whole."""
    parts = text.split(",")
    if text.endswith("..."):
        del parts[-1]
    return tuple(part.strip() for part in parts if part.strip())


_ERRORS: Mapping[str, Callable[[Mapping[str, str]], SearchdError]] = {
    "STUDY_NOT_FOUND": lambda m: errors.StudyNotFound(m["study"]),
    "TRIAL_NOT_FOUND": lambda m: errors.TrialNotFound(m["study"], int(m["trial"])),
    "TRAINABLE_NOT_FOUND": lambda m: errors.TrainableNotFound(m["name"], _names(m["known"])),
    "CODE_NOT_FOUND": lambda m: errors.CodeNotFound(m["code_id"]),
    "CODE_REFUSED": lambda _: errors.CodeRefused(),
    "STUDY_EXISTS": lambda m: errors.StudyExists(m["study"], _names(m["differing"])),
    "REQUEST_REUSED": lambda m: errors.RequestReused(m["request_id"]),
    "STUDY_ACTIVE": lambda m: errors.StudyActive(m["study"], m["state"]),
    "STUDY_ENDED": lambda m: errors.StudyEnded(m["study"], m["state"]),
    "BUDGET_USED": lambda m: errors.BudgetUsed(m["study"], int(m["trials"])),
    "STUDY_CHANGED": lambda m: errors.StudyChanged(m["study"]),
    "NO_COMPLETE_TRIAL": lambda m: errors.NoCompleteTrial(m["study"]),
    "IMPORTANCE_UNKNOWN": lambda m: errors.ImportanceUnknown(m["study"], m["reason"]),
    "OVERLOADED": lambda m: errors.Overloaded(m["what"], int(m["limit"])),
    "REVISION_EXPIRED": lambda m: errors.RevisionExpired(int(m["revision"]), int(m["oldest"])),
    "STORE_UNAVAILABLE": lambda m: errors.StoreUnavailable(m["reason"]),
    "STORE_FULL": lambda m: errors.StoreFull(m["reason"]),
    "LEASE_LOST": lambda m: errors.LeaseLost(int(m["epoch"]), int(m["current"])),
    "STORE_DAMAGED": lambda m: errors.StoreDamaged(m["what"], m["reason"]),
    "NOT_LEADER": lambda m: errors.NotLeader(m["leader"]),
    "TRAINABLE_QUARANTINED": lambda m: errors.TrainableQuarantined(m["name"], m["reason"]),
    "STORE_TOO_NEW": lambda m: errors.StoreTooNew(m["found"], m["known"]),
    "SERVER_STOPPING": lambda _: errors.ServerStopping(),
    "INVALID_ARGUMENT": lambda m: errors.InvalidArgument(m["field"], m["reason"], m["remedy"]),
}


def error_of(error: grpc.RpcError, address: str) -> SearchdError:
    """The error that a failed call stands for.

    Args:
        error: What gRPC raised.
        address: Of the server, for the message if it did not answer.

    Returns:
        The domain's error by the reason in the status details; ServerUnreachable if there was no answer; else
        UnknownAnswer with the code and the message.
    """
    status = _status(error)
    if status is not None:
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for detail in status.details:
            _ = detail.Unpack(info) or detail.Unpack(bad_request)
        if info.reason == "INVALID_STUDY":
            return InvalidStudy([_violation(v) for v in bad_request.field_violations])
        if info.reason in _ERRORS:
            try:
                return _ERRORS[info.reason](info.metadata)
            except (KeyError, ValueError):  # a server of another version has other fields
                return UnknownAnswer(info.reason, status.message)
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    details = (error.details() if isinstance(error, grpc.Call) else str(error)) or ""
    if code in _OUT_OF_REACH:
        return ServerUnreachable(address, _one_line(details).rpartition(": ")[2].strip("[]") or code.name)
    return UnknownAnswer(code.name, _one_line(details))


def _status(error: grpc.RpcError) -> status_pb2.Status | None:
    if not isinstance(error, grpc.Call):
        return None
    try:
        return rpc_status.from_call(error)
    except ValueError:  # the details contradict the code: somebody between us and the server
        return None


def _violation(violation: error_details_pb2.BadRequest.FieldViolation) -> Violation:
    message, _, remedy = violation.description.rpartition("; ")
    return Violation(violation.field, message or remedy, remedy if message else "see the documentation of this field")


def _one_line(text: str) -> str:
    return " ".join(text.split())
