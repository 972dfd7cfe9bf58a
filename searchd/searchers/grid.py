"""Grid search: every combination of a discrete space once."""

from collections.abc import Sequence

from searchd.domain.space import SearchSpace, same_value
from searchd.domain.trial import TrialNumber
from searchd.ports.searcher import Observation, Suggestion
from searchd.searchers.lattice import Lattice


class GridSearcher:
    """Trial n gets configuration n of the space's numbering; None beyond its end.

    Where trial 1 is the trainable's default configuration instead, the combination that it displaced comes last.

    Raises:
        ValueError: the space has a continuous parameter.
    """

    def __init__(self, space: SearchSpace, default_first: bool) -> None:
        lattice = Lattice(space)
        if lattice.size is None:
            raise ValueError("a grid needs discrete parameters; use grid, choice, randint or quniform")
        self._lattice = lattice
        self._size = lattice.size
        self._first_displaced = default_first

    def tell(self, observations: Sequence[Observation]) -> None:
        """Only trial 1 matters: whether it was the first combination."""
        for observation in observations:
            if observation.number == 1:
                first = self._lattice.at(0)
                told = observation.parameters
                self._first_displaced = told.keys() != first.keys() or not all(
                    same_value(told[name], first[name]) for name in first
                )

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """The configuration for trial ``number``, or None when all combinations have been given."""
        if number == 1:
            self._first_displaced = False
        if number <= self._size:
            return Suggestion(self._lattice.at(number - 1))
        last = number == self._size + 1 and self._first_displaced
        return Suggestion(self._lattice.at(0)) if last else None
