"""Grid search."""

import json
from collections.abc import Sequence

import pytest

from searchd.domain.objective import Goal as Direction
from searchd.domain.objective import Objective
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Integer, Parameter, SearchSpace
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Searcher
from searchd.searchers.factory import make_searcher
from searchd.searchers.grid import GridSearcher
from tests.contracts.searcher import (
    CONDITIONAL,
    CONSTRAINED,
    DISCRETE,
    MIXED,
    SearcherContract,
    key,
    observed,
    suggested,
)


class TestGrid(SearcherContract):
    """The contract of all searchers, over discrete spaces."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Algorithm.GRID

    @pytest.fixture
    def spaces(self) -> Sequence[SearchSpace]:
        return (DISCRETE, CONDITIONAL, CONSTRAINED)


def test_ends_when_all_combinations_were_given() -> None:
    """Trial 64 gets the last of 64 combinations; trial 65 and later get None."""
    grid = GridSearcher(DISCRETE)
    assert len({key(suggested(grid, n) or {}) for n in range(1, 65)}) == 64
    assert suggested(grid, 65) is None
    assert suggested(grid, 1000) is None


def asked_from(grid: GridSearcher, first: int) -> list[str]:
    given = []
    number = first
    while (parameters := suggested(grid, number)) is not None:
        given.append(key(parameters))
        number += 1
    return given


def test_a_default_configuration_as_trial_1_displaces_nothing() -> None:
    """Where trial 1 is a configuration outside the space, the 64 combinations come as trials 2 to 65."""
    grid = GridSearcher(DISCRETE)
    grid.tell([observed(1, {"units": 5}, 0.5, TrialState.COMPLETED)])
    given = asked_from(grid, 2)
    assert len(given) == len(set(given)) == 64


def test_a_default_configuration_that_starts_the_grid_is_not_repeated() -> None:
    """Where trial 1 was the first combination anyway, 63 are left."""
    grid = GridSearcher(DISCRETE)
    first = suggested(GridSearcher(DISCRETE), 1)
    assert first is not None
    grid.tell([observed(1, first, 0.5, TrialState.COMPLETED)])
    assert len(asked_from(grid, 2)) == 63


HUGE = SearchSpace(tuple(Parameter(f"p{i}", Integer(0, 100_000)) for i in range(6)))
"""10^30 combinations."""


def test_a_grid_of_any_size_is_lazy() -> None:
    """Combination 10^30 of 10^30 is given at once."""
    grid = GridSearcher(HUGE)
    assert suggested(grid, 10**30) == {f"p{i}": 99_999 for i in range(6)}


def test_a_constrained_grid_goes_on_from_its_notes() -> None:
    """Told of its newest trial only, a grid finds the next combination without counting again from the first."""
    space = SearchSpace((*HUGE.parameters, Parameter("last", Integer(0, 10))), ("last <= p5", "p5 % 2 == 0"))
    grid = GridSearcher(space)
    given = [suggestion for n in range(1, 40) if (suggestion := grid.suggest(TrialNumber(n))) is not None]
    assert len({key(suggestion.parameters) for suggestion in given}) == 39
    assert all(space.allows(suggestion.parameters) for suggestion in given)
    rebuilt = GridSearcher(space)
    state, numbered = TrialState.PENDING, TrialNumber(39)
    rebuilt.tell([Observation(numbered, given[-1].parameters, state, note=given[-1].note)])
    assert [rebuilt.suggest(TrialNumber(n)) for n in (40, 41)] == [grid.suggest(TrialNumber(n)) for n in (40, 41)]
    assert json.loads(given[-1].note)[0] == 39


def test_a_grid_that_constraints_all_but_empty_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is allowed for very many steps, there is an error and no endless search."""
    grid = GridSearcher(SearchSpace(HUGE.parameters, ("p0 + p1 == 150000",)))
    monkeypatch.setattr("searchd.searchers.grid.MAX_PASSED", 2000)
    with pytest.raises(ValueError, match="rule out everything for 2000 steps"):
        suggested(grid, 1)


def test_refuses_a_continuous_space() -> None:
    """A real parameter has no grid."""
    study = StudySpec("t", (Objective("a", Direction.MAXIMIZE),), MIXED, search=Search(Algorithm.GRID))
    with pytest.raises(ValueError, match="a grid needs discrete parameters"):
        make_searcher(study)


def test_is_a_searcher() -> None:
    """The class fits the port."""
    searcher: Searcher = GridSearcher(DISCRETE)
    assert suggested(searcher, 1) is not None
