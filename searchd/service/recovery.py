"""How a server comes to lead: it takes the lease, reads what has not ended, and has the engine adopt what runs.

The way is the same after a start, after a commit that failed, and after another server has led.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from searchd.conductor.conductor import Conductor
from searchd.conductor.messages import Input, Reconciled
from searchd.domain.errors import NotLeader, SearchdError, StoreFull
from searchd.domain.study import StudySpec
from searchd.ports.engine import Engine
from searchd.ports.scheduler import Scheduler
from searchd.ports.store import DamagedStudy, LiveStudy, Store
from searchd.service.listeners import Listeners
from searchd.service.writer import Writer

log = logging.getLogger(__name__)


class Recovery:
    """The steps of that way, and how far this server has come; used on the event loop only.

    Args:
        store: The truth.
        writer: Stands for the lease.
        listeners: Woken by what a leader commits while this server is none.
        retry: How long to wait between attempts.
        leaving: Set when the server is told to stop.

    Attributes:
        epoch: The epoch in which this server writes; 0 while it does not, so that a recovery is due.
        held: Whether the lease is this server's as far as it knows, so that it is to be kept.
    """

    def __init__(
        self, store: Store, writer: Writer, listeners: Listeners, retry: timedelta, leaving: asyncio.Event
    ) -> None:
        self.epoch = 0
        self.held = False
        self._store = store
        self._writer = writer
        self._listeners = listeners
        self._retry = retry.total_seconds()
        self._leaving = leaving
        self._revision = -1
        self._adopting = asyncio.Lock()
        self._ready: asyncio.Future[None] | None = None

    async def ready(self) -> None:
        """Return once ``started`` was said.

        Raises:
            Exception: what it was said with.
        """
        await self._readiness()

    def started(self, error: Exception | None) -> None:
        """Say that there is something to be served, or why there will not be; the first word counts."""
        ready = self._readiness()
        if ready.done():
            return
        if error is None:
            ready.set_result(None)
        else:
            ready.set_exception(error)

    async def attempt(self) -> Sequence[LiveStudy | DamagedStudy] | SearchdError:
        """Take the lease if that is allowed: what has not ended, or why no request can be taken now."""
        try:
            epoch = await self._writer.stand()
            self.held = epoch is not None
            if epoch is not None:
                live = await asyncio.to_thread(self._store.live)
                self.epoch = epoch
                return live
            refusal: SearchdError = NotLeader(self._writer.leader)
            await self._look()
        except SearchdError as error:
            log.error("the store cannot be used: %s", error)
            refusal = error
        if isinstance(refusal, NotLeader | StoreFull):  # it can be read all the same
            self.started(None)
        return refusal

    async def left_meanwhile(self) -> bool:
        """Wait until the next attempt is due; whether the server was told to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._leaving.wait(), self._retry)
        return self._leaving.is_set()

    async def adopt(self, engine: Engine, epoch: int, post: Callable[[Input], None]) -> None:
        """Have the engine take over what there is, one epoch after the other; only the newest one is reconciled.

        An engine that does not start at first ends the server; later on it is tried again.
        """
        async with self._adopting:
            while epoch == self.epoch and not self._leaving.is_set():
                try:
                    await asyncio.to_thread(engine.start, epoch)
                except Exception as error:
                    log.error("the engine cannot start: %s", error, exc_info=not isinstance(error, SearchdError))
                    self.started(error)
                    await asyncio.sleep(self._retry)
                    continue
                if epoch == self.epoch:
                    post(Reconciled())
                    self.started(None)
                return

    async def _look(self) -> None:
        """Wake those who watch if the server that leads has committed something."""
        newest = await self._writer.on_thread(self._store.revision)
        if newest != self._revision:
            self._revision = newest
            self._listeners.wake()

    def _readiness(self) -> "asyncio.Future[None]":
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
        return self._ready


def rebuilt(
    live: Sequence[LiveStudy | DamagedStudy],
    make_scheduler: Callable[[StudySpec], Scheduler],
    epoch: int,
    now: datetime,
) -> Conductor:
    """A conductor of what the store has; of studies that cannot be taken up the log tells."""
    conductor = Conductor(live, make_scheduler, epoch, now)
    for study, fault in conductor.faults.items():
        log.error("%s cannot be taken up: %s", study, fault, exc_info=fault if isinstance(fault, Exception) else None)
    return conductor
