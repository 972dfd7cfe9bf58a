"""grpc.health.v1: whether the server takes requests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable

import grpc
from grpc_health.v1 import health_pb2

from searchd.domain.errors import NotLeader, SearchdError
from searchd.rpc.handlers import Refusal

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"]

_LOOK_SECONDS = 1.0


class Health:
    """Answers for the server as a whole (the empty name) and for each of its services.

    Those that only read serve as long as the server does. The one through which changes are made does not while they
    are refused; nor does the server as a whole, unless that is because it stands by for another.

    Args:
        services: Full names of the services.
        writing: Full name of the one through which changes are made.
        refusal: Why changes are refused now, or None.
    """

    def __init__(self, services: Iterable[str], writing: str, refusal: Callable[[], SearchdError | None]) -> None:
        self._services = ("", *services)
        self._writing = writing
        self._refusal = refusal
        self._serving = False
        self._changed = asyncio.Event()

    def set_serving(self, serving: bool) -> None:
        """Change the status; watchers are told."""
        self._serving = serving
        self._changed.set()
        self._changed = asyncio.Event()

    async def check(self, request: health_pb2.HealthCheckRequest) -> health_pb2.HealthCheckResponse:
        """The status of a service; NOT_FOUND for an unknown one, as the protocol has it."""
        if request.service not in self._services:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}")
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def list(self, _: health_pb2.HealthListRequest) -> health_pb2.HealthListResponse:
        """The status of every service."""
        statuses = {name: health_pb2.HealthCheckResponse(status=self._status(name)) for name in self._services}
        return health_pb2.HealthListResponse(statuses=statuses)

    async def watch(self, request: health_pb2.HealthCheckRequest) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status of a service now and after each change; an unknown one stays SERVICE_UNKNOWN."""
        last = None
        while True:
            changed = self._changed
            status = self._status(request.service)
            if status != last:
                last = status
                yield health_pb2.HealthCheckResponse(status=status)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _LOOK_SECONDS)

    def _status(self, service: str) -> "health_pb2.HealthCheckResponse.ServingStatus":
        response = health_pb2.HealthCheckResponse
        if service not in self._services:
            return response.SERVICE_UNKNOWN
        refusal = self._refusal()
        refused = refusal is not None and (
            service == self._writing or (service == "" and not isinstance(refusal, NotLeader))
        )
        return response.SERVING if self._serving and not refused else response.NOT_SERVING
