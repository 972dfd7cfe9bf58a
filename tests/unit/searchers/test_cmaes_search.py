"""CMA-ES: what it can search, its generations, and that they survive a restart."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from searchd.domain.objective import Goal, Limit
from searchd.domain.search import Algorithm
from searchd.domain.space import Choice, Condition, Float, Integer, Parameter, SearchSpace
from searchd.domain.study import Budget, StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Searcher
from searchd.searchers.factory import make_searcher
from tests.contracts.objectives import SQUARE, TWO, reported, searched
from tests.contracts.searcher import LearningSearcherContract, observed, spec

NUMBERS = SearchSpace(
    (
        Parameter("lr", Float(1e-5, 1e-1, log=True)),
        Parameter("dropout", Float(0.0, 0.5, step=0.1)),
        Parameter("width", Integer(8, 513, log=True)),
        Parameter("batch", Integer(16, 129, log=True, step=16)),
        Parameter("layers", Integer(1, 5)),
        Parameter("loss", Choice(("l2",))),
    )
)

SMALL = SearchSpace(
    (
        Parameter("layers", Integer(1, 5)),
        Parameter("units", Integer(16, 64, step=16)),
        Parameter("dropout", Float(0.0, 0.3, step=0.1)),
        Parameter("channels", Integer(3, 4)),
    )
)
"""64 configurations."""


class TestCmaes(LearningSearcherContract):
    """The contract of searchers that learn, over numbers."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Algorithm.CMAES

    @pytest.fixture
    def spaces(self) -> Sequence[SearchSpace]:
        return (SMALL, NUMBERS, SQUARE)

    @pytest.fixture
    def discrete(self) -> SearchSpace:
        return SMALL

    @pytest.fixture
    def constrained(self) -> SearchSpace:
        return SearchSpace((Parameter("a", Integer(1, 8)), Parameter("b", Integer(1, 8))), ("b <= a", "a + b < 14"))

    @pytest.fixture
    def lopsided(self) -> SearchSpace:
        return NUMBERS


def bowl(parameters: Mapping[str, Any]) -> float:
    """Lowest, 0, at (2, -1), and steeper along y."""
    return float((parameters["x"] - 2) ** 2 + 30 * (parameters["y"] + 1) ** 2)


def lived(searcher: Searcher, numbers: range, late: int = 0) -> list[Observation]:
    """Trials over the bowl, each told when so many more have been asked for."""
    asked: list[Observation] = []
    told = 0
    for number in numbers:
        suggestion = searcher.suggest(TrialNumber(number))
        assert suggestion is not None
        value = bowl(suggestion.parameters)
        asked.append(observed(number, suggestion.parameters, value, TrialState.COMPLETED, note=suggestion.note))
        if len(asked) > late:
            searcher.tell(asked[told : told + 1])
            told += 1
    return asked[:told] + [replace(o, state=TrialState.RUNNING, scores=()) for o in asked[told:]]


def over_square(seed: int = 3, **more: Any) -> StudySpec:
    return replace(spec(Algorithm.CMAES, SQUARE, seed, Goal.MINIMIZE), **more)


def test_converges() -> None:
    """After 200 trials over a narrow bowl, the best of 10 are within a thousandth of a percent of its depth."""
    told = lived(make_searcher(over_square()), range(1, 201))
    assert min(bowl(o.parameters) for o in told[-10:]) < 1e-2


def test_maximises_too() -> None:
    """Told of the negative as something to maximise, it makes the same suggestions."""
    down, up = make_searcher(over_square()), make_searcher(spec(Algorithm.CMAES, SQUARE, 3, Goal.MAXIMIZE))
    for number in range(1, 41):
        suggestion, other = down.suggest(TrialNumber(number)), up.suggest(TrialNumber(number))
        assert suggestion == other
        assert suggestion is not None
        value, note = bowl(suggestion.parameters), suggestion.note
        down.tell([observed(number, suggestion.parameters, value, TrialState.COMPLETED, note=note)])
        up.tell([observed(number, suggestion.parameters, -value, TrialState.COMPLETED, note=note)])


@pytest.mark.parametrize("count", [5, 29, 120])
@pytest.mark.parametrize("late", [0, 9])
def test_a_rebuilt_searcher_is_exactly_where_it_was(count: int, late: int) -> None:
    """Rebuilt after any number of generations, with late results and trials under way, the distribution is the same."""
    first, second = make_searcher(over_square()), make_searcher(over_square())
    told = lived(first, range(1, count + 1), late)
    second.tell(list(reversed(told)))
    numbers = [TrialNumber(n) for n in range(count + 1, count + 12)]
    assert [first.suggest(n) for n in numbers] == [second.suggest(n) for n in numbers]


