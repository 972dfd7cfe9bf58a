"""What goes wrong in training: bad metrics, failures, deaths, hangs, and messages that come late or twice."""

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest

from searchd.domain.evaluation import Evaluation
from searchd.domain.facts import TrialPut
from searchd.domain.failure import Failure
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm, Search
from searchd.domain.study import Budget, Retry, StudyName, StudyState
from searchd.domain.trial import FoldRunState, TrialNumber, TrialState
from searchd.engines.simulated import Behaviour, Epoch
from searchd.ports.engine import (
    Acknowledge,
    LossCause,
    Node,
    Segment,
    WorkerId,
    WorkerLost,
    WorkerReady,
)
from searchd.ports.searcher import Observation, SearchCommand, Tell
from searchd.schedulers.asha import AshaPromotion
from searchd.searchers.local import LocalSearchers
from tests.unit.conductor.simulated import House, reports, score, trains

NONE = Scheduler(SchedulerAlgorithm.NONE)
ASHA = Scheduler()


def odd_one(metrics: dict[str, float], epoch: int = 1) -> Behaviour:
    """Trial 3 reports these metrics at that epoch of its last fold, all else is well."""

    def behave(segment: Segment, now: int) -> dict[str, float]:
        last = max(segment.task.evaluation.folds, 1) - 1
        if (segment.trial, segment.fold, now) == (3, last, epoch):
            return metrics
        return {"accuracy": score(segment.parameters["x"], segment.fold, now)}

    return reports(behave)


class FiniteOnly(AshaPromotion):
    """Fails the test when it is told of a score that is no number."""

    def recorded(self, trial: TrialNumber, rung: int, score: float, climbed: bool) -> None:
        assert math.isfinite(score)
        super().recorded(trial, rung, score, climbed)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("folds", "scheduler", "epoch"), [(0, ASHA, 1), (0, NONE, 3), (3, NONE, 2)])
def test_objective_that_is_no_number_makes_the_trial_infeasible(
    value: float, folds: int, scheduler: Scheduler, epoch: int
) -> None:
    """NaN and infinities end their trial as INFEASIBLE with epoch and fold; no rung hears of them, others go on."""
    house = House(behaviour=odd_one({"accuracy": value}, epoch), schedulers=lambda spec: FiniteOnly(3))
    name = house.create(scheduler=scheduler, evaluation=Evaluation(folds=folds, epochs=3), budget=Budget(trials=9))
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED
    assert house.in_state(name, TrialState.INFEASIBLE) == [3]
    trial = house.trial(name, 3)
    assert trial.reason == f"accuracy is {value} at epoch {epoch} of fold {max(folds, 1) - 1}"
    assert trial.scores == ()


def test_missing_objective_fails_the_trial_with_what_it_did_report() -> None:
    """A report without the objective's metric fails its trial, naming what was reported; the others go on."""
    house = House(behaviour=odd_one({"f1": 0.5, "loss": 1.0}, epoch=2))
    name = house.create(scheduler=NONE, evaluation=Evaluation(epochs=3), budget=Budget(trials=6))
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED
    trial = house.trial(name, 3)
    assert trial.state is TrialState.FAILED
    assert trial.reason == "epoch 2 reported no 'accuracy', only f1, loss"
    assert len(house.in_state(name, TrialState.COMPLETED)) == 5


class Told(LocalSearchers):
    """Searchers that note what they were told."""

    heard: ClassVar[list[Observation]] = []

    def perform(self, command: SearchCommand) -> None:
        if isinstance(command, Tell):
            Told.heard.extend(command.observations)
        super().perform(command)


def test_searcher_hears_of_bad_trials_without_a_score() -> None:
    """An INFEASIBLE trial reaches the searcher as such, with no score; a stopped one at its rung, never as complete."""
    Told.heard.clear()
    house = House(behaviour=odd_one({"accuracy": math.nan}), searchers=Told)
    name = house.create(
        search=Search(Algorithm.TPE),
        scheduler=Scheduler(mode=SchedulerMode.STOPPING),
        evaluation=Evaluation(epochs=9),
        budget=Budget(trials=12),
    )
    house.run()
    last = {o.number: o for o in Told.heard}
    assert last[TrialNumber(3)].state is TrialState.INFEASIBLE
    assert all(o.score is None or math.isfinite(o.score) for o in Told.heard)
    for number, observation in last.items():
        trial = house.trial(name, number)
        assert (observation.state, len(observation.scores)) == (trial.state, trial.rung)
        assert observation.score == (trial.scores[-1] if trial.scores else None)
    assert any(o.state is TrialState.STOPPED and len(o.scores) < 3 for o in last.values())


