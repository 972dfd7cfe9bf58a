"""What a study optimises, and what it must keep to: goals, objectives, limits, Pareto fronts."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Goal(StrEnum):
    """Which direction of a metric is better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"

    def better(self, a: float, b: float) -> bool:
        """Whether ``a`` is strictly better than ``b``."""
        return a > b if self is Goal.MAXIMIZE else a < b

    def signed(self, value: float) -> float:
        """The value with the sign that makes larger better."""
        return value if self is Goal.MAXIMIZE else -value


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric to optimise, its direction, and the value at which the study may end; None for no such value."""

    metric: str
    goal: Goal
    target: float | None = None

    def reached(self, value: float) -> bool:
        """Whether a value is as good as the target; never without one."""
        return self.target is not None and not self.goal.better(self.target, value)


@dataclass(frozen=True, slots=True)
class Limit:
    """What another metric must keep to: exactly one of ``at_most`` and ``at_least``."""

    metric: str
    at_most: float | None = None
    at_least: float | None = None

    def excess(self, value: float) -> float:
        """By how much a value breaks the limit; 0 or less where it is kept."""
        if self.at_most is not None:
            return value - self.at_most
        return (self.at_least or 0.0) - value

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.at_most is not None else '>='} {self.bound:g}"

    @property
    def bound(self) -> float:
        """The value that may not be crossed."""
        return (self.at_least or 0.0) if self.at_most is None else self.at_most


def signed_values(objectives: Sequence[Objective], values: Sequence[float]) -> tuple[float, ...]:
    """The values with the signs that make larger better; shape (n_objectives,). Its own inverse."""
    return tuple(o.goal.signed(value) for o, value in zip(objectives, values, strict=True))


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether ``a`` is at least as good as ``b`` everywhere and better somewhere; larger is better, shape (n,)."""
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))
