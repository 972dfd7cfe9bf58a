"""Which schedulers of Ray Tune a study may name. Imports no vendor."""

import difflib
from collections.abc import Iterator, Mapping

from searchd.domain.errors import Violation
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode

ASHA_NAMES = ("asha", "async_hyperband", "asynchyperband")
MEDIAN_NAMES = ("median_stopping_rule", "medianstopping")
FIFO_NAMES = ("fifo",)
RAY_SCHEDULERS = (*ASHA_NAMES, *MEDIAN_NAMES, *FIFO_NAMES)
"""Ray Tune's schedulers that decide by stopping, by the names under which ``ray.tune.create_scheduler`` knows them."""

_REFUSED: Mapping[str, tuple[str, str]] = {
    "hyperband": ("pauses trials in Tune's own loop", "use scheduler.algorithm hyperband"),
    "hb_bohb": ("pauses trials in Tune's own loop", "use scheduler.algorithm hyperband"),
    "bohb": ("pauses trials in Tune's own loop", "use scheduler.algorithm hyperband"),
    "pbt": ("changes trials in Tune's own loop", "use scheduler.algorithm population"),
    "pbt_replay": ("changes trials in Tune's own loop", "use scheduler.algorithm population"),
    "pb2": ("changes trials in Tune's own loop", "use scheduler.algorithm population"),
    "resource_changing": ("changes resources in Tune's own loop", "set resources, which are the same for all trials"),
}
"""Names that Ray Tune has as well: why they do not run here, and what to use."""


def scheduler_violations(scheduler: Scheduler | None, mode: SchedulerMode | None) -> Iterator[Violation]:
    """Why a study cannot be scheduled by the vendor's algorithm that it names; nothing if it can, or names none.

    Args:
        scheduler: Which trials are to climb; None if the study does not say.
        mode: How, as written; None if the study does not say.
    """
    if scheduler is None:
        return
    path, name = "scheduler.algorithm", scheduler.ray
    if scheduler.algorithm is not SchedulerAlgorithm.RAY:
        if name:
            message = f"names Ray Tune's {name} and is {scheduler.algorithm.value}"
            yield Violation(path, message, f"write ray:{name}, or leave the name out")
        return
    if name in _REFUSED:
        reason, remedy = _REFUSED[name]
        yield Violation(path, f"ray:{name} {reason}", remedy)
    elif name not in RAY_SCHEDULERS:
        close = difflib.get_close_matches(name, [*RAY_SCHEDULERS, *_REFUSED], 1)
        remedy = f"did you mean ray:{close[0]}?" if close else f"known after ray: are {', '.join(RAY_SCHEDULERS)}"
        yield Violation(path, f"Ray Tune has no scheduler {name!r}", remedy)
    if mode is SchedulerMode.PROMOTION:
        message = "Ray Tune's schedulers stop trials and promote none"
        yield Violation("scheduler.mode", message, "leave it out, or set scheduler.algorithm to asha")
