"""The hypervolume of a set of points."""

import itertools
import random
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searchd.domain.hypervolume import Point, hypervolume, is_affordable


def by_inclusion_and_exclusion(points: list[Point]) -> float:
    """The volume above the origin, as the definition has it; for few points."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in itertools.combinations(points, size):
            total -= (-1) ** size * prod(map(min, *some)) if size > 1 else -prod(some[0])
    return total


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_it_is_the_volume_of_the_union(objectives: int, data: st.DataObject) -> None:
    """However many objectives and points, equal ones and dominated ones among them, it is that of the boxes' union."""
    coordinate = st.integers(0, 5).map(float)
    points = data.draw(st.lists(st.tuples(*[coordinate] * objectives), max_size=6))
    assert hypervolume(points, (0.0,) * objectives) == pytest.approx(by_inclusion_and_exclusion(points))


def test_points_count_only_above_the_reference() -> None:
    """A point that is no better than the reference somewhere adds nothing, and nothing at all is 0."""
    assert hypervolume([], (0.0, 0.0)) == 0.0
    assert hypervolume([(1.0, 3.0), (5.0, 1.0)], (1.0, 1.0)) == 0.0
    assert hypervolume([(1.0, 3.0), (5.0, 1.0), (2.0, 2.5)], (1.0, 1.0)) == 1.5
    assert hypervolume([(-1.0, -1.0)], (-3.0, -2.0)) == 2.0


def test_the_order_of_points_does_not_matter() -> None:
    """Every order of the same points has the same volume."""
    chance = random.Random(1)
    points = [tuple(chance.random() for _ in range(4)) for _ in range(20)]
    volume = hypervolume(points, (0.1,) * 4)
    for _ in range(5):
        chance.shuffle(points)
        assert hypervolume(points, (0.1,) * 4) == pytest.approx(volume)


def test_what_would_take_long_is_known_beforehand() -> None:
    """Few objectives can always be swept; of more there may be fewer points, and of very many none."""
    assert is_affordable(1_000_000, 3)
    assert is_affordable(400, 4)
    assert not is_affordable(401, 4)
    assert not is_affordable(1, 30)
