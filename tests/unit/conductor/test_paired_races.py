"""Paired races: who goes on, who is looked at again at the end, and that neither order nor a restart matters."""

import itertools
import math

import pytest

from searchd.conductor.racing import CAUTION, race_lost
from searchd.domain.evaluation import Evaluation, Racing
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler
from searchd.domain.study import Budget, StudyState
from searchd.domain.trial import Origin, TrialState
from searchd.ports.engine import Node, Segment
from tests.unit.conductor.simulated import House, reports, score

INCUMBENT = (0.80, 0.90, 0.85, 0.95, 0.75)
SPREAD = math.sqrt(sum((s - 0.85) ** 2 for s in INCUMBENT) / 4)
PAIRED = Evaluation(folds=5, racing=Racing.PAIRED)
ETA_4 = Scheduler(eta=4)


def _lost(scores: dict[int, float], incumbent: tuple[float, ...] = INCUMBENT, goal: Goal = Goal.MAXIMIZE) -> bool:
    return race_lost(Racing.PAIRED, scores, incumbent, goal)


@pytest.mark.parametrize("folds", [(0,), (3,), (1, 4), (0, 2, 3), (0, 1, 2, 3)])
def test_paired_race_allows_for_the_folds_to_come(folds: tuple[int, ...]) -> None:
    """A trial may lie as far below the incumbent, on the same folds, as 1.25 standard errors of the folds to come."""
    allowed = CAUTION * SPREAD * math.sqrt(1 / len(folds) - 1 / 5)
    assert not _lost({f: INCUMBENT[f] - 0.999 * allowed for f in folds})
    assert _lost({f: INCUMBENT[f] - 1.001 * allowed for f in folds})


def test_paired_race_knows_no_order_and_no_sign() -> None:
    """The order in which folds finish changes nothing, nor does turning the metric and the goal round."""
    for d in (-0.2, -0.1, -0.06, -0.03, 0.1):
        scores = {0: 0.8 + d, 3: 0.95, 1: 0.9 + d}
        turned = {fold: -s for fold, s in scores.items()}
        verdicts = {_lost(dict(order)) for order in itertools.permutations(scores.items())}
        verdicts.add(_lost(turned, tuple(-s for s in INCUMBENT), Goal.MINIMIZE))
        assert len(verdicts) == 1


def test_paired_race_against_an_incumbent_without_spread() -> None:
    """Where the incumbent's folds are equal, being no better on the finished ones is losing."""
    assert _lost({0: 0.9}, (0.9,) * 5)
    assert not _lost({0: 0.9 + 1e-9}, (0.9,) * 5)


def test_paired_race_with_huge_scores_goes_on() -> None:
    """A spread beyond what a float can hold is no reason to stop, and raises nothing."""
    assert not _lost({0: 0.0}, (1.7e308, -1.7e308, 0.0))


def _first_fold_misleads(segment: Segment, epoch: int) -> dict[str, float]:
    """Later trials are better, but for a first fold that puts trial 9 behind three others."""
    misled = segment.trial == 9 and segment.fold == 0
    return {"accuracy": segment.trial + 3.0 * segment.fold - (3.5 if misled else 0.0)}


def test_trials_that_may_still_win_climb_at_the_end() -> None:
    """Who was not among the best quarter on one fold, but has not lost the race, is evaluated when no new come."""
    for racing, best in ((Racing.PAIRED, 9), (Racing.NONE, 8)):
        house = House([Node("a", 1, 0)], reports(_first_fold_misleads))
        evaluation = Evaluation(folds=5, racing=racing)
        name = house.create(scheduler=ETA_4, evaluation=evaluation, budget=Budget(trials=9), default=None)
        house.run()
        study = house.study(name)
        assert study.progress.best is not None
        assert study.progress.best.trial == best


@pytest.mark.parametrize("slots", [1, 4, 32])
@pytest.mark.parametrize("goal", Goal)
def test_nobody_is_left_behind_who_may_still_win(goal: Goal, slots: int) -> None:
    """When a study has ended, whoever paused on one fold would have lost the race there against the best trial."""
    sign = 1 if goal is Goal.MAXIMIZE else -1
    house = House([Node("a", slots, 0)], reports(lambda s, e: {"m": sign * score(s.parameters["x"], s.fold, e)}))
    name = house.create(
        scheduler=ETA_4, evaluation=PAIRED, budget=Budget(trials=40), objectives=(Objective("m", goal),)
    )
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED
    best = house.study(name).progress.best
    assert best is not None
    incumbent = tuple(run.scores[0][1] for run in house.trial(name, best.trial).fold_runs)
    left = [trial for trial in house.trials(name) if trial.reason == "not promoted"]
    assert left
    assert all(_lost({0: trial.scores[0]}, incumbent, goal) for trial in left)


def test_epochs_do_not_climb_out_of_turn() -> None:
    """At the end only folds are looked at again: nobody who paused before the last epoch is trained on for it."""
    house = House()
    evaluation = Evaluation(folds=5, epochs=9, racing=Racing.PAIRED)
    name = house.create(scheduler=Scheduler(eta=3), evaluation=evaluation, budget=Budget(trials=60))
    house.run()
    searched = [trial for trial in house.trials(name) if trial.origin is Origin.SEARCH]
    assert len([trial for trial in searched if trial.rung == 1]) >= 30


@pytest.mark.parametrize("every", [3, 7])
def test_restarts_change_no_race(every: int) -> None:
    """On one slot a study whose server starts again and again decides as one that is left alone."""
    alone, restarted = _ends(None), _ends(every)
    assert alone == restarted
    assert any("lost the race" in reason for _, _, reason, _ in alone)
    assert any(state is TrialState.COMPLETED for _, state, _, _ in alone)


def _ends(every: int | None) -> list[tuple[int, TrialState, str, tuple[float, ...]]]:
    """How the trials of a study end whose server starts again after every so many fold runs; None for never."""
    house = House([Node("a", 1, 0)])
    name = house.create(scheduler=ETA_4, evaluation=PAIRED, budget=Budget(trials=24))
    until = 0

    def enough() -> bool:
        return len(house.trained) >= until

    while every is not None and not house.study(name).state.ended:
        until = len(house.trained) + every
        house.run(enough)
        house.boot()
    house.run()
    return [(t.number, t.state, t.reason, t.scores) for t in house.trials(name)]
