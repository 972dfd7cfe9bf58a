"""How much work scheduling is."""

import math
from typing import ClassVar

import numpy as np
import pytest

from searchd.domain.scheduler import Scheduler as Settings
from searchd.domain.scheduler import SchedulerAlgorithm, SchedulerMode
from searchd.domain.trial import TrialNumber
from searchd.schedulers.factory import make_scheduler
from tests.contracts.scheduler import climbing


class Counted(float):
    """A score that counts how often it is compared."""

    comparisons: ClassVar[int] = 0

    def __lt__(self, other: float) -> bool:
        Counted.comparisons += 1
        return float(self) < float(other)

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return float(self) == other

    def __hash__(self) -> int:
        return hash(float(self))

    def __neg__(self) -> "Counted":
        return Counted(-float(self))


@pytest.mark.parametrize(
    "settings",
    [
        Settings(SchedulerAlgorithm.ASHA, mode=SchedulerMode.STOPPING),
        Settings(SchedulerAlgorithm.ASHA),
        Settings(SchedulerAlgorithm.HYPERBAND),
        Settings(SchedulerAlgorithm.MEDIAN),
    ],
)
def test_work_per_trial_is_logarithmic(settings: Settings) -> None:
    """Between 1,000 and 8,000 trials at a rung the comparisons per trial grow with the logarithm at most."""
    scheduler = make_scheduler(climbing(settings))
    generator = np.random.default_rng(1)
    per_trial = {}
    for number in range(1, 8001):
        before = Counted.comparisons
        scheduler.completed(TrialNumber(number), 0, Counted(generator.random()))
        found = scheduler.promotable()
        if found is not None:
            scheduler.promoted(*found)
        per_trial[number] = Counted.comparisons - before
    early, late = (sum(per_trial[n] for n in range(end - 500, end)) / 500 for end in (1000, 8000))
    assert early > 0
    assert late <= early * math.log(8000) / math.log(1000) * 1.5
