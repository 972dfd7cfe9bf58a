"""A search space as a numbered list of its configurations, of which none is made before it is asked for."""

import bisect
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from searchd.domain.expression import parsed
from searchd.domain.levels import Levels
from searchd.domain.space import Parameter, Parameters, ParameterValue, SearchSpace, same_value

MAX_NODES = 20_000
"""Situations of open conditions beyond which a space is not counted."""

Key = tuple[Hashable, ...]
"""What tells a configuration from all others of its space."""


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


@dataclass(slots=True, eq=False)
class _Node:
    """A parameter in a situation: which conditions of later ones are met.

    Attributes:
        branches: Its positions by what they switch on, each with the node of the next parameter; a single branch
            without a group if it is not active.
        count: Configurations from here on.
    """

    branches: "list[tuple[_Group | None, _Node]]" = field(default_factory=list)
    count: int = 1


@dataclass(frozen=True, slots=True)
class _Prefix:
    """The first parameters of a configuration.

    Attributes:
        length: How many parameters are decided, inactive ones counted.
        chosen: The active ones among them.
        first: The number of the first configuration that begins so.
        node: What comes after them.
    """

    length: int
    chosen: dict[str, ParameterValue]
    first: int
    node: _Node

    @property
    def end(self) -> int:
        """The number after the last configuration that begins so."""
        return self.first + self.node.count


class Lattice:
    """The configurations of a discrete space, numbered from 0; the first parameter varies slowest.

    The number of a configuration is written in a mixed radix whose digits are the positions of its active
    parameters; a conditional parameter is a digit only below the values that switch it on, right after the parameters
    that its conditions name, so nothing is listed twice. Time to find a configuration is linear in the parameters and
    in the values that conditions name.

    Attributes:
        space: The space.
        size: How many configurations there are, constraints aside; None if a parameter is continuous, or if more than
            MAX_NODES situations of conditions would have to be told apart.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._parameters = _compact(space)
        self._place = {p.name: i for i, p in enumerate(self._parameters)}
        self._levels = [p.domain.levels for p in self._parameters]
        self._due = self._constraints_due()
        discrete = [levels for levels in self._levels if levels is not None]
        self._root = self._grown(discrete) if len(discrete) == len(self._levels) else None
        self.size = None if self._root is None else self._root.count

    def key(self, parameters: Parameters) -> Key | None:
        """What tells a configuration from all others: positions, and values of what is continuous; None if it is not
        one of this space's, whatever its constraints say."""
        found: list[Hashable] = []
        for parameter in self.space.active(parameters):
            if parameter.name not in parameters:
                return None
            value = parameters[parameter.name]
            levels = self._levels[self._place[parameter.name]]
            at = levels.position(value) if levels is not None else value if parameter.domain.contains(value) else None
            if at is None:
                return None
            found.append(at)
        return tuple(found) if len(found) == len(parameters) else None

    def configuration(self, key: Key) -> dict[str, ParameterValue]:
        """The configuration of a key."""
        chosen: dict[str, ParameterValue] = {}
        for parameter, at in zip(self.space.active(chosen), key, strict=False):
            levels = self._levels[self._place[parameter.name]]
            chosen[parameter.name] = at if levels is None else levels.value(at)  # type: ignore[arg-type]
        return chosen

    def at(self, index: int) -> dict[str, ParameterValue]:
        """The configuration at ``index``, in [0, size).

        Raises:
            ValueError: the space has no numbering.
        """
        chosen: dict[str, ParameterValue] = {}
        for prefix in self._prefixes(index):
            chosen = prefix.chosen
        return {name: chosen[name] for name in self.space.names() if name in chosen}

    def index(self, parameters: Parameters) -> int | None:
        """The number of a configuration; None if it is not one of this space's, or the space has no numbering."""
        if self._root is None:
            return None
        index = used = 0
        node = self._root
        for i, parameter in enumerate(self._parameters):
            levels = self._levels[i]
            position = None
            if levels is not None and parameter.name in parameters:
                position = levels.position(parameters[parameter.name])
            for group, below in node.branches:
                rank = 0 if group is None else None if position is None else group.rank(position)
                if rank is not None:
                    break
                index += group.count * below.count if group is not None else 0
            else:
                return None
            used += group is not None
            index += rank * below.count
            node = below
        return index if used == len(parameters) else None

    def allowed(self, start: int = 0) -> Iterator[int | None]:
        """The numbers from ``start`` on of the configurations that meet all constraints, ascending.

        Where constraints rule something out it is passed over at once as far as the parameters reach that they name
        first, and None is yielded, so that whoever walks can tell how far to go. A space without a numbering has none.
        """
        if self.size is None:
            return
        if not self.space.constraints:
            yield from range(start, self.size)
            return
        met: list[_Prefix] = []
        while start < self.size:
            # What begins alike meets the same constraints, so only what has changed is decided again.
            while met and met[-1].end <= start:
                met.pop()
            for prefix in self._prefixes(start, met[-1] if met else None):
                if not all(parsed(text).holds(prefix.chosen) for text in self._due.get(prefix.length, ())):
                    yield None
                    start = prefix.end
                    break
                met.append(prefix)
            else:
                yield start
                start += 1

    def _prefixes(self, index: int, known: _Prefix | None = None) -> Iterator[_Prefix]:
        """The configuration at ``index``, parameter by parameter, after the prefix of it that is known."""
        if self._root is None:
            raise ValueError("the configurations of a space with a continuous parameter have no numbers")
        if known is None:
            known = _Prefix(0, {}, 0, self._root)
            yield known
        chosen, node, first = known.chosen, known.node, known.first
        for i, parameter in enumerate(self._parameters[known.length :], start=known.length):
            for group, below in node.branches:
                width = below.count if group is None else group.count * below.count
                if index < first + width:
                    break
                first += width
            levels = self._levels[i]
            if group is not None and levels is not None:
                rank = (index - first) // below.count
                first += rank * below.count
                chosen = {**chosen, parameter.name: levels.value(group.position(rank))}
            node = below
            yield _Prefix(i + 1, chosen, first, node)

    def _constraints_due(self) -> dict[int, list[str]]:
        """Constraints by how many parameters are decided when the last one that they name is."""
        due: dict[int, list[str]] = {}
        for text in self.space.constraints:
            places = [self._place[name] + 1 for name in parsed(text).names if name in self._place]
            due.setdefault(max(places, default=0), []).append(text)
        return due

    def _grown(self, discrete: list[Levels]) -> _Node | None:
        """The nodes, from the first parameter's; None if there are too many."""
        conditions = _Conditions(self._parameters)
        last = _Node()
        levels: list[dict[frozenset[int], _Node]] = [{frozenset(): _Node()}]
        total = 1
        for i in range(len(self._parameters)):
            groups = conditions.grouped(i, discrete[i])
            below: dict[frozenset[int], _Node] = {}
            for met, node in levels[-1].items():
                branches: Sequence[_Group | None] = groups if conditions.of(i) <= met else [None]
                for group in branches:
                    after = conditions.open(i + 1, met | group.conditions if group is not None else met)
                    child = last if i + 1 == len(self._parameters) else below.setdefault(after, _Node())
                    node.branches.append((group, child))
                if total + len(below) > MAX_NODES:
                    return None
            levels.append(below)
            total += len(below)
        for nodes in reversed(levels):
            for node in nodes.values():
                if node.branches:
                    node.count = sum(b.count if g is None else g.count * b.count for g, b in node.branches)
        return next(iter(levels[0].values()))


