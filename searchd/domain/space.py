"""The search space: parameters, their domains, and the conditions under which they exist."""

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from searchd.domain.errors import Violation
from searchd.domain.expression import parsed
from searchd.domain.levels import Options, Steps, float_steps, identity, place, whole_steps

ParameterValue = Any
"""A JSON value: bool, int, float, str, None, or lists and objects of them."""

Parameters = Mapping[str, ParameterValue]
"""One configuration: the active parameters by name."""

MAX_INTEGER = 2**63 - 1
"""What an integer may be at most on the wire."""

MAX_STEPS = 2**53
"""Multiples of a float step that can be told apart."""


@dataclass(frozen=True, slots=True)
class Float:
    """A real parameter in [low, high], on a log scale if ``log``; with a ``step`` only its multiples in there."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    kind: Literal["float"] = "float"

    @property
    def levels(self) -> Steps | None:
        """The values by position; None if they are a continuum."""
        return None if self.step is None else float_steps(self.low, self.high, self.step)

    def at(self, u: float) -> float:
        """The value at quantile ``u`` in [0, 1)."""
        levels = self.levels
        if levels is not None and not self.log:
            return float(levels.value(place(u, levels.count)))
        if self.log:
            value = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + u * (self.high - self.low)
        value = min(max(value, self.low), self.high)
        return value if levels is None else float(levels.value(levels.nearest(value)))

    def contains(self, value: ParameterValue) -> bool:
        """Whether ``value`` lies in the domain; near a multiple of the step, it is taken for a rounded one."""
        levels = self.levels
        if levels is not None:
            return levels.position(value) is not None
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer in [low, high), on a log scale if ``log``; with a ``step`` above 1 its multiples in [low, high].

    That ``high`` is excluded without a step and included with one is Ray Tune's reading.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1
    kind: Literal["integer"] = "integer"

    @property
    def levels(self) -> Steps:
        """The values by position."""
        return whole_steps(self.low, self.high - 1 if self.step == 1 else self.high, self.step)

    def at(self, u: float) -> int:
        """The value at quantile ``u`` in [0, 1)."""
        levels = self.levels
        if not self.log:
            return int(levels.value(place(u, levels.count)))
        low, high = math.log(self.low), math.log(self.high)
        value = math.exp(low + u * (high - low))
        return int(levels.value(levels.nearest(math.floor(value) if self.step == 1 else value)))

    def contains(self, value: ParameterValue) -> bool:
        """Whether ``value`` lies in the domain."""
        return isinstance(value, int) and self.levels.position(value) is not None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of ``options``, which have no order; ``grid`` marks values that a grid search enumerates."""

    options: tuple[ParameterValue, ...]
    grid: bool = False
    kind: Literal["choice"] = "choice"

    @property
    def levels(self) -> Options:
        """The options by position."""
        return Options(self.options)

    def at(self, u: float) -> ParameterValue:
        """The option at quantile ``u`` in [0, 1)."""
        return self.options[place(u, len(self.options))]

    def contains(self, value: ParameterValue) -> bool:
        """Whether ``value`` is one of the options."""
        return any(same_value(value, option) for option in self.options)


Domain = Float | Integer | Choice


