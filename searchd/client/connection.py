"""Calls to one server: repeated while it is away for a moment, with errors turned into ours."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from typing import TypeVar

import grpc

from searchd.client.status import error_of
from searchd.domain.errors import Overloaded, ServerStopping, ServerUnreachable, StoreUnavailable
from searchd.v1.leaderboard_service_pb2_grpc import LeaderboardServiceStub
from searchd.v1.study_service_pb2_grpc import StudyServiceStub
from searchd.v1.system_service_pb2_grpc import SystemServiceStub
from searchd.v1.trainable_service_pb2_grpc import TrainableServiceStub
from searchd.v1.trial_service_pb2_grpc import TrialServiceStub

Q = TypeVar("Q")
A = TypeVar("A")

AWAY = (ServerUnreachable, ServerStopping, StoreUnavailable, Overloaded)
"""Errors that say nothing about the request: it was not looked at, or may be repeated with the same request_id."""

MAX_MESSAGE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next try: doubling from ``first`` to ``longest``, each spread over ±50%.

    Attributes:
        first: Before the second try.
        longest: At most.
        sleep: Waits for that many seconds.
        monotonic: A clock in seconds, for time limits.
        rng: Spreads the tries of several clients.
    """

    first: timedelta = timedelta(milliseconds=100)
    longest: timedelta = timedelta(seconds=5)
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)

    def pauses(self, patience: timedelta) -> Iterator[float]:
        """Seconds to wait before each further try, until they add up to ``patience``."""
        total = 0.0
        pause = self.first.total_seconds()
        while total < patience.total_seconds():
            spread = pause * self.rng.uniform(0.5, 1.5)
            total += spread
            yield spread
            pause = min(2 * pause, self.longest.total_seconds())


class Connection:
    """A channel to one server.

    Args:
        address: ``host:port``.
        backoff: Waits between tries.
        patience: For how long a call is repeated while the server is away.
        answer_within: For how long a call may take; streams may take for ever.
    """

    def __init__(
        self,
        address: str,
        *,
        backoff: Backoff | None = None,
        patience: timedelta = timedelta(seconds=1.5),
        answer_within: timedelta = timedelta(seconds=60),
    ) -> None:
        self.address = address
        self.backoff = backoff or Backoff()
        self._patience = patience
        self._answer_within = answer_within
        self._channel = grpc.insecure_channel(address, options=_options(address))
        self.studies = StudyServiceStub(self._channel)
        self.trials = TrialServiceStub(self._channel)
        self.leaderboards = LeaderboardServiceStub(self._channel)
        self.trainables = TrainableServiceStub(self._channel)
        self.system = SystemServiceStub(self._channel)

    def call(self, method: "grpc.UnaryUnaryMultiCallable[Q, A]", request: Q) -> A:
        """The answer to a request, which is repeated while the server is away; a mutation must carry a request_id.

        Raises:
            SearchdError: what the server answered, or ServerUnreachable.
        """
        pauses = self.backoff.pauses(self._patience)
        while True:
            try:
                return method(request, timeout=self._answer_within.total_seconds())
            except grpc.RpcError as error:
                failure = error_of(error, self.address)
                pause = next(pauses, None) if isinstance(failure, AWAY) else None
                if pause is None:
                    raise failure from error
            self.backoff.sleep(pause)

    def stream(
        self, method: "grpc.UnaryStreamMultiCallable[Q, A]", request: Q, within: timedelta | None
    ) -> Iterator[A]:
        """The answers of one stream, without any repetition; leaving the iteration ends the stream.

        Args:
            method: The stub's method.
            request: What to send.
            within: For how long the stream may last; None means for ever.

        Raises:
            SearchdError: what the server answered, or ServerUnreachable.
            TimeoutError: ``within`` has passed.
        """
        call = method(request, timeout=within.total_seconds() if within is not None else None)
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
        # Finds out that a watched server's machine is gone; servers take offence at pings every 5 minutes or less.
        ("grpc.keepalive_time_ms", 330_000),
    ]
    if _is_loopback(address):
        options.append(("grpc.enable_http_proxy", 0))  # a proxy would look for the server on its own machine
    return options


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _code(error: grpc.RpcError) -> grpc.StatusCode | None:
    return error.code() if isinstance(error, grpc.Call) else None
