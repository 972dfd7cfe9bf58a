"""Quasi-random search: a scrambled Sobol sequence covers the space more evenly than independent draws.

Sobol', "On the distribution of points in a cube and the approximate evaluation of integrals", 1967; scrambled after
Matousek, "On the L2-discrepancy for anchored boxes", Journal of Complexity 1998, as SciPy implements it.
"""

from collections.abc import Sequence

from scipy.stats import qmc

from searchd.domain.space import SearchSpace
from searchd.domain.trial import TrialNumber
from searchd.ports.searcher import Observation, Suggestion
from searchd.searchers.chance import seed_of
from searchd.searchers.distinct import DistinctDraws, Supply, Turns

BLOCK = 64
"""Points that are computed at a time."""


class SobolPoints:
    """The points of one scrambled sequence by number. Cheap for increasing numbers, and never wrong for others."""

    def __init__(self, dimensions: int, seed: int) -> None:
        self._engine = qmc.Sobol(dimensions, scramble=True, seed=seed_of(seed, 0)) if dimensions else None
        self._block = -1
        self._points: list[list[float]] = []

    def point(self, number: int) -> list[float]:
        """The point at ``number``, from 1; shape (dimensions,), each in [0, 1)."""
        if self._engine is None:
            return []
        block, place = divmod(number - 1, BLOCK)
        if block != self._block:
            if block < self._block + 1:
                self._engine.reset()
                self._block = -1
            if block > self._block + 1:
                self._engine.fast_forward((block - self._block - 1) * BLOCK)
            self._points = self._engine.random(BLOCK).tolist()
            self._block = block
        return [min(u, 1 - 2**-53) for u in self._points[place]]


class SobolSearcher:
    """Suggestion n is the n-th point of the study's own scrambled sequence that constraints allow and that repeats none
    before: a function of the seed and n, and of trials that were not suggested here."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        supply = Supply(space)
        points = SobolPoints(len(space.parameters), seed)
        draws = DistinctDraws(supply, seed, lambda place: space.draw(points.point(place)))
        self._turns = Turns(supply.lattice, draws)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in which configurations are taken; there is nothing else to learn."""
        for observation in observations:
            self._turns.take(observation.number, observation.parameters)

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """The configuration for trial ``number``; None if there is none left, or none was found in a long search."""
        parameters = self._turns.configuration(number)
        return None if parameters is None else Suggestion(parameters)
