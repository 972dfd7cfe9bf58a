"""Bayesian optimisation with Gaussian processes, from Optuna.

Log expected improvement after Ament, Daulton, Eriksson, Balandat and Bakshy, NeurIPS 2023; several objectives after
Daulton, Balandat and Bakshy, "Differentiable Expected Hypervolume Improvement", NeurIPS 2020; limits after Gardner et
al., "Bayesian Optimization with Inequality Constraints", ICML 2014.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna._gp.acqf import BaseAcquisitionFunc
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler
from optuna.trial import TrialState as OptunaState

from searchd.domain.space import Parameters, ParameterValue
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber
from searchd.ports.searcher import Observation
from searchd.searchers.chance import uniforms
from searchd.searchers.optuna import ModelSearcher, Propose
from searchd.searchers.optuna_trials import Partial, View
from searchd.searchers.precedents import Precedents
from searchd.searchers.trust_region import REACH, TrustRegion

BEST = 100
"""With more results than this and ``RECENT``, this many of the best are shown,"""

RECENT = 300
"""and this many of the others, the latest: fitting takes the cube of their number."""


class GpSearcher(ModelSearcher):
    """A Gaussian process over complete trials, which keeps away from those that run.

    A parameter that does not exist in a trial counts as the middle of its domain there. After a warm start it looks
    near what was inherited, by what earlier studies found there, for as long as that pays. Asked once more, the model
    would find the same best point again, so where a trial has that already, another value of one parameter is tried.
    PyTorch is imported when the model is first asked.
    """

    def __init__(self, spec: StudySpec, deterministic: bool = False) -> None:
        """A searcher told nothing yet.

        Args:
            spec: The study.
            deterministic: Whether a configuration always gives the same score, so that no noise is to be fitted.
        """
        self._middle = [0.5] * len(spec.space.parameters)
        super().__init__(spec, View(Partial.HIDDEN, lambda _: self._middle, BEST, RECENT))
        self._region = TrustRegion(spec)
        self._precedents = Precedents(self._axes, spec.precedents, self._middle)
        self._deterministic = deterministic

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; the newest observation of a trial replaces older ones."""
        super().tell(observations)
        self._region.tell(observations)

    def _sampler(self, seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            # Fixing the noise is marked experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return _ReworkedSampler(lambda acqf: self._reworked(acqf, seed), seed, self._deterministic)

    def _reworked(self, acqf: BaseAcquisitionFunc, seed: int) -> BaseAcquisitionFunc:
        """What is to be maximised in place of an acquisition function."""
        if self._region.centre() is None:
            return acqf
        complete = self._shown.get_all_trials(0, states=(OptunaState.COMPLETE,))
        running = self._shown.get_all_trials(0, states=(OptunaState.RUNNING,))
        return self._precedents.reworked(acqf, complete, running, seed)

    def _proposals(self, number: TrialNumber) -> Propose:
        centre = self._region.centre()
        inner = centre and self._axes.inward(centre, self._middle)
        if inner:
            return self._sampled(number, self._axes.near(inner, REACH))
        return super()._proposals(number)

    def _sampled(self, number: TrialNumber, free: dict[str, BaseDistribution]) -> Propose:
        propose = super()._sampled(number, free)
        found: list[Parameters] = []

        def near(attempt: int) -> Parameters:
            if not attempt:
                found.append(propose(0))
                return found[0]
            return self._varied(found[0], uniforms(self._seed, number, len(self._space.parameters) + 1, attempt))

        return near

    def _varied(self, parameters: Parameters, chance: Sequence[float]) -> Parameters:
        """A configuration with one parameter drawn anew, and those that exist only then; shape (n_parameters + 1,)."""
        names = list(parameters)
        anew = names[int(chance[-1] * len(names))]
        drawn = dict(zip(self._space.names(), chance, strict=False))
        chosen: dict[str, ParameterValue] = {}
        for parameter in self._space.active(chosen):
            kept = parameter.name in parameters and parameter.name != anew
            chosen[parameter.name] = parameters[parameter.name] if kept else parameter.domain.at(drawn[parameter.name])
        return chosen


class _ReworkedSampler(GPSampler):
    """Optuna's sampler with another acquisition function, where Optuna lets one hook in."""

    def __init__(
        self, rework: Callable[[BaseAcquisitionFunc], BaseAcquisitionFunc], seed: int, deterministic: bool
    ) -> None:
        super().__init__(seed=seed, n_startup_trials=1, deterministic_objective=deterministic)
        self._rework = rework

    def _optimize_acqf(self, acqf: BaseAcquisitionFunc, best_params: NDArray[np.float64] | None) -> NDArray[np.float64]:
        return super()._optimize_acqf(self._rework(acqf), best_params)
