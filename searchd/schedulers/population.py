"""Truncation selection for population-based training: at each rung the worst quarter yields to the best.

Jaderberg et al., "Population Based Training of Neural Networks", 2017.
"""

import bisect
import heapq
from collections.abc import Sequence

from searchd.domain.population import QUANTILE, chosen_first
from searchd.domain.trial import TrialNumber
from searchd.ports.scheduler import Verdict


class Population:
    """Every member pauses at every rung, and goes on as soon as a worker is free, those at the lowest rung first.

    Whether it goes on by itself is decided then, when members that share few workers know most of each other: by the
    scores of its rung alone, whichever order they came in. Of n scores the worst quarter, rounded, yields to the best
    as many, so that about a quarter yields also where each is judged on arrival, by those that were there before.
    Equal scores rank by number, lower first, and nobody yields to an equal. To record a score takes time linear in the
    scores of the rung, though it only moves memory.

    Args:
        seed: The study's; with the number of a trial it decides which of the best the trial yields to.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rungs: dict[int, list[tuple[float, int]]] = {}
        self._scores: dict[tuple[TrialNumber, int], float] = {}
        self._paused: set[tuple[int, TrialNumber]] = set()
        self._line: list[tuple[int, TrialNumber]] = []

    def completed(self, trial: TrialNumber, rung: int, score: float) -> Verdict:
        """Record; the verdict is always PAUSE."""
        self.recorded(trial, rung, score, climbed=False)
        return Verdict.PAUSE

    def recorded(self, trial: TrialNumber, rung: int, score: float, climbed: bool) -> None:
        """Record a score; the trial is paused at the rung unless it ``climbed``."""
        bisect.insort(self._rungs.setdefault(rung, []), (score, -trial))
        self._scores[trial, rung] = score
        if not climbed:
            self._paused.add((rung, trial))
            heapq.heappush(self._line, (rung, trial))

    def forget(self, trial: TrialNumber, rung: int) -> None:
        """The trial is no longer paused; its score still counts."""
        self._paused.discard((rung, trial))

    def promotable(self) -> tuple[TrialNumber, int] | None:
        """The paused trial of the lowest rung, of several the first; None if nobody is paused."""
        while self._line and self._line[0] not in self._paused:
            heapq.heappop(self._line)
        return (self._line[0][1], self._line[0][0]) if self._line else None

    def best_paused(self) -> tuple[TrialNumber, int] | None:
        """The best paused trial of the highest rung that has any, and that rung."""
        best = max(
            ((rung, self._scores[trial, rung], -trial) for rung, trial in self._paused),
            default=None,
        )
        return None if best is None else (TrialNumber(-best[2]), best[0])

    def donors(self, trial: TrialNumber, rung: int) -> Sequence[TrialNumber]:
        """The best quarter of the rung if the trial is of its worst, in an order that seed and trial decide."""
        ranked = self._rungs[rung]
        score = self._scores[trial, rung]
        quarter = (2 * len(ranked) + QUANTILE) // (2 * QUANTILE)
        if bisect.bisect_left(ranked, (score, -trial)) >= quarter:
            return ()
        better = [-number for value, number in ranked[len(ranked) - quarter :] if value > score]
        return [TrialNumber(number) for number in chosen_first(better, f"{self._seed} {trial}")]

    def promoted(self, trial: TrialNumber, rung: int) -> None:
        """The trial is no longer paused; its score still counts."""
        self._paused.discard((rung, trial))
