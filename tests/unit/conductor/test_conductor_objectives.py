"""Several objectives, limits and targets, and the budgets that end a study early."""

from dataclasses import replace
from datetime import timedelta

import pytest

from searchd.domain.evaluation import Confirm, Evaluation, Score
from searchd.domain.objective import Goal, Limit, Objective
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.study import Budget, FrontPoint, Resources, StudyState
from searchd.domain.trial import TrialState
from searchd.ports.engine import Node, Segment
from tests.unit.conductor.simulated import House, reports

ACCURACY = Objective("accuracy", Goal.MAXIMIZE)
LATENCY = Objective("latency", Goal.MINIMIZE)
SLOW = {"x": 1.0}


def both(segment: Segment, epoch: int) -> dict[str, float]:
    """Accuracy and latency both grow with x; a fold and an epoch more shift them a little."""
    x = segment.parameters["x"]
    return {"accuracy": x + 0.01 * epoch, "latency": 10 * x + segment.fold}


def test_means_of_all_metrics_are_kept_with_a_trial() -> None:
    """Beside the score a trial keeps the fold means of the other objectives and limits at its highest rung."""
    house = House(behaviour=reports(both))
    name = house.create(
        objectives=(ACCURACY, LATENCY), evaluation=Evaluation(folds=3, epochs=2), budget=Budget(trials=4)
    )
    house.run()
    default = house.trial(name, 1)
    assert default.scores[-1] == pytest.approx(0.52)
    assert default.others == pytest.approx((6.0,))
    assert all(run.others for run in default.fold_runs)


def test_the_front_holds_what_nobody_dominates() -> None:
    """With two objectives at odds every trial is on the front; where one is better in both, it is alone."""
    house = House(behaviour=reports(both))
    name = house.create(objectives=(ACCURACY, LATENCY), budget=Budget(trials=5))
    house.run()
    progress = house.study(name).progress
    assert [point.trial for point in progress.front] == [1, 2, 3, 4, 5]
    assert progress.worst == (min(p.values[0] for p in progress.front), max(p.values[1] for p in progress.front))

    agreed = House(behaviour=reports(both))
    name = agreed.create(objectives=(ACCURACY, Objective("latency", Goal.MAXIMIZE)), budget=Budget(trials=5))
    agreed.run()
    best = agreed.study(name).progress.best
    assert best is not None
    (point,) = agreed.study(name).progress.front
    assert isinstance(point, FrontPoint)
    assert point.trial == best.trial


def test_the_best_trial_keeps_all_limits() -> None:
    """A better trial that breaks a limit is neither the best nor on the front, and is marked."""
    house = House(behaviour=reports(both))
    name = house.create(default=SLOW, limits=(Limit("latency", at_most=8.0),), budget=Budget(trials=6))
    house.run()
    trials = house.trials(name)
    assert not trials[0].feasible
    best = house.study(name).progress.best
    assert best is not None
    kept = [t for t in trials if t.feasible]
    assert best.trial == max(kept, key=lambda t: t.scores[-1]).number
    assert all((10 * t.parameters["x"] <= 8) == t.feasible for t in trials)


def test_a_study_whose_trials_all_break_limits_succeeds_without_a_best() -> None:
    """When nobody keeps the limits there is no best trial."""
    house = House(behaviour=reports(both))
    name = house.create(limits=(Limit("latency", at_least=1e9),), budget=Budget(trials=3))
    house.run()
    study = house.study(name)
    assert study.progress.best is None
    assert study.state is StudyState.SUCCEEDED


def test_a_missing_limit_metric_fails_the_trial() -> None:
    """What a limit is about must be reported like the objective."""
    house = House(behaviour=reports(lambda segment, epoch: {"accuracy": 0.5}))
    name = house.create(limits=(Limit("latency", at_most=1.0),), budget=Budget(trials=2))
    house.run()
    assert house.in_state(name, TrialState.FAILED) == [1, 2]
    assert "'latency'" in house.trial(name, 1).reason


def test_the_best_epoch_brings_its_own_other_values() -> None:
    """With score: best the other metrics are those of the epoch that scored best."""
    house = House(
        behaviour=reports(lambda segment, epoch: {"accuracy": 1.0 / epoch, "latency": float(epoch)}),
    )
    name = house.create(
        limits=(Limit("latency", at_most=9.0),),
        evaluation=Evaluation(epochs=3, score=Score.BEST),
        budget=Budget(trials=1),
    )
    house.run()
    trial = house.trial(name, 1)
    assert (trial.scores[-1], trial.others) == (1.0, (1.0,))


def test_a_study_ends_at_its_target() -> None:
    """When a trial is as good as the target the study succeeds and starts nothing more."""
    house = House((Node("a", 1, 0),), behaviour=reports(both))
    target = Objective("accuracy", Goal.MAXIMIZE, target=0.4)
    name = house.create(objectives=(target,), budget=Budget(trials=50))
    house.run()
    study = house.study(name)
    assert study.state is StudyState.SUCCEEDED
    assert study.reason == "the target is reached"
    assert len(house.trials(name)) < 5


