"""Restarts: at every commit, with and without the cluster; a memory rebuilt equals the one that lived."""

import copy
import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from searchd.conductor.active import ActiveStudy
from searchd.conductor.messages import DrainRequested, Reconciled
from searchd.domain.evaluation import Evaluation, Racing, Score
from searchd.domain.facts import Fact, MeasurementAdded, StudyPut
from searchd.domain.fidelity import Fidelity
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm, Search
from searchd.domain.study import Budget, StudyName, StudyState
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.engine import Node, Report, Segment, SegmentReported, WorkerAdopted
from searchd.stores.memory import MemoryStore
from tests.unit.conductor.simulated import House, endings, measured, rebuilt, reports

PROBES = (-2.0, -0.05, 0.0, 0.02, 0.5)


class ServerKilledError(Exception):
    """The server died right after a commit."""


class Mortal(MemoryStore):
    """A store whose server dies after a commit: everything before it is durable, nothing after it was done."""

    def __init__(self) -> None:
        super().__init__()
        self.commits = 0
        self.deadly: int | None = None

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:
        revision = super().commit(facts, at)
        if facts:
            self.commits += 1
            if self.commits == self.deadly:
                raise ServerKilledError
        return revision


SCHEDULERS = (
    Scheduler(),
    Scheduler(mode=SchedulerMode.STOPPING),
    Scheduler(SchedulerAlgorithm.HYPERBAND, eta=2),
    Scheduler(SchedulerAlgorithm.MEDIAN),
)


def _house(scheduler: Scheduler, algorithm: Algorithm) -> tuple[House, StudyName, Mortal]:
    store = Mortal()
    house = House([Node("a", 3, 0)], store=store)
    name = house.create(
        search=Search(algorithm),
        scheduler=scheduler,
        evaluation=Evaluation(folds=2, epochs=3, racing=Racing.FORGIVING),
        budget=Budget(trials=8),
    )
    return house, name, store


def _run_through_deaths(house: House, store: Mortal, at: int, *, with_cluster: bool) -> None:
    store.deadly = at
    try:
        house.run()
    except ServerKilledError:
        if not with_cluster:
            house.lose_workers()
        house.boot()
        house.run()


@pytest.mark.parametrize("with_cluster", [True, False])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_restart_at_every_commit(scheduler: Scheduler, with_cluster: bool) -> None:
    """Whichever commit the server dies after, the next one finishes the study; nothing is lost or done twice.

    Where the workers live on, not even an epoch is trained twice.
    """
    for at in itertools.count(2):
        house, name, store = _house(scheduler, Algorithm.RANDOM)
        _run_through_deaths(house, store, at, with_cluster=with_cluster)
        committed = house.facts()
        study = house.study(name)
        assert study.state is StudyState.SUCCEEDED
        assert [t.number for t in house.trials(name)] == list(range(1, 9))
        assert set(endings(committed).values()) == {1}
        assert study.progress.trials == {s: n for s in TrialState if (n := len(house.in_state(name, s)))}
        if with_cluster:
            assert set(house.trained.values()) == {1}
            assert set(measured(committed).values()) == {1}
            assert study.progress.epochs == len(measured(committed))
        if store.commits < at:
            break
    assert at > 30


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_restart_after_every_commit_in_turn(scheduler: Scheduler) -> None:
    """A server that dies after each and every commit still finishes, one step at a time."""
    house, name, store = _house(scheduler, Algorithm.RANDOM)
    deaths = 0
    while not house.study(name).state.ended:
        store.deadly = store.commits + 1
        try:
            house.run()
        except ServerKilledError:
            deaths += 1
            store.deadly = None
            house.boot()
    assert deaths > 25
    assert house.study(name).state is StudyState.SUCCEEDED
    assert set(house.trained.values()) == {1}
    assert set(measured(house.facts()).values()) == {1}


def test_restarted_search_repeats_nothing() -> None:
    """After a restart the searcher goes on with the next suggestion: no configuration comes twice."""
    house, name, store = _house(Scheduler(), Algorithm.TPE)
    _run_through_deaths(house, store, 20, with_cluster=False)
    drawn = [t.parameters["x"] for t in house.trials(name)]
    assert len(set(drawn)) == len(drawn) == 8


def _told(active: ActiveStudy) -> dict[str, Any]:
    """What of a study's memory decisions depend on, in a form that can be compared."""
    scheduler = copy.deepcopy(active.scheduler)
    verdicts = [
        (rung, probe, copy.deepcopy(scheduler).completed(TrialNumber(999), rung, probe))
        for rung in range(len(active.ladder) - 1)
        for probe in PROBES
    ]
    climbs = []
    while (best := scheduler.promotable() or scheduler.best_paused()) is not None:
        climbs.append((best, scheduler.promotable() is not None))
        scheduler.promoted(*best)
    return {
        "verdicts": verdicts,
        "climbs": climbs,
        "trials": active.trials,
        "incumbents": active.standing.incumbents,
        "counts": {s: n for s, n in active.counts.items() if n},
        "rungs": active.rungs,
        "finishers": active.finishers,
        "climbing": active.climbing,
        "best": active.standing.best,
        "default": active.standing.default_score,
        "epochs": active.epochs,
        "full epochs": active.full_epochs,
        "seconds": active.train_seconds,
        "scores": {
            place: (trace.attempt, trace.epoch, trace.last, trace.best)
            for place, trace in active.traces.items()
            if (run := active.trials[place[0]].fold_runs[place[1]]).state.value == "handed_out"
            and run.attempt == trace.attempt
        },
    }


