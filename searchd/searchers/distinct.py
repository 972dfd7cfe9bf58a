"""Configurations that no trial of a study has had, and that its constraints allow."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from searchd.domain.expression import parsed
from searchd.domain.lattice import Key, Lattice
from searchd.domain.space import Parameters, SearchSpace
from searchd.domain.trial import TrialNumber
from searchd.searchers.chance import seed_of, uniforms

SMALL = 4096
"""Spaces with at most this many configurations are listed where draws find nothing new."""

ATTEMPTS = 4
"""Proposals of a searcher, to find one that is new, before chance is asked."""

FEW_DRAWS = 64
"""Draws in a small space, before what is left of it is looked for in its list."""

MANY_DRAWS = 10_000
"""Draws in any other space."""

WALK = 110_000
"""Steps through the numbering of a larger discrete space after that, and as many again from its beginning: what was
found there when the study was created is found here too."""


class Supply:
    """What a space has to give: configurations that its constraints allow and that are not taken."""

    def __init__(self, space: SearchSpace) -> None:
        self.lattice = Lattice(space)
        size = self.lattice.size
        self._small = size is not None and size <= SMALL
        self.draws = FEW_DRAWS if self._small else MANY_DRAWS
        self._constraints = [parsed(text) for text in space.constraints]

    def find(
        self, proposals: Iterable[Parameters], taken: Callable[[Key], bool], start: int
    ) -> tuple[Key, Parameters] | None:
        """The first proposal that will do; failing that, in a discrete space, the first configuration from the one
        numbered ``start`` on, going round. None if there is none, or none was found in a long search."""
        lattice = self.lattice
        for proposal in proposals:
            key = lattice.key(proposal) if self._allows(proposal) else None
            if key is not None and not taken(key):
                return key, proposal
        listed = self._listed if self._small else self._walked(start)
        begin = start % max(len(listed), 1) if isinstance(listed, list) else 0
        rest = itertools.chain(listed[begin:], listed[:begin]) if isinstance(listed, list) else listed
        return next(((key, lattice.configuration(key)) for key in rest if not taken(key)), None)

    def _allows(self, parameters: Parameters) -> bool:
        """Whether all constraints are met; what ruled the last one out is asked first, since it likely does again."""
        for place, constraint in enumerate(self._constraints):
            if not constraint.holds(parameters):
                self._constraints.insert(0, self._constraints.pop(place))
                return False
        return True

    @functools.cached_property
    def _listed(self) -> list[Key]:
        return [self._key_at(index) for index in self.lattice.allowed() if index is not None]

    def _walked(self, start: int) -> Iterator[Key]:
        size = self.lattice.size
        if size:
            for begin in (start % size, 0):
                numbers = itertools.islice(self.lattice.allowed(begin), WALK)
                yield from (self._key_at(index) for index in numbers if index is not None)

    def _key_at(self, index: int) -> Key:
        return self.lattice.key(self.lattice.at(index)) or ()


class Novelty:
    """Makes a searcher's proposals new: no trial gets a configuration that another one has, or that constraints forbid.

    The searcher is asked a few times, then chance is, and then what is left of a discrete space is looked for.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._supply = Supply(space)
        self._owner: dict[Key, TrialNumber] = {}

    def take(self, number: TrialNumber, parameters: Parameters) -> None:
        """Trial ``number`` has this configuration, whoever proposed it; nothing that was taken is ever free again."""
        key = self._supply.lattice.key(parameters)
        if key is not None:
            self._owner.setdefault(key, number)

    def fresh(self, number: TrialNumber, propose: Callable[[int], Parameters]) -> Parameters | None:
        """A configuration for trial ``number`` that no other trial has, taken from now on.

        None if there is none left; in a space that is not small, also if none was found in many draws and steps.

        Args:
            number: The trial.
            propose: The searcher's proposal at an attempt, from 0; a later attempt should propose something else.
        """
        proposals = itertools.chain(map(propose, range(ATTEMPTS)), self._drawn(number))
        start = seed_of(self._seed, number)
        found = self._supply.find(proposals, lambda key: self._owner.get(key, number) != number, start)
        if found is None:
            return None
        self.take(number, found[1])
        return found[1]

    def _drawn(self, number: TrialNumber) -> Iterator[Parameters]:
        count = len(self._space.parameters)
        for attempt in range(ATTEMPTS, ATTEMPTS + self._supply.draws):
            yield self._space.draw(uniforms(self._seed, number, count, attempt))


