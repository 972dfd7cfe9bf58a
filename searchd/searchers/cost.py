"""A Gaussian process that looks for improvement per second of training.

Expected improvement divided by expected time, after Snoek, Larochelle and Adams, "Practical Bayesian Optimization of
Machine Learning Algorithms", NeurIPS 2012.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna._gp.acqf import BaseAcquisitionFunc

from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation
from searchd.searchers.gp import GpSearcher

if TYPE_CHECKING:
    from torch import Tensor
else:
    # Imported when the model is first asked.
    Tensor = Any

RIDGE = 0.1
"""How strongly the model of time is drawn to a constant; parameters are scaled to [0, 1]."""

TIMED = 5
"""Complete trials whose time is known, before time is weighed."""

Matrix = NDArray[np.float64]


class CostAwareGpSearcher(GpSearcher):
    """A Gaussian process that weighs what a trial may bring against the time that it will take."""

    def __init__(self, spec: StudySpec) -> None:
        super().__init__(spec)
        self._seconds: dict[TrialNumber, float] = {}

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials, and how long the complete ones took."""
        super().tell(observations)
        for observation in observations:
            if observation.state is TrialState.COMPLETED and observation.seconds > 0:
                self._seconds[observation.number] = observation.seconds
            else:
                self._seconds.pop(observation.number, None)

    def _reworked(self, acqf: BaseAcquisitionFunc, seed: int) -> BaseAcquisitionFunc:
        gain = super()._reworked(acqf, seed)
        timed = [(self._shown.get(number), self._seconds[number]) for number in sorted(self._seconds)]
        known = [(trial, seconds) for trial, seconds in timed if trial is not None]
        if len(known) < TIMED:
            return gain
        inputs = acqf.search_space.get_normalized_params([trial for trial, _ in known])
        times = np.array([seconds for _, seconds in known], dtype=np.float64)
        return _PerSecond(gain, LogTime(inputs, times, np.asarray(acqf.search_space.is_categorical, dtype=bool)))


class _PerSecond(BaseAcquisitionFunc):
    """The logarithm of another acquisition function's value per second."""

    def __init__(self, gain: BaseAcquisitionFunc, log_time: "LogTime") -> None:
        super().__init__(gain.length_scales, gain.search_space)
        self._gain = gain
        self._log_time = log_time

    def eval_acqf(self, x: Tensor) -> Tensor:
        return self._gain.eval_acqf(x) - self._log_time.at(x)


class LogTime:
    """Log seconds as a parabola in each number and a constant for each option, kept within the times that were seen."""

    def __init__(self, inputs: Matrix, seconds: Matrix, categorical: NDArray[np.bool_]) -> None:
        """Fit by ridge regression.

        Args:
            inputs: Numbers scaled to [0, 1], options by their position; shape (n_trials, n_parameters).
            seconds: Their training times, above 0; shape (n_trials,).
            categorical: Which parameters are options; shape (n_parameters,).
        """
        import torch  # noqa: PLC0415  # takes seconds, and only those who ask need it

        self._numbers = [int(i) for i in np.flatnonzero(~categorical)]
        self._options = [(int(i), float(v)) for i in np.flatnonzero(categorical) for v in np.unique(inputs[:, i])]
        target = torch.log(torch.from_numpy(seconds))
        self._mean, self._low, self._high = target.mean(), target.min(), target.max()
        features = self._features(torch.from_numpy(inputs))
        self._centre = features.mean(dim=0)
        centred = features - self._centre
        drawn = centred.T @ centred + RIDGE * torch.eye(features.shape[1], dtype=torch.float64)
        self._weights = torch.linalg.solve(drawn, centred.T @ (target - self._mean))

    def at(self, x: Tensor) -> Tensor:
        """Expected log seconds of configurations; shape (..., n_parameters) to (...,)."""
        expected = self._mean + (self._features(x) - self._centre) @ self._weights
        within: Tensor = expected.clamp(self._low, self._high)
        return within

    def _features(self, x: Tensor) -> Tensor:
        import torch  # noqa: PLC0415  # see above

        numbers = x[..., self._numbers]
        options = [(x[..., i] == value).to(x.dtype).unsqueeze(-1) for i, value in self._options]
        return torch.cat([numbers, numbers.square(), *options], dim=-1)
