"""A searcher whose vendor's model is made anew for each suggestion, from what it was told and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from searchd.domain.space import Parameters
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Suggestion
from searchd.searchers.chance import seed_of, uniforms
from searchd.searchers.coordinates import Coordinate, Coordinates
from searchd.searchers.distinct import Novelty

_UNLEARNT = (TrialState.FAILED, TrialState.INFEASIBLE, TrialState.CANCELLED)
"""How trials end that say nothing about their configuration."""


@dataclass(frozen=True, slots=True)
class Told:
    """The newest observation of a trial, and the coordinates of its active parameters by label."""

    observation: Observation
    coordinates: Mapping[str, Coordinate]


class Model(Protocol):
    """What a vendor's algorithm makes of trials; keeps nothing from one proposal to the next."""

    def proposal(self, told: Sequence[Told], number: TrialNumber, seed: int) -> Mapping[str, Coordinate] | None:
        """A coordinate for every axis, for trial ``number``; None to leave it to chance.

        Args:
            told: The trials to learn from, in number order; failed, infeasible and cancelled ones are left out, and so
                are configurations outside the space.
            number: The trial that the proposal is for; it is not among ``told``.
            seed: Of all randomness, in [0, 2**32).
        """
        ...


class ReplayedSearcher:
    """Asks a model, which is shown all trials each time, for configurations that no other trial has.

    One that was told a study's trials is thus as good as the one that lived through it, in whatever order it was told.
    """

    def __init__(self, coordinates: Coordinates, seed: int, model: Model) -> None:
        self._coordinates = coordinates
        self._seed = seed
        self._model = model
        self._novelty = Novelty(coordinates.space, seed)
        self._told: dict[TrialNumber, Told] = {}

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; the newest observation of a trial replaces older ones."""
        for observation in observations:
            self._novelty.take(observation.number, observation.parameters)
            self._told.pop(observation.number, None)
            coordinates = self._coordinates.inward(observation.parameters)
            if coordinates is not None and observation.state not in _UNLEARNT:
                self._told[observation.number] = Told(observation, coordinates)

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """The configuration for trial ``number``, which counts as pending from now on; None if a discrete space is
        used up."""
        told = [self._told[n] for n in sorted(self._told) if n != number]

        def propose(attempt: int) -> Parameters:
            found = None
            if self._coordinates.axes:
                found = self._model.proposal(told, number, seed_of(self._seed, number, attempt))
            if found is not None:
                return self._coordinates.outward(found)
            space = self._coordinates.space
            return space.draw(uniforms(self._seed, number, len(space.parameters), attempt))

        proposal = self._novelty.fresh(number, propose)
        if proposal is None:
            return None
        self.tell([Observation(number, proposal, TrialState.PENDING)])
        return Suggestion(proposal)
