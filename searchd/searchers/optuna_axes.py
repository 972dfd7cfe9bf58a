"""A search space as Optuna's distributions, and configurations from one to the other."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from searchd.domain.space import Choice, Domain, Float, Integer, Parameters, ParameterValue, SearchSpace


@dataclass(frozen=True, slots=True)
class Axis:
    """How a parameter looks to Optuna. ``inward`` gives None for a value outside the domain."""

    distribution: BaseDistribution
    inward: Callable[[ParameterValue], Any]
    outward: Callable[[Any], ParameterValue]


class Axes:
    """All parameters of a space.

    Attributes:
        distributions: Each parameter's distribution.
        free: Those of parameters with more than one value.
        conditional: Whether any parameter depends on another.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._axes = {p.name: _axis(p.domain) for p in space.parameters}
        self.distributions = {name: axis.distribution for name, axis in self._axes.items()}
        self.free = {name: d for name, d in self.distributions.items() if not d.single()}
        self.conditional = any(p.when for p in space.parameters)

    def near(self, inner: Mapping[str, Any], reach: float) -> dict[str, BaseDistribution]:
        """The free parameters' distributions, narrowed to where numbers differ little from given ones.

        Args:
            inner: A configuration in Optuna's values, of every free parameter.
            reach: Largest difference, as a share of each number's domain, logarithmic ones by their logarithm; steps
                that are wider are still taken.
        """
        return {name: _narrowed(of, inner[name], reach) for name, of in self.free.items()}

    def inward(self, parameters: Parameters, filling: Sequence[float] | None) -> dict[str, Any] | None:
        """A configuration in Optuna's values; None if it lies outside the space.

        Args:
            parameters: The configuration.
            filling: Quantiles whose values parameters that do not exist in it get, for models that need
                every parameter; shape (n_parameters,). None leaves them out.
        """
        inner: dict[str, Any] = {}
        for parameter in self._space.active(parameters):
            if parameter.name not in parameters:
                return None
            inner[parameter.name] = self._axes[parameter.name].inward(parameters[parameter.name])
            if inner[parameter.name] is None:
                return None
        if filling is not None and len(inner) < len(self._axes):
            for parameter, u in zip(self._space.parameters, filling, strict=True):
                if parameter.name not in inner:
                    inner[parameter.name] = self._axes[parameter.name].inward(parameter.domain.at(u))
        return inner

    def outward(self, value: Callable[[str, BaseDistribution], Any]) -> dict[str, ParameterValue]:
        """A configuration of the values, in Optuna's terms, that are asked for its active free parameters in order."""
        chosen: dict[str, ParameterValue] = {}
        for parameter in self._space.active(chosen):
            axis = self._axes[parameter.name]
            if parameter.name in self.free:
                chosen[parameter.name] = axis.outward(value(parameter.name, axis.distribution))
            else:
                chosen[parameter.name] = parameter.domain.at(0)
        return chosen


def _narrowed(of: BaseDistribution, value: Any, reach: float) -> BaseDistribution:
    if isinstance(of, FloatDistribution):
        low, high = _around(of, value, reach)
        return FloatDistribution(max(low, of.low), min(high, of.high), log=of.log)
    if isinstance(of, IntDistribution):
        low, high = _around(of, value, reach)
        return IntDistribution(max(math.floor(low), of.low), min(math.ceil(high), of.high), log=of.log)
    return of


def _around(of: FloatDistribution | IntDistribution, value: float, reach: float) -> tuple[float, float]:
    if of.log:
        factor = (of.high / of.low) ** reach
        return value / factor, value * factor
    return value - reach * (of.high - of.low), value + reach * (of.high - of.low)


def _axis(domain: Domain) -> Axis:
    match domain:
        case Choice():
            # The options themselves may be lists or objects, which Optuna's categories cannot be.
            of = domain.levels
            return Axis(CategoricalDistribution(tuple(range(of.count))), of.position, of.value)
        case Integer() | Float():
            return _log_axis(domain) if domain.log else _linear_axis(domain)


def _linear_axis(domain: Integer | Float) -> Axis:
    of = domain.levels
    if of is None:
        return Axis(FloatDistribution(domain.low, domain.high), _within(domain), _real(domain))
    return Axis(IntDistribution(0, of.count - 1), of.position, of.value)


def _log_axis(domain: Integer | Float) -> Axis:
    of = domain.levels
    if of is None:
        return Axis(FloatDistribution(domain.low, domain.high, log=True), _within(domain), _real(domain))
    if isinstance(domain, Integer) and domain.step == 1:
        return Axis(IntDistribution(of.low, of.top, log=True), _within(domain), int)
    return Axis(FloatDistribution(of.low, of.top, log=True), _within(domain), lambda inner: of.value(of.nearest(inner)))


def _within(domain: Integer | Float) -> Callable[[ParameterValue], Any]:
    return lambda value: value if domain.contains(value) else None


def _real(domain: Integer | Float) -> Callable[[Any], float]:
    # A logarithm and back may end a rounding error outside.
    return lambda inner: min(max(float(inner), domain.low), domain.high)
