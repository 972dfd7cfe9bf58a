"""Domains and their values, conditions, and what is wrong with a space."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from searchd.domain.levels import Options, identity, place
from searchd.domain.space import (
    Choice,
    Condition,
    Domain,
    Float,
    Integer,
    Parameter,
    SearchSpace,
    ordered,
    same_value,
    violations,
)

QUANTILES = st.floats(0, 1, exclude_max=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=1), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def domains(draw: st.DrawFn) -> Domain:
    """Domains of every kind, from the tiny to the huge, that nothing is wrong with."""
    log = draw(st.booleans())
    if draw(st.booleans()):
        low = draw(st.integers(1 if log else -(2**62), 2**62))
        high = draw(st.integers(low + 1, 2**63 - 1))
        domain: Domain = Integer(low, high, log, draw(st.integers(1, 1000)))
    else:
        bounds = st.floats(5e-324 if log else -1e300, 1e300)
        low_float, high_float = sorted((draw(bounds), draw(bounds)))
        domain = Float(low_float, high_float, log, draw(st.none() | st.floats(1e-3, 10)))
    if draw(st.integers(0, 3)) == 0:
        domain = Choice(tuple(draw(st.lists(JSON, min_size=1, max_size=5, unique_by=identity))), draw(st.booleans()))
    return domain


@examples(deadline=None, max_examples=300)
@given(domains(), QUANTILES)
def test_every_drawn_value_lies_in_its_domain(domain: Domain, u: float) -> None:
    """Whatever the kind and the bounds, a draw is of the domain's type, inside its bounds and one of its levels."""
    if list(violations(SearchSpace((Parameter("p", domain),)))):
        return
    value = domain.at(u)
    assert domain.contains(value)
    if not isinstance(domain, Choice):
        assert type(value) is (int if isinstance(domain, Integer) else float)
        assert domain.low <= value <= domain.high
    if domain.levels is not None:
        position = domain.levels.position(value)
        assert position is not None
        assert same_value(domain.levels.value(position), value)


@examples(deadline=None, max_examples=300)
@given(st.integers(-1000, 1000), st.integers(1, 1000), st.integers(1, 60), QUANTILES, st.integers(0, 3))
def test_quantised_values_are_multiples_inside_the_bounds(
    low: int, width: int, step: int, u: float, places: int
) -> None:
    """Both bounds included, as Ray Tune has it, for whole steps and for decimal ones."""
    scale = 10**places
    whole, real = Integer(low, low + width, step=step), Float(low / scale, (low + width) / scale, step=step / scale)
    multiples = [m for m in range(low, low + width + 1) if m % step == 0]
    if not multiples:
        for domain in (whole, real):
            (violation,) = violations(SearchSpace((Parameter("p", domain),)))
            assert "no multiple" in violation.message or step == 1
        return
    if step > 1:
        assert [whole.levels.value(i) for i in range(whole.levels.count)] == multiples
        assert whole.at(u) in multiples
    assert real.levels is not None
    assert [real.levels.value(i) for i in range(real.levels.count)] == [m / scale for m in multiples]
    assert real.at(u) in [m / scale for m in multiples]


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Integer(5, 20, step=4), [8, 12, 16, 20]),
        (Integer(-3, 4, step=3), [-3, 0, 3]),
        (Integer(1, 3, log=True), [1, 2]),
        (Integer(16, 128, log=True, step=16), list(range(16, 129, 16))),
        (Float(0.0, 0.3, step=0.1), [0.0, 0.1, 0.2, 0.3]),
        (Float(0.05, 0.35, log=True, step=0.1), [0.1, 0.2, 0.3]),
        (Choice(("a", None, [1])), ["a", None, [1]]),
    ],
)
def test_levels_are_what_draws_can_return(domain: Domain, values: list[Any]) -> None:
    """The values of a stepped range, by position, are those that drawing from it gives; decimals are exact."""
    of = domain.levels
    assert of is not None
    assert [of.value(i) for i in range(of.count)] == values
    assert {of.position(domain.at(i / 1000)) for i in range(1000)} == set(range(of.count))


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (Float(0, 1, step=0.1), [0, 0.3, 0.1 + 0.2, 1.0], [0.25, 0.05, 1.1, -0.1, math.nan, math.inf, True, "0.3"]),
        (Float(0, 1e10, step=0.1), [12345678.9, 9999999999.9], [12345678.95]),
        (Integer(0, 64, step=8), [0, 64], [4, 72, 8.0, True]),
        (Integer(0, 64), [0, 63], [64, -1, 8.5]),
        (Integer(-(2**63) + 1, 2**63 - 1), [-(2**63) + 1, 2**63 - 2, 0], [2**63, 10**400]),
        (Float(5e-324, 1, log=True), [5e-324, 1], [0.0, math.nan]),
        (Choice((1, "1", True, None, [1, {"a": 2}])), [1, 1.0, True, [1.0, {"a": 2}]], [False, 2, [True, {"a": 2}]]),
    ],
)
def test_contains(domain: Domain, inside: list[Any], outside: list[Any]) -> None:
    """Values off the steps, beyond the bounds and of another type are not contained; rounding is forgiven."""
    assert [v for v in inside if not domain.contains(v)] == []
    assert [v for v in outside if domain.contains(v)] == []


