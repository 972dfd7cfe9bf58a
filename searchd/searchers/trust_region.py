"""Where to look after a warm start: near what was inherited from earlier studies, for as long as that pays.

A trust region after Eriksson, Pearce, Gardner, Turner and Poloczek, "Scalable Global Optimization via Local Bayesian
Optimization", NeurIPS 2019, of one size and with one centre, where an earlier study points.
"""

from collections.abc import Sequence

from searchd.domain.space import Parameters
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber
from searchd.ports.searcher import Observation
from searchd.searchers.inheritance import Inheritance, Order
from searchd.searchers.standing import Standings

REACH = 0.2
"""How far from the centre it extends in each number, as a share of the number's domain."""

PATIENCE = 12
"""Trials in a row that bring nothing better before the whole space is searched."""


class TrustRegion:
    """The surroundings of the best configuration so far, if earlier studies led there and are to be trusted."""

    def __init__(self, spec: StudySpec) -> None:
        self._inheritance = Inheritance(spec)
        self._standings = Standings(spec)
        self._known: dict[TrialNumber, tuple[Order, Parameters]] = {}
        self._inherited: set[TrialNumber] = set()

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; those that have not completed the top rung are passed over."""
        self._inheritance.tell(observations)
        for observation in observations:
            standing = self._standings.of(observation)
            if observation.inherited:
                self._inherited.add(observation.number)
            if standing is None or standing.lacking:
                self._known.pop(observation.number, None)
            else:
                self._known[observation.number] = standing.order(), observation.parameters

    def centre(self) -> Parameters | None:
        """The configuration to look around; None if the whole space is to be searched."""
        if not self._inheritance.trusted:
            return None
        best = min(self._known, key=lambda number: (self._known[number][0], number))
        since = sum(number > best for number in self._known if number not in self._inherited)
        return self._known[best][1] if since < PATIENCE else None
