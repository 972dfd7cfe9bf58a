"""How good a trial is in a searcher's eyes, by all of its study's objectives and limits."""

import math
from dataclasses import dataclass

from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialState
from searchd.ports.searcher import Observation

LARGEST = 1e100
"""Results beyond plus or minus this are taken for it, so that models may square and add them."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a trial has come to.

    Attributes:
        lacking: Rungs of the ladder that it has not completed; 0 for a complete trial.
        excess: By how much it breaks each limit of the study, 0 or less where it does not; shape (n_limits,).
        losses: Its objectives, signed so that smaller is better; shape (n_objectives,).
    """

    lacking: int
    excess: tuple[float, ...]
    losses: tuple[float, ...]

    def order(self, objective: int = 0) -> tuple[float, int, float]:
        """Sorts the better first: what keeps the limits, then what got further, then by one of the objectives."""
        return sum(max(e, 0.0) for e in self.excess), self.lacking, self.losses[objective]


class Standings:
    """Judges the trials of one study."""

    def __init__(self, spec: StudySpec) -> None:
        self._metric = spec.objective.metric
        self._objectives = spec.objectives
        self._others = spec.others
        self._limits = spec.limits
        self.rungs = len(spec.ladder)

    def of(self, observation: Observation) -> Standing | None:
        """How a trial stands; None if it has no result, or none to learn from: it failed, was infeasible or cancelled,
        or lacks a metric that counts."""
        lost = (TrialState.FAILED, TrialState.INFEASIBLE, TrialState.CANCELLED)
        if observation.score is None or observation.state in lost:
            return None
        means = {self._metric: observation.score, **dict(zip(self._others, observation.others, strict=False))}
        try:
            losses = [-o.goal.signed(means[o.metric]) for o in self._objectives]
            excess = [limit.excess(means[limit.metric]) for limit in self._limits]
        except KeyError:
            return None
        if not all(map(math.isfinite, losses + excess)):
            return None
        complete = observation.state is TrialState.COMPLETED
        lacking = 0 if complete else max(self.rungs - len(observation.scores), 1)
        return Standing(lacking, tuple(map(_bounded, excess)), tuple(map(_bounded, losses)))


def _bounded(value: float) -> float:
    return min(max(value, -LARGEST), LARGEST)
