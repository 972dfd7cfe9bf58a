"""Errors over the wire: what the server raises is what the Python client raises."""

import asyncio

import grpc
import pytest

from searchd.client.status import error_of
from searchd.domain import errors
from searchd.domain.errors import InvalidArgument, InvalidStudy, SearchdError, Violation
from searchd.rpc.handlers import generic_handler
from searchd.v1 import system_service_pb2
from searchd.v1.system_service_pb2 import GetServerInfoRequest, GetServerInfoResponse
from searchd.v1.system_service_pb2_grpc import SystemServiceStub

STUDY = "projects/default/studies/digits"

ERRORS: list[SearchdError] = [
    InvalidStudy([Violation("seed", "-1 is not a seed; really", "use 0"), Violation("a.b[0]", "is ü", "mend it")]),
    InvalidArgument("name", "is not set", "set it"),
    errors.StudyNotFound(STUDY),
    errors.TrialNotFound(STUDY, 3),
    errors.TrainableNotFound("net", ("cnn", "svm")),
    errors.TrainableNotFound("net", ()),
    errors.StudyExists(STUDY, ("seed", "budget")),
    errors.RequestReused("r1"),
    errors.StudyActive(STUDY, "running"),
    errors.StudyEnded(STUDY, "succeeded"),
    errors.BudgetUsed(STUDY, 20),
    errors.StudyChanged(STUDY),
    errors.NoCompleteTrial(STUDY),
    errors.ImportanceUnknown(STUDY, "3 trials"),
    errors.Overloaded("the inbox", 10),
    errors.RevisionExpired(3, 9),
    errors.StoreUnavailable("disk full"),
    errors.StoreTooNew("9", "1"),
    errors.ServerStopping(),
]


class Raising:
    """A service that only raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def get_server_info(self, _: GetServerInfoRequest) -> GetServerInfoResponse:
        raise self._error

    async def get_cluster(self, _: system_service_pb2.GetClusterRequest) -> system_service_pb2.GetClusterResponse:
        raise self._error


@pytest.mark.parametrize("error", ERRORS, ids=[type(error).__name__ for error in ERRORS])
async def test_an_error_reaches_the_client_as_itself(error: SearchdError) -> None:
    """The client raises an error of the same class with the same fields as the server did."""
    server = grpc.aio.server()
    service = system_service_pb2.DESCRIPTOR.services_by_name["SystemService"]
    server.add_generic_rpc_handlers((generic_handler(service, Raising(error), 1000),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def call() -> SearchdError:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as caught:
            SystemServiceStub(channel).GetServerInfo(GetServerInfoRequest(), timeout=10)
        return error_of(caught.value, "here")

    found = await asyncio.to_thread(call)
    await server.stop(0)
    assert (type(found), found.args) == (type(error), error.args)
