"""The only place that picks implementations: a server is put together, run, and taken apart here."""

import asyncio
import logging
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from searchd import __version__, signals
from searchd.care.claim import check_complete, claimed
from searchd.config import ServerSettings
from searchd.datasets import DatasetCache
from searchd.domain.draft import StudyDraft
from searchd.domain.errors import InvalidArgument, NotLeader, Violation
from searchd.domain.space import SearchSpace
from searchd.engines.ray.engine import RayEngine, RayEngineSettings
from searchd.engines.ray.local import LocalCluster, LocalRay, LocalRaySettings
from searchd.rpc.server import RpcServer
from searchd.schedulers.factory import make_scheduler
from searchd.schedulers.vendors import scheduler_violations
from searchd.searchers.importance_process import ImportanceProcess
from searchd.searchers.process import SearcherProcess
from searchd.searchers.vendors import search_violations
from searchd.service import Services
from searchd.service.insight import Insight
from searchd.service.leaderboards import Leaderboards
from searchd.service.loop import Loop
from searchd.service.studies import Studies
from searchd.service.system import System
from searchd.service.trainables import Trainables
from searchd.service.trials import Trials
from searchd.service.watch import Watches
from searchd.stores.sql import SqlStore
from searchd.tracking.host import HostSettings
from searchd.tracking.process import TrackerProcess
from searchd.tracking.vendors import track_violations
from searchd.worker.catalog import SubprocessCatalog
from searchd.worker.checkpoint_store import checkpoint_store
from searchd.worker.code_catalog import CodeCatalog
from searchd.worker.files import Storage

log = logging.getLogger(__name__)


_LOOK_SECONDS = 0.2


class SteadyClock:
    """The machine's clock as it was when this was made, and the time since: when somebody sets the machine's clock, no
    deadline passes early or late by it."""

    def __init__(self) -> None:
        self._began = datetime.now(UTC)
        self._seconds = _steady_seconds()

    def now(self) -> datetime:
        """The current time, UTC."""
        return self._began + timedelta(seconds=_steady_seconds() - self._seconds)


def _steady_seconds() -> float:
    """Seconds that nobody sets; where the system can tell, those for which the machine slept are among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


def serve(settings: ServerSettings, announce: Callable[[str], None]) -> None:
    """Run a server until it is told to end; ``announce`` gets one line when it serves.

    SIGTERM or SIGINT lets workers save and ends it; a second one ends it at once. Both must be held back when this is
    called: :func:`searchd.signals.held_back`.

    Raises:
        InvalidArgument: a setting cannot be used, another server has the data directory, or a restore into it was
            interrupted.
        StoreTooNew: the store was written by a newer searchd.
        StoreUnavailable: the store cannot be opened.
    """
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with claimed(settings.data_dir):
        check_complete(settings.data_dir)
        asyncio.run(_Server(settings).run(announce))


def _server_id(data_dir: Path) -> str:
    """The id under which the server of a data directory holds a store's lease: the same after a restart, which thus
    need not wait for its predecessor's lease to lapse. That it has ended is certain, since the directory was locked."""
    path = data_dir / "server-id"
    if not path.exists() or not path.read_text():
        fresh = data_dir / "server-id.new"
        fresh.write_text(secrets.token_hex(16))
        fresh.replace(path)
    return path.read_text()


def _check_checkpoints(root: str) -> None:
    """Refuse a place for checkpoints that workers could not use."""
    try:
        if "://" not in root:
            raise InvalidArgument(
                "checkpoints", f"{root!r} is no URI", "give s3://bucket/folder; for a folder, --storage"
            )
        checkpoint_store(root)
    except InvalidArgument as error:
        raise InvalidArgument("--checkpoints", error.reason, error.remedy) from None


def vendor_violations(draft: StudyDraft, space: SearchSpace) -> Iterator[Violation]:
    """What is wrong with the vendors that a draft names, of which some cannot search any space."""
    yield from search_violations(draft.search, space)
    yield from scheduler_violations(draft.scheduler, draft.mode)
    yield from track_violations(draft.track)


