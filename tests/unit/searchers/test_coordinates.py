"""Configurations as plain numbers."""

import math
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from searchd.domain.space import Choice, Float, Integer, Parameter, SearchSpace
from searchd.searchers.coordinates import Coordinates
from tests.contracts.searcher import CONDITIONAL, DISCRETE, MIXED, assert_belongs

SCALES = SearchSpace(
    (
        Parameter("tiny", Float(1e-300, 1e-200, log=True)),
        Parameter("rough", Float(0.01, 1.0, log=True, step=0.1)),
        Parameter("shifted", Float(-1.5, 1.5, step=0.5)),
        Parameter("huge", Integer(1, 10**12, log=True)),
        Parameter("wide", Integer(-(10**9), 10**9)),
        Parameter("coarse", Integer(3, 100, log=True, step=8)),
    )
)


@examples(deadline=None)
@given(
    space=st.sampled_from([DISCRETE, CONDITIONAL, MIXED, SCALES]),
    quantiles=st.lists(st.floats(0, 0.999999), min_size=6),
)
def test_there_and_back(space: SearchSpace, quantiles: list[float]) -> None:
    """Every configuration has coordinates, in [0, 1] or a position, that lead back to it."""
    parameters = space.draw(quantiles[: len(space.parameters)])
    coordinates = Coordinates(space)
    inner = coordinates.inward(parameters)
    assert inner is not None
    for label, value in inner.items():
        options = coordinates.axes[label].options
        assert 0 <= value <= 1 if options is None else value in range(options)
    outer = coordinates.outward({label: inner.get(label, 0) for label in coordinates.axes})
    assert list(outer) == list(parameters)
    for name, value in parameters.items():
        same = (
            math.isclose(outer[name], value, rel_tol=1e-9, abs_tol=1e-9)
            if isinstance(value, float)
            else outer[name] == value
        )
        assert same, name


@examples(deadline=None)
@given(space=st.sampled_from([DISCRETE, CONDITIONAL, MIXED, SCALES]), at=st.floats(-0.1, 1.1))
def test_any_coordinate_leads_into_the_space(space: SearchSpace, at: float) -> None:
    """Whatever a vendor answers, in numpy's types and a bit outside [0, 1], is a configuration of the space."""
    coordinates = Coordinates(space)
    inner: dict[str, Any] = {
        label: np.float64(at) if axis.options is None else np.int64(axis.options - 1)
        for label, axis in coordinates.axes.items()
    }
    parameters = coordinates.outward(inner)
    assert_belongs(parameters, space)
    assert not any(isinstance(value, np.generic) for value in parameters.values())


def test_equal_steps_are_equally_likely() -> None:
    """Uniform coordinates give each value of a stepped parameter the same share."""
    space = SearchSpace((Parameter("n", Integer(0, 50, step=10)), Parameter("x", Float(0.0, 1.0, step=0.25))))
    coordinates = Coordinates(space)
    drawn = [coordinates.outward({"p0": (i + 0.5) / 1000, "p1": (i + 0.5) / 1000}) for i in range(1000)]
    assert set(Counter(p["x"] for p in drawn).values()) == {200}
    assert max(Counter(p["n"] for p in drawn).values()) - min(Counter(p["n"] for p in drawn).values()) <= 1


def test_what_is_not_in_the_space_has_no_coordinates() -> None:
    """A missing, strange or outlying value of an active parameter makes a configuration nobody's; more is ignored."""
    coordinates = Coordinates(MIXED)
    good = MIXED.draw([0.5] * 6)
    assert coordinates.inward({**good, "other": 1}) == coordinates.inward(good)
    for changes in ({"lr": "no"}, {"lr": 1.0}, {"batch": 17}, {"optimizer": "lion"}):
        assert coordinates.inward({**good, **changes}) is None
    assert coordinates.inward({}) is None


def test_what_leaves_no_choice_is_no_axis() -> None:
    """Parameters with one value are not shown to vendors, and one that has another is not of the space."""
    coordinates = Coordinates(SearchSpace((Parameter("a", Choice(("x",))), Parameter("b", Integer(3, 4)))))
    assert not coordinates.axes
    assert coordinates.outward({}) == {"a": "x", "b": 3}
    assert coordinates.inward({"a": "x", "b": 3}) == {}
    assert coordinates.inward({"a": "y", "b": 3}) is None