@pytest.mark.parametrize("scheduler", SCHEDULERS[:2])
@pytest.mark.parametrize("score", Score)
def test_rebuilt_memory_equals_the_lived_one(scheduler: Scheduler, score: Score) -> None:
    """At every instant a mind rebuilt from the store knows what the one that lived through it knows."""
    house = House()
    name = house.create(
        scheduler=scheduler,
        evaluation=Evaluation(folds=3, epochs=9, racing=Racing.AGGRESSIVE, score=score),
        budget=Budget(trials=27),
    )
    compared = 0

    def compare() -> bool:
        nonlocal compared
        if compared in (10, 25, 40):
            house.cluster.kill(next(iter(house.server.conductor.mind.holders.values())).id)
            house.server.turn()
        if not house.study(name).state.ended:
            compared += 1
            assert _told(rebuilt(house).mind.studies[name]) == _told(house.active(name))
        return False

    house.run(compare)
    assert compared > 50


def test_wall_time_that_passes_while_the_server_is_down_ends_the_study() -> None:
    """Wall time counts while the server is away, and what it ends the study as survives a restart."""
    store = Mortal()
    house = House(store=store)
    budget = Budget(trials=1000, wall_time=timedelta(seconds=60))
    name = house.create(evaluation=Evaluation(epochs=9), budget=budget)
    house.run_for(timedelta(seconds=40))
    house.clock.advance_to(house.clock.now() + timedelta(seconds=30))
    house.boot()
    house.run(lambda: house.study(name).state is StudyState.STOPPING)
    house.boot()
    house.run()
    assert (house.study(name).state, house.study(name).reason) == (StudyState.SUCCEEDED, "wall_time is over")


def test_best_epoch_before_a_drain_stands_after_the_restart() -> None:
    """With score: best, an epoch that was trained before the server left counts when the next one goes on."""

    def peak(segment: Segment, epoch: int) -> dict[str, float]:
        return {"accuracy": {4: 9.0}.get(epoch, 0.1 * epoch)}

    house = House(behaviour=reports(peak))
    ladder = (Fidelity(1, 3), Fidelity(1, 9))
    evaluation = Evaluation(epochs=9, score=Score.BEST, ladder=ladder)
    name = house.create(evaluation=evaluation, budget=Budget(trials=1))
    house.run(lambda: house.study(name).progress.epochs == 4)
    house.server.post(DrainRequested())
    house.run(lambda: not house.server.conductor.holding)
    house.boot()
    house.run()
    assert house.trial(name, 1).scores == pytest.approx((0.3, 9.0))


def test_adoption_repeated_changes_nothing() -> None:
    """An engine that starts again under the same server hands over the same workers; they are counted once."""
    house, name, _ = _house(Scheduler(), Algorithm.RANDOM)
    house.run_for(timedelta(seconds=3.5))
    workers = set(house.server.conductor.mind.cluster.workers)
    house.engine.start(1)
    house.server.turn()
    cluster = house.server.conductor.mind.cluster
    assert set(cluster.workers) == workers
    house.cluster.kill(next(iter(workers)))
    house.run_for(timedelta(seconds=2.5))
    assert len(cluster.workers) == 3
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED


def test_adopted_work_of_ended_trials_is_cancelled() -> None:
    """What workers still run of a study that was stopped while no server saw them is cancelled, then the study ends."""
    house, name, store = _house(Scheduler(), Algorithm.RANDOM)
    house.run_for(timedelta(seconds=3.5))
    store.deadly = store.commits + 1
    with pytest.raises(ServerKilledError):
        house.stop(name)
    house.boot()
    assert house.study(name).state is StudyState.STOPPING
    house.run()
    assert house.study(name).state is StudyState.STOPPED
    assert house.study(name).progress.busy == 0


def test_nothing_ends_before_it_is_known_what_workers_hold() -> None:
    """A rebuilt mind ends no study, and hands nothing out, before the engine has told it of the workers there are."""
    house, name, store = _house(Scheduler(), Algorithm.RANDOM)
    house.run_for(timedelta(seconds=3.5))
    store.deadly = store.commits + 1
    with pytest.raises(ServerKilledError):
        house.stop(name)
    conductor, now = rebuilt(house), house.clock.now()
    conductor.opening()
    assert not [fact for fact in conductor.settle(now).facts if isinstance(fact, StudyPut)]
    conductor.decide(Reconciled(), now)
    (ended,) = [fact.study for fact in conductor.settle(now).facts if isinstance(fact, StudyPut)]
    assert ended.state is StudyState.STOPPED


def test_report_that_overtakes_the_adoption_waits_for_it() -> None:
    """A message of a worker that is not adopted yet is left for its outbox, so that no epoch before it is passed by."""
    house, _, _ = _house(Scheduler(mode=SchedulerMode.STOPPING), Algorithm.RANDOM)
    house.run(lambda: house.study(name).progress.epochs > 2 if (name := _only(house)) else False)
    worker = next(iter(house.server.conductor.mind.holders.values()))
    key, attempt = worker.held[0]
    conductor, now = rebuilt(house), house.clock.now()
    trace = house.active(key.study).traces.get((key.trial, 0))
    first = (trace.epoch if trace else 0) + 1

    def report(epoch: int) -> SegmentReported:
        return SegmentReported(worker.id, epoch, key, attempt, (Report(epoch, {"accuracy": 0.5}, 1.0, now),), None)

    assert conductor.decide(report(first + 1), now).facts == []
    conductor.decide(WorkerAdopted(worker.id, worker.pool.key, ((key, attempt),)), now)
    facts = [*conductor.decide(report(first), now).facts, *conductor.decide(report(first + 1), now).facts]
    assert [f.measurement.epoch for f in facts if isinstance(f, MeasurementAdded)] == [first, first + 1]


def _only(house: House) -> StudyName:
    (name,) = house.server.conductor.mind.studies
    return name
