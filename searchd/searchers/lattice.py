"""A discrete search space as a numbered list of its configurations, of which none is made before it is asked for."""

import bisect
from dataclasses import dataclass

from searchd.domain.space import (
    Choice,
    Condition,
    Domain,
    Float,
    Integer,
    Parameters,
    ParameterValue,
    SearchSpace,
    same_value,
)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a choice, in the given order."""

    options: tuple[ParameterValue, ...]

    @property
    def count(self) -> int:
        """How many options there are."""
        return len(self.options)

    def value(self, position: int) -> ParameterValue:
        """The option at a position."""
        return self.options[position]

    def position(self, value: ParameterValue) -> int | None:
        """The position of an option; None if it is not one."""
        return next((i for i, option in enumerate(self.options) if same_value(option, value)), None)


@dataclass(frozen=True, slots=True)
class Steps:
    """Multiples of ``step`` moved into [low, top]: exactly the values that a domain's ``at`` can return."""

    low: float
    top: float
    step: float

    @property
    def count(self) -> int:
        """How many values there are."""
        return round(self.top / self.step) - round(self.low / self.step) + 1

    def value(self, position: int) -> ParameterValue:
        """The value at a position; an integer if bounds and step are."""
        return min(max((round(self.low / self.step) + position) * self.step, self.low), self.top)

    def position(self, value: ParameterValue) -> int | None:
        """The position of a value; None if it is not a step, allowing for rounding."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.top:
            return None
        nearest = self.nearest(value)
        return nearest if abs(self.value(nearest) - value) <= self.step * 1e-6 else None

    def nearest(self, value: float) -> int:
        """The position whose value is closest."""
        return min(max(round(value / self.step) - round(self.low / self.step), 0), self.count - 1)


Levels = Options | Steps
"""The values of a discrete domain by position, from 0; at least one."""


def levels(domain: Domain) -> Levels | None:
    """The values of a domain by position; None if they are a continuum."""
    return Options(domain.options) if isinstance(domain, Choice) else steps(domain)


def steps(domain: Integer | Float) -> Steps | None:
    """The values of a numeric domain by position; None if they are a continuum."""
    if isinstance(domain, Integer):
        return Steps(domain.low, domain.high - 1, domain.step)
    return None if domain.step is None else Steps(domain.low, domain.high, domain.step)


class _Group:
    """Positions of one parameter that switch on the same conditions. Either ``members``, or all but ``others``."""

    def __init__(self, conditions: frozenset[int], members: list[int] | None, others: list[int], count: int) -> None:
        self.conditions = conditions
        self._members = members
        self._others = others
        self.count = count

    def position(self, rank: int) -> int:
        """The position of the member at ``rank``."""
        if self._members is not None:
            return self._members[rank]
        position = rank
        for other in self._others:
            position += other <= position
        return position

    def rank(self, position: int) -> int | None:
        """The rank of a position among the members; None if it is not one."""
        among = self._others if self._members is None else self._members
        before = bisect.bisect_left(among, position)
        listed = before < len(among) and among[before] == position
        if self._members is None:
            return None if listed else position - before
        return before if listed else None


class Lattice:
    """The configurations of a discrete space, numbered from 0; the first parameter varies slowest.

    The number of a configuration is written in a mixed radix whose digits are the positions of its active
    parameters; a conditional parameter is a digit only below the values that switch it on, so nothing is listed
    twice. Time to find a configuration is linear in the parameters and in the values that conditions name.

    Attributes:
        size: How many configurations there are; None if any parameter is continuous.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        found = [levels(p.domain) for p in space.parameters]
        self._levels = [of for of in found if of is not None]
        self.size: int | None = None
        if len(self._levels) < len(found):
            return
        conditions = [(i, c) for i, p in enumerate(space.parameters) for c in p.when]
        self._required = [
            frozenset(k for k, (dependent, _) in enumerate(conditions) if dependent == i) for i in range(len(found))
        ]
        self._needed = [
            frozenset(k for k, (dependent, _) in enumerate(conditions) if dependent >= i) for i in range(len(found) + 1)
        ]
        self._groups = [self._grouped(i, conditions) for i in range(len(found))]
        self._counts: dict[tuple[int, frozenset[int]], int] = {}
        self.size = self._count(0, frozenset())

    def _grouped(self, index: int, conditions: list[tuple[int, Condition]]) -> list[_Group]:
        """The positions of a parameter, divided by the conditions that they meet; nobody's at the end."""
        meets: dict[int, set[int]] = {}
        for k, (_, condition) in enumerate(conditions):
            if condition.parameter == self._space.parameters[index].name:
                for value in condition.values:
                    position = self._levels[index].position(value)
                    if position is not None:
                        meets.setdefault(position, set()).add(k)
        members: dict[frozenset[int], list[int]] = {}
        for position in sorted(meets):
            members.setdefault(frozenset(meets[position]), []).append(position)
        groups = [_Group(met, positions, [], len(positions)) for met, positions in members.items()]
        rest = self._levels[index].count - len(meets)
        return [*groups, _Group(frozenset(), None, sorted(meets), rest)] if rest else groups

    def at(self, index: int) -> dict[str, ParameterValue]:
        """The configuration at ``index``, in [0, size)."""
        chosen: dict[str, ParameterValue] = {}
        met: frozenset[int] = frozenset()
        for i, parameter in enumerate(self._space.parameters):
            if not self._required[i] <= met:
                continue
            for group in self._groups[i]:
                below = self._count(i + 1, met | group.conditions)
                if index < group.count * below:
                    break
                index -= group.count * below
            rank, index = divmod(index, below)
            met |= group.conditions
            chosen[parameter.name] = self._levels[i].value(group.position(rank))
        return chosen

    def index(self, parameters: Parameters) -> int | None:
        """The number of a configuration; None if it is not one of this space's, or the space is continuous."""
        if self.size is None:
            return None
        index = used = 0
        met: frozenset[int] = frozenset()
        for i, parameter in enumerate(self._space.parameters):
            if not self._required[i] <= met:
                continue
            position = self._levels[i].position(parameters[parameter.name]) if parameter.name in parameters else None
            if position is None:
                return None
            used += 1
            for group in self._groups[i]:
                below = self._count(i + 1, met | group.conditions)
                rank = group.rank(position)
                if rank is not None:
                    break
                index += group.count * below
            index += (rank or 0) * below
            met |= group.conditions
        return index if used == len(parameters) else None

    def _count(self, start: int, met: frozenset[int]) -> int:
        """Configurations of the parameters from ``start`` on, given the conditions that are met."""
        if start == len(self._levels):
            return 1
        key = (start, met & self._needed[start])
        if key not in self._counts:
            self._counts[key] = (
                sum(g.count * self._count(start + 1, met | g.conditions) for g in self._groups[start])
                if self._required[start] <= met
                else self._count(start + 1, met)
            )
        return self._counts[key]
