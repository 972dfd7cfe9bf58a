"""What earlier studies found best, tried among a searcher's own proposals, and left alone where it does no better."""

from collections.abc import Sequence
from dataclasses import replace

from searchd.domain.space import same_configuration
from searchd.domain.study import StudySpec
from searchd.domain.trial import Origin, TrialNumber, TrialState
from searchd.ports.searcher import Observation, Searcher, Suggestion
from searchd.searchers.standing import Standings

CHECKS = 2
"""Trials of its own that a study compares with what it inherited, and inherited ones that may turn out no better."""

DROPPED = "what earlier studies found best does no better here, and the rest of it is not tried"

Order = tuple[float, int, float]


class Inheritance:
    """How well the configurations that earlier studies found best do here.

    They are compared with the first two trials of the study itself: the default configuration, and points that cover
    the space. What callers asked for says nothing, since they may know more than chance.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._standings = Standings(spec)
        self._inherited: dict[TrialNumber, Order] = {}
        self._own: dict[TrialNumber, Order] = {}

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; those that have not ended, or say nothing, are passed over."""
        for observation in observations:
            if observation.origin is Origin.REQUESTED:
                continue
            known = self._inherited if observation.inherited else self._own
            standing = self._standings.of(observation)
            if standing is None or not observation.state.ended:
                known.pop(observation.number, None)
            else:
                known[observation.number] = standing.order()

    @property
    def worse(self) -> int | None:
        """How many are no better than the first two trials that were not inherited; None before these have ended."""
        if len(self._own) < CHECKS:
            return None
        least = min(self._own[number] for number in sorted(self._own)[:CHECKS])
        return sum(order >= least for order in self._inherited.values())

    @property
    def trusted(self) -> bool:
        """Whether more than half of them are better, or, of an even number, one more."""
        return self.worse is not None and self.worse < (len(self._inherited) + 1) // 2

    @property
    def misleads(self) -> bool:
        """Whether so many are no better that the others need not be tried."""
        return (self.worse or 0) >= CHECKS


class InheritingSearcher:
    """Another searcher, which is told of each inherited configuration as if a caller had asked for it.

    The first proposal is an inherited one; then they take turns with the searcher's own until they have proven better.
    Those that are left are then tried at once; they are dropped when two have proven no better. A searcher that does
    not learn hears of no results, and tries all.
    """

    def __init__(self, spec: StudySpec, inner: Searcher) -> None:
        self._inner = inner
        self._left = list(spec.inherited)
        self._inheritance = Inheritance(spec)
        self._learns = spec.search.algorithm.adaptive
        self._inherited: set[TrialNumber] = set()
        self._own: set[TrialNumber] = set()

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; the newest observation of a trial replaces older ones."""
        self._note(observations)
        self._inner.tell(observations)

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """The configuration for trial ``number``; None if the searcher has none left."""
        misleads = self._learns and self._inheritance.misleads
        due = not self._inherited or len(self._inherited) < len(self._own)
        if self._left and not misleads and (self._trusted or due):
            parameters = self._left[0]
            self.tell([Observation(number, parameters, TrialState.PENDING, origin=Origin.WARM_START)])
            return Suggestion(parameters, origin=Origin.WARM_START)
        suggestion = self._inner.suggest(number)
        if suggestion is None:
            return None
        self._note([Observation(number, suggestion.parameters, TrialState.PENDING)])
        if self._left and misleads:
            remark = f"{suggestion.remark}; {DROPPED}" if suggestion.remark else DROPPED
            return replace(suggestion, remark=remark)
        return suggestion

    @property
    def _trusted(self) -> bool:
        return self._learns and self._inheritance.trusted

    def _note(self, observations: Sequence[Observation]) -> None:
        self._inheritance.tell(observations)
        for observation in observations:
            same = [p for p in self._left if same_configuration(p, observation.parameters)]
            self._left = [p for p in self._left if p not in same]
            if observation.origin is not Origin.REQUESTED:
                (self._inherited if observation.inherited else self._own).add(observation.number)
