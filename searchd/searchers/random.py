"""Random search: independent draws, uniform on each parameter's own scale (Bergstra and Bengio, JMLR 2012)."""

from collections.abc import Sequence

from searchd.domain.space import SearchSpace
from searchd.domain.trial import TrialNumber
from searchd.ports.searcher import Observation, Suggestion
from searchd.searchers.chance import uniforms
from searchd.searchers.distinct import DistinctDraws, Supply, Turns


class RandomSearcher:
    """Suggestion n is the n-th draw that constraints allow and that repeats none before: a function of the seed and n,
    and of trials that were not suggested here."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        supply = Supply(space)
        count = len(space.parameters)
        draws = DistinctDraws(supply, seed, lambda place: space.draw(uniforms(seed, place, count)))
        self._turns = Turns(supply.lattice, draws)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in which configurations are taken; there is nothing else to learn."""
        for observation in observations:
            self._turns.take(observation.number, observation.parameters)

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """The configuration for trial ``number``; None if there is none left, or none was found in a long search."""
        parameters = self._turns.configuration(number)
        return None if parameters is None else Suggestion(parameters)