@dataclass(frozen=True, slots=True)
class Condition:
    """The parameter exists only while ``parameter`` is active and has one of ``values``."""

    parameter: str
    values: tuple[ParameterValue, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named domain; all of ``when`` must hold for it to be active."""

    name: str
    domain: Domain
    when: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The parameters of a study, in the order in which they are drawn: conditions refer only to earlier ones.

    ``constraints`` are expressions over parameters, such as ``units_2 <= units_1``, all of which a configuration must
    meet; one that names a parameter which is not active is met.
    """

    parameters: tuple[Parameter, ...] = ()
    constraints: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return tuple(p.name for p in self.parameters)

    def continuous(self) -> tuple[Parameter, ...]:
        """The parameters that take a continuum of values, in order."""
        return tuple(p for p in self.parameters if isinstance(p.domain, Float) and p.domain.step is None)

    def active(self, chosen: Parameters) -> Iterator[Parameter]:
        """Yield each parameter whose conditions ``chosen`` meets; lazily, so that the caller may add values between."""
        for parameter in self.parameters:
            if all(
                c.parameter in chosen and any(same_value(chosen[c.parameter], v) for v in c.values)
                for c in parameter.when
            ):
                yield parameter

    def allows(self, parameters: Parameters) -> bool:
        """Whether a configuration meets all constraints.

        Raises:
            InvalidExpression: a constraint cannot be read; those of a study that was accepted can.
        """
        return self.unmet(parameters) is None

    def unmet(self, parameters: Parameters) -> str | None:
        """The first constraint that a configuration does not meet, if there is one. Raises what ``allows`` does."""
        return next((text for text in self.constraints if not parsed(text).holds(parameters)), None)

    def draw(self, quantiles: Sequence[float]) -> dict[str, ParameterValue]:
        """The configuration at ``quantiles``, shape (n_parameters,), in [0, 1); inactive parameters are left out."""
        at = dict(zip(self.names(), quantiles, strict=True))
        chosen: dict[str, ParameterValue] = {}
        for parameter in self.active(chosen):
            chosen[parameter.name] = parameter.domain.at(at[parameter.name])
        return chosen


def same_value(a: ParameterValue, b: ParameterValue) -> bool:
    """JSON equality, at any depth: True is not 1, but 8 is 8.0."""
    return identity(a) == identity(b)


def same_configuration(a: Parameters, b: Parameters) -> bool:
    """Whether two configurations have the same parameters with the same values."""
    return a.keys() == b.keys() and all(same_value(a[name], b[name]) for name in a)


def ordered(parameters: Sequence[Parameter]) -> SearchSpace:
    """A space in which each parameter comes after those that its conditions name; otherwise the given order.

    Parameters in a cycle keep the given order; ``violations`` reports them.
    """
    placed: list[Parameter] = []
    waiting = list(parameters)
    names = {p.name for p in parameters}
    while waiting:
        done = {p.name for p in placed}
        ready = [p for p in waiting if all(c.parameter in done or c.parameter not in names for c in p.when)]
        if not ready:
            placed.extend(waiting)
            break
        placed.append(ready[0])
        waiting.remove(ready[0])
    return SearchSpace(tuple(placed))


def violations(space: SearchSpace, path: str = "search_space") -> Iterator[Violation]:
    """Everything that is wrong with the space's parameters, each with its path and a remedy."""
    seen: dict[str, Parameter] = {}
    broken: set[str] = set()
    for parameter in space.parameters:
        here = f"{path}.{parameter.name}"
        if parameter.name in seen:
            yield Violation(here, "is given twice", "name each parameter once")
        wrong = list(_domain_violations(parameter.domain, here))
        wrong_conditions = list(_condition_violations(parameter, seen, broken, space.names(), here))
        yield from (*wrong, *wrong_conditions)
        if wrong or wrong_conditions:
            broken.add(parameter.name)
        seen[parameter.name] = parameter


def _condition_violations(
    parameter: Parameter, seen: Mapping[str, Parameter], broken: Container[str], names: Sequence[str], here: str
) -> Iterator[Violation]:
    """What is wrong with a parameter's conditions; nothing of those that name a parameter which is wrong itself."""
    sound = True
    for condition in parameter.when:
        path = f"{here}.when.{condition.parameter}"
        sound = sound and condition.parameter in seen and condition.parameter not in broken
        if condition.parameter not in names:
            others = ", ".join(name for name in names if name != parameter.name) or "the other parameters"
            yield Violation(path, f"there is no parameter {condition.parameter!r}", f"use one of {others}")
        elif condition.parameter not in seen:
            remedy = "let each condition name a parameter that does not depend on this one"
            yield Violation(path, "the conditions form a circle", remedy)
        elif condition.parameter not in broken:
            for value in condition.values:
                if not _takes(seen[condition.parameter].domain, value):
                    sound = False
                    message = f"{condition.parameter} never takes the value {value!r}"
                    yield Violation(path, message, "use values of its domain")
    if sound:
        yield from _never_active(parameter, seen, here)


def _never_active(parameter: Parameter, seen: Mapping[str, Parameter], here: str) -> Iterator[Violation]:
    """Whether the conditions of a parameter, and those of what they name, want one parameter to have two values."""
    wanted: dict[str, list[Condition]] = {}
    asked = [parameter]
    visited = {parameter.name}
    while asked:
        for condition in asked.pop().when:
            wanted.setdefault(condition.parameter, []).append(condition)
            if condition.parameter not in visited:
                visited.add(condition.parameter)
                asked.append(seen[condition.parameter])
    for name, conditions in wanted.items():
        common = set.intersection(*({identity(v) for v in c.values} for c in conditions))
        if not common and all(c.values for c in conditions):
            said = " and ".join(f"in {list(c.values)}" for c in conditions)
            message = f"is never active: {name} would have to be {said}"
            yield Violation(f"{here}.when", message, "let all conditions on a parameter share a value")


def _takes(domain: Domain, value: ParameterValue) -> bool:
    """Whether a draw can give exactly this value."""
    if domain.levels is None:
        return domain.contains(value)
    position = domain.levels.position(value)
    return position is not None and same_value(domain.levels.value(position), value)


def _domain_violations(domain: Domain, path: str) -> Iterator[Violation]:
    here = f"{path}.{shorthand_name(domain)}"
    match domain:
        case Choice(options=options):
            if not options:
                yield Violation(here, "has no values", "list at least one")
            elif len({identity(option) for option in options}) < len(options):
                yield Violation(here, "lists a value twice", "list each value once")
        case Float():
            yield from _float_violations(domain, here)
        case Integer():
            yield from _integer_violations(domain, here)


def _float_violations(domain: Float, here: str) -> Iterator[Violation]:
    if not (math.isfinite(domain.low) and math.isfinite(domain.high)):
        yield Violation(here, "has a bound that is not finite", "give two finite numbers")
    elif math.isinf(domain.high - domain.low):
        yield Violation(here, "has bounds too far apart to be told in a number", "give closer bounds, or a log scale")
    elif domain.step is not None and not 0 < domain.step < math.inf:
        yield Violation(here, f"the step {domain.step} is not above 0", "use a step above 0")
    else:
        yield from _bound_violations(domain, here)


def _integer_violations(domain: Integer, here: str) -> Iterator[Violation]:
    if not -MAX_INTEGER <= min(domain.low, domain.high) <= max(domain.low, domain.high) <= MAX_INTEGER:
        yield Violation(here, "has a bound beyond 64 bits", f"stay within ±{MAX_INTEGER}, or use a float")
    elif domain.step < 1:
        yield Violation(here, f"the step {domain.step} is not above 0", "use a step above 0")
    else:
        yield from _bound_violations(domain, here)


def _bound_violations(domain: Float | Integer, here: str) -> Iterator[Violation]:
    low, high = domain.low, domain.high
    if domain.log and low <= 0:
        remedy = "use a lower bound above 0, or a linear scale"
        yield Violation(here, f"the lower bound {low} is not above 0", remedy)
    if low >= high:
        remedy = "give the lower bound first" if low > high else "give two different bounds"
        yield Violation(here, f"the bounds [{low}, {high}] are empty", remedy)
    elif domain.levels is not None and domain.levels.count < 1:
        message = f"there is no multiple of {domain.step} in [{low}, {high}]"
        yield Violation(here, message, "use a smaller step, or bounds that are multiples of it")
    elif isinstance(domain, Float) and domain.levels is not None and domain.levels.count > MAX_STEPS:
        message = f"the step {domain.step} is too small to be seen in [{low}, {high}]"
        yield Violation(here, message, "use a larger step, or none")


def shorthand_name(domain: Domain) -> str:
    """Ray Tune's name of the domain: uniform, loguniform, quniform, …, randint, …, choice; or grid."""
    match domain:
        case Choice():
            return "grid" if domain.grid else "choice"
        case Float():
            return ("q" if domain.step is not None else "") + ("loguniform" if domain.log else "uniform")
        case Integer():
            return ("q" if domain.step != 1 else "") + ("lograndint" if domain.log else "randint")
