"""Grid search."""

from collections.abc import Sequence

import pytest

from searchd.domain.objective import Goal as Direction
from searchd.domain.objective import Objective
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import SearchSpace
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialState
from searchd.ports.searcher import Searcher
from searchd.searchers.factory import make_searcher
from searchd.searchers.grid import GridSearcher
from tests.contracts.searcher import CONDITIONAL, DISCRETE, MIXED, SearcherContract, key, observed, suggested


class TestGrid(SearcherContract):
    """The contract of all searchers, over discrete spaces."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Algorithm.GRID

    @pytest.fixture
    def spaces(self) -> Sequence[SearchSpace]:
        return (DISCRETE, CONDITIONAL)


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
    """Where trial 1 is another configuration, the 64 combinations come as trials 2 to 65, told of trial 1 or not."""
    told = GridSearcher(DISCRETE)
    told.tell([observed(1, {"units": 5}, 0.5, TrialState.COMPLETED)])
    for grid in (told, GridSearcher(DISCRETE)):
        given = asked_from(grid, 2)
        assert len(given) == 64
        assert len(set(given)) == 64


def test_a_default_configuration_that_starts_the_grid_is_not_repeated() -> None:
    """Where trial 1 was the first combination anyway, 63 are left."""
    grid = GridSearcher(DISCRETE)
    first = suggested(GridSearcher(DISCRETE), 1)
    assert first is not None
    grid.tell([observed(1, first, 0.5, TrialState.COMPLETED)])
    assert len(asked_from(grid, 2)) == 63


def test_a_trainable_without_default_configuration_repeats_nothing() -> None:
    """Where trial 1 was asked for, nothing was displaced, whatever the study says of default configurations."""
    assert len(asked_from(GridSearcher(DISCRETE), 1)) == 64


def test_refuses_a_continuous_space() -> None:
    """A real parameter has no grid."""
    study = StudySpec("t", (Objective("a", Direction.MAXIMIZE),), MIXED, search=Search(Algorithm.GRID))
    with pytest.raises(ValueError, match="a grid needs discrete parameters"):
        make_searcher(study)


def test_is_a_searcher() -> None:
    """The class fits the port."""
    searcher: Searcher = GridSearcher(DISCRETE)
    assert suggested(searcher, 1) is not None
