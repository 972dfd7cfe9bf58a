"""A world: servers, a cluster, a store and those who use them, from a seed, until everything has come to its end."""

import asyncio
import contextlib
import gc
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from searchd.domain.facts import Fact
from searchd.domain.trial import Origin, Trial
from tests.simulation.customers import Customer, Watcher
from tests.simulation.disk import Disk
from tests.simulation.eventloop import NoEndInSight, NothingLeft
from tests.simulation.faults import Faults
from tests.simulation.known import Known
from tests.simulation.plan import Fault, Plan, StudyPlan, planned
from tests.simulation.servers import Server
from tests.simulation.stage import Stage
from tests.simulation.workers import WorldCluster

PATIENCE_SECONDS = 3600.0
"""Once no fault happens any more, everything ends within so many virtual seconds."""

CALM_SECONDS = 8.0
"""Between the end of everything and the last look."""

LONGEST_SEGMENT_SECONDS = 700.0
"""A worker that nobody knows may hold something for so long, until it is killed for hanging."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a seed: promises broken, faults that fired, the log, virtual seconds."""

    seed: int
    broken: tuple[str, ...]
    fired: Counter[Fault]
    log: tuple[Fact, ...]
    seconds: float


class World:
    """Plays a plan; ``run`` may be called once."""

    def __init__(self, plan: Plan, trace: Callable[[str], None] | None = None) -> None:
        self._stage = stage = Stage(plan, trace)
        self._model = stage.model
        self._disk = Disk(stage)
        plans = {study.draft.seed: study for first in plan.studies for study in _lives(first)}
        self._cluster = WorldCluster(stage, plans)
        self._servers = [Server(stage, self._disk, self._cluster, f"server-{n}") for n in range(plan.servers)]

    # From beginning to end

    def run(self) -> Outcome:
        """Let everything happen."""
        events = self._stage.events
        try:
            events.run_until_complete(self._run())
        except (NothingLeft, NoEndInSight) as error:
            self._model.breaks("everything comes to its end", type(error).__name__)
        finally:
            events.end()
        log = tuple(fact for _, fact in sorted(self._model.log.items()))
        return Outcome(self._stage.plan.seed, tuple(self._model.broken), self._stage.counts, log, events.time())

    async def _run(self) -> None:
        stage = self._stage
        for server in self._servers:
            server.boot()
        faults = asyncio.create_task(Faults(stage, self._disk, self._cluster, self._servers).happen())
        users = [
            asyncio.create_task(Customer(stage, self._servers, plan, plan.study_id).own())
            for plan in stage.plan.studies
        ]
        users += [
            asyncio.create_task(Watcher(stage, self._servers, plan, f"w-{plan.study_id}").watch())
            for plan in stage.plan.studies
        ]
        await faults
        stage.note("no more faults")
        _, late = await asyncio.wait(users, timeout=PATIENCE_SECONDS)
        if late:
            left = {name: known.study.state.value for name, known in self._model.studies.items()}
            self._model.breaks("everything comes to its end", left)
            return
        for user in users:
            if user.exception() is not None:
                self._model.breaks("nothing unforeseen is raised", repr(user.exception()))
        await asyncio.sleep(CALM_SECONDS)
        until = stage.events.time() + LONGEST_SEGMENT_SECONDS
        while any(map(self._cluster.holding, self._cluster.workers())) and stage.events.time() < until:
            await asyncio.sleep(CALM_SECONDS)
        self._look_back()

    def _look_back(self) -> None:
        """What must be so when everything has ended."""
        expect = self._model.expect
        for worker in self._cluster.workers():
            held = self._cluster.holding(worker)
            expect(not held, "no worker is left holding anything", (worker, held))
        stored = {study.name: study for study in self._disk.studies("p", None, {}, None, 100)}
        expect(stored.keys() == self._model.studies.keys(), "the store holds what it was given", stored.keys())
        for name, known in self._model.studies.items():
            if name in stored:
                trials = list(self._disk.trials(name, None, 0, 10_000))
                same = stored[name] == replace(known.study, progress=known.progress) and trials == _ordered(known)
                expect(same, "the store holds what it was given", name)
            self._look_at(known)
        if self._stage.plan.trains_once:
            # A server that slept since it deleted a study may delete the checkpoints of the next one of that name.
            life = self._model.life
            twice = {
                place: count
                for place, count in self._model.training.items()
                if count > 1 and life(place[0][1].study) == 1
            }
            expect(not twice, "no epoch is trained twice because a server died", twice)

    def _look_at(self, known: Known) -> None:
        expect, study, progress = self._model.expect, known.study, known.progress
        trials = _ordered(known)
        expect(progress.busy == 0, "counts equal a recount (busy)", (study.name, progress.busy))
        top = study.spec.ladder[-1]
        confirming, searched = study.spec.evaluation.confirming, sum(1 for _ in known.searched())
        full = searched * top.folds * top.epochs
        for trial in trials:
            if trial.origin.repeats and trial.state.ended:
                full += confirming.folds * confirming.epochs if trial.origin is Origin.CONFIRMATION else top.epochs
        expect(progress.follow_ups == len(trials) - searched, "counts equal a recount (follow-ups)", study.name)
        expect(progress.full_epochs == full, "counts equal a recount (full epochs)", (study.name, progress, full))
        seconds = sum(m.seconds for m in known.measurements)
        near = abs(progress.train_seconds - seconds) < 1e-6 * max(1.0, seconds)
        expect(near, "counts equal a recount (seconds)", (study.name, progress.train_seconds, seconds))
        best = next(((t.scores[-1], t.number) for t in known.ranked()), None)
        found = None if progress.best is None else (progress.best.score, progress.best.trial)
        expect(found == best, "counts equal a recount (best)", (study.name, found, best))
        tried = [tuple(sorted(t.parameters.items())) for t in trials if t.origin is Origin.SEARCH]
        expect(len(tried) == len(set(tried)), "a search repeats nothing", (study.name, tried))
        space = study.spec.space
        if study.reason == "the search space is exhausted":
            size = math.prod(p.domain.levels.count if p.domain.levels else math.inf for p in space.parameters)
            whole = {tuple(t.parameters[name] for name in space.names()) for t in trials if t.origin.informs}
            expect(len(whole) == size, "a space is exhausted when all of it was tried", (study.name, size))


def simulated(seed: int, trace: Callable[[str], None] | None = None) -> Outcome:
    """Play the plan of a seed. No garbage is collected meanwhile, since when that happens is not the seed's choice."""
    world = World(planned(seed), trace)
    collecting = gc.isenabled()
    gc.disable()
    try:
        with _logging_into(trace):
            return world.run()
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def _logging_into(trace: Callable[[str], None] | None) -> Iterator[None]:
    """Let the product's log go to the trace, or nowhere."""
    log = logging.getLogger("searchd")
    handler = logging.NullHandler() if trace is None else _Traced(trace)
    propagates, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagates


class _Traced(logging.Handler):
    def __init__(self, trace: Callable[[str], None]) -> None:
        super().__init__()
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record into the trace."""
        self._trace(self.format(record))


def _lives(plan: StudyPlan | None) -> Iterator[StudyPlan]:
    while plan is not None:
        yield plan
        plan = plan.create_again


def _ordered(known: Known) -> list[Trial]:
    return [known.trials[number] for number in sorted(known.trials)]
