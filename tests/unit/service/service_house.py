"""The real loop on a store in memory and a simulated cluster, whose time runs as fast as the machine allows."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from searchd.domain.card import Card, Form
from searchd.domain.draft import StudyDraft
from searchd.domain.errors import StoreFull, StoreUnavailable, Violation
from searchd.domain.evaluation import Evaluation
from searchd.domain.facts import Fact
from searchd.domain.objective import Goal
from searchd.domain.search import Algorithm, Search
from searchd.domain.study import Budget, Dataset, Study, StudyName, StudySpec
from searchd.engines.simulated import Behaviour, Epoch, SimulatedCluster, SimulatedEngine, VirtualClock
from searchd.ports.catalog import Inspection
from searchd.ports.engine import EngineCommand, EngineEvent, Node, Segment
from searchd.ports.scheduler import Scheduler
from searchd.ports.searcher import CloseSearch, OpenSearch, SearchCommand
from searchd.ports.store import Lease
from searchd.schedulers.factory import make_scheduler
from searchd.searchers.host import Answer
from searchd.searchers.local import LocalSearchers
from searchd.service.loop import Loop, LoopSettings
from searchd.service.studies import Studies
from searchd.service.watch import Watches
from searchd.stores.memory import MemoryStore
from tests.unit.conductor.simulated import SPACE, trains

PATIENCE_SECONDS = 20.0

SETTINGS = LoopSettings(retry=timedelta(milliseconds=5))

CARD = Card(
    name="torch_cnn",
    description="A network.",
    form=Form.GENERATOR,
    metrics={"accuracy": Goal.MAXIMIZE, "loss": Goal.MINIMIZE},
    space=SPACE,
    default={"x": 0.5},
    checkpoints=True,
    folds=True,
    code="c0de",
)

T = TypeVar("T")


class MoodyStore(MemoryStore):
    """A store whose commits fail or wait when the test says so."""

    full = False

    def __init__(self) -> None:
        super().__init__()
        self.failing = 0
        self.deaf = 0
        self.commits = 0
        self.waiting = threading.Event()
        self.release = threading.Event()
        self.release.set()

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:
        """Wait for the release, fail if told to, else commit."""
        if not self.release.is_set():
            self.waiting.set()
            self.release.wait(PATIENCE_SECONDS)
        if self.failing:
            self.failing -= 1
            raise StoreUnavailable("the disk is full")
        self._check_room()
        self.commits += 1
        return super().commit(facts, at)

    def beat(self) -> None:
        """Fail if told to, and stop if commits stop: one thread does both."""
        if not self.release.is_set():
            self.release.wait(PATIENCE_SECONDS)
        self._check_room()
        super().beat()

    def opened_again(self) -> "MoodyStore":
        """Another one, with moods of its own."""
        other = super().opened_again()
        assert isinstance(other, MoodyStore)
        other.waiting, other.release = threading.Event(), threading.Event()
        other.release.set()
        return other

    def _check_room(self) -> None:
        if self.full:
            raise StoreFull("the disk is full")

    def begin_epoch(self, holder: str = "", address: str = "", seen: Lease | None = None) -> int:
        """Fail if told to."""
        if self.deaf:
            self.deaf -= 1
            raise StoreUnavailable("the disk is gone")
        self._check_room()
        return super().begin_epoch(holder, address, seen)


class ThreadedEngine:
    """The simulated engine, which the loop starts in another thread than the one where time passes."""

    def __init__(
        self, cluster: SimulatedCluster, deliver: Callable[[EngineEvent], None], lock: "threading.RLock | None" = None
    ) -> None:
        self.lock = lock or threading.RLock()
        self.commands: list[EngineCommand] = []
        self.starts: list[int] = []
        self.starting: Callable[[int], None] = lambda epoch: None
        self._inner = SimulatedEngine(cluster, deliver)

    def start(self, epoch: int) -> None:
        """Attach, after what the test has to say about it."""
        self.starting(epoch)
        with self.lock:
            self.starts.append(epoch)
            self._inner.start(epoch)

    def perform(self, commands: Sequence[EngineCommand]) -> None:
        """Note and carry out."""
        with self.lock:
            self.commands.extend(commands)
            self._inner.perform(commands)

    def close(self, *, leave_workers: bool) -> None:
        """Detach."""
        with self.lock:
            self._inner.close(leave_workers=leave_workers)


class NotedSearchers(LocalSearchers):
    """Searchers of which the test can see which are open, and what they heard."""

    def __init__(self, deliver: Callable[[Answer], None]) -> None:
        super().__init__(deliver)
        self.open: set[str] = set()
        self.heard: list[SearchCommand] = []

    def perform(self, command: SearchCommand) -> None:
        """Note and carry out."""
        self.heard.append(command)
        if isinstance(command, OpenSearch):
            self.open.add(command.study)
        elif isinstance(command, CloseSearch):
            self.open.discard(command.study)
        super().perform(command)


class Cards:
    """A catalog of given cards."""

    def __init__(self, *cards: Card) -> None:
        self._cards = {card.name: card for card in cards}

    def cards(self) -> Mapping[str, Card]:
        """The cards by name."""
        return self._cards


class NoData:
    """Datasets that are always fine."""

    def inspect(self, dataset: Dataset, evaluation: Evaluation) -> Inspection:
        """A small one with classes."""
        return Inspection("da7a", 100, (), True)


class ServiceHouse:
    """Everything around one running loop. ``store`` and ``cluster`` outlive it."""

    def __init__(
        self,
        store: MoodyStore,
        cluster: SimulatedCluster,
        clock: VirtualClock,
        settings: LoopSettings,
        schedulers: Callable[[StudySpec], Scheduler],
        cards: Sequence[Card] = (CARD,),
        holder: str = "",
        lock: "threading.RLock | None" = None,
    ) -> None:
        self.store = store
        self.cluster = cluster
        self.clock = clock
        self.loop = Loop(store, schedulers, clock, settings, holder)
        self.engine = ThreadedEngine(cluster, self.loop.post, lock)
        self.searchers = NotedSearchers(self.loop.post)
        self.loop.bind(self.engine, self.searchers, f"{holder}:1")
        self.studies = Studies(store, self.loop, Cards(*cards), NoData(), clock)
        self.watches = Watches(store, self.loop, clock, 3, quiet=timedelta(milliseconds=30))

    async def create(
        self,
        study_id: str = "a",
        violations: Sequence[Violation] = (),
        *,
        request_id: str = "",
        digest: str = "d",
        validate_only: bool = False,
        **changes: Any,
    ) -> Study:
        """Create a study by the front door, with random search and 20 trials unless told otherwise."""
        changes.setdefault("search", Search(Algorithm.RANDOM))
        changes.setdefault("budget", Budget(trials=20))
        draft = StudyDraft("torch_cnn", **changes)
        return await self.studies.create(
            "default",
            study_id,
            draft,
            violations,
            request_id=request_id,
            digest=digest,
            validate_only=validate_only,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                await asyncio.sleep(0.001)

    async def ended(self, name: StudyName) -> Study:
        """Wait for a study's end."""
        await self.until(lambda: self.store.study(name).state.ended)
        return self.store.study(name)

    async def pass_time(self) -> None:
        """Let virtual time pass whenever there is something to happen."""
        while True:
            with self.engine.lock:
                happens = self.cluster.next_at() is not None
                if happens:
                    self.cluster.step()
            await asyncio.sleep(0 if happens else 0.001)


