"""What earlier studies say of a configuration, as the prior mean of a Gaussian process.

Only what a study's own trials leave of it is modelled, after Golovin, Solnik, Moitra, Kochanski, Karro and Sculley,
"Google Vizier: A Service for Black-Box Optimization", KDD 2017, section 3.3, with scores by rank, since studies may
differ in scale.
"""

from collections.abc import Sequence
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna._gp import gp, prior
from optuna._gp.acqf import BaseAcquisitionFunc, LogEI, qLogEI
from optuna._gp.search_space import SearchSpace
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from scipy.stats import rankdata

from searchd.domain.search import Precedent
from searchd.searchers.optuna_axes import Axes
from searchd.searchers.optuna_trials import frozen_trial

if TYPE_CHECKING:
    from torch import Tensor
else:
    # Imported when the model is first asked.
    Tensor = Any

FEWEST = 3
"""Complete trials of the study itself, before earlier ones are compared with them."""

SAMPLES = 128
"""Points at which the improvement over running trials is averaged, as many as Optuna takes."""

SMALLEST = 1e-9
"""Deviations below it are taken for it."""

Matrix = NDArray[np.float64]


class Precedents:
    """Models of earlier studies, and how far they hold here."""

    def __init__(self, axes: Axes, studies: Sequence[Sequence[Precedent]], filling: Sequence[float]) -> None:
        """Nothing is fitted yet.

        Args:
            axes: The space of this study, which the precedents lie in.
            studies: Trials of each earlier study; shape (n_studies, n_trials).
            filling: Quantiles for parameters that do not exist in a configuration; shape (n_parameters,).
        """
        self._axes = axes
        self._filling = filling
        self._studies = studies

    def reworked(
        self, acqf: BaseAcquisitionFunc, complete: Sequence[FrozenTrial], running: Sequence[FrozenTrial], seed: int
    ) -> BaseAcquisitionFunc:
        """Expected improvement with earlier studies in the model.

        It is the given function where they do not predict this study's trials better than a constant does (left out
        one by one), and for several objectives or limits.

        Args:
            acqf: What would be maximised without them.
            complete: Trials with a loss.
            running: Trials without one.
            seed: For the points at which an improvement over running trials is averaged.
        """
        if not isinstance(acqf, LogEI | qLogEI) or len(complete) < FEWEST or not self._models:
            return acqf
        import torch  # noqa: PLC0415  # takes seconds, and only those who ask need it

        inputs = acqf.search_space.get_normalized_params(list(complete))
        scores = -np.array([trial.values[0] for trial in complete])
        scores = (scores - scores.mean()) / max(float(scores.std()), SMALLEST)
        mean = self._mean(acqf.search_space)
        with torch.no_grad():
            expected = mean(torch.from_numpy(inputs)).numpy()
        slope = _slope(expected, scores)
        if slope == 0:
            return acqf
        left = scores - slope * expected
        offset, unit = float(left.mean()), max(float(left.std()), SMALLEST)
        fitted = _fitted(inputs, (left - offset) / unit, acqf.search_space.is_categorical)
        model = _Raised(fitted, lambda x: (offset + slope * mean(x)) / unit)
        best = float(scores.max()) / unit
        if isinstance(acqf, LogEI):
            return LogEI(model, acqf.search_space, best)
        points = acqf.search_space.get_normalized_params(list(running))
        return qLogEI(model, acqf.search_space, best, SAMPLES, seed, points)

    def _mean(self, space: SearchSpace) -> Any:
        """The mean of the models as a function of inputs that are scaled as in a part of the space."""
        import torch  # noqa: PLC0415  # see above

        ends = [self._ends(0), self._ends(1)]
        (low, high), (start, end) = (_inputs(s, ends) for s in (self._space, space))
        scale = np.where(space.is_categorical, 1.0, (high - low) / np.where(end == start, 1.0, end - start))
        shift = np.where(space.is_categorical, 0.0, low - scale * start)
        by, to = torch.from_numpy(scale), torch.from_numpy(shift)

        def mean(x: Tensor) -> Tensor:
            whole = x * by + to
            return torch.stack([model.posterior(whole)[0] for model in self._models]).mean(dim=0)

        return mean

    def _ends(self, end: int) -> dict[str, Any]:
        """Every free parameter at one end of its domain."""
        ends: dict[str, Any] = {}
        for name, of in self._axes.free.items():
            if isinstance(of, FloatDistribution | IntDistribution):
                ends[name] = (of.low, of.high)[end]
            elif isinstance(of, CategoricalDistribution):
                ends[name] = of.choices[0]
        return ends

    @cached_property
    def _space(self) -> SearchSpace:
        return SearchSpace(self._axes.free)

    @cached_property
    def _models(self) -> list[gp.GPRegressor]:
        """One for each earlier study with trials in this space, of its scores' normal quantiles."""
        models = []
        for study in self._studies:
            known = [(self._axes.inward(p.parameters, self._filling), p.score) for p in study]
            inside = [(inner, score) for inner, score in known if inner is not None]
            if not inside:
                continue
            inputs = _inputs(self._space, [inner for inner, _ in inside])
            quantiles = (rankdata([score for _, score in inside]) - 0.5) / len(inside)
            normal = np.array([NormalDist().inv_cdf(q) for q in quantiles])
            models.append(_fitted(inputs, normal, self._space.is_categorical))
        return models


class _Raised(gp.GPRegressor):
    """A fitted process with a mean that is not 0."""

    def __init__(self, fitted: gp.GPRegressor, mean: Any) -> None:
        self.__dict__.update(fitted.__dict__)
        self._mean = mean

    def posterior(self, x: Tensor, joint: bool = False) -> tuple[Tensor, Tensor]:
        """Mean and variance, or covariance, at inputs of shape (..., n_parameters)."""
        mean, variance = super().posterior(x, joint)
        return mean + self._mean(x), variance


def _inputs(space: SearchSpace, configurations: Sequence[dict[str, Any]]) -> Matrix:
    """Configurations in Optuna's values as inputs of a process; shape (n_configurations, n_parameters)."""
    blank = frozen_trial(0, OptunaState.RUNNING)
    return space.get_normalized_params([blank] * len(configurations), list(configurations))


def _fitted(inputs: Matrix, scores: Matrix, categorical: NDArray[np.bool_]) -> gp.GPRegressor:
    """A process fitted as Optuna does it, to scores whose deviation is about 1."""
    return gp.fit_kernel_params(
        inputs, scores, categorical, prior.default_log_prior, prior.DEFAULT_MINIMUM_NOISE_VAR, False
    )


def _slope(expected: Matrix, scores: Matrix) -> float:
    """Scores per expected score by least squares; 0 if a constant predicts each score better from the others."""
    constant = np.ones((len(scores), 1))
    line = np.column_stack([constant, expected])
    slope = float(np.linalg.lstsq(line, scores, rcond=None)[0][1])
    return slope if slope > 0 and _left_out(line, scores) < _left_out(constant, scores) else 0.0


def _left_out(design: Matrix, scores: Matrix) -> float:
    """Squared errors of least squares at each score when it is left out, added up."""
    hat = design @ np.linalg.pinv(design)
    errors = (scores - hat @ scores) / (1 - np.minimum(np.diag(hat), 0.99))
    return float(errors @ errors)
