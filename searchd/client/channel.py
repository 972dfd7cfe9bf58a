"""A channel to one server, with its refusals turned into errors."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import ip_address
from typing import TypeVar

import grpc

from searchd.client.status import error_of
from searchd.v1.leaderboard_service_pb2_grpc import LeaderboardServiceStub
from searchd.v1.study_service_pb2_grpc import StudyServiceStub
from searchd.v1.system_service_pb2_grpc import SystemServiceStub
from searchd.v1.trainable_service_pb2_grpc import TrainableServiceStub
from searchd.v1.trial_service_pb2_grpc import TrialServiceStub

Q = TypeVar("Q")
A = TypeVar("A")

Unary = Callable[["Channel"], "grpc.UnaryUnaryMultiCallable[Q, A]"]
"""Picks a method that gives one answer: ``lambda at: at.studies.GetStudy``."""

Streaming = Callable[["Channel"], "grpc.UnaryStreamMultiCallable[Q, A]"]
"""Picks a method that gives a stream of answers."""

MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class Channel:
    """A channel to one server. Nothing is repeated.

    Args:
        address: ``host:port``.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.insecure_channel(address, options=_options(address))
        self.studies = StudyServiceStub(self._channel)
        self.trials = TrialServiceStub(self._channel)
        self.leaderboards = LeaderboardServiceStub(self._channel)
        self.trainables = TrainableServiceStub(self._channel)
        self.system = SystemServiceStub(self._channel)

    def call(self, method: "Unary[Q, A]", request: Q, within: timedelta) -> A:
        """The answer to a request, which must come ``within`` that time.

        Raises:
            SearchdError: what the server answered, or ServerUnreachable.
        """
        try:
            return method(self)(request, timeout=within.total_seconds())
        except grpc.RpcError as error:
            raise error_of(error, self.address) from error

    def stream(self, method: "Streaming[Q, A]", request: Q, within: timedelta | None) -> Iterator[A]:
        """The answers of one stream; leaving the iteration ends it.

        Args:
            method: Picks the method.
            request: What to send.
            within: For how long the stream may last; None means for ever.

        Raises:
            SearchdError: what the server answered, or ServerUnreachable.
            TimeoutError: ``within`` has passed.
        """
        call = method(self)(request, timeout=within.total_seconds() if within is not None else None)
        try:
            yield from call
        except grpc.RpcError as error:
            if within is not None and _code(error) is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TimeoutError(f"the stream has not ended within {within}") from error
            raise error_of(error, self.address) from error
        finally:
            call.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs leave it untyped

    def close(self) -> None:
        """End the channel and every stream on it."""
        self._channel.close()


def _options(address: str) -> list[tuple[str, int]]:
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # Finds out within 40 s that a watched server's process or machine stands still; ours takes pings 10 s apart.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),  # else a minute, and it is this one that counts
        ("grpc.http2.max_pings_without_data", 0),
    ]
    if is_loopback(address):
        options.append(("grpc.enable_http_proxy", 0))  # a proxy would look for the server on its own machine
    return options


def is_loopback(address: str) -> bool:
    """Whether ``host:port`` is on this machine."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _code(error: grpc.RpcError) -> grpc.StatusCode | None:
    return error.code() if isinstance(error, grpc.Call) else None
