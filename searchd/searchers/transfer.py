"""Where earlier studies did best: the configurations that a new one tries before it draws points of its own."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from searchd.domain.search import Prior
from searchd.domain.space import Choice, Domain, Parameters, ParameterValue, SearchSpace, same_value

POINTS = 5
"""Most configurations that are taken over. They stand in for half of the points with which a search begins, so that a
misleading study costs no more than those."""

APART = 0.2
"""Taken configurations of one earlier study differ by at least this share of the range of some parameter."""


def starting_points(priors: Sequence[Prior], space: SearchSpace) -> tuple[Parameters, ...]:
    """The best configurations of earlier studies, at most POINTS: each study's best first, then the next best of each.

    Args:
        priors: Trials of earlier studies, each study's best first. Those that do not give all parameters of the space
            are passed over.
        space: The new study's.
    """
    kept: dict[str, list[Parameters]] = defaultdict(list)
    for prior in priors:
        mine = kept[prior.study]
        if len(mine) >= POINTS or not _complete(prior.parameters, space):
            continue
        if all(apart(prior.parameters, other, space) for other in mine):
            mine.append(prior.parameters)
    points: list[Parameters] = []
    for parameters in _in_turn(list(kept.values())):
        if len(points) < POINTS and not any(same_parameters(parameters, other) for other in points):
            points.append(parameters)
    return tuple(points)


def same_parameters(a: Parameters, b: Parameters) -> bool:
    """Whether two configurations are the same."""
    return a.keys() == b.keys() and all(same_value(a[name], b[name]) for name in a)


def apart(a: Parameters, b: Parameters, space: SearchSpace) -> bool:
    """Whether two configurations differ clearly in some parameter."""
    domains = {p.name: p.domain for p in space.parameters}
    return a.keys() != b.keys() or any(_distance(domains[name], a[name], b[name]) >= APART for name in a)


def _complete(parameters: Parameters, space: SearchSpace) -> bool:
    """Whether exactly the active parameters are given."""
    return {p.name for p in space.active(parameters)} == set(parameters)


def _in_turn(lists: Sequence[Sequence[Parameters]]) -> Iterator[Parameters]:
    """The first of each list, then the second of each."""
    for place in range(max((len(each) for each in lists), default=0)):
        for each in lists:
            if place < len(each):
                yield each[place]


def _distance(domain: Domain, a: ParameterValue, b: ParameterValue) -> float:
    """How far two values are apart, as a share of the domain's range on its own scale; 1 between options."""
    if isinstance(domain, Choice):
        return 0.0 if same_value(a, b) else 1.0
    if domain.log:
        return abs(math.log(a / b)) / math.log(domain.high / domain.low)
    return float(abs(a - b) / (domain.high - domain.low))
