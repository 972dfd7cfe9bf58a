"""The search space as its author writes it: one function for each of Ray Tune's names."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from searchd.domain.space import Choice, Condition, Domain, Float, Integer, ParameterValue

When = Mapping[str, Sequence[ParameterValue]]
"""Conditions of a parameter: it exists only while each named parameter has one of the listed values."""


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """A parameter before it has a name: what ``uniform`` and the others return."""

    domain: Domain
    when: tuple[Condition, ...]


def _spec(domain: Domain, when: When | None) -> ParameterSpec:
    return ParameterSpec(domain, tuple(Condition(name, tuple(values)) for name, values in (when or {}).items()))


def uniform(low: float, high: float, *, when: When | None = None) -> ParameterSpec:
    """A real number in [low, high]."""
    return _spec(Float(float(low), float(high)), when)


def loguniform(low: float, high: float, *, when: When | None = None) -> ParameterSpec:
    """A real number in [low, high], low above 0, uniform in its logarithm."""
    return _spec(Float(float(low), float(high), log=True), when)


def quniform(low: float, high: float, step: float, *, when: When | None = None) -> ParameterSpec:
    """A multiple of ``step`` in [low, high]."""
    return _spec(Float(float(low), float(high), step=float(step)), when)


def qloguniform(low: float, high: float, step: float, *, when: When | None = None) -> ParameterSpec:
    """A multiple of ``step`` in [low, high], low above 0, nearest to a number that is uniform in its logarithm."""
    return _spec(Float(float(low), float(high), log=True, step=float(step)), when)


def randint(low: int, high: int, *, when: When | None = None) -> ParameterSpec:
    """An integer in [low, high), ``high`` excluded as in Ray Tune."""
    return _spec(Integer(operator.index(low), operator.index(high)), when)


def lograndint(low: int, high: int, *, when: When | None = None) -> ParameterSpec:
    """An integer in [low, high), low above 0, uniform in its logarithm."""
    return _spec(Integer(operator.index(low), operator.index(high), log=True), when)


def qrandint(low: int, high: int, step: int, *, when: When | None = None) -> ParameterSpec:
    """A multiple of ``step`` in [low, high], ``high`` included as in Ray Tune unless ``step`` is 1."""
    return _spec(Integer(operator.index(low), operator.index(high), step=operator.index(step)), when)


def choice(options: Sequence[ParameterValue], *, when: When | None = None) -> ParameterSpec:
    """One of ``options``, which have no order."""
    return _spec(Choice(tuple(options)), when)


def grid(options: Sequence[ParameterValue], *, when: When | None = None) -> ParameterSpec:
    """One of ``options``, all of which a grid search enumerates."""
    return _spec(Choice(tuple(options), grid=True), when)
