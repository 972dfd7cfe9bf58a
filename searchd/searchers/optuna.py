"""What the searchers built on Optuna share: a sampler is shown our trials, and samples for one suggestion at a time."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState as OptunaState

from searchd.domain.space import Parameters
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Suggestion
from searchd.searchers.chance import seed_of, uniforms
from searchd.searchers.distinct import Novelty
from searchd.searchers.optuna_axes import Axes
from searchd.searchers.optuna_trials import STUDY, ShownTrials, View, frozen_trial
from searchd.searchers.sobol import SobolPoints

STARTUP_TRIALS = 10
"""Trials with a result before a model is asked; until then suggestions are points of a Sobol sequence."""

optuna.logging.set_verbosity(optuna.logging.ERROR)  # it reports each study, and that it could be faster with greenlet

Propose = Callable[[int], Parameters]
"""The proposal at an attempt, from 0."""


class ModelSearcher(ABC):
    """Keeps what a sampler is shown, and gives each suggestion a sampler of its own, seeded by the trial's number.

    What a sampler would keep from one suggestion to the next is lost on a restart, so none is kept.
    """

    def __init__(self, spec: StudySpec, view: View) -> None:
        self._space = spec.space
        self._seed = spec.seed
        self._axes = Axes(spec.space)
        self._shown = ShownTrials(spec, self._axes, view)
        self._novelty = Novelty(spec.space, spec.seed)
        # Whether every shown trial has every parameter, so that they can be sampled together.
        self._whole = view.filling is not None or not self._axes.conditional
        self._points = SobolPoints(len(spec.space.parameters), spec.seed)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; the newest observation of a trial replaces older ones."""
        for observation in observations:
            self._novelty.take(observation.number, observation.parameters)
            self._shown.show(observation)

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """The configuration for trial ``number``, which counts as pending from now on; None if a discrete space is
        used up."""
        self._shown.hide(number)
        proposal = self._novelty.fresh(number, self._proposals(number))
        if proposal is None:
            return None
        note = self._note(number)
        self.tell([Observation(number, proposal, TrialState.PENDING, note=note)])
        return Suggestion(proposal, note)

    @abstractmethod
    def _sampler(self, seed: int) -> BaseSampler:
        """A new sampler for one suggestion."""

    def _note(self, number: TrialNumber) -> str:  # noqa: ARG002  # for those who have something to note
        """What is to be told again with a trial when the searcher is rebuilt."""
        return ""

    def _proposals(self, number: TrialNumber) -> Propose:
        if self._shown.results < STARTUP_TRIALS:
            return self._covering(number)
        return self._sampled(number, self._axes.free)

    def _covering(self, number: TrialNumber) -> Propose:
        """Proposals that cover the space evenly, whatever is known."""
        count = len(self._space.parameters)
        return lambda attempt: self._space.draw(
            uniforms(self._seed, number, count, attempt) if attempt else self._points.point(number)
        )

    def _sampled(self, number: TrialNumber, free: dict[str, BaseDistribution]) -> Propose:
        """Proposals of a sampler within the distributions of the free parameters."""
        sampler, study = self._sampler(seed_of(self._seed, number)), self._study()
        trial = frozen_trial(number, OptunaState.RUNNING)

        def propose(attempt: int) -> Parameters:  # noqa: ARG001  # the sampler's chance goes on by itself
            together = free if self._whole else sampler.infer_relative_search_space(study, trial)
            relative = sampler.sample_relative(study, trial, together)
            return self._axes.outward(
                lambda name, distribution: (
                    relative[name] if name in relative else sampler.sample_independent(study, trial, name, distribution)
                )
            )

        return propose

    def _study(self) -> optuna.Study:
        # It remembers what it read from its storage, so each suggestion needs its own.
        return optuna.load_study(study_name=STUDY, storage=self._shown)
