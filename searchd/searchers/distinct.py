"""Draws that do not repeat themselves while a small space still has something new."""

import json
from collections import Counter
from collections.abc import Callable

from searchd.domain.space import Parameters, SearchSpace
from searchd.domain.trial import TrialNumber
from searchd.searchers.chance import seed_of, uniforms
from searchd.searchers.lattice import Lattice

SMALL = 4096
"""Spaces with at most this many configurations are searched without repeats."""

DRAWS_PER_NEW = 16
"""Draws to find a configuration that is new, before the first unused one in order is taken."""

ATTEMPTS = 4
"""Proposals of a searcher, to find one that is new, before chance is asked."""

CHANCES = 64
"""Draws by chance after that."""


class DistinctDraws:
    """Numbered draws, with those left out that a small space has seen before.

    Configuration n is the n-th distinct one among ``draw(1), draw(2), …``, so it depends on n alone. When a small
    space has been gone through, it is gone through again in the same order; a large or continuous space has its
    draws handed out as they are.
    """

    def __init__(self, draw: Callable[[int], Parameters], lattice: Lattice) -> None:
        self._draw = draw
        self._lattice = lattice
        self._size = lattice.size if lattice.size is not None and lattice.size <= SMALL else None
        self._order: list[int] = []
        self._used: set[int] = set()
        self._drawn = 0

    def configuration(self, number: int) -> Parameters:
        """The configuration for suggestion ``number``, from 1."""
        if self._size is None:
            return self._draw(number)
        place = (number - 1) % self._size
        while len(self._order) <= place:
            index = self._new()
            self._order.append(index)
            self._used.add(index)
        return self._lattice.at(self._order[place])

    def _new(self) -> int:
        for _ in range(DRAWS_PER_NEW):
            self._drawn += 1
            index = self._lattice.index(self._draw(self._drawn))
            if index is not None and index not in self._used:
                return index
        return first_unused(self._lattice, self._used, 0)


def first_unused(lattice: Lattice, used: set[int], start: int) -> int:
    """The first configuration number from ``start`` on, going round, that is not in ``used``.

    Raises:
        ValueError: every configuration is used.
    """
    size = lattice.size or 0
    for step in range(size):
        index = (start + step) % size
        if index not in used:
            return index
    raise ValueError("every configuration of the space is used")


class Novelty:
    """Makes a searcher's proposals new: no trial gets a configuration that another one has.

    The searcher is asked a few times, then chance is, then the first one unused is taken from a
    discrete space.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._lattice = Lattice(space)
        self._held: dict[TrialNumber, int | str] = {}
        self._holders: Counter[int | str] = Counter()

    def take(self, number: TrialNumber, parameters: Parameters) -> None:
        """Trial ``number`` has this configuration, whoever proposed it."""
        index = self._identity(parameters)
        before = self._held.pop(number, None)
        if before is not None:
            self._holders[before] -= 1
        if index is not None:
            self._held[number] = index
            self._holders[index] += 1

    def fresh(self, number: TrialNumber, propose: Callable[[int], Parameters]) -> Parameters | None:
        """A configuration for trial ``number`` that no other trial has, taken from now on; None if there is none left.

        Args:
            number: The trial.
            propose: The searcher's proposal at an attempt, from 0; a later attempt should propose something else.
        """
        own = self._held.get(number)
        for attempt in range(ATTEMPTS + CHANCES):
            if attempt < ATTEMPTS:
                proposal = propose(attempt)
            else:
                proposal = self._space.draw(uniforms(self._seed, number, len(self._space.parameters), attempt))
            index = self._identity(proposal)
            if index is None or self._holders[index] - (index == own) <= 0:
                self.take(number, proposal)
                return proposal
        size = self._lattice.size
        if size is not None:
            others = (index for index, holders in self._holders.items() if holders - (index == own) > 0)
            used = {index for index in others if isinstance(index, int)}
            if len(used) >= size:
                return None
            proposal = self._lattice.at(first_unused(self._lattice, used, seed_of(self._seed, number) % size))
        self.take(number, proposal)
        return proposal

    def _identity(self, parameters: Parameters) -> int | str | None:
        """What two trials with the same configuration have in common; None for one outside a discrete space."""
        if self._lattice.size is not None:
            return self._lattice.index(parameters)
        return json.dumps(parameters, sort_keys=True)
