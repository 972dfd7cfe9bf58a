"""TPE, and what it is shown of our trials."""

import statistics
from collections.abc import Mapping
from typing import Any

import pytest

from searchd.domain.objective import Goal
from searchd.domain.search import Algorithm
from searchd.domain.space import Choice, Condition, Float, Parameter, SearchSpace
from searchd.domain.trial import TrialState
from searchd.ports.searcher import Searcher
from searchd.searchers.factory import make_searcher
from tests.contracts.objectives import SeveralObjectivesContract
from tests.contracts.searcher import CONDITIONAL, LearningSearcherContract, key, observed, spec, suggested

SQUARE = SearchSpace((Parameter("x", Float(-5, 5)), Parameter("y", Float(-5, 5))))


class TestTpe(LearningSearcherContract, SeveralObjectivesContract):
    """The contracts of searchers that learn and of those with several objectives."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Algorithm.TPE

    @pytest.fixture
    def trials(self) -> tuple[int, int]:
        return 40, 20


def quadratic(parameters: Mapping[str, Any]) -> float:
    """A bowl with its lowest point, 0, at (2, -1)."""
    return float((parameters["x"] - 2) ** 2 + (parameters["y"] + 1) ** 2)


def best_of(searcher: Searcher, sign: float, trials: int = 40) -> float:
    """The lowest value of the bowl that a searcher finds, being told ``sign`` times the value."""
    best = float("inf")
    for number in range(1, trials + 1):
        parameters = suggested(searcher, number)
        assert parameters is not None
        value = quadratic(parameters)
        best = min(best, value)
        searcher.tell([observed(number, parameters, sign * value, TrialState.COMPLETED)])
    return best


@pytest.mark.parametrize(("goal", "sign"), [(Goal.MINIMIZE, 1.0), (Goal.MAXIMIZE, -1.0)])
def test_learns(goal: Goal, sign: float) -> None:
    """Over 40 trials TPE gets nearer to the bottom of a bowl than random search, on average of 5 seeds, by far."""
    regret = {
        algorithm: statistics.mean(
            best_of(make_searcher(spec(algorithm, SQUARE, seed, goal)), sign) for seed in range(5)
        )
        for algorithm in (Algorithm.TPE, Algorithm.RANDOM)
    }
    assert regret[Algorithm.TPE] < regret[Algorithm.RANDOM] / 3


def suggestions_after(states: Mapping[str, tuple[TrialState, int]], numbers: range) -> list[float]:
    """X of suggestions after 30 trials: those with x > 0 are good. ``states`` gives state and rung of each half."""
    searcher = make_searcher(spec(Algorithm.TPE, SQUARE, 3, Goal.MAXIMIZE))
    start = make_searcher(spec(Algorithm.TPE, SQUARE, 99, Goal.MAXIMIZE))
    for number in range(1, 31):
        parameters = suggested(start, number)
        assert parameters is not None
        half = "good" if parameters["x"] > 0 else "bad"
        state, rung = states[half]
        score = (1.0 if half == "good" else 0.0) if rung else None
        searcher.tell([observed(number, parameters, score, state, rung)])
    return [(suggested(searcher, n) or {})["x"] for n in numbers]


def test_learns_from_trials_that_were_stopped_early() -> None:
    """Where stopped trials got further on one side, most suggestions are on that side, though none completed."""
    states = {"good": (TrialState.PAUSED, 3), "bad": (TrialState.STOPPED, 1)}
    assert sum(x > 0 for x in suggestions_after(states, range(31, 51))) > 14


def test_a_trial_that_climbs_is_judged_by_what_it_reached() -> None:
    """Trials running for their next rung keep drawing suggestions near, as they did while paused."""
    states = {"good": (TrialState.RUNNING, 2), "bad": (TrialState.STOPPED, 1)}
    assert sum(x > 0 for x in suggestions_after(states, range(31, 51))) > 14


def test_does_not_learn_from_failures() -> None:
    """Told only of failed, infeasible and cancelled trials, it goes on like one that was told nothing."""
    told, ignorant = (make_searcher(spec(Algorithm.TPE, SQUARE, 3, Goal.MAXIMIZE)) for _ in range(2))
    states = (TrialState.FAILED, TrialState.INFEASIBLE, TrialState.CANCELLED)
    told.tell([observed(n, {"x": 0.1 * n, "y": 0.0}, 1.0, states[n % 3]) for n in range(1, 31)])
    assert [suggested(told, n) for n in range(31, 36)] == [suggested(ignorant, n) for n in range(31, 36)]


def test_pending_trials_keep_suggestions_apart() -> None:
    """Suggestions asked for at once differ from those that each would be if the others were unknown."""
    searcher = make_searcher(spec(Algorithm.TPE, SQUARE, 1, Goal.MINIMIZE))
    best_of(searcher, 1.0, 20)
    batch = [suggested(searcher, n) for n in range(21, 27)]
    alone = []
    for number in range(21, 27):
        fresh = make_searcher(spec(Algorithm.TPE, SQUARE, 1, Goal.MINIMIZE))
        best_of(fresh, 1.0, 20)
        alone.append(suggested(fresh, number))
    assert batch[0] == alone[0]
    assert batch[1:] != alone[1:]


def test_a_later_observation_replaces_an_earlier_one() -> None:
    """Told of every rung a trial climbed, it answers as one that was told of the last alone."""
    lived, rebuilt = (
        make_searcher(spec(Algorithm.TPE, SQUARE, 1, Goal.MAXIMIZE)),
        make_searcher(spec(Algorithm.TPE, SQUARE, 1, Goal.MAXIMIZE)),
    )
    for number in range(1, 25):
        parameters = suggested(lived, number)
        assert parameters is not None
        steps = [
            observed(number, parameters, None, TrialState.RUNNING),
            observed(number, parameters, number % 7, TrialState.PAUSED, 1),
            observed(number, parameters, number % 7, TrialState.RUNNING, 1),
            observed(number, parameters, number % 5, TrialState.COMPLETED, 2),
        ]
        for step in steps:
            lived.tell([step])
        rebuilt.tell(steps[-1:])
    assert suggested(lived, 25) == suggested(rebuilt, 25)


def test_a_small_space_is_searched_to_its_end() -> None:
    """Even when the model would take the best again and again, 20 trials see 20 configurations; then there is none."""
    searcher = make_searcher(spec(Algorithm.TPE, CONDITIONAL, 1))
    given = []
    for number in range(1, 21):
        parameters = suggested(searcher, number)
        assert parameters is not None
        given.append(key(parameters))
        score = 1.0 if parameters["model"] == "linear" else 0.0
        searcher.tell([observed(number, parameters, score, TrialState.COMPLETED)])
    assert len(set(given)) == 20
    assert suggested(searcher, 21) is None


def test_learns_which_branch_is_good() -> None:
    """In a conditional space most suggestions go to the better branch, near its best value."""
    space = SearchSpace(
        (
            Parameter("kind", Choice(("a", "b"))),
            Parameter("x", Float(0, 1), (Condition("kind", ("a",)),)),
            Parameter("z", Float(0, 1), (Condition("kind", ("b",)),)),
        )
    )
    searcher = make_searcher(spec(Algorithm.TPE, space, 1, Goal.MAXIMIZE))
    late = []
    for number in range(1, 61):
        parameters = suggested(searcher, number)
        assert parameters is not None
        score = 1 - abs(parameters["z"] - 0.8) if parameters["kind"] == "b" else -1.0
        searcher.tell([observed(number, parameters, score, TrialState.COMPLETED)])
        if number > 40:
            late.append(parameters)
    good = [p["z"] for p in late if p["kind"] == "b"]
    assert len(good) > 14
    assert statistics.median(abs(z - 0.8) for z in good) < 0.1
