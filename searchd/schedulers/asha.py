"""Asynchronous successive halving, in the two forms in which it is known, with brackets.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020. With all brackets that a ladder has, it
is asynchronous Hyperband.
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from searchd.domain.brackets import ONE_BRACKET, Brackets
from searchd.domain.trial import TrialNumber
from searchd.ports.scheduler import Verdict
from searchd.schedulers.divided import Divided, Ranked


class AshaStopping:
    """A trial stops at a rung unless it is as good as the best 1/eta of those that were there before it.

    Decides as ``AsyncHyperBandScheduler`` of Ray Tune does: the first trial of a bracket at a rung climbs, a later one
    stops if its score is below the (1 - 1/eta) quantile, linearly interpolated, of the bracket's scores before it.
    Nobody is ever paused. Logarithmic time per trial and rung. ``eta`` is at least 2.
    """

    def __init__(self, eta: int, brackets: Brackets = ONE_BRACKET) -> None:
        self._share = (1 - 1 / eta) * 100 / 100  # a percentile, as Ray asks for it: ties depend on the last bit
        self._brackets = brackets
        self._rungs: defaultdict[tuple[int, int], Divided] = defaultdict(Divided)
        """Scores by rung and bracket."""

    def completed(self, trial: TrialNumber, rung: int, score: float) -> Verdict:
        """Compare with the trials of the bracket before, then record; below its bracket a trial climbs."""
        cutoff = self._cutoff(self._rungs[rung, self._brackets.of(trial)])
        self.recorded(trial, rung, score, climbed=True)
        return Verdict.STOP if cutoff is not None and score < cutoff else Verdict.CLIMB

    def recorded(self, trial: TrialNumber, rung: int, score: float, climbed: bool) -> None:  # noqa: ARG002  # the port's
        """Record a score; those of stopped trials count as well."""
        bracket = self._brackets.of(trial)
        if rung < bracket:
            return
        scores = self._rungs[rung, bracket]
        below = math.floor(len(scores) * self._share) + 1  # the two values to interpolate lie at this border
        scores.add((score, -trial), len(scores) + 1 - below)

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

    def _cutoff(self, scores: Divided) -> float | None:
        """The quantile of a rung's scores, to the last bit as numpy computes it; None if there are none."""
        if not len(scores):
            return None
        place = (len(scores) - 1) * self._share
        weight = place - math.floor(place)
        low = scores.best_below()[0]
        high = scores.worst_above()[0] if scores.above else low
        return high - (high - low) * (1 - weight) if weight >= 0.5 else low + (high - low) * weight


class AshaPromotion:
    """Every trial pauses at every rung, and climbs when it is among the best 1/eta that completed it.

    Among the best floor(n / eta) of a rung's n scores in a bracket, the best that is still paused climbs first; higher
    rungs come first, then better scores. Equal scores rank by number, lower first. Below its bracket a trial climbs at
    once. Logarithmic time, amortised, per trial and rung. ``eta`` is at least 2.

    In one thing it is stricter than the paper's Algorithm 2: no more than floor(n / eta) climb, except that the best of
    all may always. There whoever was among the best at any moment climbs, which comes to more than 1 in eta, for ranks
    waver, and the more so the fewer have come: with so many early mistakes on the upper rungs, good trials come later.
    """

    def __init__(self, eta: int, brackets: Brackets = ONE_BRACKET) -> None:
        self._eta = eta
        self._brackets = brackets
        self._rungs: list[defaultdict[int, _PausingRung]] = []
        """For each rung its part in each bracket."""

    def completed(self, trial: TrialNumber, rung: int, score: float) -> Verdict:
        """Record; the verdict is PAUSE from the trial's bracket on, and CLIMB below."""
        self.recorded(trial, rung, score, climbed=False)
        return Verdict.CLIMB if rung < self._brackets.of(trial) else Verdict.PAUSE

    def recorded(self, trial: TrialNumber, rung: int, score: float, climbed: bool) -> None:
        """Record a score; the trial is paused at the rung unless it ``climbed``."""
        bracket = self._brackets.of(trial)
        if rung < bracket:
            return
        while len(self._rungs) <= rung:
            self._rungs.append(defaultdict(_PausingRung))
        at = self._rungs[rung][bracket]
        at.add((score, -trial), self._eta)
        if not climbed:
            at.pause(trial, score)

    def forget(self, trial: TrialNumber, rung: int) -> None:
        """The trial is no longer paused; its score still counts."""
        bracket = self._brackets.of(trial)
        if rung >= bracket:
            self._rungs[rung][bracket].paused.discard(trial)

    def donors(self, trial: TrialNumber, rung: int) -> Sequence[TrialNumber]:  # noqa: ARG002  # the port's
        """Everybody goes on by itself."""
        return ()

    def promoted(self, trial: TrialNumber, rung: int) -> None:
        """The trial is no longer paused; its score still counts."""
        self.forget(trial, rung)

    def promotable(self) -> tuple[TrialNumber, int] | None:
        """The best paused trial of the highest rung where one is among the best 1/eta of its bracket, and that rung."""
        return self._highest(_PausingRung.best_earned)

    def best_paused(self) -> tuple[TrialNumber, int] | None:
        """The best paused trial of the highest rung that has any, and that rung."""
        return self._highest(_PausingRung.best_paused)

    def _highest(self, best: "Callable[[_PausingRung], Ranked | None]") -> tuple[TrialNumber, int] | None:
        for number in reversed(range(len(self._rungs))):
            found = [ranked for part in self._rungs[number].values() if (ranked := best(part)) is not None]
            if found:
                return TrialNumber(-max(found)[1]), number
        return None


class _PausingRung:
    """All scores of a rung in a bracket, and which of its trials are paused."""

    def __init__(self) -> None:
        self.scores = Divided()
        self.best: Ranked | None = None
        self.paused: set[TrialNumber] = set()
        self._heap: list[tuple[float, TrialNumber]] = []

    def add(self, ranked: Ranked, eta: int) -> None:
        """Add a score, and move the border so that one in eta is above it."""
        self.scores.add(ranked, (len(self.scores) + 1) // eta)
        self.best = ranked if self.best is None else max(self.best, ranked)

    def pause(self, trial: TrialNumber, score: float) -> None:
        """Add a paused trial; once it has left it does not come back to this rung."""
        self.paused.add(trial)
        heapq.heappush(self._heap, (-score, trial))

    def best_paused(self) -> Ranked | None:
        """The best trial that is still paused; those that have left are dropped on the way."""
        while self._heap and self._heap[0][1] not in self.paused:
            heapq.heappop(self._heap)
        return (-self._heap[0][0], -self._heap[0][1]) if self._heap else None

    def best_earned(self) -> Ranked | None:
        """That trial if it is above the border, and fewer have left than are there or it is the best; else None."""
        best = self.best_paused()
        if best is None or not self.scores.above or best < self.scores.worst_above():
            return None
        left = len(self.scores) - len(self.paused)
        return best if left < len(self.scores.above) or best == self.best else None
