"""What an attempt at a fold run has reported so far."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scored:
    """A report's value of the objective that decides, and those of the study's other metrics."""

    score: float
    others: tuple[float, ...] = ()


@dataclass(slots=True)
class Trace:
    """What the newest attempt of a fold run has reported so far."""

    attempt: int
    epoch: int = 0
    last: Scored | None = None
    best: Scored | None = None
    seconds: float = 0.0
