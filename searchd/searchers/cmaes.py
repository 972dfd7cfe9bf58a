"""Covariance matrix adaptation evolution strategy, with the package ``cmaes``.

Hansen and Ostermeier, "Completely Derandomized Self-Adaptation in Evolution Strategies", Evolutionary Computation,
2001; restarts with larger populations after Auger and Hansen, CEC 2005; the start from known trials after Nomura,
Watanabe, Akimoto, Ozaki and Onishi, "Warm Starting CMA-ES for Hyperparameter Optimization", AAAI 2021.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from cmaes import CMA, get_warm_start_mgd

from searchd.domain.space import Choice, Parameters
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Suggestion
from searchd.searchers.chance import seed_of, uniforms
from searchd.searchers.coordinates import Coordinates
from searchd.searchers.distinct import Novelty
from searchd.searchers.generations import Generations
from searchd.searchers.standing import Standing, Standings

SPREAD = 0.2
"""Standard deviation of a first generation, as a share of each parameter's own scale."""

KNOWN_SHARE = 10
"""One in so many of the trials that are known at the start, the best, tell where to begin."""

TRIALS_PER_GENERATION = 10
"""A generation is at most the budget's trials divided by this, however many slots there are."""


Place = np.ndarray[Any, np.dtype[np.float64]]
"""An array of real numbers."""


