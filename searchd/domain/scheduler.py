"""Which trials climb the ladder: the settings."""

from dataclasses import dataclass
from enum import StrEnum


class SchedulerAlgorithm(StrEnum):
    """Which trials climb the ladder."""

    NONE = "none"
    ASHA = "asha"
    HYPERBAND = "hyperband"
    MEDIAN = "median"
    POPULATION = "population"
    RAY = "ray"


class SchedulerMode(StrEnum):
    """How ASHA decides: stop a trial at a rung, or pause all and promote the best."""

    STOPPING = "stopping"
    PROMOTION = "promotion"


@dataclass(frozen=True, slots=True)
class Scheduler:
    """Which trials climb.

    Attributes:
        algorithm: Who decides.
        eta: Reduction factor, at least 2.
        mode: How ASHA and Hyperband decide.
        min_epochs: Epochs of the lowest derived rung, at least 1; of a population also those between two rungs.
        metric: The objective that decides, one of the study's; None means its first.
        brackets: ASHA's brackets, at least 1: bracket b asks nobody to climb before rung b. Hyperband derives its own.
        ray: Name of a Ray Tune scheduler, such as ``median_stopping_rule``, for ``SchedulerAlgorithm.RAY``; else empty.
        explore: Names of the parameters that a population changes in mid-training; empty for all.
    """

    algorithm: SchedulerAlgorithm = SchedulerAlgorithm.ASHA
    eta: int = 3
    mode: SchedulerMode = SchedulerMode.PROMOTION
    min_epochs: int = 1
    metric: str | None = None
    brackets: int = 1
    ray: str = ""
    explore: tuple[str, ...] = ()

    @property
    def pauses(self) -> bool:
        """Whether trials wait at rungs until they may go on to the next; else they train on until they are stopped."""
        by_mode = self.algorithm in (SchedulerAlgorithm.ASHA, SchedulerAlgorithm.HYPERBAND)
        return (by_mode and self.mode is SchedulerMode.PROMOTION) or self.algorithm is SchedulerAlgorithm.POPULATION
