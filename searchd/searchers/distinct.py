"""Draws that do not repeat themselves while a small space still has something new."""

from collections.abc import Callable

from searchd.domain.space import Parameters
from searchd.searchers.lattice import Lattice

SMALL = 4096
"""Spaces with at most this many configurations are searched without repeats."""

DRAWS_PER_NEW = 16
"""Draws to find a configuration that is new, before the first unused one in order is taken."""


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
