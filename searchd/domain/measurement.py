"""What a fold run reported at an epoch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Measurement:
    """Metrics of one fold run at one epoch; the newest attempt's stands.

    Attributes:
        trial: Number of the trial in its study, from 1.
        repeat: Repeat of the cross-validation, from 0.
        fold: Fold within the repeat, from 0.
        epoch: Epochs trained, from 1.
        attempt: Hand-out of the fold run that reported this, from 1.
        metrics: Value by metric name; may hold NaN or infinities, which never reach a searcher or a rung.
        seconds: Training time of this epoch, in seconds.
        at: When the worker reported it, UTC.
    """

    trial: int
    repeat: int
    fold: int
    epoch: int
    attempt: int
    metrics: Mapping[str, float]
    seconds: float
    at: datetime


def is_finite(value: float | None) -> bool:
    """Whether a metric was reported and is a usable number."""
    return value is not None and math.isfinite(value)
