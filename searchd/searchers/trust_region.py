"""Where to look after a warm start: near what was inherited from earlier studies, for as long as that pays.

A trust region after Eriksson, Pearce, Gardner, Turner and Poloczek, "Scalable Global Optimization via Local Bayesian
Optimization", NeurIPS 2019, of one size and with one centre, where an earlier study points.
"""

from collections.abc import Sequence

from searchd.domain.space import Parameters
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber
from searchd.ports.searcher import Observation
from searchd.searchers.standing import Standings

REACH = 0.2
"""How far from the centre it extends in each number, as a share of the number's domain."""

PATIENCE = 12
"""Trials in a row that bring nothing better before the whole space is searched."""

CHECKS = 2
"""Trials of its own that a study compares with what it inherited."""

Order = tuple[float, int, float]


class TrustRegion:
    """The surroundings of the best configuration so far, if an earlier study led there.

    What was inherited counts as misleading, and the whole space is searched, unless its median is better than the first
    two trials that were not: the default configuration, and points that cover the space.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._standings = Standings(spec)
        self._inherited: dict[TrialNumber, tuple[Order, Parameters]] = {}
        self._own: dict[TrialNumber, tuple[Order, Parameters]] = {}

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; those that have not completed the top rung are passed over."""
        for observation in observations:
            known = self._inherited if observation.inherited else self._own
            standing = self._standings.of(observation)
            if standing is None or standing.lacking:
                known.pop(observation.number, None)
            else:
                known[observation.number] = standing.order(), observation.parameters

    def centre(self) -> Parameters | None:
        """The configuration to look around; None if the whole space is to be searched."""
        if not self._inherited or len(self._own) < CHECKS:
            return None
        first = sorted(self._own)[:CHECKS]
        inherited = sorted(order for order, _ in self._inherited.values())
        if inherited[len(inherited) // 2] >= min(self._own[number][0] for number in first):
            return None
        known = {**self._inherited, **self._own}
        best = min(known, key=lambda number: (known[number][0], number))
        since = sum(number > best for number in self._own if number not in first)
        return known[best][1] if since < PATIENCE else None