class Configurations(Protocol):
    """Configurations by place, from 1; none twice."""

    def at(self, place: int) -> Parameters | None:
        """The configuration at a place; None beyond the end."""
        ...

    @property
    def length(self) -> int:
        """How many there are; asked once ``at`` has given None."""
        ...


class DistinctDraws:
    """Numbered draws without those that repeat an earlier one or that constraints forbid.

    Place n holds the n-th of the others among ``draw(1), draw(2), …``, and when draws find nothing new in a discrete
    space, what is left of it. So it depends on n alone. The first time, it takes time linear in n, except in a space
    without constraints in which no two draws are the same.
    """

    def __init__(self, supply: Supply, seed: int, draw: Callable[[int], Parameters]) -> None:
        self._supply = supply
        self._seed = seed
        self._draw = draw
        space = supply.lattice.space
        self._endless = not space.constraints and any(p.domain.levels is None and not p.when for p in space.parameters)
        self._places: dict[Key, None] = {}
        self._keys: list[Key] = []
        self._drawn = 0
        self._ended = False

    @property
    def length(self) -> int:
        """How many configurations were found."""
        return len(self._keys)

    def at(self, place: int) -> Parameters | None:
        """The configuration at a place, from 1; None beyond the end."""
        if self._endless:
            return self._draw(place)
        while len(self._keys) < place and not self._ended:
            start = seed_of(self._seed, len(self._keys))
            found = self._supply.find(self._more(), self._places.__contains__, start)
            if found is None:
                self._ended = True
            else:
                self._places[found[0]] = None
                self._keys.append(found[0])
        return self._supply.lattice.configuration(self._keys[place - 1]) if place <= len(self._keys) else None

    def _more(self) -> Iterator[Parameters]:
        for _ in range(self._supply.draws):
            self._drawn += 1
            yield self._draw(self._drawn)


class Turns:
    """Gives trial n the configuration at place n, unless another trial has that one.

    If trial m has it (as the default configuration, or because a caller asked for it), what is at place m is free, and
    trial n gets that; if somebody has that too, it goes on so. (If m's was given out already before m was known to have
    another, the next free one takes its place.) Beyond the end comes what nobody has, the last first. So
    all trials get different ones until there is none left, and what trial n gets depends on n and on trials that were
    not suggested here; up to the end, those that were need not be told.
    """

    def __init__(self, lattice: Lattice, configurations: Configurations) -> None:
        self._lattice = lattice
        self._configurations = configurations
        self._holder: dict[Key, int] = {}
        self._given: dict[int, int | None] = {}
        self._rest: Iterator[int] | None = None

    def take(self, number: TrialNumber, parameters: Parameters) -> None:
        """Trial ``number`` has this configuration, whoever proposed it."""
        key = self._lattice.key(parameters)
        if key is not None:
            self._holder.setdefault(key, number)

    def place(self, number: TrialNumber) -> int | None:
        """The place of the configuration that trial ``number`` gets and has from now on; None if there is none left."""
        if number not in self._given:
            place = self._given[number] = self._found(number)
            if place is not None and place != number:
                self.take(number, self._configurations.at(place) or {})
        return self._given[number]

    def configuration(self, number: TrialNumber) -> Parameters | None:
        """What is at that place."""
        place = self.place(number)
        return None if place is None else self._configurations.at(place)

    def _found(self, number: TrialNumber) -> int | None:
        place: int = number
        while True:
            holder = self._holder_at(place)
            if holder is None:
                return self._left_over()
            if holder in (0, number):
                return place
            # What is at the place of a trial that was asked for is on its way to it, whatever that number has now.
            place = holder if holder not in self._given else self._next_free(number)

    def _next_free(self, number: int) -> int:
        """The first place after a trial's that nobody has and that was not asked for, or the one beyond the end."""
        return next(p for p in itertools.count(number + 1) if p not in self._given and not self._holder_at(p))

    def _holder_at(self, place: int) -> int | None:
        """The trial that has what is at a place, 0 if none does; None beyond the end."""
        parameters = self._configurations.at(place)
        return None if parameters is None else self._holder.get(self._lattice.key(parameters) or (), 0)

    def _left_over(self) -> int | None:
        """The last place whose configuration nobody has and whose trial was not asked for; each is given once."""
        if self._rest is None:
            self._rest = iter(range(self._configurations.length, 0, -1))
        return next((p for p in self._rest if p not in self._given and not self._holder_at(p)), None)
