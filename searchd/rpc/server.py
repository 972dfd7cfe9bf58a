"""The gRPC server: where it listens, what it limits, and what it serves."""

import re
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection

from searchd.domain.errors import InvalidArgument
from searchd.rpc import health, servicers
from searchd.rpc.handlers import generic_handler
from searchd.service import Services
from searchd.v1 import (
    leaderboard_service_pb2,
    study_service_pb2,
    system_service_pb2,
    trainable_service_pb2,
    trial_service_pb2,
)

SERVICES: tuple[tuple[Any, type[Any]], ...] = (
    (study_service_pb2.DESCRIPTOR.services_by_name["StudyService"], servicers.StudyServicer),
    (trial_service_pb2.DESCRIPTOR.services_by_name["TrialService"], servicers.TrialServicer),
    (leaderboard_service_pb2.DESCRIPTOR.services_by_name["LeaderboardService"], servicers.LeaderboardServicer),
    (trainable_service_pb2.DESCRIPTOR.services_by_name["TrainableService"], servicers.TrainableServicer),
    (system_service_pb2.DESCRIPTOR.services_by_name["SystemService"], servicers.SystemServicer),
)

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\[\]:]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """Where and how the server listens.

    Attributes:
        listen: ``host:port`` on loopback; port 0 takes a free one.
        max_connection_age: A connection is renewed after this long. It ends what a client left half open: a call
            whose request never comes is ended by nothing else.
        max_connection_grace: Time for calls to end when their connection is renewed; watches resume on the next one.
    """

    listen: str = "127.0.0.1:50051"
    max_connection_age: timedelta = timedelta(minutes=30)
    max_connection_grace: timedelta = timedelta(seconds=30)


class RpcServer:
    """Serves the use cases over gRPC, with health and reflection.

    Args:
        services: The use cases.
        settings: Where and how to listen.
    """

    def __init__(self, services: Services, settings: RpcSettings) -> None:
        self._services = services
        self._settings = settings
        writing: str = SERVICES[0][0].full_name
        self._health = health.Health((service.full_name for service, _ in SERVICES), writing, services.system.refusal)
        self._server: grpc.aio.Server | None = None

    async def bind(self) -> int:
        """Take the port, without answering anybody yet.

        Returns:
            The port.

        Raises:
            InvalidArgument: the address is malformed, is not on loopback, or cannot be bound.
        """
        host, port = loopback_address(self._settings.listen)
        info = self._services.system.info()
        server = grpc.aio.server(
            options=_options(self._settings, info.max_message_bytes),
            # As many as may wait and watch at once, and as many again for reading.
            maximum_concurrent_rpcs=2 * (info.max_watches + info.max_pending_requests),
        )
        handlers = [
            generic_handler(service, servicer(self._services), info.max_message_bytes) for service, servicer in SERVICES
        ]
        handlers.append(generic_handler(health.SERVICE, self._health, info.max_message_bytes))
        server.add_generic_rpc_handlers(tuple(handlers))
        names = [service.full_name for service, _ in SERVICES]
        reflection.enable_server_reflection([*names, health.SERVICE.full_name, reflection.SERVICE_NAME], server)
        try:
            bound: int = server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            reason = f"cannot listen on {self._settings.listen}"
            raise InvalidArgument("--listen", reason, "end what uses the port, or choose another (0: any)") from error
        self._server = server
        return bound

    async def start(self) -> None:
        """Listen on the port that has been bound, and tell health checks that the server serves."""
        if self._server is None:
            raise ValueError("bind a port first")
        await self._server.start()
        self.set_serving(True)

    def set_serving(self, serving: bool) -> None:
        """What health checks are told from now on."""
        self._health.set_serving(serving)

    async def stop(self, grace: timedelta) -> None:
        """Take no new calls, and end those that still run after ``grace``."""
        self.set_serving(False)
        if self._server is not None:
            await self._server.stop(grace.total_seconds())


def loopback_address(listen: str) -> tuple[str, int]:
    """The host and port to bind.

    Raises:
        InvalidArgument: ``listen`` is malformed or could be reached from another machine.
    """
    match = _ADDRESS.fullmatch(listen)
    if match is None or int(match["port"]) > 65535:
        raise InvalidArgument("--listen", f"{listen!r} is not an address", "write it as 127.0.0.1:50051")
    host = "127.0.0.1" if match["host"] == "localhost" else match["host"]
    try:
        loopback = ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        reason = f"{match['host']} can be reached from other machines, and this version has no access control"
        raise InvalidArgument("--listen", reason, "use 127.0.0.1, and an SSH tunnel from elsewhere")
    return host, int(match["port"])


def _options(settings: RpcSettings, max_message_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_connection_age_ms", _milliseconds(settings.max_connection_age)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(settings.max_connection_grace)),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.so_reuseport", 0),  # or a second server would bind the same port and take half of the calls
    ]


def _milliseconds(duration: timedelta) -> int:
    return int(duration / timedelta(milliseconds=1))