class _Conditions:
    """All conditions of a space by number, with what of them is known while its parameters are decided in order."""

    def __init__(self, parameters: list[Parameter]) -> None:
        self._place = {p.name: i for i, p in enumerate(parameters)}
        self._all = [(i, c) for i, p in enumerate(parameters) for c in p.when]
        self._of = [
            frozenset(k for k, (i, _) in enumerate(self._all) if i == place) for place in range(len(parameters))
        ]
        self._decided = [self._place.get(c.parameter, -1) for _, c in self._all]

    def of(self, place: int) -> frozenset[int]:
        """The conditions of a parameter."""
        return self._of[place]

    def open(self, start: int, met: frozenset[int]) -> frozenset[int]:
        """Those conditions met that still matter to the parameters from ``start`` on."""
        pending = {self._all[k][0] for k in met if self._all[k][0] >= start}
        lost = {i for i in pending if any(self._decided[k] < start and k not in met for k in self._of[i])}
        return frozenset(k for k in met if self._all[k][0] in pending - lost)

    def grouped(self, place: int, levels: Levels) -> list[_Group]:
        """The positions of a parameter, divided by the conditions that they meet; nobody's at the end."""
        meets: dict[int, set[int]] = {}
        for k, (_, condition) in enumerate(self._all):
            if self._decided[k] == place:
                for value in condition.values:
                    position = levels.position(value)
                    if position is not None and same_value(levels.value(position), value):
                        meets.setdefault(position, set()).add(k)
        members: dict[frozenset[int], list[int]] = {}
        for position in sorted(meets):
            members.setdefault(frozenset(meets[position]), []).append(position)
        groups = [_Group(met, positions, [], len(positions)) for met, positions in members.items()]
        rest = levels.count - len(meets)
        return [*groups, _Group(frozenset(), None, sorted(meets), rest)] if rest else groups


def _compact(space: SearchSpace) -> list[Parameter]:
    """The parameters, each followed at once by those whose conditions are decided then, so that few conditions are open
    at a time."""
    dependents: dict[str, list[Parameter]] = {}
    for parameter in space.parameters:
        for name in {c.parameter for c in parameter.when}:
            dependents.setdefault(name, []).append(parameter)
    placed: dict[str, Parameter] = {}
    for parameter in space.parameters:
        waiting = [parameter]
        while waiting:
            candidate = waiting.pop()
            if candidate.name not in placed and all(c.parameter in placed for c in candidate.when):
                placed[candidate.name] = candidate
                waiting.extend(reversed(dependents.get(candidate.name, [])))
    return list(placed.values())
