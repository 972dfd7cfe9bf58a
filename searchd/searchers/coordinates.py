"""Configurations as plain numbers that every vendor takes, whatever names, scales, steps and options a space has."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from searchd.domain.levels import Options, Steps
from searchd.domain.space import Choice, Domain, Float, Integer, Parameters, ParameterValue, SearchSpace

Coordinate = float | int
"""Where a value lies in its domain: a quantile in [0, 1], or the position of an option."""


@dataclass(frozen=True, slots=True)
class Axis:
    """How a parameter looks to a vendor.

    Attributes:
        options: How many options a choice has; None for a quantile in [0, 1].
        inward: The coordinate of a value; None for a value outside the domain.
        outward: The value at a coordinate; coordinates a little outside [0, 1] count as its ends.
    """

    options: int | None
    inward: Callable[[ParameterValue], Coordinate | None]
    outward: Callable[[Coordinate], ParameterValue]


class Coordinates:
    """The parameters of a space that leave a choice, under labels that no vendor stumbles over.

    Quantiles are on a parameter's own scale, so that a vendor needs to know neither logarithms nor steps, and equal
    distances mean the same at both ends.

    Attributes:
        space: The space.
        axes: The axes by label, in the space's order.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._labels = {p.name: f"p{i}" for i, p in enumerate(space.parameters) if not _single(p.domain)}
        self.axes: Mapping[str, Axis] = {
            self._labels[p.name]: _axis(p.domain) for p in space.parameters if p.name in self._labels
        }

    def inward(self, parameters: Parameters) -> dict[str, Coordinate] | None:
        """The coordinates of the active parameters; None for a configuration that is not one of the space's."""
        found: dict[str, Coordinate] = {}
        for parameter in self.space.active(parameters):
            if parameter.name not in parameters:
                return None
            value = parameters[parameter.name]
            label = self._labels.get(parameter.name)
            if label is None:
                if not parameter.domain.contains(value):
                    return None
                continue
            coordinate = self.axes[label].inward(value)
            if coordinate is None:
                return None
            found[label] = coordinate
        return found

    def outward(self, coordinates: Mapping[str, Coordinate]) -> Parameters:
        """The configuration at a coordinate for every axis, be they numpy's numbers; those of inactive parameters are
        left out."""
        chosen: dict[str, ParameterValue] = {}
        for parameter in self.space.active(chosen):
            label = self._labels.get(parameter.name)
            chosen[parameter.name] = (
                parameter.domain.at(0) if label is None else self.axes[label].outward(float(coordinates[label]))
            )
        return chosen


def _single(domain: Domain) -> bool:
    """Whether a domain leaves no choice."""
    of = Options(domain.options) if isinstance(domain, Choice) else domain.levels
    return of is not None and of.count == 1


def _axis(domain: Domain) -> Axis:
    if isinstance(domain, Choice):
        options = Options(domain.options)
        return Axis(options.count, options.position, lambda at: options.value(int(at)))
    of = domain.levels
    if of is None:
        return _continuous(domain)
    return _log_steps(of) if domain.log else _linear_steps(of)


def _continuous(domain: Integer | Float) -> Axis:
    def inward(value: ParameterValue) -> float | None:
        if not domain.contains(value):
            return None
        if domain.log:
            return math.log(value / domain.low) / math.log(domain.high / domain.low)
        return float((value - domain.low) / (domain.high - domain.low))

    return Axis(None, inward, lambda at: domain.at(min(max(at, 0.0), 1.0)))


def _linear_steps(of: Steps) -> Axis:
    """Each step takes an equal share of [0, 1]."""

    def inward(value: ParameterValue) -> float | None:
        position = of.position(value)
        return None if position is None else (position + 0.5) / of.count

    return Axis(None, inward, lambda at: of.value(min(max(int(at * of.count), 0), of.count - 1)))


def _log_steps(of: Steps) -> Axis:
    """Each step takes the share of [0, 1] that is nearest to it, half a step beyond the ends included."""
    low = math.log(of.low - of.step / 2 if of.low > of.step / 2 else of.low)
    width = math.log(of.top + of.step / 2) - low

    def inward(value: ParameterValue) -> float | None:
        return None if of.position(value) is None else (math.log(value) - low) / width

    return Axis(None, inward, lambda at: of.value(of.nearest(math.exp(low + min(max(at, 0.0), 1.0) * width))))