def test_targets_of_several_objectives_must_be_reached_by_one_trial() -> None:
    """Two trials that reach a target each do not end the study."""
    house = House(behaviour=reports(both))
    aims = (Objective("accuracy", Goal.MAXIMIZE, target=0.8), Objective("latency", Goal.MINIMIZE, target=2.0))
    name = house.create(objectives=aims, budget=Budget(trials=30))
    house.run()
    values = [(t.scores[-1], t.others[0]) for t in house.trials(name)]
    assert any(a >= 0.8 for a, _ in values)
    assert any(b <= 2.0 for _, b in values)
    assert house.study(name).reason == ""


def test_patience_ends_the_search() -> None:
    """After as many trials in a row as patience allows that were no better than the best, no new one starts."""
    house = House((Node("a", 1, 0),), behaviour=reports(lambda segment, epoch: {"accuracy": -float(segment.trial)}))
    name = house.create(budget=Budget(trials=50, patience=7, slots=1))
    house.run()
    study = house.study(name)
    assert study.state is StudyState.SUCCEEDED
    assert study.reason == "patience is used: none of the last 7 trials was better"
    assert len(house.trials(name)) == 8


def test_with_several_objectives_patience_is_for_the_front() -> None:
    """A trial that adds to the front is an improvement, whichever objective it is good at; one that is equal to
    another there is not."""

    def falling(segment: Segment, epoch: int) -> dict[str, float]:
        number = float(min(segment.trial, 20))
        return {"accuracy": -number, "latency": -number}

    house = House((Node("a", 1, 0),), behaviour=reports(falling))
    name = house.create(objectives=(ACCURACY, LATENCY), budget=Budget(trials=50, patience=7, slots=1))
    house.run()
    assert len(house.study(name).progress.front) >= 20
    assert len(house.trials(name)) == 27


def test_patience_survives_a_restart() -> None:
    """A restarted server goes on counting where the one before was."""
    house = House((Node("a", 1, 0),), behaviour=reports(lambda segment, epoch: {"accuracy": -float(segment.trial)}))
    name = house.create(budget=Budget(trials=50, patience=7, slots=1))
    house.run(until=lambda: len(house.trials(name)) == 5)
    house.boot()
    house.run()
    assert len(house.trials(name)) == 8


def test_gpu_hours_end_the_study() -> None:
    """When its GPU-hours of training are used, what runs is cancelled and the study ends with what it has."""
    house = House((Node("a", 4, 2),), behaviour=reports(both))
    budget = Budget(trials=1000, gpu_hours=20 / 3600)
    name = house.create(resources=Resources(1, 0.5), budget=budget)
    house.run()
    study = house.study(name)
    assert (study.state, study.reason) == (StudyState.SUCCEEDED, "gpu_hours are used")
    assert 40 <= study.progress.train_seconds <= 50


def test_gpu_hours_bound_what_follows_the_target() -> None:
    """A study whose target is reached is confirmed only as far as its GPU-hours go."""
    house = House((Node("a", 1, 1),), behaviour=reports(both))
    name = house.create(
        objectives=(replace(ACCURACY, target=0.1),),
        resources=Resources(1, 1),
        evaluation=Evaluation(epochs=2, confirm=Confirm(top=1, repeats=4, share=1.0)),
        budget=Budget(trials=8, gpu_hours=5 / 3600),
    )
    house.run()
    study = house.study(name)
    assert (study.state, study.reason) == (StudyState.SUCCEEDED, "gpu_hours are used")
    assert study.progress.train_seconds <= 6


def test_no_segment_starts_when_the_gpu_hours_are_used() -> None:
    """The report that uses them up, and frees its worker, lets nothing more begin."""
    house = House((Node("a", 1, 1),), behaviour=reports(both))
    name = house.create(
        resources=Resources(1, 1),
        scheduler=Scheduler(SchedulerAlgorithm.NONE),
        evaluation=Evaluation(epochs=2),
        budget=Budget(trials=1000, gpu_hours=2 / 3600),
    )
    house.run()
    study = house.study(name)
    assert (study.state, study.reason) == (StudyState.SUCCEEDED, "gpu_hours are used")
    assert len(house.engine.segments()) == 1


def test_a_hopeless_study_ends_with_the_commonest_reason() -> None:
    """When the first ten trials have failed and nothing has worked, the study fails and names the commonest reason."""

    def broken(segment: Segment, epoch: int) -> dict[str, float]:
        raise ValueError("odd" if segment.trial % 3 else "common to few")

    house = House((Node("a", 1, 0),), behaviour=reports(broken))
    name = house.create(budget=Budget(trials=1000))
    house.run()
    study = house.study(name)
    assert study.state is StudyState.FAILED
    assert study.reason.startswith("nothing works; 7 of 10 failures: ")
    assert "odd" in study.reason
    assert len(house.trials(name)) < 15


def test_one_success_keeps_a_study_going() -> None:
    """Many failures do not end a study in which something has worked."""

    def mostly(segment: Segment, epoch: int) -> dict[str, float]:
        if segment.trial > 1:
            raise ValueError("no")
        return {"accuracy": 1.0}

    house = House(behaviour=reports(mostly))
    name = house.create(budget=Budget(trials=30, wall_time=timedelta(hours=1)))
    house.run()
    assert len(house.trials(name)) == 30
    assert house.study(name).state is StudyState.SUCCEEDED
