"""Calls to a server, or to whichever of several answers: repeated while it is away for a moment."""

import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from searchd.client.channel import Channel, Streaming, Unary
from searchd.domain.errors import (
    InvalidArgument,
    NotLeader,
    Overloaded,
    SearchdError,
    ServerStopping,
    ServerUnreachable,
    StoreFull,
    StoreUnavailable,
)

Q = TypeVar("Q")
A = TypeVar("A")

AWAY = (ServerUnreachable, ServerStopping, StoreUnavailable, Overloaded, NotLeader)
"""Errors that say nothing about the request: it was not looked at, or may be repeated with the same request_id."""

PATIENCE = timedelta(seconds=1.5)
"""For how long a call is repeated while nobody takes it."""

TAKEOVER_PATIENCE = timedelta(seconds=30)
"""For how long it is repeated once a server has said that it stands by: it will take over if there is no leader."""


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
    """Channels to the servers of one store, of which one leads and the others stand by.

    Everything goes to one of them for as long as it takes what it is sent: at first the first one. When it does not,
    the leader that it names comes next, else the others in turn. Any of them answers reads, for they read one store.

    Args:
        address: ``host:port``, or several with commas between them.
        backoff: Waits between tries.
        answer_within: For how long a call may take; streams may take for ever.

    Raises:
        InvalidArgument: the address names no server.
    """

    def __init__(
        self,
        address: str,
        *,
        backoff: Backoff | None = None,
        answer_within: timedelta = timedelta(seconds=60),
    ) -> None:
        parts = dict.fromkeys(part.strip() for part in address.split(",") if part.strip())
        if not parts:
            raise InvalidArgument("address", f"{address!r} names no server", "write it as host:50051, or host:1,host:2")
        self.address = ",".join(parts)
        self.backoff = backoff or Backoff()
        self._answer_within = answer_within
        self._lock = threading.Lock()
        self._channels = [Channel(part) for part in parts]
        self._current = self._channels[0]

    @property
    def channel(self) -> Channel:
        """Where the next request goes."""
        return self._current

    def call(self, method: "Unary[Q, A]", request: Q) -> A:
        """The answer to a request, which is repeated while no server takes it; a mutation must carry a request_id.

        Raises:
            SearchdError: what a server answered, or ServerUnreachable.
        """
        tries = Tries(self)
        while True:
            channel = self.channel
            try:
                return channel.call(method, request, self._answer_within)
            except SearchdError as error:
                tries.go_on(channel, error)

    def stream(self, method: "Streaming[Q, A]", request: Q) -> Iterator[A]:
        """The answers of one stream, which is begun again while no server begins it, but never once it has begun.

        Raises:
            SearchdError: what a server answered, or ServerUnreachable.
        """
        tries = Tries(self)
        while True:
            channel, begun = self.channel, False
            try:
                for answer in channel.stream(method, request, None):
                    begun = True
                    yield answer
            except SearchdError as error:
                if begun:
                    raise
                tries.go_on(channel, error)
            else:
                return

    def turn(self, away: Channel, leader: str, tried: Collection[str]) -> bool:
        """Send what comes next to another server than the one that is away.

        Args:
            away: The server that took nothing.
            leader: Address of the one that should be asked instead, or empty.
            tried: Addresses that have been tried before, or just now.

        Returns:
            Whether the next one has not been tried.
        """
        with self._lock:
            if leader and all(channel.address != leader for channel in self._channels):
                self._channels.append(Channel(leader))
            place = self._channels.index(away) + 1
            others = self._channels[place:] + self._channels[:place]
            others.sort(key=lambda channel: channel.address != leader)
            fresh = [channel for channel in others if channel.address not in tried]
            self._current = (fresh or others)[0]
            return bool(fresh)

    def close(self) -> None:
        """End the channels and every stream on them."""
        with self._lock:
            for channel in self._channels:
                channel.close()


class Tries:
    """One request's way from server to server, in rounds: each is tried once, then there is a pause.

    Args:
        connection: To the servers.
        patience: How long the pauses may be together.
    """

    def __init__(self, connection: Connection, patience: timedelta = PATIENCE) -> None:
        self._connection = connection
        self._pauses = connection.backoff.pauses(patience)
        self._takeover_awaited = False
        self._round: dict[str, SearchdError] = {}

    def go_on(self, channel: Channel, error: SearchdError) -> None:
        """Turn to the next server, after a pause if all have been tried.

        Args:
            channel: The server that was tried.
            error: What came of it.

        Raises:
            SearchdError: the error, if it says something about the request, or patience is at an end.
            ServerUnreachable: patience is at an end and there are several servers, all of which are named.
        """
        if not isinstance(error, AWAY) or isinstance(error, StoreFull):
            raise error
        leader = ""
        if isinstance(error, NotLeader):
            leader = error.leader
            if not self._takeover_awaited:
                self._takeover_awaited = True
                self._pauses = self._connection.backoff.pauses(TAKEOVER_PATIENCE)
        self._round[channel.address] = error
        if self._connection.turn(channel, leader, self._round):
            return
        pause = next(self._pauses, None)
        if pause is None:
            outcome = _summary(self._round)
            if outcome is error:
                raise error
            raise outcome from error
        self._round.clear()
        self._connection.backoff.sleep(pause)


def _summary(tried: dict[str, SearchdError]) -> SearchdError:
    """What a round came to: a server's own trouble if one has any, else that all are out of reach or stand by."""
    others = [error for error in tried.values() if not isinstance(error, ServerUnreachable | NotLeader)]
    if others or len(tried) == 1:
        return (others or list(tried.values()))[0]
    said = {address: _briefly(error) for address, error in tried.items()}
    alike = len(set(said.values())) == 1
    reason = next(iter(said.values())) if alike else "; ".join(f"{address}: {why}" for address, why in said.items())
    return ServerUnreachable(_enumerated(list(said)), reason)


def _briefly(error: SearchdError) -> str:
    return error.reason if isinstance(error, ServerUnreachable) else "only stands by"


def _enumerated(addresses: Sequence[str]) -> str:
    return f"{', '.join(addresses[:-1])} or {addresses[-1]}"
