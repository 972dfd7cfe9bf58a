"""Asynchronous successive halving, in the two forms in which it is known.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020.
"""

import heapq
import math
from collections.abc import Sequence

from searchd.domain.trial import TrialNumber
from searchd.ports.scheduler import Verdict


class AshaStopping:
    """A trial stops at a rung unless it is as good as the best 1/eta of those that were there before it.

    Decides as ``AsyncHyperBandScheduler`` of Ray Tune does with one bracket: the first trial at a rung climbs, a later
    one stops if its score is below the (1 - 1/eta) quantile, linearly interpolated, of the scores before it. Nobody
    is ever paused. Logarithmic time per trial and rung. ``eta`` is at least 2.
    """

    def __init__(self, eta: int) -> None:
        self._share = (1 - 1 / eta) * 100 / 100  # a percentile, as Ray asks for it: ties depend on the last bit
        self._rungs: dict[int, _Divided] = {}

    def completed(self, trial: TrialNumber, rung: int, score: float) -> Verdict:
        """Compare with the trials before, then record."""
        cutoff = self._cutoff(rung)
        self.recorded(trial, rung, score, climbed=True)
        return Verdict.STOP if cutoff is not None and score < cutoff else Verdict.CLIMB

    def recorded(self, trial: TrialNumber, rung: int, score: float, climbed: bool) -> None:  # noqa: ARG002  # the port's
        """Record a score; those of stopped trials count as well."""
        scores = self._rungs.setdefault(rung, _Divided())
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

    def _cutoff(self, rung: int) -> float | None:
        """The quantile of the scores at a rung, to the last bit as numpy computes it; None if there are none."""
        scores = self._rungs.get(rung)
        if scores is None:
            return None
        place = (len(scores) - 1) * self._share
        weight = place - math.floor(place)
        low = scores.best_below()[0]
        high = scores.worst_above()[0] if scores.above else low
        return high - (high - low) * (1 - weight) if weight >= 0.5 else low + (high - low) * weight


class AshaPromotion:
    """Every trial pauses at every rung, and climbs when it is among the best 1/eta that completed it (Algorithm 2).

    Among the best floor(n / eta) of a rung's n scores, the best that is still paused climbs first; higher rungs come
    first. Equal scores rank by number, lower first. Logarithmic time, amortised, per trial and rung. ``eta`` is at
    least 2.
    """

    def __init__(self, eta: int) -> None:
        self._eta = eta
        self._rungs: list[_PausingRung] = []

    def completed(self, trial: TrialNumber, rung: int, score: float) -> Verdict:
        """Record; the verdict is always PAUSE."""
        self.recorded(trial, rung, score, climbed=False)
        return Verdict.PAUSE

    def recorded(self, trial: TrialNumber, rung: int, score: float, climbed: bool) -> None:
        """Record a score; the trial is paused at the rung unless it ``climbed``."""
        while len(self._rungs) <= rung:
            self._rungs.append(_PausingRung())
        at = self._rungs[rung]
        at.scores.add((score, -trial), (len(at.scores) + 1) // self._eta)
        if not climbed:
            at.pause(trial, score)

    def forget(self, trial: TrialNumber, rung: int) -> None:
        """The trial is no longer paused; its score still counts."""
        self._rungs[rung].paused.discard(trial)

    def donors(self, trial: TrialNumber, rung: int) -> Sequence[TrialNumber]:  # noqa: ARG002  # the port's
        """Everybody goes on by itself."""
        return ()

    def promoted(self, trial: TrialNumber, rung: int) -> None:
        """The trial is no longer paused; its score still counts."""
        self._rungs[rung].paused.discard(trial)

    def promotable(self) -> tuple[TrialNumber, int] | None:
        """The best paused trial of the highest rung where it is among the best 1/eta, and that rung."""
        for number in reversed(range(len(self._rungs))):
            rung = self._rungs[number]
            best = rung.best_paused()
            if best is not None and rung.scores.above and best >= rung.scores.worst_above():
                return TrialNumber(-best[1]), number
        return None

    def best_paused(self) -> tuple[TrialNumber, int] | None:
        """The best paused trial of the highest rung that has any, and that rung."""
        for number in reversed(range(len(self._rungs))):
            best = self._rungs[number].best_paused()
            if best is not None:
                return TrialNumber(-best[1]), number
        return None


_Ranked = tuple[float, int]
"""A score and the negative number of its trial: larger is better, equal scores rank by number."""


class _Divided:
    """Scores of one rung, divided into the best few and the others; only the border between them can be seen."""

    def __init__(self) -> None:
        self.above: list[_Ranked] = []
        self._below: list[_Ranked] = []  # negated, so that the heap's first is its best

    def __len__(self) -> int:
        return len(self.above) + len(self._below)

    def add(self, ranked: _Ranked, above: int) -> None:
        """Add a score, and move the border so that ``above`` scores are above it."""
        score, number = heapq.heappushpop(self.above, ranked)
        heapq.heappush(self._below, (-score, -number))
        while len(self.above) < above:
            score, number = heapq.heappop(self._below)
            heapq.heappush(self.above, (-score, -number))
        while len(self.above) > above:
            score, number = heapq.heappop(self.above)
            heapq.heappush(self._below, (-score, -number))

    def worst_above(self) -> _Ranked:
        """The worst of the best few; there must be any."""
        return self.above[0]

    def best_below(self) -> _Ranked:
        """The best of the others; there must be any."""
        score, number = self._below[0]
        return -score, -number


class _PausingRung:
    """All scores of a rung, and which of its trials are paused."""

    def __init__(self) -> None:
        self.scores = _Divided()
        self.paused: set[TrialNumber] = set()
        self._heap: list[tuple[float, TrialNumber]] = []

    def pause(self, trial: TrialNumber, score: float) -> None:
        """Add a paused trial; once it has left it does not come back to this rung."""
        self.paused.add(trial)
        heapq.heappush(self._heap, (-score, trial))

    def best_paused(self) -> _Ranked | None:
        """The best trial that is still paused; those that have left are dropped on the way."""
        while self._heap and self._heap[0][1] not in self.paused:
            heapq.heappop(self._heap)
        return (-self._heap[0][0], -self._heap[0][1]) if self._heap else None