def test_levels_of_a_linear_range_are_equally_likely() -> None:
    """The ends of a quantised range come as often as what is between them."""
    domain = Float(0.0, 1.0, step=0.25)
    assert [domain.at((i + 0.5) / 5) for i in range(5)] == [0.0, 0.25, 0.5, 0.75, 1.0]


@given(QUANTILES, st.integers(1, 10**400))
def test_places_are_exact_for_any_count(u: float, count: int) -> None:
    """A quantile finds a position of a list however long it is."""
    assert 0 <= place(u, count) < count


@given(JSON, JSON)
def test_equality_is_that_of_json(a: Any, b: Any) -> None:
    """Values are the same exactly if they are equal and are booleans in the same places."""

    def marked(value: Any) -> Any:
        match value:
            case bool():
                return f"bool {value}"
            case list():
                return [marked(v) for v in value]
            case dict():
                return {k: marked(v) for k, v in value.items()}
        return value

    assert same_value(a, b) == (marked(a) == marked(b))
    assert same_value(a, a)


def test_options_are_found_whatever_they_are() -> None:
    """Lists and objects have positions too, and 1 is not True."""
    options = Options((True, 1, [1], {"a": [1]}, None))
    assert [options.position(v) for v in (True, 1.0, [1], {"a": [1]}, None)] == [0, 1, 2, 3, 4]
    assert options.position([True]) is None


def _wrong(*parameters: Parameter) -> list[str]:
    return [v.path for v in violations(ordered(parameters), "space")]


@pytest.mark.parametrize(
    ("domain", "path"),
    [
        (Choice(()), "choice"),
        (Choice(([1], [1.0])), "choice"),
        (Float(0, math.inf), "uniform"),
        (Float(-1.7e308, 1.7e308), "uniform"),
        (Float(1, 1), "uniform"),
        (Float(0, 1, log=True), "loguniform"),
        (Float(0, 1, step=0), "quniform"),
        (Float(0, 1, step=math.nan), "quniform"),
        (Float(0.1, 0.2, step=0.5), "quniform"),
        (Float(0, 1e300, step=1e-300), "quniform"),
        (Integer(3, 3), "randint"),
        (Integer(5, 3), "randint"),
        (Integer(0, 3, log=True), "lograndint"),
        (Integer(0, 10**400), "randint"),
        (Integer(-(2**63), 5), "randint"),
        (Integer(0, 3, step=0), "qrandint"),
        (Integer(5, 7, step=4), "qrandint"),
    ],
)
def test_each_wrong_domain_is_found(domain: Domain, path: str) -> None:
    """Empty, endless, immeasurable and stepless domains give one violation, at the domain."""
    (violation,) = violations(SearchSpace((Parameter("p", domain),)))
    assert violation.path == f"search_space.p.{path}"
    assert violation.remedy


def test_conditions_on_a_wrong_domain_are_not_judged() -> None:
    """One mistake in a domain is one violation, however many conditions name its parameter."""
    wrong = Parameter("a", Float(0, 1, step=-1))
    dependent = Parameter("b", Integer(0, 3), (Condition("a", (0.5,)),))
    assert _wrong(wrong, dependent, Parameter("c", Integer(0, 3), (Condition("b", (1,)),))) == ["space.a.quniform"]


def test_a_condition_wants_values_that_draws_give() -> None:
    """A value off the steps, or a rounded one, could never be met."""
    stepped = Parameter("a", Float(0, 1, step=0.1))
    for value in (0.25, 0.1 + 0.2):
        assert _wrong(stepped, Parameter("b", Integer(0, 3), (Condition("a", (value,)),))) == ["space.b.when.a"]
    assert _wrong(stepped, Parameter("b", Integer(0, 3), (Condition("a", (0.3, 1)),))) == []


def test_a_parameter_that_can_never_be_active_is_found() -> None:
    """Conditions that want two values of one parameter contradict each other, at any depth; it is said once."""
    model = Parameter("model", Choice(("svm", "forest", "linear")))
    kernel = Parameter("kernel", Choice(("rbf", "poly")), (Condition("model", ("svm", "linear")),))
    never = Parameter("trees", Integer(1, 9), (Condition("kernel", ("rbf",)), Condition("model", ("forest",))))
    below = Parameter("depth", Integer(1, 9), (Condition("trees", (3,)),))
    assert _wrong(model, kernel, never, below) == ["space.trees.when"]
    twice = Parameter("x", Integer(0, 2), (Condition("model", ("svm",)), Condition("model", ("forest",))))
    assert _wrong(model, twice) == ["space.x.when"]
    possible = Parameter("x", Integer(0, 2), (Condition("kernel", ("rbf",)), Condition("model", ("linear", "forest"))))
    assert _wrong(model, kernel, possible) == []


def test_the_message_says_what_contradicts() -> None:
    """Both conditions are named."""
    model = Parameter("model", Choice(("a", "b")))
    never = Parameter("x", Integer(0, 2), (Condition("model", ("a",)), Condition("model", ("b",))))
    (violation,) = violations(SearchSpace((model, never)))
    assert violation.message == "is never active: model would have to be in ['a'] and in ['b']"
