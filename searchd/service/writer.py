"""The one thread on which this server writes, and its part in the lease that lets it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TypeVar

from searchd.domain.errors import SearchdError
from searchd.domain.facts import Fact
from searchd.ports.store import Store
from searchd.service.election import Election

log = logging.getLogger(__name__)

T = TypeVar("T")


class Writer:
    """Writes to a store, one thing after the other; its methods are called on the event loop.

    Args:
        store: Where to.
        holder: Id of this server in the lease; empty for one that no other server waits for.
        lease: A leader that gives no sign of life for so long is succeeded.
        kept_events: Events kept for watches to resume from.
    """

    def __init__(self, store: Store, holder: str, lease: timedelta, kept_events: int) -> None:
        self._store = store
        self._election = Election(store, holder, lease)
        self._lease = lease.total_seconds()
        self._kept_events = kept_events
        self._thread = ThreadPoolExecutor(1, "store-writer")
        self._confirmed = 0.0
        self._trimmed = 0

    @property
    def leader(self) -> str:
        """Where the server that writes takes requests, as last seen; empty if nobody does."""
        return self._election.leader

    def serves_at(self, address: str) -> None:
        """Note where this server takes requests, for others to be told."""
        self._election.address = address

    async def stand(self) -> int | None:
        """Take the lease if that is allowed.

        Returns:
            The new epoch; None if another server has the lease.

        Raises:
            StoreUnavailable: the store cannot be reached or refuses.
        """
        now, clock = _seconds(), asyncio.get_running_loop().time
        epoch = await self.on_thread(lambda: self._election.stand(clock))
        if epoch is not None:
            self._confirmed = now
        return epoch

    async def commit(self, facts: Sequence[Fact], at: datetime) -> None:
        """Make facts durable, and forget old events from time to time.

        Raises:
            LeaseLost: another server has the lease.
            StoreUnavailable: they were not written.
        """
        now = _seconds()
        revision = await self.on_thread(lambda: self._store.commit(facts, at))
        self._confirmed = now
        if revision - self._trimmed > self._kept_events // 10:
            try:
                await self.on_thread(lambda: self._store.trim_events(self._kept_events))
                self._trimmed = revision
            except SearchdError as error:  # it is done the next time
                log.error("old events cannot be forgotten: %s", error)

    async def beat(self) -> None:
        """Give a sign of life.

        Raises:
            LeaseLost: another server has the lease.
            StoreUnavailable: the store takes no writes.
        """
        now = _seconds()
        await self.on_thread(self._store.beat)
        self._confirmed = now

    async def confirm(self) -> None:
        """Make sure of the lease before something is done without a commit: this process may have been asleep.

        Raises:
            LeaseLost: another server has the lease.
            StoreUnavailable: the store takes no writes.
        """
        if _seconds() - self._confirmed > self._lease / 2:
            await self.beat()

    async def on_thread(self, work: Callable[[], T]) -> T:
        """What the work returns, done after what was begun before."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """End the thread once it has done what was begun."""
        self._thread.shutdown()


def _seconds() -> float:
    return asyncio.get_running_loop().time()
