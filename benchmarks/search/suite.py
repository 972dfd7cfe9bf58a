"""The tasks of the black-box comparison, all of them, as an instance has them."""

from collections.abc import Mapping

from benchmarks.search.bbob import bbob
from benchmarks.search.tasks import (
    Task,
    branin,
    categorical,
    conditional,
    hartmann,
    mixed_ackley,
    small,
    zdt1,
)

BATCH = ("hartmann6", "ackley_mixed", "categorical")
"""Tasks on which many slots are tried, one of each kind of space: numeric, mixed, choices."""


def suite(instance: int) -> Mapping[str, Task]:
    """All tasks by name. Branin, Hartmann and ZDT1 are the same in every instance."""
    tasks = (
        branin(),
        hartmann(6),
        hartmann(6, noise=0.1),
        *bbob(instance),
        mixed_ackley(instance),
        conditional(instance),
        categorical(instance),
        small(instance),
        zdt1(),
    )
    return {task.name: task for task in tasks}
