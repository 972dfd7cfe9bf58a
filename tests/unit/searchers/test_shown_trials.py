"""What samplers are shown of our trials, and how these stand."""

import math
from dataclasses import replace

import pytest

from searchd.domain.objective import Goal, Limit
from searchd.domain.search import Algorithm
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation
from searchd.searchers.optuna_axes import Axes
from searchd.searchers.optuna_trials import Partial, ShownTrials, View
from searchd.searchers.standing import LARGEST, Standings
from tests.contracts.objectives import SQUARE, TWO
from tests.contracts.searcher import observed, spec

STUDY = replace(spec(Algorithm.TPE, SQUARE), objectives=TWO, limits=(Limit("size", at_most=3.0),))


def complete(number: int, gain: float, cost: float, size: float = 0.0) -> Observation:
    """A trial with its three metrics."""
    parameters = {"x": 0.1 * number, "y": 0.0}
    return Observation(TrialNumber(number), parameters, TrialState.COMPLETED, (gain,), (cost, size))


def test_metrics_are_signed_so_that_less_is_better() -> None:
    """A gain is negated, a cost is not, and a limit's excess is what is above it."""
    standing = Standings(STUDY).of(complete(1, 5.0, 2.0, 4.5))
    assert standing is not None
    assert (standing.lacking, standing.excess, standing.losses) == (0, (1.5,), (-5.0, 2.0))


@pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.INFEASIBLE, TrialState.CANCELLED])
def test_lost_trials_have_no_standing(state: TrialState) -> None:
    """Whatever they scored before."""
    assert Standings(STUDY).of(replace(complete(1, 1.0, 1.0), state=state)) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_no_standing(value: float) -> None:
    """A metric that is not finite teaches nothing, wherever it stands."""
    for observation in (complete(1, value, 1.0), complete(1, 1.0, value), complete(1, 1.0, 1.0, value)):
        assert Standings(STUDY).of(observation) is None


def test_huge_results_are_bounded() -> None:
    """What a model could not square is taken for the largest that it can."""
    standing = Standings(STUDY).of(complete(1, 1e300, -1e300, 1e300))
    assert standing is not None
    assert (standing.excess, standing.losses) == ((LARGEST,), (-LARGEST, -LARGEST))


def test_limits_then_rungs_then_scores() -> None:
    """A trial within the limits comes first, then one that got further, then one that scored better."""
    within, beyond, worse = complete(1, 1.0, 9.0), complete(2, 5.0, 0.0, 4.0), complete(3, 0.5, 9.0)
    stopped = replace(complete(4, 7.0, 0.0), state=TrialState.STOPPED)
    found = [s for o in (beyond, stopped, worse, within) if (s := Standings(STUDY).of(o)) is not None]
    assert sorted(found, key=lambda s: s.order()) == list(reversed(found))


def test_of_many_trials_the_best_and_the_latest_are_shown() -> None:
    """Beyond the most that a sampler is shown, the best by each objective stay, however old, and all that run."""
    study = replace(spec(Algorithm.TPE, SQUARE), objectives=TWO)
    shown = ShownTrials(study, Axes(SQUARE), View(Partial.LACKING, best=2, recent=3))
    for number in range(1, 11):
        gain, cost = (100.0 if number == 2 else 0.0), (-100.0 if number == 4 else 0.0)
        shown.show(complete(number, gain, cost))
    for number in (11, 12):
        shown.show(observed(number, {"x": 0.0, "y": 0.0}, None, TrialState.RUNNING))
    assert [t.number for t in shown.get_all_trials(0)] == [2, 4, 8, 9, 10, 11, 12]
    assert shown.results == 10


def test_a_hidden_trial_is_gone() -> None:
    """What was shown of a trial is taken back when it fails."""
    study = spec(Algorithm.TPE, SQUARE, goal=Goal.MINIMIZE)
    shown = ShownTrials(study, Axes(SQUARE), View(Partial.PRUNED))
    trial = observed(1, {"x": 0.0, "y": 0.0}, 1.0, TrialState.PAUSED)
    shown.show(trial)
    shown.show(replace(trial, state=TrialState.FAILED))
    assert shown.get_all_trials(0) == []
    assert shown.results == 0
