"""Brackets."""

from collections import Counter

import pytest

from searchd.domain.brackets import Brackets, brackets_of
from searchd.domain.evaluation import Evaluation
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.study import Budget, StudySpec
from searchd.domain.trial import TrialNumber


def _spec(scheduler: Scheduler) -> StudySpec:
    objectives = (Objective("accuracy", Goal.MAXIMIZE),)
    return StudySpec("t", objectives, seed=7, scheduler=scheduler, evaluation=Evaluation(epochs=27), budget=Budget(100))


@pytest.mark.parametrize(
    ("scheduler", "weights"),
    [
        (Scheduler(SchedulerAlgorithm.HYPERBAND), (27, 12, 6, 4)),
        (Scheduler(SchedulerAlgorithm.ASHA, brackets=2), (27, 12)),
        (Scheduler(SchedulerAlgorithm.ASHA, brackets=9), (27, 12, 6, 4)),
        (Scheduler(SchedulerAlgorithm.ASHA), (27,)),
        (Scheduler(SchedulerAlgorithm.MEDIAN), (1,)),
        (Scheduler(SchedulerAlgorithm.NONE), (1,)),
    ],
)
def test_weights_are_hyperbands(scheduler: Scheduler, weights: tuple[int, ...]) -> None:
    """Hyperband has a bracket for each rung and ASHA those it is told, in the numbers of the paper's Algorithm 1."""
    found = brackets_of(_spec(scheduler))
    assert len(found.weights) == len(weights)
    assert found.seed == 7
    if len(weights) > 1:
        assert found.weights == weights


def test_trials_are_divided_by_weight() -> None:
    """Of many trials each bracket gets its share, in an order that differs from seed to seed."""
    weights = (27, 12, 6, 4)
    trials = [TrialNumber(number) for number in range(1, 10_001)]
    divided = [Brackets(1, weights).of(trial) for trial in trials]
    counts = Counter(divided)
    for bracket, weight in enumerate(weights):
        assert counts[bracket] / 10_000 == pytest.approx(weight / sum(weights), abs=0.02)
    assert divided != [Brackets(2, weights).of(trial) for trial in trials]


def test_a_trials_bracket_never_changes() -> None:
    """The bracket is the same in every process and version: a study that goes on after an update keeps its rungs."""
    assert [Brackets(5, (27, 12, 6, 4)).of(TrialNumber(number)) for number in range(1, 9)] == [0, 1, 0, 0, 1, 2, 1, 0]
