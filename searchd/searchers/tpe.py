"""Tree-structured Parzen estimator, from Optuna.

Bergstra, Bardenet, Bengio and Kegl, "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011; multivariate after
Falkner, Klein and Hutter, "BOHB", ICML 2018; several objectives after Ozaki, Tanigaki, Watanabe and Onishi, GECCO 2020.
"""

import warnings

import optuna
from optuna.samplers import BaseSampler, TPESampler

from searchd.domain.study import StudySpec
from searchd.searchers.optuna import STARTUP_TRIALS, ModelSearcher
from searchd.searchers.optuna_trials import Partial, View

BEST = 100
"""Of one objective's results, if they are more than this and ``RECENT``, this many of the best are shown,"""

RECENT = 900
"""and this many of the others, the latest. The model tells at most 25 good trials from the rest and weights the rest
down by age, while the time that a suggestion takes grows with all of them. Of a Pareto front nothing is left out."""


class TpeSearcher(ModelSearcher):
    """TPE over the study's own trials, conditional parameters in groups, unfinished trials as constant liars.

    With one objective a trial that completed lower rungs only (paused, stopped, or climbing at the moment) is shown as
    pruned at its last one, with several as one that breaks a limit by the rungs that it lacks.
    """

    def __init__(self, spec: StudySpec) -> None:
        one = View(Partial.PRUNED, best=BEST, recent=RECENT)
        super().__init__(spec, one if len(spec.objectives) == 1 else View(Partial.LACKING))

    def _sampler(self, seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            # Grouping is marked experimental; it is the only way in which TPE handles conditions.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(
                seed=seed,
                n_startup_trials=STARTUP_TRIALS,
                multivariate=True,
                group=self._axes.conditional,
                constant_liar=True,
            )
