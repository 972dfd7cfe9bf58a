"""Ray Tune's schedulers that decide by stopping, fed with the results of our rungs.

Liaw et al., "Tune: A Research Platform for Distributed Model Selection and Training", 2018; ``ray.tune.schedulers``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from searchd.domain.scheduler import Scheduler as Settings
from searchd.domain.trial import TrialNumber
from searchd.ports.scheduler import Verdict
from searchd.schedulers.vendors import ASHA_NAMES, MEDIAN_NAMES
from searchd.worker.randomness import fold_run_seed

_METRIC = "score"
_TIME = "training_iteration"


class RayScheduler:
    """A scheduler of Ray Tune as ours: a trial climbs unless Ray stops it, and nobody is ever paused.

    Ray's milestones are powers of eta. So its clock shows eta ** rung, whatever folds and epochs a rung has, and each
    of our rungs is one of its milestones. A stored score is played back as the result of a trial that ended, which Ray
    records without deciding; neither scheduler asks in which order results came. Which of its brackets a trial is in,
    Ray draws from numpy's global generator: that is seeded by study and trial, and put back.

    Ray's ASHA takes time linear in the trials at the rung for each verdict, its median rule in all trials, and much of
    it: from a thousand trials on, ``median`` of our own is the one to use.

    Args:
        settings: With ``ray`` one of ``RAY_SCHEDULERS``, ``eta`` and, for ASHA, ``brackets``.
        seed: The study's.
        rungs: Rungs of the ladder, at least 1.
    """

    def __init__(self, settings: Settings, seed: int, rungs: int) -> None:
        self._base = float(settings.eta)
        self._seed = seed
        self._vendor = _made(settings, rungs)

    def completed(self, trial: TrialNumber, rung: int, score: float) -> Verdict:
        """What Ray decides on the result, which it records."""
        self._add(trial)
        decision = self._vendor.on_trial_result(_CONTROLLER, _RayTrial(str(trial)), self._result(rung, score))
        return Verdict.STOP if decision == self._vendor.STOP else Verdict.CLIMB

    def recorded(self, trial: TrialNumber, rung: int, score: float, climbed: bool) -> None:  # noqa: ARG002  # the port's
        """Record a score; those of stopped trials count as well."""
        self._add(trial)
        self._vendor.on_trial_complete(_CONTROLLER, _RayTrial(str(trial)), self._result(rung, score))

    def forget(self, trial: TrialNumber, rung: int) -> None:
        """Nobody is paused, so there is nothing to forget."""

    def promotable(self) -> tuple[TrialNumber, int] | None:
        """Nobody is paused: None."""
        return None

    def best_paused(self) -> tuple[TrialNumber, int] | None:
        """Nobody is paused: None."""
        return None

    def donors(self, trial: TrialNumber, rung: int) -> Sequence[TrialNumber]:  # noqa: ARG002  # the port's
        """Everybody goes on by itself."""
        return ()

    def promoted(self, trial: TrialNumber, rung: int) -> None:
        """Nobody is paused, so nobody is promoted."""

    def _add(self, trial: TrialNumber) -> None:
        """Before each result, since Ray forgets trials that ended; the same bracket every time."""
        state = np.random.get_state()
        np.random.seed(fold_run_seed(self._seed, trial, 0, 0))
        self._vendor.on_trial_add(_CONTROLLER, _RayTrial(str(trial)))
        np.random.set_state(state)

    def _result(self, rung: int, score: float) -> dict[str, float]:
        return {_TIME: self._base**rung, _METRIC: score}


@dataclass(frozen=True, slots=True)
class _RayTrial:
    """As much of a trial as these schedulers look at; two of one id are the same."""

    trial_id: str


class _Controller:
    """As much of Tune's controller as these schedulers ask for."""

    def get_live_trials(self) -> list[_RayTrial]:
        """Who waits for a slot: nobody that Ray should make room for."""
        return []


_CONTROLLER = _Controller()


def _made(settings: Settings, rungs: int) -> Any:
    """Ray's own class; only the module that is needed is imported, and with it, unavoidably, all of Tune."""
    if settings.ray in ASHA_NAMES:
        from ray.tune.schedulers.async_hyperband import AsyncHyperBandScheduler  # noqa: PLC0415

        asha: Any = AsyncHyperBandScheduler  # its types ask for whole milestones and do not mind others
        return asha(
            time_attr=_TIME,
            metric=_METRIC,
            mode="max",
            max_t=float(settings.eta) ** rungs,
            reduction_factor=settings.eta,
            brackets=settings.brackets,
            stop_last_trials=False,
        )
    if settings.ray in MEDIAN_NAMES:
        from ray.tune.schedulers.median_stopping_rule import MedianStoppingRule  # noqa: PLC0415

        return MedianStoppingRule(time_attr=_TIME, metric=_METRIC, mode="max", grace_period=1)
    from ray.tune.schedulers.trial_scheduler import FIFOScheduler  # noqa: PLC0415

    fifo: Any = FIFOScheduler
    return fifo()
