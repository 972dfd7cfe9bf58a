"""Bayesian optimisation with Gaussian processes, from Optuna.

Log expected improvement after Ament, Daulton, Eriksson, Balandat and Bakshy, NeurIPS 2023; several objectives after
Daulton, Balandat and Bakshy, "Differentiable Expected Hypervolume Improvement", NeurIPS 2020; limits after Gardner et
al., "Bayesian Optimization with Inequality Constraints", ICML 2014.
"""

import warnings

import optuna
from optuna.samplers import BaseSampler, GPSampler

from searchd.domain.study import StudySpec
from searchd.searchers.optuna import ModelSearcher
from searchd.searchers.optuna_trials import Partial, View

BEST = 150
"""With more results than this and ``RECENT``, this many of the best are shown,"""

RECENT = 350
"""and this many of the others, the latest: fitting takes the cube of their number."""


class GpSearcher(ModelSearcher):
    """A Gaussian process over complete trials, which keeps away from those that run.

    A parameter that does not exist in a trial counts as the middle of its domain there. PyTorch is imported when
    the model is first asked.
    """

    def __init__(self, spec: StudySpec, deterministic: bool = False) -> None:
        """A searcher told nothing yet.

        Args:
            spec: The study.
            deterministic: Whether a configuration always gives the same score, so that no noise is to be fitted.
        """
        middle = [0.5] * len(spec.space.parameters)
        super().__init__(spec, View(Partial.HIDDEN, lambda _: middle, BEST, RECENT))
        self._deterministic = deterministic

    def _sampler(self, seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            # Fixing the noise is marked experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return GPSampler(seed=seed, n_startup_trials=1, deterministic_objective=self._deterministic)
