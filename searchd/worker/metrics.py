"""From what a trainable reports to metrics that the service takes."""

import math
from collections.abc import Mapping, Sequence

MAX_METRICS = 1000
MAX_NAME_CHARACTERS = 200
_NAMES_SHOWN = 20


class RefusedReport(Exception):  # noqa: N818  # named for what went wrong
    """A report that cannot be used; the message says why."""


class MissingMetric(RefusedReport):
    """A report without a metric that it must have, or none at all."""


def checked_metrics(reported: object, required: Sequence[str], epoch: int) -> dict[str, float]:
    """The reported values as floats, in the reported order.

    Args:
        reported: What was yielded: a mapping to bools, ints, floats, or numpy and torch scalars.
        required: Metrics that must be there.
        epoch: For the message.

    Raises:
        RefusedReport: it is no mapping, holds too many metrics, a name is too long, or a value is no number.
        MissingMetric: a required metric is not there.
    """
    if not isinstance(reported, Mapping):
        raise RefusedReport(f"epoch {epoch} yielded {_shown(reported)}, not a dict of metrics")
    if len(reported) > MAX_METRICS:
        raise RefusedReport(f"epoch {epoch} yielded {len(reported)} metrics; report at most {MAX_METRICS}")
    metrics = {}
    for name, value in reported.items():
        if len(str(name)) > MAX_NAME_CHARACTERS:
            shown, count = f"{str(name)[:40]}…", len(str(name))
            raise RefusedReport(
                f"the name {shown!r} at epoch {epoch} has {count} characters; use at most {MAX_NAME_CHARACTERS}"
            )
        number = as_number(value)
        if number is None:
            raise RefusedReport(f"metric {str(name)!r} is {_shown(value)} at epoch {epoch}, not a number")
        metrics[str(name)] = number
    for name in required:
        if name not in metrics:
            there = ", ".join([*list(metrics)[:_NAMES_SHOWN], *["…"] * (len(metrics) > _NAMES_SHOWN)])
            there = there or "no metric at all"
            raise MissingMetric(f"metric {name!r} is missing at epoch {epoch}; reported: {there}")
    return metrics


def not_finite(metrics: Mapping[str, float], required: Sequence[str]) -> str | None:
    """The first required metric that is NaN or infinite, or None."""
    return next((name for name in required if not math.isfinite(metrics[name])), None)


def as_number(value: object) -> float | None:
    """The value as a float if it is a number or a scalar of numpy or torch, else None."""
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        item = value.item()
        return float(item) if isinstance(item, int | float) else None
    return None


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text[:60]}… ({type(value).__name__})" if len(text) > 60 else f"{text} ({type(value).__name__})"
