"""The search space: parameters, their domains, and the conditions under which they exist."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from searchd.domain.errors import Violation

ParameterValue = Any
"""A JSON value: bool, int, float, str, None, or lists and objects of them."""

Parameters = Mapping[str, ParameterValue]
"""One configuration: the active parameters by name."""


@dataclass(frozen=True, slots=True)
class Float:
    """A real parameter in [low, high], on a log scale if ``log``, rounded to ``step`` from 0 if given."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    kind: Literal["float"] = "float"

    def at(self, u: float) -> float:
        """The value at quantile ``u`` in [0, 1)."""
        if self.log:
            value = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + u * (self.high - self.low)
        if self.step is not None:
            value = round(value / self.step) * self.step
        return min(max(value, self.low), self.high)

    def contains(self, value: ParameterValue) -> bool:
        """Whether ``value`` lies in the domain."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer in [low, high), ``high`` excluded as in Ray Tune, on a log scale if ``log``, in steps from 0."""

    low: int
    high: int
    log: bool = False
    step: int = 1
    kind: Literal["integer"] = "integer"

    def at(self, u: float) -> int:
        """The value at quantile ``u`` in [0, 1)."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            value = math.floor(math.exp(low + u * (high - low)))
        else:
            value = self.low + math.floor(u * (self.high - self.low))
        value = round(value / self.step) * self.step
        return min(max(value, self.low), self.high - 1)

    def contains(self, value: ParameterValue) -> bool:
        """Whether ``value`` lies in the domain."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value < self.high


@dataclass(frozen=True, slots=True)
class Choice:
    """One of ``options``, which have no order; ``grid`` marks values that a grid search enumerates."""

    options: tuple[ParameterValue, ...]
    grid: bool = False
    kind: Literal["choice"] = "choice"

    def at(self, u: float) -> ParameterValue:
        """The option at quantile ``u`` in [0, 1)."""
        return self.options[min(int(u * len(self.options)), len(self.options) - 1)]

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

    def draw(self, quantiles: Sequence[float]) -> dict[str, ParameterValue]:
        """The configuration at ``quantiles``, shape (n_parameters,), in [0, 1); inactive parameters are left out."""
        at = dict(zip(self.names(), quantiles, strict=True))
        chosen: dict[str, ParameterValue] = {}
        for parameter in self.active(chosen):
            chosen[parameter.name] = parameter.domain.at(at[parameter.name])
        return chosen


def same_value(a: ParameterValue, b: ParameterValue) -> bool:
    """JSON equality: True is not 1, but 8 is 8.0."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


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
    """Everything that is wrong with the space, each with its path and a remedy."""
    seen: dict[str, Parameter] = {}
    names = space.names()
    for parameter in space.parameters:
        here = f"{path}.{parameter.name}"
        if parameter.name in seen:
            yield Violation(here, "is given twice", "name each parameter once")
        yield from _domain_violations(parameter.domain, here)
        for condition in parameter.when:
            if condition.parameter not in names:
                yield Violation(
                    f"{here}.when.{condition.parameter}",
                    f"there is no parameter {condition.parameter!r}",
                    f"use one of {', '.join(n for n in names if n != parameter.name) or 'the other parameters'}",
                )
            elif condition.parameter not in seen:
                yield Violation(
                    f"{here}.when.{condition.parameter}",
                    "the conditions form a circle",
                    "let each condition name a parameter that does not depend on this one",
                )
            else:
                for value in condition.values:
                    if not seen[condition.parameter].domain.contains(value):
                        yield Violation(
                            f"{here}.when.{condition.parameter}",
                            f"{condition.parameter} never takes the value {value!r}",
                            "use values of its domain",
                        )
        seen[parameter.name] = parameter


def _domain_violations(domain: Domain, path: str) -> Iterator[Violation]:
    match domain:
        case Choice():
            shorthand = "grid" if domain.grid else "choice"
            if not domain.options:
                yield Violation(f"{path}.{shorthand}", "has no values", "list at least one")
            elif any(same_value(a, b) for i, a in enumerate(domain.options) for b in domain.options[:i]):
                yield Violation(f"{path}.{shorthand}", "lists a value twice", "list each value once")
        case Float() | Integer():
            shorthand = shorthand_name(domain)
            here = f"{path}.{shorthand}"
            if not (math.isfinite(domain.low) and math.isfinite(domain.high)):
                yield Violation(here, "has a bound that is not finite", "give two finite numbers")
                return
            if domain.log and domain.low <= 0:
                yield Violation(
                    here, f"the lower bound {domain.low} is not above 0", "use a lower bound above 0, or a linear scale"
                )
            if domain.low >= domain.high:
                remedy = "give the lower bound first" if domain.low > domain.high else "give two different bounds"
                yield Violation(here, f"the bounds [{domain.low}, {domain.high}] are empty", remedy)
            if domain.step is not None and not domain.step > 0:
                yield Violation(here, f"the step {domain.step} is not above 0", "use a step above 0")


def shorthand_name(domain: Domain) -> str:
    """Ray Tune's name of the domain: uniform, loguniform, quniform, …, randint, …, choice; or grid."""
    match domain:
        case Choice():
            return "grid" if domain.grid else "choice"
        case Float():
            return ("q" if domain.step is not None else "") + ("loguniform" if domain.log else "uniform")
        case Integer():
            return ("q" if domain.step != 1 else "") + ("lograndint" if domain.log else "randint")