class World:
    """A store, a cluster and what was trained on it, for one service after the other."""

    def __init__(self, nodes: Sequence[Node] = (Node("a", 4, 0),), behaviour: Behaviour = trains) -> None:
        self.clock = VirtualClock()
        self.store = MoodyStore()
        self.lock = threading.RLock()
        self.trained: Counter[tuple[str, int, int, int]] = Counter()
        self._behaviour = behaviour
        self.cluster = SimulatedCluster(self.clock, nodes, self._counted, timedelta(seconds=1))

    def _counted(self, segment: Segment, epoch: int) -> Iterator[Epoch]:
        for done, trained in enumerate(self._behaviour(segment, epoch), start=epoch + 1):
            self.trained[segment.task.study, segment.trial, segment.fold, done] += 1
            yield trained

    @contextlib.asynccontextmanager
    async def serving(
        self,
        settings: LoopSettings = SETTINGS,
        schedulers: Callable[[StudySpec], Scheduler] = make_scheduler,
        cards: Sequence[Card] = (CARD,),
        holder: str = "",
    ) -> AsyncIterator[ServiceHouse]:
        """A service until the block ends; one with a holder opens the store for itself."""
        store = self.store.opened_again() if holder else self.store
        house = ServiceHouse(store, self.cluster, self.clock, settings, schedulers, cards, holder, self.lock)
        running = asyncio.create_task(house.loop.run())
        passing = asyncio.create_task(house.pass_time())
        try:
            await soon(house.loop.ready())
            yield house
        finally:
            passing.cancel()
            self.store.release.set()
            await house.loop.stop()
            await running
            house.engine.close(leave_workers=True)


async def soon(work: Awaitable[T]) -> T:
    """The result, or a failure of the test if it takes too long."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await work
