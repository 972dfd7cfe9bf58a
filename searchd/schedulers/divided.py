"""The scores of a rung, divided by rank."""

import heapq

Ranked = tuple[float, int]
"""A score and the negative number of its trial: larger is better, equal scores rank by number."""


class Divided:
    """Scores of one rung, divided into the best few and the others; only the border between them can be seen."""

    def __init__(self) -> None:
        self.above: list[Ranked] = []
        self._below: list[Ranked] = []  # negated, so that the heap's first is its best

    def __len__(self) -> int:
        return len(self.above) + len(self._below)

    def add(self, ranked: Ranked, above: int) -> None:
        """Add a score, and move the border so that ``above`` scores are above it."""
        score, number = heapq.heappushpop(self.above, ranked)
        heapq.heappush(self._below, (-score, -number))
        while len(self.above) < above:
            score, number = heapq.heappop(self._below)
            heapq.heappush(self.above, (-score, -number))
        while len(self.above) > above:
            score, number = heapq.heappop(self.above)
            heapq.heappush(self._below, (-score, -number))

    def worst_above(self) -> Ranked:
        """The worst of the best few; there must be any."""
        return self.above[0]

    def best_below(self) -> Ranked:
        """The best of the others; there must be any."""
        score, number = self._below[0]
        return -score, -number
