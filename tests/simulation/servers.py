"""Servers of a world: the real loop, use cases and watches, in a process that can be killed and paused."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from searchd.domain.card import Card, Form
from searchd.domain.evaluation import Evaluation
from searchd.domain.space import Choice, Float, Integer, Parameter, SearchSpace
from searchd.domain.study import Dataset, StudyName
from searchd.ports.catalog import Inspection
from searchd.ports.searcher import CloseSearch, OpenSearch, SearchCommand, SearchFailed, Tell
from searchd.schedulers.factory import make_scheduler
from searchd.searchers.host import Answer
from searchd.searchers.local import LocalSearchers
from searchd.service.loop import Loop, LoopSettings
from searchd.service.studies import Studies
from searchd.service.watch import Watches
from tests.simulation.disk import Disk
from tests.simulation.drafts import DEFAULTS, METRICS
from tests.simulation.eventloop import Process, VirtualLoop
from tests.simulation.plan import Fault
from tests.simulation.stage import Stage
from tests.simulation.workers import WorldCluster, WorldEngine

SETTINGS = LoopSettings(retry=timedelta(seconds=0.5), lease=timedelta(seconds=4))

QUIET = timedelta(seconds=5)

SPACE = SearchSpace(
    (Parameter("x", Float(0.0, 1.0)), Parameter("n", Integer(1, 3)), Parameter("kind", Choice(("a", "b"))))
)


class SteadyClock:
    """The machine's clock when the server started, and the time since."""

    def __init__(self, events: VirtualLoop, began: datetime) -> None:
        self._events = events
        self._began = began
        self._seconds = events.time()

    def now(self) -> datetime:
        """The current time."""
        return self._began + timedelta(seconds=self._events.time() - self._seconds)


class Cards:
    """A catalog of trainables that differ in their code."""

    def cards(self) -> Mapping[str, Card]:
        """The cards by name."""
        return {
            name: Card(
                name=name,
                description="A trainable.",
                form=Form.GENERATOR,
                metrics=METRICS,
                space=SPACE,
                default=DEFAULTS,
                checkpoints=True,
                folds=True,
                code=f"code of {name}",
            )
            for name in ("t0", "t1")
        }


class NoData:
    """Datasets, of which there are none."""

    def inspect(self, dataset: Dataset, evaluation: Evaluation) -> Inspection:
        """Anything is fine."""
        return Inspection("da7a", 100, (), True)


class SlowSearchers:
    """Searchers that take a while to answer, and may fail when they are told to."""

    def __init__(self, deliver: Callable[[Answer], None], stage: Stage, name: str) -> None:
        self._deliver = deliver
        self._inner = LocalSearchers(deliver)
        self._stage = stage
        self._chance = stage.chance(f"searchers of {name}")
        self._done = 0.0
        self.failing = 0

    def perform(self, command: SearchCommand) -> None:
        """Carry out a command a little later, in order."""
        self._done = max(self._done, self._stage.events.time() + self._chance.expovariate(100.0))
        self._stage.events.call_at(self._done, self._carry_out, command)

    def close(self) -> None:
        """There is nothing to end."""

    def _carry_out(self, command: SearchCommand) -> None:
        if isinstance(command, OpenSearch | Tell):
            self._stage.model.told(StudyName(command.study), [o.number for o in command.observations])
        if self.failing and not isinstance(command, CloseSearch):
            self.failing -= 1
            self._stage.fired(Fault.SEARCHER_FAILED, command.study)
            self._inner.perform(CloseSearch(command.study))
            self._deliver(SearchFailed(command.study, "RuntimeError: the matrix is singular"))
        else:
            self._inner.perform(command)


class Server:
    """One of the servers, over all its lives."""

    def __init__(self, stage: Stage, disk: Disk, cluster: WorldCluster, name: str) -> None:
        self.name = name
        self._stage = stage
        self._disk = disk
        self._cluster = cluster
        self._lives = 0
        self._broken: dict[object, Callable[[], None]] = {}
        self.process: Process | None = None

    @property
    def alive(self) -> bool:
        """Whether its process runs or is paused."""
        return self.process is not None and self.process.alive

    def boot(self) -> None:
        """Start a process, if none lives."""
        if self.alive:
            return
        self._lives += 1
        life = f"{self.name}.{self._lives}"
        process = self.process = Process(self._stage.events, life)
        process.burnt = self.kill
        process.context.run(self._build, life)
        running = process.spawn(self.loop.run())
        running.add_done_callback(lambda task: self._ended(process, task))

    def kill(self) -> None:
        """End the process at this instant; callers see their connections break."""
        if self.process is not None and self.process.alive:
            self.process.kill()
            self._stage.fired(Fault.SERVER_KILLED, self.name)
            self._disconnect()

    def pause(self) -> None:
        """Stop the process."""
        if self.process is not None and self.process.alive and not self.process.paused:
            self.process.pause()
            self._stage.fired(Fault.SERVER_PAUSED, self.name)

    def resume(self) -> None:
        """Continue the process."""
        if self.process is not None and self.process.paused:
            self.process.resume()

    def leave(self) -> None:
        """Ask the process to end."""
        if self.process is not None and self.process.alive:
            self._stage.fired(Fault.SERVER_LEFT, self.name)
            self.process.spawn(self._leave(self.process))

    def connect(self, broken: Callable[[], None]) -> object | None:
        """Open a connection, which is told when it breaks; None if nobody listens."""
        if not self.alive:
            return None
        connection = object()
        self._broken[connection] = broken
        return connection

    def disconnect(self, connection: object) -> None:
        """Close a connection."""
        self._broken.pop(connection, None)

    def _build(self, life: str) -> None:
        stage = self._stage
        store = self._disk.opened_again()
        clock = SteadyClock(stage.events, stage.wall_time())
        self.loop = Loop(store, make_scheduler, clock, SETTINGS, self.name)
        self.engine = WorldEngine(self._cluster, self.loop.post, stage, life)
        self.searchers = SlowSearchers(self.loop.post, stage, life)
        self.loop.bind(self.engine, self.searchers, f"{self.name}.example:50051")
        self.studies = Studies(store, self.loop, Cards(), NoData(), clock)
        self.watches = Watches(store, self.loop, clock, 100, QUIET)

    async def _leave(self, process: Process) -> None:
        await self.loop.drain(timedelta(seconds=3))
        await self.loop.stop()
        self.engine.close(leave_workers=True)
        if process.alive:
            process.kill()
            self._disconnect()

    def _ended(self, process: Process, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            detail = f"{process.name}: {type(error).__name__}: {error}"
            self._stage.model.breaks("a server survives what it is not killed by", detail)

    def _disconnect(self) -> None:
        broken, self._broken = self._broken, {}
        for tell in broken.values():
            tell()