def test_study_fails_with_the_commonest_reason_when_all_trials_fail() -> None:
    """When no trial gets to the top, the study is FAILED and says what most of them failed of."""

    def broken(segment: Segment, epoch: int) -> Iterator[Epoch]:
        yield from ()
        raise ValueError("no good" if segment.trial > 1 else "bad luck")

    house = House(behaviour=broken)
    name = house.create(budget=Budget(trials=5))
    house.run()
    study = house.study(name)
    assert study.state is StudyState.FAILED
    assert study.reason == "no trial completed; 4 of 5 failures: ValueError: no good"
    assert house.in_state(name, TrialState.FAILED) == [1, 2, 3, 4, 5]


def test_trial_that_never_reports_fails() -> None:
    """A trainable that returns without any report fails its trial with that reason."""

    def silent(segment: Segment, epoch: int) -> Iterator[Epoch]:
        yield from () if segment.trial == 2 else trains(segment, epoch)

    house = House(behaviour=silent)
    name = house.create(scheduler=NONE, budget=Budget(trials=3))
    house.run()
    assert house.trial(name, 2).state is TrialState.FAILED
    assert house.trial(name, 2).reason == "fold 0 ended at epoch 0 without reporting a score"
    assert house.in_state(name, TrialState.COMPLETED) == [1, 3]


def _kill_whoever_runs(house: House, trial: int) -> WorkerId:
    """Kill the worker that runs a segment of the trial."""
    worker = next(w for (key, _), w in house.server.conductor.mind.holders.items() if key.trial == trial)
    house.cluster.kill(worker.id)
    house.server.turn()
    return worker.id


def _running(house: House, trial: int) -> bool:
    return any(key.trial == trial for key, _ in house.server.conductor.mind.holders)


def test_death_of_a_worker_hands_out_again() -> None:
    """What a dead worker ran is handed out again with the next attempt, and another worker takes its place."""
    house = House()
    name = house.create(scheduler=NONE, evaluation=Evaluation(epochs=3), budget=Budget(trials=4))
    house.run(lambda: _running(house, 2))
    house.run_for(timedelta(seconds=1.5))
    _kill_whoever_runs(house, 2)
    house.run()
    run = house.trial(name, 2).fold_runs[0]
    assert (run.attempt, run.failures, run.state) == (2, (Failure.WORKER_KILLED,), FoldRunState.FINISHED)
    assert house.study(name).state is StudyState.SUCCEEDED
    assert len(house.in_state(name, TrialState.COMPLETED)) == 4


@pytest.mark.parametrize("attempts", [1, 3])
def test_as_many_deaths_as_attempts_fail_the_trial(attempts: int) -> None:
    """A fold run whose workers die ``attempts`` times is given up; the study goes on."""
    house = House()
    name = house.create(
        scheduler=NONE, evaluation=Evaluation(epochs=3), budget=Budget(trials=4), retry=Retry(attempts=attempts)
    )
    for _ in range(attempts):
        house.run(lambda: _running(house, 2))
        _kill_whoever_runs(house, 2)
    house.run()
    trial = house.trial(name, 2)
    assert trial.state is TrialState.FAILED
    assert trial.reason == (f"killed (attempt {attempts} of {attempts})" if attempts > 1 else "killed")
    assert trial.failure is Failure.WORKER_KILLED
    assert house.study(name).state is StudyState.SUCCEEDED
    assert len(house.in_state(name, TrialState.COMPLETED)) == 3


