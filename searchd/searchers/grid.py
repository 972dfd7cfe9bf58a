"""Grid search: every combination of a discrete space once."""

import bisect
import json
from collections.abc import Sequence

from searchd.domain.lattice import Lattice
from searchd.domain.space import Parameters, SearchSpace
from searchd.domain.trial import TrialNumber
from searchd.ports.searcher import Observation, Suggestion
from searchd.searchers.distinct import Turns

MAX_PASSED = 200_000
"""Ranges in a row that constraints may rule out before the search gives up; some seconds' work."""


class Combinations:
    """The configurations of a lattice that its constraints allow, in its order.

    Without constraints any of them is found at once. With constraints the one at place n is found from the nearest
    known one before it, stepping over what is ruled out.
    """

    def __init__(self, lattice: Lattice) -> None:
        if lattice.size is None:
            raise ValueError("a grid needs discrete parameters; use grid, choice, randint or quniform")
        self._lattice = lattice
        self._constrained = bool(lattice.space.constraints)
        self._places: list[int] = []
        self._index: dict[int, int] = {}
        self.length: int = lattice.size

    def at(self, place: int) -> Parameters | None:
        """The combination at a place, from 1; None beyond the end.

        Raises:
            ValueError: the constraints rule out too much in a row.
        """
        index = self.index(place)
        return None if index is None else self._lattice.at(index)

    def index(self, place: int) -> int | None:
        """Its number in the lattice."""
        if place > self.length:
            return None
        if not self._constrained:
            return place - 1
        if place not in self._index:
            self._walk_to(place)
        return self._index.get(place)

    def known(self, place: int, index: int) -> None:
        """The combination at a place has this number in the lattice."""
        if place not in self._index:
            bisect.insort(self._places, place)
            self._index[place] = index

    def _walk_to(self, place: int) -> None:
        before = bisect.bisect_left(self._places, place) - 1
        at = self._places[before] if before >= 0 else 0
        passed = 0
        for index in self._lattice.allowed(self._index[at] + 1 if at else 0):
            passed = 0 if index is not None else passed + 1
            if passed > MAX_PASSED:
                raise ValueError(f"the constraints rule out everything for {MAX_PASSED} steps of the grid; loosen them")
            if index is not None:
                at += 1
                self.known(at, index)
            if at == place:
                return
        self.length = at


class GridSearcher:
    """Trial n gets the n-th combination; None when all have been given.

    A combination that another trial has, such as the trainable's default configuration, is not given again, and the one
    in whose place that trial came is not lost. Notes say how far constraints let the numbering get.

    Raises:
        ValueError: the space has a continuous parameter, or more interlaced conditions than can be counted.
    """

    def __init__(self, space: SearchSpace) -> None:
        lattice = Lattice(space)
        self._constrained = bool(space.constraints)
        self._combinations = Combinations(lattice)
        self._turns = Turns(lattice, self._combinations)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in trials: which combinations are taken, and how far the numbering got."""
        for observation in observations:
            self._turns.take(observation.number, observation.parameters)
            if self._constrained and observation.note:
                place, index = json.loads(observation.note)
                self._combinations.known(place, index)

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """The configuration for trial ``number``, or None when all combinations have been given.

        Raises:
            ValueError: the constraints rule out too much in a row.
        """
        place = self._turns.place(number)
        parameters = None if place is None else self._combinations.at(place)
        if place is None or parameters is None:
            return None
        note = json.dumps([place, self._combinations.index(place)]) if self._constrained else ""
        return Suggestion(parameters, note)
