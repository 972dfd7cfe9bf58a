"""Numbering the configurations of discrete spaces."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from searchd.domain.lattice import MAX_NODES, Lattice
from searchd.domain.space import Choice, Condition, Domain, Float, Integer, Parameter, SearchSpace
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
    of = domain.levels
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


@examples(deadline=None, max_examples=50)
@given(spaces())
def test_keys_tell_configurations_apart(space: SearchSpace) -> None:
    """Every configuration has its own key, and can be made from it."""
    lattice = Lattice(space)
    listed = [lattice.at(i) for i in range(lattice.size or 0)]
    keys = [lattice.key(c) for c in listed]
    assert len(set(keys)) == len(listed)
    assert [lattice.configuration(key) for key in keys if key is not None] == listed


def test_keys_reach_into_continua() -> None:
    """Where values are not counted, they are the key; what lies outside the space has none."""
    lattice = Lattice(MIXED)
    inside = {"lr": 1e-3, "dropout": 0.3, "width": 8, "batch": 16, "optimizer": "adam"}
    key = lattice.key(inside)
    assert key is not None
    assert lattice.configuration(key) == inside
    assert lattice.key(inside | {"lr": 1e-2}) not in (None, key)
    for strange in ({"lr": 2.0}, {"momentum": 0.5}, {"dropout": 0.25}, {"optimizer": None}):
        assert lattice.key(inside | strange) is None
    assert lattice.key({"lr": 1e-3}) is None


@examples(deadline=None, max_examples=50)
@given(spaces(), st.lists(st.sampled_from(["p0 < p1", "p1 + p2 != 2", "p2 * p0 >= p3", "p3 < 2"]), max_size=2))
def test_allowed_passes_over_exactly_what_constraints_forbid(space: SearchSpace, constraints: list[str]) -> None:
    """From wherever it starts, the walk gives the numbers of all configurations that are allowed from there on."""
    space = SearchSpace(space.parameters, tuple(constraints))
    lattice = Lattice(space)
    size = lattice.size or 0
    expected = [i for i in range(size) if space.allows(lattice.at(i))]
    for start in (0, size // 2):
        assert [i for i in lattice.allowed(start) if i is not None] == [i for i in expected if i >= start]


def test_passing_over_takes_one_step_for_all_that_begins_alike() -> None:
    """A constraint on the first two of 18 digits rules out 10^16 configurations at a step."""
    space = SearchSpace(tuple(Parameter(f"p{i}", Integer(0, 10)) for i in range(18)), ("p0 + p1 >= 17",))
    walk = [step for _, step in zip(range(90), Lattice(space).allowed(), strict=False)]
    assert walk == [None] * 89 + [89 * 10**16]


def test_many_switches_stay_cheap() -> None:
    """40 switches with a parameter behind each are counted, whether or not each parameter follows its switch."""
    switches = tuple(Parameter(f"s{i}", Choice((True, False))) for i in range(40))
    behind = tuple(Parameter(f"d{i}", Integer(0, 5), (Condition(f"s{i}", (True,)),)) for i in range(40))
    lattice = Lattice(SearchSpace((*switches, *behind)))
    assert lattice.size == 6**40
    assert list(lattice.at(6**40 - 1)) == [p.name for p in switches]
    assert lattice.index(lattice.at(6**39)) == 6**39


def test_a_chain_of_conditions_may_be_long() -> None:
    """A thousand parameters, each conditional on the one before, have a thousand and one configurations."""
    chain = [Parameter(f"s{i}", Choice((1, 2)), (Condition(f"s{i - 1}", (1,)),) if i else ()) for i in range(1000)]
    assert Lattice(SearchSpace(tuple(chain))).size == 1001


def test_interlaced_conditions_beyond_counting_have_no_numbering() -> None:
    """Where 2^15 situations would have to be told apart, the space is not counted, and has keys all the same."""
    switches = tuple(Parameter(f"s{i}", Choice((True, False))) for i in range(16))
    behind = tuple(
        Parameter(f"d{i}", Integer(0, 5), (Condition(f"s{i}", (True,)), Condition("s15", (True,)))) for i in range(15)
    )
    lattice = Lattice(SearchSpace((*switches, *behind)))
    assert MAX_NODES < 2**15
    assert lattice.size is None
    assert lattice.key({p.name: False for p in switches}) == (1,) * 16
    with pytest.raises(ValueError, match="have no numbers"):
        lattice.at(0)
    assert list(lattice.allowed()) == []
