"""The only place that picks implementations: a server is put together, run, and taken apart here."""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from searchd import __version__
from searchd.config import ServerSettings
from searchd.datasets import DatasetCache
from searchd.domain.errors import InvalidArgument
from searchd.domain.study import StudySpec
from searchd.engines.ray.engine import RayEngine, RayEngineSettings
from searchd.engines.ray.local import LocalRay, LocalRaySettings
from searchd.ports.engine import CapacityChanged, EngineEvent
from searchd.ports.scheduler import Scheduler
from searchd.rpc.server import RpcServer
from searchd.schedulers.factory import make_scheduler
from searchd.searchers.process import SearcherProcess
from searchd.service import Services
from searchd.service.leaderboards import Leaderboards
from searchd.service.loop import Loop
from searchd.service.studies import Studies
from searchd.service.system import System
from searchd.service.trainables import Trainables
from searchd.service.trials import Trials
from searchd.service.watch import Watches
from searchd.stores.sql import SqlStore
from searchd.worker.catalog import SubprocessCatalog
from searchd.worker.files import Storage

log = logging.getLogger(__name__)


class WallClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The current time, UTC."""
        return datetime.now(UTC)


def serve(settings: ServerSettings, announce: Callable[[str], None]) -> None:
    """Run a server until it is told to end; ``announce`` gets one line when it serves.

    SIGTERM or SIGINT lets workers save and ends it; a second one ends it at once.

    Raises:
        InvalidArgument: a setting cannot be used, or another server has the data directory.
        StoreTooNew: the store was written by a newer searchd.
        StoreUnavailable: the store cannot be opened.
    """
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with _claimed(settings.data_dir):
        asyncio.run(_Server(settings).run(announce))


@contextlib.contextmanager
def _claimed(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; the lock ends with the process, however that ends."""
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InvalidArgument(
                "--data-dir", f"another server uses {data_dir}", "choose another, or end it with `searchd down`"
            ) from None
        yield


def _scheduler(spec: StudySpec) -> Scheduler:
    return make_scheduler(spec.scheduler)


class _Server:
    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        clock = WallClock()
        self._store = SqlStore(settings.store)
        self._loop = Loop(self._store, _scheduler, clock, settings.loop)
        self._catalog = SubprocessCatalog(settings.trainables, settings.search_path, installed=True)
        datasets = DatasetCache(settings.cache, settings.data_roots)
        limits = settings.limits
        services = Services(
            studies=Studies(self._store, self._loop, self._catalog, datasets, clock),
            watches=Watches(self._store, self._loop, clock, limits.max_watches),
            trials=Trials(self._store, Storage(settings.storage)),
            leaderboards=Leaderboards(self._store),
            trainables=Trainables(self._catalog),
            system=System(self._loop, __version__, limits),
        )
        self._rpc = RpcServer(services, settings.rpc)
        self._local_ray = LocalRay(LocalRaySettings(settings.data_dir, settings.num_cpus, settings.num_gpus))
        self._leave = asyncio.Event()

    async def run(self, announce: Callable[[str], None]) -> None:
        """Serve until told to leave."""
        events = asyncio.get_running_loop()
        self._take_signals(events)

        def deliver(event: EngineEvent) -> None:
            if isinstance(event, CapacityChanged):
                # Ray takes SIGTERM for itself whenever it connects, which is when nodes appear.
                events.call_soon_threadsafe(self._take_signals, events)
            self._loop.post(event)

        searchers = SearcherProcess(self._loop.post)
        try:
            cards = asyncio.create_task(asyncio.to_thread(self._catalog.cards))
            engine = RayEngine(await self._ray_settings(), deliver)
            self._loop.bind(engine, searchers)
            running = asyncio.create_task(self._loop.run())
            try:
                await self._serve(cards, running, announce)
            finally:
                await self._rpc.stop(self._settings.drain_timeout / 10)
                await self._loop.stop()
                await running
                await asyncio.to_thread(engine.close, leave_workers=self._settings.keep_ray)
        finally:
            await asyncio.to_thread(searchers.close)
            if self._settings.ray_address is None and not self._settings.keep_ray:
                await asyncio.to_thread(self._local_ray.stop)
            self._store.close()

    async def _serve(
        self, cards: asyncio.Task[Any], running: asyncio.Task[None], announce: Callable[[str], None]
    ) -> None:
        """Serve once everything is ready, until told to leave; told earlier than that, do not begin."""
        leaving = asyncio.create_task(self._leave.wait())
        ready = asyncio.create_task(self._ready(cards))
        begun: list[asyncio.Task[Any]] = [ready, leaving]
        await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            ready.cancel()
            return
        await ready
        port = await self._rpc.start()
        host = self._settings.listen.rsplit(":", 1)[0]
        announce(f"searchd serves on {host}:{port}, data in {self._settings.data_dir}")
        await asyncio.wait([running, leaving], return_when=asyncio.FIRST_COMPLETED)
        self._rpc.set_serving(False)
        await self._loop.drain(self._settings.drain_timeout)

    async def _ready(self, cards: asyncio.Task[Any]) -> None:
        await cards
        await self._loop.ready()

    async def _ray_settings(self) -> RayEngineSettings:
        settings = self._settings
        address, environment = settings.ray_address, {}
        if address is None:
            local = await asyncio.to_thread(self._local_ray.start)
            address, environment = local.address, dict(local.environment)
        return RayEngineSettings(
            address=address,
            namespace=f"searchd-{self._store.identity()}",
            storage=settings.storage,
            data_cache=settings.cache,
            data_roots=settings.data_roots,
            modules=settings.trainables,
            search_path=settings.search_path,
            environment=environment,
            grace=settings.worker_grace,
        )

    def _take_signals(self, events: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            events.add_signal_handler(number, self._told_to_leave)

    def _told_to_leave(self) -> None:
        if self._leave.is_set():
            os._exit(130)
        self._leave.set()