def test_death_counts_only_against_what_ran() -> None:
    """Segments that were only queued on a dead worker are handed out again without losing an attempt."""

    def brief(segment: Segment, epoch: int) -> Iterator[Epoch]:
        yield Epoch({"accuracy": 1.0}, timedelta(milliseconds=5))

    house = House([Node("a", 1, 0)], brief)
    name = house.create(scheduler=NONE, budget=Budget(trials=60), default=None)
    house.run(lambda: len(house.server.conductor.mind.holders) > 3)
    (worker,) = {w.id for w in house.server.conductor.mind.holders.values()}
    held = list(house.server.conductor.mind.cluster.workers[worker].held)
    house.cluster.kill(worker)
    house.run()
    losses = {key.trial: len(house.trial(name, key.trial).fold_runs[0].failures) for key, _ in held}
    assert [losses[key.trial] for key, _ in held] == [1] + [0] * (len(held) - 1)
    assert len(house.in_state(name, TrialState.COMPLETED)) == 60


def test_repeated_stale_and_foreign_reports_change_nothing() -> None:
    """Every message of a whole study, delivered again after each new one and with wrong attempts, leaves no fact."""
    house = House([Node("a", 2, 0)])
    name = house.create(evaluation=Evaluation(folds=2, epochs=3), budget=Budget(trials=6))
    while house.study(name).state is not StudyState.SUCCEEDED:
        known = len(house.engine.reported())
        house.run(lambda known=known: len(house.engine.reported()) > known)  # type: ignore[misc]
        before = len(house.facts())
        for message in house.engine.reported():
            house.server.post(message)
            house.server.post(replace(message, attempt=message.attempt + 7))
            house.server.post(replace(message, worker=WorkerId("nobody")))
            house.server.post(replace(message, key=message.key._replace(study=StudyName("b"))))
            house.server.post(replace(message, key=message.key._replace(trial=TrialNumber(99))))
            house.server.post(replace(message, key=message.key._replace(fold=7)))
        house.server.post(WorkerReady(WorkerId("nobody")))
        house.server.post(WorkerLost(WorkerId("nobody"), LossCause.DIED, "gone"))
        house.server.turn()
        assert house.facts()[before:] == []


def test_acknowledgements_follow_the_commit() -> None:
    """A message is acknowledged only after what it led to is in the store, and every message is in the end."""
    house = House()
    name = house.create(evaluation=Evaluation(folds=2, epochs=3), budget=Budget(trials=6))
    acknowledged = 0
    measured: list[int] = []

    def watch() -> bool:
        nonlocal acknowledged
        new = [c for c in house.engine.commands[acknowledged:] if isinstance(c, Acknowledge)]
        acknowledged = len(house.engine.commands)
        for command in new:
            for message in house.engine.reported():
                if message.worker == command.worker and message.sequence <= command.sequence:
                    stored = house.store.measurements(name, message.key.trial, None, 100)
                    known = {(m.repeat, m.fold, m.epoch) for m in stored}
                    measured.append(message.sequence)
                    assert {(message.key.repeat, message.key.fold, r.epoch) for r in message.reports} <= known
        return False

    house.run(watch)
    assert measured
    last = {c.worker: c.sequence for c in house.engine.commands if isinstance(c, Acknowledge)}
    assert last == {m.worker: m.sequence for m in house.engine.reported()}


def test_verdict_after_a_dead_worker_uses_the_newest_attempt() -> None:
    """After a death the retrained epochs replace the earlier ones, and are trained from the last checkpoint."""
    house = House([Node("a", 1, 0)])
    ladder_start = timedelta(seconds=2)
    name = house.create(scheduler=NONE, evaluation=Evaluation(epochs=9), budget=Budget(trials=1), default=None)
    house.run_for(ladder_start + timedelta(seconds=4.5))
    assert house.study(name).progress.epochs == 4
    _kill_whoever_runs(house, 1)
    house.run()
    measurements = house.store.measurements(name, TrialNumber(1), None, 100)
    assert [m.epoch for m in measurements] == list(range(1, 10))
    assert {m.attempt for m in measurements} == {2}


def test_paused_trial_holds_no_worker() -> None:
    """Under promotion a trial that waits at its rung has nothing with a worker and nothing to hand out."""
    house = House()
    house.create(evaluation=Evaluation(epochs=9), budget=Budget(trials=9), default=None)
    house.run()
    paused = [f.trial for f in house.facts() if isinstance(f, TrialPut) and f.trial.state is TrialState.PAUSED]
    assert {trial.number for trial in paused} == set(range(1, 10))
    assert {run.state for trial in paused for run in trial.fold_runs} == {FoldRunState.WAITING}
