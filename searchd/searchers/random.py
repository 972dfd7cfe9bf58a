"""Random search: independent draws, uniform on each parameter's own scale (Bergstra and Bengio, JMLR 2012)."""

from collections.abc import Sequence

from searchd.domain.space import Parameters, SearchSpace
from searchd.domain.trial import TrialNumber
from searchd.ports.searcher import Observation, Suggestion
from searchd.searchers.chance import uniforms
from searchd.searchers.distinct import DistinctDraws
from searchd.searchers.lattice import Lattice


class RandomSearcher:
    """Suggestion n is a function of the seed and n. Learns nothing; a small discrete space is not repeated before
    it is used up."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._draws = DistinctDraws(self._draw, Lattice(space))

    def tell(self, observations: Sequence[Observation]) -> None:
        """Random search has nothing to learn."""

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """The configuration for trial ``number``; never None."""
        return Suggestion(self._draws.configuration(number))

    def _draw(self, number: int) -> Parameters:
        return self._space.draw(uniforms(self._seed, number, len(self._space.parameters)))
