"""The table from errors to statuses."""

import importlib
import pkgutil
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

import searchd.conductor
import searchd.domain
import searchd.ports
import searchd.service
from searchd.domain import errors
from searchd.domain.errors import InvalidStudy, SearchdError, Violation
from searchd.rpc.status import TABLE, reason, status_of

STUDY = "projects/default/studies/digits"

EXAMPLES = [
    (InvalidStudy([Violation("seed", "-1 is not a seed", "use 0")]), "INVALID_ARGUMENT", ["BadRequest"]),
    (errors.InvalidArgument("name", "is not set", "set it"), "INVALID_ARGUMENT", ["BadRequest"]),
    (errors.StudyNotFound(STUDY), "NOT_FOUND", ["ResourceInfo"]),
    (errors.TrialNotFound(STUDY, 3), "NOT_FOUND", ["ResourceInfo"]),
    (errors.TrainableNotFound("net", ("cnn", "svm")), "NOT_FOUND", ["ResourceInfo"]),
    (errors.CodeNotFound("0" * 64), "NOT_FOUND", ["ResourceInfo"]),
    (errors.CodeRefused(), "FAILED_PRECONDITION", ["PreconditionFailure"]),
    (errors.StudyExists(STUDY, ("seed", "budget")), "ALREADY_EXISTS", ["ResourceInfo"]),
    (errors.RequestReused("r1"), "ALREADY_EXISTS", ["ResourceInfo"]),
    (errors.StudyActive(STUDY, "running"), "FAILED_PRECONDITION", ["PreconditionFailure"]),
    (errors.StudyEnded(STUDY, "succeeded"), "FAILED_PRECONDITION", ["PreconditionFailure"]),
    (errors.BudgetUsed(STUDY, 20), "FAILED_PRECONDITION", ["PreconditionFailure"]),
    (errors.StudyChanged(STUDY), "ABORTED", []),
    (errors.NoCompleteTrial(STUDY), "FAILED_PRECONDITION", ["PreconditionFailure"]),
    (errors.ImportanceUnknown(STUDY, "3 trials"), "FAILED_PRECONDITION", ["PreconditionFailure"]),
    (errors.Overloaded("the inbox", 10), "RESOURCE_EXHAUSTED", ["RetryInfo"]),
    (errors.RevisionExpired(3, 9), "OUT_OF_RANGE", []),
    (errors.StoreFull("no room"), "RESOURCE_EXHAUSTED", ["RetryInfo"]),
    (errors.LeaseLost(3, 4), "UNAVAILABLE", ["RetryInfo"]),
    (errors.StoreDamaged(STUDY, "no JSON"), "DATA_LOSS", []),
    (errors.NotLeader("there:50051"), "UNAVAILABLE", ["RetryInfo"]),
    (errors.TrainableQuarantined("net", "it crashes"), "FAILED_PRECONDITION", ["PreconditionFailure"]),
    (errors.StoreUnavailable("disk full"), "UNAVAILABLE", ["RetryInfo"]),
    (errors.StoreTooNew("9", "1"), "FAILED_PRECONDITION", ["PreconditionFailure"]),
    (errors.ServerStopping(), "UNAVAILABLE", ["RetryInfo"]),
    (errors.ServerUnreachable("localhost:1", "refused"), "UNAVAILABLE", ["RetryInfo"]),
    (errors.UnknownAnswer("DATA_LOSS", "?"), "INTERNAL", []),
]


def _subclasses(cls: type[SearchdError]) -> Iterator[type[SearchdError]]:
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)


def _details(status: status_pb2.Status) -> dict[str, Message]:
    found: dict[str, Message] = {}
    for part in status.details:
        name = part.TypeName().removeprefix("google.rpc.")
        message = getattr(error_details_pb2, name)()
        part.Unpack(message)
        found[name] = message
    return found


def test_every_error_is_in_the_table() -> None:
    """No error that the inner house can raise lacks a code."""
    inner = (searchd.domain, searchd.ports, searchd.conductor, searchd.service)
    for package in inner:
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    homes = tuple(f"{package.__name__}." for package in inner)
    defined = {cls for cls in _subclasses(SearchdError) if cls.__module__.startswith(homes)}
    assert defined <= set(TABLE)
    assert {type(error) for error, _, _ in EXAMPLES} == set(TABLE)


@pytest.mark.parametrize(("error", "code", "kinds"), EXAMPLES, ids=[type(error).__name__ for error, _, _ in EXAMPLES])
def test_each_error_has_its_code_and_details(error: SearchdError, code: str, kinds: list[str]) -> None:
    """A status carries the code, the error's own message, its name and fields, and details of its kind."""
    status = status_of(error)
    assert status.code == grpc.StatusCode[code].value[0]
    assert status.message == str(error)
    details = _details(status)
    assert list(details) == ["ErrorInfo", *kinds]
    info = details["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert (info.domain, info.reason) == ("searchd", reason(error))


def test_the_fields_of_an_error_are_its_metadata() -> None:
    """A client can read each field of an error by name."""
    info = _details(status_of(errors.TrainableNotFound("net", ("cnn", "svm"))))["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert (info.reason, dict(info.metadata)) == ("TRAINABLE_NOT_FOUND", {"name": "net", "known": "cnn, svm"})


def test_violations_name_their_fields() -> None:
    """Each violation is a field violation, with the remedy after the last semicolon."""
    error = InvalidStudy([Violation("seed", "a; b", "use 0; or 1"), Violation("trainable", "is not set", "set it")])
    request = _details(status_of(error))["BadRequest"]
    assert isinstance(request, error_details_pb2.BadRequest)
    assert [(v.field, v.description) for v in request.field_violations] == [
        ("seed", "a; b; use 0, or 1"),
        ("trainable", "is not set; set it"),
    ]


def test_an_error_of_a_subclass_has_the_code_of_its_parent() -> None:
    """A refinement of a listed error needs no line of its own."""

    class Refined(errors.StudyNotFound):
        pass

    assert status_of(Refined(STUDY)).code == grpc.StatusCode.NOT_FOUND.value[0]


def test_an_error_that_is_not_listed_is_a_fault() -> None:
    """An error of an adapter's own has no status; whoever asks is told so."""

    class LeakedError(SearchdError):
        pass

    with pytest.raises(KeyError, match="LeakedError"):
        status_of(LeakedError())


@pytest.mark.parametrize("text", ["x", "ü", "\n"], ids=["ascii", "umlaut", "newline"])
def test_a_status_is_never_too_large_for_a_client(text: str) -> None:
    """However many and long the violations are, message and details fit into 8 KiB, and the rest is counted."""
    error = InvalidStudy([Violation(f"{i}" + text * 5000, text * 5000, text * 5000) for i in range(500)])
    status = status_of(error)
    assert 3 * len(status.message.encode()) < 3 * 1600
    assert len(status.SerializeToString()) < 6600
    request = _details(status)["BadRequest"]
    assert isinstance(request, error_details_pb2.BadRequest)
    last = request.field_violations[-1]
    assert last.description == f"has {501 - len(request.field_violations)} more; mend these first"


@pytest.mark.parametrize(
    "error",
    [
        errors.TrainableNotFound("n" * 100_000, ("cnn",)),
        errors.TrialNotFound("s" * 100_000, 3),
        errors.StudyActive("s" * 100_000, "running"),
    ],
    ids=["trainable", "trial", "precondition"],
)
def test_a_long_name_in_a_request_does_not_make_the_status_too_large(error: SearchdError) -> None:
    """What a caller sends is cut wherever the details repeat it, so that the code arrives and not a transport error."""
    assert len(status_of(error).SerializeToString()) < 6600