class CmaesSearcher:
    """CMA-ES over numeric parameters, each on its own scale.

    A generation ends when enough of its trials have a result; those still running then count no more, and of more
    than enough some evenly spaced in rank are taken. Generations are at least as large as the study has slots. Only
    the order of results matters: what keeps the limits comes before what does not, and what got further before what
    was stopped or paused. The first generation starts in the middle of the space, or from the best of the trials that
    are known; one that no longer moves is followed by one of double size from a random place.

    Each trial's note holds its generation and where it was drawn; the first of a generation notes those that the
    generation came of, best first. The same updates of the distribution are made again from these.
    """

    def __init__(self, spec: StudySpec) -> None:
        """A searcher told nothing yet.

        Raises:
            ValueError: the study has several objectives, or its space a choice or a condition.
        """
        refuse(spec)
        self._coordinates = Coordinates(spec.space)
        self._dimensions = len(self._coordinates.axes)
        self._seed = spec.seed
        usual = 4 + math.floor(3 * math.log(max(self._dimensions, 1)))
        self._size = max(usual, min(spec.budget.slots or 0, spec.budget.trials // TRIALS_PER_GENERATION))
        self._standings = Standings(spec)
        self._results: dict[TrialNumber, Standing] = {}
        self._places: dict[TrialNumber, list[float]] = {}
        self._generations = Generations()
        self._novelty = Novelty(spec.space, spec.seed)
        self._optimizer: CMA | None = None
        self._reached = 0
        self._restarts = 0

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; the newest observation of a trial replaces older ones."""
        for observation in observations:
            number = observation.number
            self._novelty.take(number, observation.parameters)
            noted = self._generations.read(number, observation.note)
            place = noted.get("at") or self._place(observation.parameters)
            standing = self._standings.of(observation)
            self._results.pop(number, None)
            if place is not None:
                self._places[number] = place
                if standing is not None:
                    self._results[number] = standing

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """The configuration for trial ``number``, which counts as pending from now on; None if a discrete space is
        used up."""
        optimizer = self._advanced() if self._dimensions else None
        drawn: list[tuple[Parameters, list[float]]] = []

        def propose(attempt: int) -> Parameters:
            place: list[float] = []
            if optimizer is not None:
                optimizer.reseed_rng(seed_of(self._seed, number, attempt))
                place = [float(x) for x in optimizer.ask()]
            drawn.append((self._configuration(place), place))
            return drawn[-1][0]

        proposal = self._novelty.fresh(number, propose)
        if proposal is None:
            return None
        place = next((place for parameters, place in drawn if parameters == proposal), None) or self._place(proposal)
        note = self._generations.note(number, self._reached, at=place) if self._dimensions else ""
        self.tell([Observation(number, proposal, TrialState.PENDING, note=note)])
        return Suggestion(proposal, note)

    def _advanced(self) -> CMA:
        """The distribution of the newest generation, begun first if the one before it is full."""
        parents = self._generations.parents
        if self._optimizer is None:
            if 0 not in parents:
                self._generations.begin(0, self._best_known())
            self._size = len(parents.get(1, ())) or self._size
            self._optimizer = self._started(parents[0])
        while True:
            if self._reached + 1 not in parents:
                members = self._members(self._optimizer.population_size)
                if not members:
                    return self._optimizer
                self._generations.begin(self._reached + 1, members)
            self._reached += 1
            ranked = enumerate(parents[self._reached])
            self._optimizer.tell([(np.array(self._places[n]), float(rank)) for rank, n in ranked])
            if self._optimizer.should_stop():
                self._restarts += 1
                self._optimizer = self._begun(uniforms(self._seed, 0, self._dimensions, self._restarts), SPREAD)

    def _best_known(self) -> list[TrialNumber]:
        ranked = self._ranked(self._results)
        return ranked[: math.ceil(len(ranked) / KNOWN_SHARE)]

    def _members(self, count: int) -> list[TrialNumber]:
        """So many trials of the newest generation that have a result, best first; none if there are fewer."""
        ranked = self._ranked(n for n in self._generations.members[self._reached] if n in self._results)
        if len(ranked) < count:
            return []
        return [ranked[round(i * (len(ranked) - 1) / (count - 1))] for i in range(count)]

    def _ranked(self, numbers: Iterable[TrialNumber]) -> list[TrialNumber]:
        return sorted(numbers, key=lambda number: (self._results[number].order(), number))

    def _started(self, known: Sequence[TrialNumber]) -> CMA:
        places = [np.array(self._places[number]) for number in known]
        if len(places) < 2:
            return self._begun(places[0] if places else np.full(self._dimensions, 0.5), SPREAD)
        mean, sigma, covariance = get_warm_start_mgd([(place, 0.0) for place in places], gamma=1.0)
        return self._begun(mean, sigma, covariance)

    def _begun(self, mean: Sequence[float] | Place, sigma: float, covariance: Place | None = None) -> CMA:
        bounds = np.tile([0.0, 1.0], (self._dimensions, 1))
        size = self._size * 2**self._restarts
        return CMA(np.clip(mean, 0, 1), sigma, bounds, population_size=size, cov=covariance, seed=0)

    def _configuration(self, place: Sequence[float]) -> Parameters:
        return self._coordinates.outward(dict(zip(self._coordinates.axes, place, strict=True)))

    def _place(self, parameters: Parameters) -> list[float] | None:
        """Where a configuration lies; None if it is outside the space."""
        inner = self._coordinates.inward(parameters)
        return None if inner is None else [float(inner[label]) for label in self._coordinates.axes]


def refuse(spec: StudySpec) -> None:
    """Raise for a study that CMA-ES cannot search.

    Raises:
        ValueError: it has several objectives, or its space a choice or a condition.
    """
    if len(spec.objectives) > 1:
        names = ", ".join(o.metric for o in spec.objectives)
        raise ValueError(f"cmaes optimises one objective, not {names}; keep one, or set search.algorithm to nsga2")
    for parameter in spec.space.parameters:
        if isinstance(parameter.domain, Choice) and len(parameter.domain.options) > 1:
            raise ValueError(
                f"cmaes searches numbers, and {parameter.name} is a choice; give it a range of numbers, fix it, "
                "or set search.algorithm to tpe"
            )
        if parameter.when:
            raise ValueError(
                f"cmaes needs every parameter in every trial, and {parameter.name} depends on a condition; "
                "remove the condition, or set search.algorithm to tpe"
            )
