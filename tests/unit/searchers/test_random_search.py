"""Random search."""

import pytest

from searchd.domain.search import Algorithm
from searchd.domain.space import Choice, Float, Parameter, SearchSpace
from searchd.searchers.random import RandomSearcher
from tests.contracts.searcher import CONDITIONAL, MIXED, SeededSearcherContract, suggested


class TestRandom(SeededSearcherContract):
    """The contract of all searchers."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Algorithm.RANDOM


def test_a_suggestion_depends_on_its_number_alone() -> None:
    """Suggestion 17 is the same whatever was asked before it."""
    for space in (MIXED, CONDITIONAL):
        first, second = RandomSearcher(space, 3), RandomSearcher(space, 3)
        for number in range(1, 17):
            suggested(first, number)
        assert suggested(first, 17) == suggested(second, 17)


def test_draws_are_uniform_on_the_parameters_own_scale() -> None:
    """On a log scale each decade gets its share, and so does each option."""
    space = SearchSpace((Parameter("lr", Float(1e-4, 1.0, log=True)), Parameter("kind", Choice(("a", "b")))))
    searcher = RandomSearcher(space, 5)
    draws = [suggested(searcher, n) or {} for n in range(1, 4001)]
    for low in (1e-4, 1e-3, 1e-2, 1e-1):
        assert sum(low <= d["lr"] < low * 10 for d in draws) / 4000 == pytest.approx(0.25, abs=0.03)
    assert sum(d["kind"] == "a" for d in draws) / 4000 == pytest.approx(0.5, abs=0.03)
