"""Hyperopt's algorithms, and what they are shown of our trials."""

import statistics
from collections.abc import Mapping

import pytest

from searchd.domain.objective import Goal
from searchd.domain.search import Algorithm
from searchd.domain.space import Choice, Condition, Float, Parameter, SearchSpace
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Searcher
from searchd.searchers.factory import make_searcher
from tests.contracts.searcher import DISCRETE, MIXED, SeededSearcherContract, observed, spec, suggested
from tests.unit.searchers.test_tpe_search import SQUARE, best_of

ALGORITHMS = (Algorithm.HYPEROPT_TPE, Algorithm.HYPEROPT_ANNEAL)


class TestHyperoptTpe(SeededSearcherContract):
    """The contract of all searchers."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Algorithm.HYPEROPT_TPE


class TestHyperoptAnneal(SeededSearcherContract):
    """The contract of all searchers."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Algorithm.HYPEROPT_ANNEAL


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("goal", "sign"), [(Goal.MINIMIZE, 1.0), (Goal.MAXIMIZE, -1.0)])
def test_learns(algorithm: Algorithm, goal: Goal, sign: float) -> None:
    """Over 50 trials it gets nearer to the bottom of a bowl than random search, on average of 5 seeds, by far."""
    regret = {
        each: statistics.mean(best_of(make_searcher(spec(each, SQUARE, seed, goal)), sign, 50) for seed in range(5))
        for each in (algorithm, Algorithm.RANDOM)
    }
    assert regret[algorithm] < regret[Algorithm.RANDOM] / 2


def halves(algorithm: Algorithm, states: Mapping[str, tuple[TrialState, int, float]]) -> int:
    """How many of 20 suggestions have x > 0 after 40 trials whose state, rung and score depend on the sign of x."""
    searcher = make_searcher(spec(algorithm, SQUARE, 3))
    chance = make_searcher(spec(Algorithm.RANDOM, SQUARE, 99))
    for number in range(1, 41):
        parameters = suggested(chance, number)
        assert parameters is not None
        state, rung, score = states["good" if parameters["x"] > 0 else "bad"]
        searcher.tell([observed(number, parameters, score if rung else None, state, rung)])
    found = [suggested(searcher, n) for n in range(41, 61)]
    return sum(parameters is not None and parameters["x"] > 0 for parameters in found)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("state", [TrialState.PAUSED, TrialState.RUNNING, TrialState.COMPLETED])
def test_whoever_got_further_is_better(algorithm: Algorithm, state: TrialState) -> None:
    """Trials that were stopped early count as worse than those that climbed, though their scores are higher."""
    assert halves(algorithm, {"good": (state, 3, 0.1), "bad": (TrialState.STOPPED, 1, 0.9)}) > 14


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_does_not_learn_from_failures(algorithm: Algorithm) -> None:
    """Told only of failed, infeasible and cancelled trials, it goes on like one that was told nothing."""
    told, ignorant = (make_searcher(spec(algorithm, SQUARE, 3)) for _ in range(2))
    states = (TrialState.FAILED, TrialState.INFEASIBLE, TrialState.CANCELLED)
    told.tell([observed(n, {"x": 0.1 * n, "y": 0.0}, 1.0, states[n % 3]) for n in range(1, 31)])
    assert [suggested(told, n) for n in range(31, 36)] == [suggested(ignorant, n) for n in range(31, 36)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_trials_that_break_a_limit_are_bad(algorithm: Algorithm) -> None:
    """Of two equal maxima, the one that breaks a limit draws few suggestions."""
    searcher = make_searcher(spec(algorithm, SQUARE, 3))
    chance = make_searcher(spec(Algorithm.RANDOM, SQUARE, 99))
    for number in range(1, 41):
        parameters = suggested(chance, number)
        assert parameters is not None
        scores, feasible = (abs(parameters["x"]),), parameters["x"] < 0
        searcher.tell([Observation(TrialNumber(number), parameters, TrialState.COMPLETED, scores, feasible=feasible)])
    found = [suggested(searcher, n) for n in range(41, 61)]
    assert sum(parameters is not None and parameters["x"] < 0 for parameters in found) > 14


def test_pending_trials_keep_suggestions_of_tpe_apart() -> None:
    """A suggestion differs from what it would be if the one before it were unknown."""
    searchers: list[Searcher] = [make_searcher(spec(Algorithm.HYPEROPT_TPE, SQUARE, 1, Goal.MINIMIZE)) for _ in "ab"]
    for searcher in searchers:
        best_of(searcher, 1.0, 25)
    first, second = (suggested(searchers[0], n) for n in (26, 27))
    assert first is not None
    assert second != suggested(searchers[1], 27)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_learns_which_branch_is_good(algorithm: Algorithm) -> None:
    """In a conditional space most suggestions go to the better branch, near its best value."""
    space = SearchSpace(
        (
            Parameter("kind", Choice(("a", "b"))),
            Parameter("x", Float(0, 1), (Condition("kind", ("a",)),)),
            Parameter("z", Float(0, 1), (Condition("kind", ("b",)),)),
        )
    )
    searcher = make_searcher(spec(algorithm, space, 1))
    late = []
    for number in range(1, 71):
        parameters = suggested(searcher, number)
        assert parameters is not None
        score = 1 - abs(parameters["z"] - 0.8) if parameters["kind"] == "b" else -1.0
        searcher.tell([observed(number, parameters, score, TrialState.COMPLETED)])
        if number > 50:
            late.append(parameters)
    good = [p["z"] for p in late if p["kind"] == "b"]
    assert len(good) > 14
    assert statistics.median(abs(z - 0.8) for z in good) < 0.2


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_asking_again_for_a_number_gives_the_same(algorithm: Algorithm) -> None:
    """A suggestion does not stand in the way of itself."""
    searcher = make_searcher(spec(algorithm, DISCRETE))
    for number in range(1, 26):
        parameters = suggested(searcher, number)
        assert parameters is not None
        assert parameters == suggested(searcher, number)
        searcher.tell([observed(number, parameters, float(parameters["units"]), TrialState.COMPLETED)])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_values_are_plain(algorithm: Algorithm) -> None:
    """Configurations hold Python's own numbers, which the store can keep, before and after learning."""
    searcher = make_searcher(spec(algorithm, MIXED))
    for number in range(1, 26):
        parameters = suggested(searcher, number)
        assert parameters is not None
        assert {type(value) for value in parameters.values()} <= {int, float, str}
        searcher.tell([observed(number, parameters, float(number), TrialState.COMPLETED)])
