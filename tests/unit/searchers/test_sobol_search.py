"""Sobol search."""

import pytest

from searchd.domain.search import Algorithm
from searchd.domain.space import Float, Parameter, SearchSpace
from searchd.searchers.sobol import SobolPoints, SobolSearcher
from tests.contracts.searcher import SeededSearcherContract, suggested


class TestSobol(SeededSearcherContract):
    """The contract of all searchers."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Algorithm.SOBOL


def test_points_are_the_same_in_any_order() -> None:
    """Jumping forwards and backwards gives the points of going straight."""
    straight, jumping = SobolPoints(3, 1), SobolPoints(3, 1)
    points = {n: straight.point(n) for n in range(1, 33)}
    for number in (20, 21, 3, 4, 32, 1, 1, 8):
        assert jumping.point(number) == points[number]


def test_covers_the_square_evenly() -> None:
    """Each of the 8 by 8 cells of a square holds exactly one of the first 64 points."""
    space = SearchSpace((Parameter("x", Float(0, 8)), Parameter("y", Float(0, 8))))
    searcher = SobolSearcher(space, 11)
    points = [suggested(searcher, n) or {} for n in range(1, 65)]
    assert len({(int(p["x"]), int(p["y"])) for p in points}) == 64
