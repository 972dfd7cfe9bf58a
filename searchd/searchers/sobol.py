"""Quasi-random search: a scrambled Sobol sequence covers the space more evenly than independent draws.

Sobol', "On the distribution of points in a cube and the approximate evaluation of integrals", 1967; scrambled after
Matousek, "On the L2-discrepancy for anchored boxes", Journal of Complexity 1998, as SciPy implements it.
"""

from collections.abc import Sequence

from scipy.stats import qmc

from searchd.domain.space import Parameters, SearchSpace
from searchd.domain.trial import TrialNumber
from searchd.ports.searcher import Observation, Suggestion
from searchd.searchers.chance import seed_of
from searchd.searchers.distinct import DistinctDraws
from searchd.searchers.lattice import Lattice


class SobolPoints:
    """The points of one scrambled sequence by number. Cheap for increasing numbers, and never wrong for others."""

    def __init__(self, dimensions: int, seed: int) -> None:
        self._dimensions = dimensions
        self._engine = qmc.Sobol(dimensions, scramble=True, seed=seed_of(seed, 0)) if dimensions else None
        self._next = 1

    def point(self, number: int) -> list[float]:
        """The point at ``number``, from 1; shape (dimensions,), each in [0, 1)."""
        if self._engine is None:
            return []
        if number < self._next:
            self._engine.reset()
            self._next = 1
        if number > self._next:
            self._engine.fast_forward(number - self._next)
        self._next = number + 1
        return [min(float(u), 1 - 2**-53) for u in self._engine.random(1)[0]]


class SobolSearcher:
    """Suggestion n is point n of the study's own scrambled sequence. Learns nothing; a small discrete space is not
    repeated before it is used up."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._points = SobolPoints(len(space.parameters), seed)
        self._draws = DistinctDraws(self._draw, Lattice(space))

    def tell(self, observations: Sequence[Observation]) -> None:
        """A fixed sequence has nothing to learn."""

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """The configuration for trial ``number``; never None."""
        return Suggestion(self._draws.configuration(number))

    def _draw(self, number: int) -> Parameters:
        return self._space.draw(self._points.point(number))
