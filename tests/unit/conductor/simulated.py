"""Servers in virtual time: one store and one cluster, and on them as many servers, in turn, as a test needs.

Seconds of training are virtual. A trial's score is better the nearer its ``x`` is to 0.3, grows by 0.01 an epoch, and
has a little noise that its parameters and the fold decide.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from searchd.conductor.active import ActiveStudy
from searchd.conductor.conductor import Conductor
from searchd.conductor.messages import CreateStudy, DeleteStudy, StopStudy
from searchd.domain.facts import Fact, MeasurementAdded, StudyPut, TrialPut
from searchd.domain.objective import Goal, Objective
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Float, Parameter, SearchSpace
from searchd.domain.study import Study, StudyName, StudySpec, study_name
from searchd.domain.trial import Origin, Trial, TrialNumber, TrialState
from searchd.engines.simulated import Behaviour, Epoch, SimulatedCluster, SimulatedEngine, VirtualClock
from searchd.ports.engine import EngineCommand, EngineEvent, Node, RunSegments, Segment, SegmentReported
from searchd.ports.scheduler import Scheduler
from searchd.ports.searcher import Searchers
from searchd.schedulers.factory import make_scheduler
from searchd.searchers.host import Answer
from searchd.searchers.local import LocalSearchers
from searchd.service.simulation import Simulation
from searchd.stores.memory import MemoryStore

SECOND = timedelta(seconds=1)
FOUR_SLOTS = (Node("a", 4, 0),)
SPACE = SearchSpace((Parameter("x", Float(0.0, 1.0)),))
DEFAULT = {"x": 0.5}
EVERYTHING = 10_000_000


def score(x: float, fold: int, epoch: int) -> float:
    """What a trial reports of a fold after an epoch."""
    return 0.01 * random.Random(f"{x}-{fold}").gauss(0, 1) - (x - 0.3) ** 2 + 0.01 * epoch


def trains(segment: Segment, epoch: int) -> Iterator[Epoch]:
    """A second an epoch."""
    for number in range(epoch + 1, segment.task.evaluation.epochs + 1):
        yield Epoch({"accuracy": score(segment.parameters["x"], segment.fold, number)}, SECOND)


def times_out_at(trial: int) -> Behaviour:
    """One trial hangs in its first epoch, the others train."""

    def behave(segment: Segment, epoch: int) -> Iterator[Epoch]:
        if segment.trial == trial:
            yield Epoch({"accuracy": 0.0}, timedelta(days=365))
        yield from trains(segment, epoch)

    return behave


def reports(metrics: Callable[[Segment, int], Mapping[str, float]]) -> Behaviour:
    """Report what a function of segment and epoch says, a second an epoch."""

    def behave(segment: Segment, epoch: int) -> Iterator[Epoch]:
        for number in range(epoch + 1, segment.task.evaluation.epochs + 1):
            yield Epoch(metrics(segment, number), SECOND)

    return behave


class Recorder:
    """An engine that keeps what passes through it, and can be made to swallow or replace commands."""

    def __init__(self, cluster: SimulatedCluster, deliver: Callable[[EngineEvent], None]) -> None:
        self._inner = SimulatedEngine(cluster, self._deliver)
        self._forward = deliver
        self.commands: list[EngineCommand] = []
        self.events: list[EngineEvent] = []

    def _deliver(self, event: EngineEvent) -> None:
        self.events.append(event)
        self._forward(event)

    def start(self, epoch: int) -> None:
        """Attach."""
        self._inner.start(epoch)

    def perform(self, commands: Sequence[EngineCommand]) -> None:
        """Note and carry out."""
        self.commands.extend(commands)
        self._inner.perform(commands)

    def close(self, *, leave_workers: bool) -> None:
        """Detach."""
        self._inner.close(leave_workers=leave_workers)

    def segments(self) -> list[Segment]:
        """All segments that were handed to workers, in order."""
        return [s for c in self.commands if isinstance(c, RunSegments) for s in c.segments]

    def reported(self) -> list[SegmentReported]:
        """All messages of workers, in order."""
        return [e for e in self.events if isinstance(e, SegmentReported)]


class LateEnds(Recorder):
    """An engine whose workers say that a segment ended a moment after its last report, in a message of its own."""

    def __init__(self, cluster: SimulatedCluster, deliver: Callable[[EngineEvent], None]) -> None:
        super().__init__(cluster, deliver)
        self._cluster = cluster

    def _deliver(self, event: EngineEvent) -> None:
        if not isinstance(event, SegmentReported) or event.ended is None:
            super()._deliver(event)
            return
        if event.reports:
            super()._deliver(replace(event, ended=None))
        end = replace(event, reports=())
        self._cluster.plan(timedelta(milliseconds=100), lambda: super(LateEnds, self)._deliver(end))


class House:
    """A store, a cluster, a clock, and the server that is running now."""

    def __init__(
        self,
        nodes: Sequence[Node] = FOUR_SLOTS,
        behaviour: Behaviour = trains,
        *,
        store: MemoryStore | None = None,
        schedulers: Callable[[StudySpec], Scheduler] = make_scheduler,
        searchers: Callable[[Callable[[Answer], None]], Searchers] = LocalSearchers,
        engines: Callable[[SimulatedCluster, Callable[[EngineEvent], None]], Recorder] = Recorder,
        start: timedelta = 2 * SECOND,
    ) -> None:
        self.clock = VirtualClock()
        self.store = store if store is not None else MemoryStore()
        self.trained: Counter[tuple[StudyName, int, int, int, int]] = Counter()
        self.cluster = SimulatedCluster(self.clock, nodes, self._counting(behaviour), start)
        self._schedulers = schedulers
        self._searchers = searchers
        self._engines = engines
        self.boot()

    def _counting(self, behaviour: Behaviour) -> Behaviour:
        def behave(segment: Segment, epoch: int) -> Iterator[Epoch]:
            for done, trained in enumerate(behaviour(segment, epoch), start=epoch + 1):
                self.trained[segment.task.study, segment.trial, segment.repeat, segment.fold, done] += 1
                yield trained

        return behave

    def boot(self) -> None:
        """Start a server on the store and the cluster; one that ran before is dead from now on."""
        self.cluster.attached = None
        self.server = Simulation(self.store, self._schedulers, self.clock, self.cluster)
        self.engine = self._engines(self.cluster, self.server.post)
        self.server.start(self.engine, self._searchers(self.server.post))

    def lose_workers(self) -> None:
        """All workers die while no server is there to see it."""
        self.cluster.attached = None
        for worker in self.cluster.workers():
            self.cluster.kill(worker)

    def create(self, name: str = "a", default: Mapping[str, Any] | None = DEFAULT, **changes: Any) -> StudyName:
        """Start a study with random search, unless told otherwise."""
        first = () if default is None else ((default, Origin.DEFAULT),)
        return self.server.request(CreateStudy(self.definition(name, **changes), first)).name

    def definition(self, name: str = "a", code: str = "code", **changes: Any) -> Study:
        """A study that has not been created."""
        changes.setdefault("search", Search(Algorithm.RANDOM))
        changes.setdefault("space", SPACE)
        changes.setdefault("objectives", (Objective("accuracy", Goal.MAXIMIZE),))
        spec = StudySpec("t", **changes)
        return Study(study_name("default", name), spec, code, "", self.clock.now())

    def stop(self, name: StudyName) -> Study:
        """Have a caller stop a study."""
        return self.server.request(StopStudy(name))

    def delete(self, name: StudyName) -> Study:
        """Have a caller delete a study."""
        return self.server.request(DeleteStudy(name))

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Let virtual time pass until the condition holds or nothing more happens."""
        self.server.run(until)

    def run_for(self, time: timedelta) -> None:
        """Let virtual time pass."""
        end = self.clock.now() + time
        self.cluster.plan(time, lambda: None)
        self.server.run(lambda: self.clock.now() >= end)

    def study(self, name: StudyName) -> Study:
        """A study as stored."""
        return self.store.study(name)

    def active(self, name: StudyName) -> ActiveStudy:
        """A study as the running server knows it."""
        return self.server.conductor.mind.studies[name]

    def trials(self, name: StudyName) -> list[Trial]:
        """All trials as stored, by number."""
        return list(self.store.trials(name, None, 0, EVERYTHING))

    def trial(self, name: StudyName, number: int) -> Trial:
        """One trial as stored."""
        return self.store.trial(name, TrialNumber(number))

    def in_state(self, name: StudyName, *states: TrialState) -> list[int]:
        """Numbers of the trials in these states."""
        return [trial.number for trial in self.trials(name) if trial.state in states]

    def facts(self) -> list[Fact]:
        """Everything that was committed, in order."""
        return [event.fact for event in self.store.events(0, None, EVERYTHING)]

    def elapsed(self) -> timedelta:
        """Virtual time since the house was built."""
        return self.clock.now() - VirtualClock().now()


def rebuilt(house: House) -> Conductor:
    """A conductor as a server that starts now would build it from the store."""
    return Conductor(house.store.live(), make_scheduler, 99, house.clock.now())


def endings(facts: Iterable[Fact]) -> Counter[tuple[StudyName, int]]:
    """How often each trial was put into a final state."""
    return Counter((f.trial.study, f.trial.number) for f in facts if isinstance(f, TrialPut) and f.trial.state.ended)


def measured(facts: Iterable[Fact]) -> Counter[tuple[StudyName, int, int, int, int]]:
    """How often each epoch of each fold run was measured."""
    return Counter(
        (f.study, f.measurement.trial, f.measurement.repeat, f.measurement.fold, f.measurement.epoch)
        for f in facts
        if isinstance(f, MeasurementAdded)
    )


def states(facts: Iterable[Fact], name: StudyName) -> list[tuple[datetime | None, str]]:
    """The states that a study was put into, in order, without repeats."""
    seen: list[tuple[datetime | None, str]] = []
    for fact in facts:
        if isinstance(fact, StudyPut) and fact.study.name == name:
            entry = (fact.study.ended_at, fact.study.state.value)
            if not seen or seen[-1][1] != entry[1]:
                seen.append(entry)
    return seen