class _Server:
    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        if settings.checkpoints is not None:
            _check_checkpoints(settings.checkpoints)
        clock = SteadyClock()
        self._store = SqlStore(settings.store)
        holder = _server_id(settings.data_dir)
        self._loop = Loop(self._store, make_scheduler, clock, settings.loop, holder)
        self._catalog = SubprocessCatalog(settings.trainables, settings.search_path, installed=True)
        datasets = DatasetCache(settings.cache, settings.data_roots)
        code = CodeCatalog(settings.storage, clock, settings.search_path) if settings.takes_code else None
        limits = settings.limits
        self._tracker = TrackerProcess(
            HostSettings(settings.store.url, str(settings.storage), self._checkpoints(), holder)
        )
        services = Services(
            studies=Studies(
                self._store, self._loop, self._catalog, datasets, clock, vendor_violations, self._tracker, code
            ),
            watches=Watches(self._store, self._loop, clock, limits.max_watches),
            trials=Trials(self._store, Storage(settings.storage)),
            leaderboards=Leaderboards(self._store),
            insight=Insight(self._store, ImportanceProcess()),
            trainables=Trainables(self._catalog, code),
            system=System(self._loop, __version__, limits),
        )
        self._rpc = RpcServer(services, settings.rpc)
        self._local_ray = LocalRay(LocalRaySettings(settings.data_dir, settings.num_cpus, settings.num_gpus))
        self._leave = asyncio.Event()

    async def run(self, announce: Callable[[str], None]) -> None:
        """Serve until told to leave."""
        events = asyncio.get_running_loop()
        signals.tell(lambda: events.call_soon_threadsafe(self._leave.set))
        address = f"{self._settings.listen.rpartition(':')[0]}:{await self._rpc.bind()}"

        searchers = SearcherProcess(self._loop.post)
        try:
            cards = asyncio.create_task(asyncio.to_thread(self._catalog.cards))
            engine = RayEngine(self._ray_settings(), self._loop.post)
            self._loop.bind(engine, searchers, address, self._tracker)
            running = asyncio.create_task(self._loop.run())
            try:
                await self._serve(cards, running, address, announce)
            finally:
                await self._rpc.stop(self._settings.drain_timeout / 10)
                await self._loop.stop()
                # The workers of one that does not lead belong to another server by now.
                leave = self._settings.keep_ray or not self._loop.epoch
                await asyncio.to_thread(engine.close, leave_workers=leave)
                await running
        finally:
            await asyncio.to_thread(searchers.close)
            await asyncio.to_thread(self._tracker.close)
            if self._settings.ray_address is None and not self._settings.keep_ray:
                await asyncio.to_thread(self._local_ray.stop)
            self._store.close()

    async def _serve(
        self, cards: asyncio.Task[Any], running: asyncio.Task[None], address: str, announce: Callable[[str], None]
    ) -> None:
        """Serve once everything is ready, until told to leave; told earlier than that, do not begin."""
        leaving = asyncio.create_task(self._leave.wait())
        ready = asyncio.create_task(self._ready(cards))
        begun: list[asyncio.Task[Any]] = [ready, leaving]
        await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            ready.cancel()
            if self._loop.conductor.mind.cluster.workers:  # they were adopted, and train
                await self._loop.drain(self._settings.drain_timeout)
            return
        await ready
        await self._rpc.start()
        telling = asyncio.create_task(self._tell(address, announce))
        await asyncio.wait([running, leaving], return_when=asyncio.FIRST_COMPLETED)
        telling.cancel()
        self._rpc.set_serving(False)
        await self._loop.drain(self._settings.drain_timeout)

    async def _tell(self, address: str, announce: Callable[[str], None]) -> None:
        """One line when it serves; before that one if it stands by until the server that leads is gone."""
        data = f"data in {self._settings.data_dir}"
        if isinstance(self._loop.refusal, NotLeader):
            announce(f"searchd stands by on {address} for {self._loop.leader or 'another server'}, {data}")
        elif self._loop.refusal is not None:
            announce(f"searchd only reads on {address}, {data}: {self._loop.refusal}")
        while not self._loop.epoch:
            await asyncio.sleep(_LOOK_SECONDS)
        announce(f"searchd serves on {address}, {data}")

    async def _ready(self, cards: asyncio.Task[Any]) -> None:
        await cards
        await self._loop.ready()

    def _ray_settings(self) -> RayEngineSettings:
        settings = self._settings
        return RayEngineSettings(
            cluster=self._cluster,
            namespace=f"searchd-{self._store.identity()}",
            storage=settings.storage,
            data_cache=settings.cache,
            data_roots=settings.data_roots,
            modules=settings.trainables,
            search_path=settings.search_path,
            checkpoints=self._checkpoints(),
            grace=settings.worker_grace,
        )

    def _checkpoints(self) -> str | None:
        """Root of this store's checkpoints in an object store: stores may have studies of the same names."""
        root = self._settings.checkpoints
        return root and f"{root.rstrip('/')}/{self._store.identity()}"

    def _cluster(self) -> LocalCluster:
        """Where Ray is: a local one is started if none runs."""
        address = self._settings.ray_address
        return self._local_ray.start() if address is None else LocalCluster(address, {}, adopted=True)