def test_a_trial_that_climbs_later_does_not_rewrite_the_past() -> None:
    """A paused trial's place in its generation stays what it was when the next began, after a restart as well."""
    first, second = make_searcher(over_square()), make_searcher(over_square())
    told = lived(first, range(1, 31))
    changed = [replace(o, scores=(-o.scores[0], -100.0)) if o.number < 8 else o for o in told]
    first.tell(changed)
    second.tell(changed)
    assert first.suggest(TrialNumber(31)) == second.suggest(TrialNumber(31))


def test_begins_at_the_best_known() -> None:
    """With 100 random trials known, the first suggestions are near the best of them, and a rebuilt searcher agrees."""
    random = spec(Algorithm.RANDOM, SQUARE, 5, Goal.MINIMIZE)
    known = lived(make_searcher(random), range(1, 101))
    searcher, rebuilt = make_searcher(over_square()), make_searcher(over_square())
    searcher.tell(known)
    told = lived(searcher, range(101, 113))
    assert sum(bowl(o.parameters) for o in told) < sum(bowl(o.parameters) for o in known[:12]) / 3
    rebuilt.tell(known + told)
    assert searcher.suggest(TrialNumber(113)) == rebuilt.suggest(TrialNumber(113))


def test_begins_again_elsewhere_when_nothing_moves() -> None:
    """After it has converged it starts from a random place: of 600 trials, late ones are far from the bottom again."""
    told = lived(make_searcher(over_square()), range(1, 601))
    distances = [bowl(o.parameters) for o in told]
    assert min(distances) < 1e-12
    converged = distances.index(min(distances))
    assert max(distances[converged:]) > 10


@pytest.mark.parametrize(("slots", "trials", "size"), [(None, 1000, 6), (40, 1000, 40), (40, 200, 20), (2, 1000, 6)])
def test_generations_are_as_wide_as_the_study(slots: int | None, trials: int, size: int) -> None:
    """A generation has the usual size, or that of the slots, but at most a tenth of the budget."""
    searcher = make_searcher(over_square(budget=Budget(trials, slots)))
    told = lived(searcher, range(1, size + 2))
    assert ['"generation": 0' in o.note for o in told] == [True] * size + [False]


def test_what_breaks_a_limit_comes_last() -> None:
    """Where the best lies beyond a limit, most late trials are within it and not far from it."""
    study = over_square(objectives=TWO[1:], limits=(Limit("size", at_most=0.0),))
    told = searched(make_searcher(study), study, range(1, 121))
    late = [o.parameters["x"] for o in told[-20:]]
    assert sum(x <= 0.05 for x in late) > 11
    assert sum(-0.5 < x < 0.5 for x in late) > 14


def test_what_got_further_comes_first() -> None:
    """A trial that was stopped ranks after those that completed, whatever its score."""
    searcher = make_searcher(over_square())
    late: list[float] = []
    for number in range(1, 101):
        suggestion = searcher.suggest(TrialNumber(number))
        assert suggestion is not None
        x = suggestion.parameters["x"]
        state = TrialState.COMPLETED if x > 3 else TrialState.STOPPED
        searcher.tell([observed(number, suggestion.parameters, abs(x), state, note=suggestion.note)])
        late += [x] if number > 80 else []
    assert sum(x > 2.5 for x in late) > 15


BRANCH = Parameter("kind", Choice(("a", "b")))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ((BRANCH,), "kind is a choice; give it a range"),
        ((Parameter("n", Integer(0, 3)), Parameter("x", Float(0, 1), (Condition("n", (1,)),))), "x depends on a cond"),
    ],
)
def test_refuses_what_is_no_number(parameters: tuple[Parameter, ...], said: str) -> None:
    """A choice or a condition is refused by the parameter's name, with what to do."""
    with pytest.raises(ValueError, match=said):
        make_searcher(spec(Algorithm.CMAES, SearchSpace(parameters)))


def test_refuses_several_objectives() -> None:
    """Two objectives are refused by their names, with what to do."""
    with pytest.raises(ValueError, match=r"not gain, cost; keep one, or set search\.algorithm to nsga2"):
        make_searcher(over_square(objectives=TWO))


def test_trials_of_others_with_the_same_numbers_are_not_its_own() -> None:
    """A trial that somebody else created in place of a suggestion is no member of the generation."""
    searcher = make_searcher(over_square())
    told = lived(searcher, range(1, 6))
    searcher.suggest(TrialNumber(6))
    searcher.tell([reported(over_square(objectives=TWO[1:]), 6, {"x": 0.0, "y": 0.0})])
    assert told[-1].note
    following = searcher.suggest(TrialNumber(7))
    assert following is not None
    assert '"generation": 0' in following.note
