"""The median rule: a trial stops when the best that it has shown is worse than what others showed on average."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from searchd.domain.trial import TrialNumber
from searchd.ports.scheduler import Verdict
from searchd.schedulers.divided import Divided

GRACE = 3
"""Others that must have completed a rung before anybody stops there."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a trial has shown at the rungs that it has completed."""

    best: float
    average: float
    rungs: int = 1

    def then(self, score: float) -> "_Shown":
        rungs = self.rungs + 1  # huge scores are divided before they are added
        return _Shown(max(self.best, score), self.average * (self.rungs / rungs) + score / rungs, rungs)


class MedianStopping:
    """A trial stops at a rung if its best score so far is worse than the median of the others' running averages.

    A running average is the mean of a trial's scores at the rungs up to that one, so rungs should be equally spaced.
    All others that have completed the rung count, whether they went on or not, and at least 3 must have. Nobody is
    ever paused. Logarithmic time per trial and rung. Golovin et al., "Google Vizier", KDD 2017, section 3.2.2.
    """

    def __init__(self) -> None:
        self._shown: dict[TrialNumber, _Shown] = {}
        """Of trials that go on."""
        self._averages: defaultdict[int, Divided] = defaultdict(Divided)
        """Running averages by rung, the better half of them above the border; the middle one, too."""

    def completed(self, trial: TrialNumber, rung: int, score: float) -> Verdict:
        """Compare with the trials before, then record."""
        others = self._averages[rung]
        median = _median(others) if len(others) >= GRACE else None
        before = self._shown.get(trial)
        best = score if before is None else max(before.best, score)
        stops = median is not None and best < median
        self.recorded(trial, rung, score, climbed=not stops)
        return Verdict.STOP if stops else Verdict.CLIMB

    def recorded(self, trial: TrialNumber, rung: int, score: float, climbed: bool) -> None:
        """Record a score. Those of a trial come rung by rung."""
        before = self._shown.pop(trial, None)
        shown = _Shown(score, score) if before is None else before.then(score)
        averages = self._averages[rung]
        averages.add((shown.average, -trial), len(averages) // 2 + 1)
        if climbed:
            self._shown[trial] = shown

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


def _median(averages: Divided) -> float:
    """The middle one, or the mean of the middle two; there must be at least 2."""
    middle = averages.worst_above()[0]
    return middle if len(averages) % 2 else averages.best_below()[0] / 2 + middle / 2
