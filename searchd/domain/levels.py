"""Values that can be counted, by position, and when two values are the same."""

import functools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_RESOLUTION = 53
"""Bits of a quantile."""

_ROUNDING = 1e-6
"""How far a value may lie from a step, as a share of the step, and still be meant."""


def identity(value: Any) -> Hashable:
    """The same for two JSON values exactly if they are equal: True is not 1, but 8 is 8.0, at any depth."""
    match value:
        case bool():
            return (bool, value)
        case list() | tuple():
            return tuple(map(identity, value))
        case dict():
            return frozenset((key, identity(of)) for key, of in value.items())
    return value  # type: ignore[no-any-return]


def place(u: float, count: int) -> int:
    """The position, of ``count`` equally likely ones, at quantile ``u`` in [0, 1); exact for counts of any size."""
    return min(int(u * 2**_RESOLUTION) * count >> _RESOLUTION, count - 1)


class Options:
    """The options of a choice, in the given order."""

    def __init__(self, options: Sequence[Any]) -> None:
        self.options = tuple(options)
        self._positions = {identity(option): i for i, option in enumerate(self.options)}

    @property
    def count(self) -> int:
        """How many options there are."""
        return len(self.options)

    def value(self, position: int) -> Any:
        """The option at a position."""
        return self.options[position]

    def position(self, value: Any) -> int | None:
        """The position of an option; None if it is not one."""
        return self._positions.get(identity(value))


@dataclass(frozen=True, slots=True)
class Steps:
    """``count`` multiples of ``step``, from ``first`` times it on. A whole step gives integers, a fraction floats."""

    first: int
    count: int
    step: int | Fraction

    @property
    def low(self) -> Any:
        """The first value."""
        return self.value(0)

    @property
    def top(self) -> Any:
        """The last value."""
        return self.value(self.count - 1)

    def value(self, position: int) -> Any:
        """The value at a position; of floats the one nearest to the multiple, so that three times 0.1 is 0.3."""
        times = self.first + position
        if isinstance(self.step, Fraction):
            return times * self.step.numerator / self.step.denominator
        return times * self.step

    def position(self, value: Any) -> int | None:
        """The position of a value; None if it is not a multiple within the bounds, allowing floats for rounding."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if isinstance(value, float) and not math.isfinite(value):
            return None
        position = self._times(value) - self.first
        if not 0 <= position < self.count:
            return None
        meant = self.value(position)
        return position if meant == value or abs(meant - value) <= _ROUNDING * self.step else None

    def nearest(self, value: float) -> int:
        """The position whose value is closest to a finite number."""
        return min(max(self._times(value) - self.first, 0), self.count - 1)

    def _times(self, value: float) -> int:
        if isinstance(value, int) and isinstance(self.step, int):
            return (2 * value + self.step) // (2 * self.step)
        return round(Fraction(value) / self.step)


Levels = Options | Steps
"""The values of a discrete domain by position, from 0."""


@functools.lru_cache(maxsize=4096)
def whole_steps(low: int, top: int, step: int) -> Steps:
    """The multiples of a whole step in [low, top]."""
    first = -(-low // step)
    return Steps(first, top // step - first + 1, step)


@functools.lru_cache(maxsize=4096)
def float_steps(low: float, top: float, step: float) -> Steps:
    """The multiples in [low, top] of the step as it is written: of 0.1, not of the binary number next to it."""
    exact = _written(step)
    first = math.ceil(_written(low) / exact)
    return Steps(first, math.floor(_written(top) / exact) - first + 1, exact)


def _written(number: float) -> Fraction:
    return Fraction(repr(float(number)))
