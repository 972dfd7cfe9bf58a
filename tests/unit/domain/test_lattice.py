"""Numbering the configurations of discrete spaces."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from searchd.domain.space import Choice, Condition, Domain, Float, Integer, Parameter, SearchSpace
from searchd.searchers.lattice import Lattice, levels
from tests.contracts.searcher import CONDITIONAL, DISCRETE, MIXED


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Small discrete spaces whose conditions name earlier parameters."""
    parameters: list[Parameter] = []
    for i in range(draw(st.integers(0, 5))):
        domain: Domain = draw(
            st.one_of(
                st.builds(lambda n: Choice(tuple(range(n))), st.integers(1, 4)),
                st.builds(lambda low, n: Integer(low, low + n), st.integers(-2, 2), st.integers(1, 4)),
                st.just(Float(0.0, 0.3, step=0.1)),
            )
        )
        conditions = [
            Condition(parameter.name, tuple(draw(st.lists(st.sampled_from(values_of(parameter.domain)), max_size=2))))
            for parameter in parameters
            if draw(st.integers(0, 2)) == 0
        ]
        parameters.append(Parameter(f"p{i}", domain, tuple(conditions)))
    return SearchSpace(tuple(parameters))


def values_of(domain: Domain) -> list[Any]:
    of = levels(domain)
    assert of is not None
    return [of.value(i) for i in range(of.count)]


def brute_force(space: SearchSpace) -> set[tuple[tuple[str, Any], ...]]:
    """All configurations by trying every value for every parameter and leaving out the inactive ones."""
    found = set()
    for values in itertools.product(*(values_of(p.domain) for p in space.parameters)):
        everything = dict(zip(space.names(), values, strict=True))
        chosen: dict[str, Any] = {}
        for parameter in space.active(chosen):
            chosen[parameter.name] = everything[parameter.name]
        found.add(tuple(chosen.items()))
    return found


@examples(deadline=None)
@given(spaces())
def test_lists_every_configuration_once(space: SearchSpace) -> None:
    """The numbered configurations are exactly the possible ones, none twice, and each knows its number."""
    lattice = Lattice(space)
    assert lattice.size is not None
    listed = [lattice.at(i) for i in range(lattice.size)]
    assert len(listed) == len({tuple(c.items()) for c in listed})
    assert {tuple(c.items()) for c in listed} == brute_force(space)
    assert [lattice.index(c) for c in listed] == list(range(lattice.size))


def test_counts_without_listing() -> None:
    """A space of 10^36 configurations is numbered at once, to its very end."""
    space = SearchSpace(tuple(Parameter(f"p{i}", Integer(0, 1_000_000)) for i in range(6)))
    lattice = Lattice(space)
    assert lattice.size == 10**36
    assert lattice.at(10**36 - 1) == {f"p{i}": 999_999 for i in range(6)}
    assert lattice.index(lattice.at(123_456_789_012_345_678_901)) == 123_456_789_012_345_678_901


def test_conditions_on_a_wide_range_stay_cheap() -> None:
    """A condition that names two of a billion values divides the numbering without going through them."""
    space = SearchSpace(
        (Parameter("n", Integer(0, 10**9)), Parameter("x", Choice(("a", "b")), (Condition("n", (5, 7)),)))
    )
    lattice = Lattice(space)
    assert lattice.size == 10**9 + 2
    for configuration in ({"n": 5, "x": "b"}, {"n": 6}, {"n": 0}, {"n": 999_999_999}):
        index = lattice.index(configuration)
        assert index is not None
        assert lattice.at(index) == configuration


def test_a_continuous_parameter_has_no_numbering() -> None:
    """A space with a real parameter has no size, and nothing in it has a number."""
    assert Lattice(MIXED).size is None
    assert Lattice(MIXED).index({"lr": 0.1}) is None


@pytest.mark.parametrize(("space", "size"), [(DISCRETE, 64), (CONDITIONAL, 20), (SearchSpace(), 1)])
def test_known_sizes(space: SearchSpace, size: int) -> None:
    """Counted by hand."""
    assert Lattice(space).size == size


@pytest.mark.parametrize(
    "parameters",
    [{}, {"model": "linear"}, {"model": "linear", "scale": 1}, {"model": "linear", "scale": True, "trees": 10}],
)
def test_foreign_configurations_have_no_number(parameters: dict[str, Any]) -> None:
    """Missing, surplus and mistyped parameters are not in the list."""
    assert Lattice(CONDITIONAL).index(parameters) is None


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Integer(5, 20, step=4), [5, 8, 12, 16, 19]),
        (Integer(-3, 4, step=3), [-3, 0, 3]),
        (Integer(1, 3, log=True), [1, 2]),
        (Float(0.0, 0.3, step=0.1), [0.0, 0.1, 0.2, 0.3]),
        (Choice(("a", None, [1])), ["a", None, [1]]),
    ],
)
def test_levels_are_what_draws_can_return(domain: Domain, values: list[Any]) -> None:
    """The values of a stepped range are those that drawing from it gives, ends included."""
    assert values_of(domain) == (pytest.approx(values) if isinstance(domain, Float) else values)
    drawn = [domain.at(i / 1000) for i in range(1000)]
    of = levels(domain)
    assert of is not None
    assert {of.position(v) for v in drawn} == set(range(of.count))
