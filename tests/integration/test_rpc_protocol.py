"""The gRPC server's manners: bytes that are no request, limits, faults, health, reflection, start and end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from searchd.domain.errors import InvalidArgument
from searchd.rpc.server import SERVICES, RpcServer, RpcSettings
from searchd.service.system import Limits
from searchd.v1 import study_pb2, study_service_pb2, trial_service_pb2
from searchd.v1.study_service_pb2 import (
    CreateStudyRequest,
    ListStudiesRequest,
    WatchStudyRequest,
    WatchStudyResponse,
)
from tests.unit.rpc.rpc_house import House, definition, house, refused

NAME = "projects/default/studies/one"
ANY = RpcSettings("127.0.0.1:0")


@pytest.fixture
async def here() -> AsyncIterator[House]:
    async with house(ANY, Limits()) as here:
        yield here


async def _watched(here: House, name: str, after: int = 0) -> list[WatchStudyResponse]:
    return [r async for r in here.studies.WatchStudy(WatchStudyRequest(name=name, after_revision=after))]


async def test_malformed_bytes_are_an_invalid_argument(here: House) -> None:
    """Bytes that are no request are refused by every method, with its type and no internals."""
    for service, _ in SERVICES:
        for method in service.methods:
            path = f"/{service.full_name}/{method.name}"
            if method.server_streaming:
                error, info = await refused(here.channel.unary_stream(path)(b"\xff\xff\xff"))
            else:
                error, info = await refused(here.channel.unary_unary(path)(b"\xff\xff\xff"))
            assert (error.code(), info.metadata["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "request")
            assert method.input_type.full_name in (error.details() or "")


async def test_an_unknown_method_is_unimplemented(here: House) -> None:
    """A method of a later version is UNIMPLEMENTED."""
    error, _ = await refused(here.channel.unary_unary("/searchd.v1.StudyService/PauseStudy")(b""))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_request_beyond_the_limit_is_refused(here: House) -> None:
    """A message above 4 MiB does not get in."""
    study = study_pb2.Study(trainable="x" * (4 * 2**20 + 1))
    error, _ = await refused(here.studies.CreateStudy(CreateStudyRequest(study=study)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_fault_is_internal_without_a_traceback(here: House, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours gives INTERNAL with the number of an incident; only the log says what happened."""
    here.papers.files = None  # type: ignore[assignment]
    await here.studies.CreateStudy(CreateStudyRequest(study_id="one", study=definition()))
    await _watched(here, NAME)
    request = trial_service_pb2.StreamLogsRequest(name=f"{NAME}/trials/1")
    error, info = await refused(here.trials.StreamLogs(request))
    assert (error.code(), info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    incident = info.metadata["incident"]
    assert incident in (error.details() or "")
    assert "NoneType" not in (error.details() or "")
    (record,) = [r for r in caplog.records if incident in r.getMessage()]
    assert record.exc_info is not None


async def test_a_cancelled_watch_ends_quietly(here: House, caplog: pytest.LogCaptureFixture) -> None:
    """A client that leaves frees its watch at once, and the log says nothing."""
    async with house(ANY, Limits(max_watches=1)) as narrow:
        narrow.going.clear()
        await narrow.studies.CreateStudy(CreateStudyRequest(study_id="one", study=definition()))
        for _ in range(3):
            call = narrow.studies.WatchStudy(WatchStudyRequest(name=NAME))
            await call.read()
            error, info = await refused(narrow.studies.WatchStudy(WatchStudyRequest(name=NAME)))
            assert (error.code(), info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            call.cancel()
            await asyncio.sleep(0.1)
        call = narrow.studies.WatchStudy(WatchStudyRequest(name=NAME))
        assert (await call.read()).study.name == NAME
        call.cancel()
    assert not caplog.records


async def test_health_follows_the_server(here: House) -> None:
    """Health is SERVING for the server and each service until told otherwise; watchers are told; others are unknown."""
    health = health_pb2_grpc.HealthStub(here.channel)
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    for service in ("", "searchd.v1.StudyService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == serving
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == serving
    here.server.set_serving(False)
    assert (await watch.read()).status == not_serving
    listed = (await health.List(health_pb2.HealthListRequest())).statuses
    assert {s.status for s in listed.values()} == {not_serving}
    error, _ = await refused(health.Check(health_pb2.HealthCheckRequest(service="nobody")))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    watch.cancel()


async def test_reflection_lists_the_services(here: House) -> None:
    """A generic client finds every service and its messages."""
    reflection = reflection_pb2_grpc.ServerReflectionStub(here.channel)
    call = reflection.ServerReflectionInfo(
        iter(
            [
                reflection_pb2.ServerReflectionRequest(list_services=""),
                reflection_pb2.ServerReflectionRequest(file_containing_symbol="searchd.v1.Study"),
            ]
        )
    )
    listed, described = [answer async for answer in call]
    names = {service.name for service in listed.list_services_response.service}
    assert {service.full_name for service, _ in SERVICES} | {"grpc.health.v1.Health"} <= names
    assert described.file_descriptor_response.file_descriptor_proto


async def test_a_port_that_is_taken_is_refused(here: House) -> None:
    """A second server does not share the port in silence; the refusal names the option."""
    second = RpcServer(here.services, RpcSettings(f"127.0.0.1:{here.port}"))
    with pytest.raises(InvalidArgument, match=r"^--listen: cannot listen"):
        await second.bind()


async def test_stopping_ends_open_streams() -> None:
    """After the grace time open watches end and the port is free."""
    async with house(ANY, Limits()) as here:
        here.going.clear()
        await here.studies.CreateStudy(CreateStudyRequest(study_id="one", study=definition()))
        watching = asyncio.create_task(_watched(here, NAME))
        await asyncio.sleep(0.1)
        await here.server.stop(timedelta(milliseconds=100))
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await watching
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", here.port)) != 0


async def test_a_connection_is_renewed_when_it_is_old() -> None:
    """A call that never sends its request is ended with its connection; other calls get a new one unnoticed."""
    settings = RpcSettings("127.0.0.1:0", timedelta(milliseconds=300), timedelta(milliseconds=100))
    async with house(settings, Limits()) as here:

        async def nothing() -> AsyncIterator[bytes]:
            await asyncio.sleep(60)
            yield b""

        stuck = here.channel.stream_unary("/searchd.v1.StudyService/GetStudy")(nothing())
        error, _ = await refused(stuck)
        assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        answer = await here.studies.ListStudies(ListStudiesRequest(), wait_for_ready=True)
        assert isinstance(answer, study_service_pb2.ListStudiesResponse)
