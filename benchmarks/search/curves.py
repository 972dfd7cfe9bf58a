"""Learning curves for schedulers to judge, synthetic ones that cross and recorded ones, and how long epochs take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.curve_table import EPOCHS, PARAMETERS, PATH, SCALE
from searchd.domain.space import Float, Parameter, SearchSpace

Array = NDArray[np.float64]

EPOCH_SECONDS = 60.0
"""Median length of an epoch."""

RESUME_SECONDS = 6.0
"""What it takes to go on from a checkpoint."""

DRAWS = 240_000
"""Random trials that rare targets are found with."""


class Curves(Protocol):
    """What a trainable would report of points of the unit cube."""

    name: str
    dimensions: int

    def scores(self, point: Array, chance: np.random.Generator) -> Array:
        """Scores after each epoch, larger being better; shape (EPOCHS,)."""
        ...

    def finals(self, chance: np.random.Generator) -> Array:
        """Last scores of random trials; shape (DRAWS,)."""
        ...


class Synthetic:
    """Losses that fall exponentially towards where the first parameters lead, at a pace that the last one sets.

    A slower pace leads further, so that curves cross; scores have noise of an epoch and of a trial.
    """

    name = "synthetic"
    dimensions = 4
    _best = np.array([0.3, 0.7, 0.45, 0.6])
    _epoch_noise = 0.01
    _trial_noise = 0.01

    def scores(self, point: Array, chance: np.random.Generator) -> Array:
        """Scores after each epoch."""
        noise = self._trial_noise * chance.normal() + self._epoch_noise * chance.normal(size=EPOCHS)
        found: Array = noise - self._losses(point[None, :], np.arange(1, EPOCHS + 1))[0]
        return found

    def finals(self, chance: np.random.Generator) -> Array:
        """Last scores of random trials."""
        losses = self._losses(chance.random((DRAWS, self.dimensions)), np.array([EPOCHS]))[:, 0]
        deviation = np.hypot(self._epoch_noise, self._trial_noise)
        found: Array = deviation * chance.normal(size=DRAWS) - losses
        return found

    def _losses(self, points: Array, epochs: NDArray[np.int64]) -> Array:
        limit = 1 - 0.95 * np.exp(-3 * ((points - self._best) ** 2).sum(axis=1, keepdims=True))
        pace = 1 + 8 * points[:, -1:]
        found: Array = limit + (1 - limit) * np.exp(-epochs / pace)
        return found


class Recorded:
    """Curves of real networks (``curve_table``): of the nearest configuration, with a seed that chance picks."""

    name = "recorded"
    dimensions = PARAMETERS

    def __init__(self) -> None:
        with np.load(PATH) as table:
            self._points = table["points"].astype(float)
            self._losses = table["losses"] / SCALE
        self.sizes = self._losses.shape

    def scores(self, point: Array, chance: np.random.Generator) -> Array:
        """Scores after each epoch: negative validation log losses."""
        nearest = ((self._points - point) ** 2).sum(axis=1).argmin()
        found: Array = -self._losses[nearest, chance.integers(self._losses.shape[1])]
        return found

    def finals(self, chance: np.random.Generator) -> Array:
        """Last scores of random trials."""
        squares = (self._points**2).sum(axis=1)
        found = []
        for _ in range(DRAWS // 10_000):
            drawn = chance.random((10_000, self.dimensions))
            nearest = (squares - 2 * drawn @ self._points.T).argmin(axis=1)
            found.append(-self._losses[nearest, chance.integers(self._losses.shape[1], size=10_000), -1])
        return np.concatenate(found)


def target(curves: Curves, one_in: int) -> float:
    """A score that fewer than one in so many random trials reach with full training."""
    finals = np.sort(curves.finals(np.random.default_rng(0)))
    reached = finals[-DRAWS // one_in :]
    return float(reached[0] if finals[-DRAWS // one_in - 1] < reached[0] else reached[reached > reached[0]][0])


@dataclass(frozen=True, slots=True)
class Training:
    """A trial as it would train: scores after each epoch and the seconds each takes, shape (EPOCHS,) both."""

    scores: Array
    seconds: Array


@dataclass
class Trials:
    """The trials of one run. How trial n trains depends on the run's seed, n and its parameters alone."""

    curves: Curves
    seed: int
    _known: dict[int, Training] = field(default_factory=dict)

    def training(self, number: int, parameters: Mapping[str, object]) -> Training:
        """How a trial trains. Some trials are slow all along, and now and then an epoch hangs behind."""
        known = self._known.get(number)
        if known is None:
            chance = np.random.default_rng((self.seed, number))
            point = np.array([parameters[name] for name in names(self.curves)], float)
            seconds = EPOCH_SECONDS * np.exp(0.5 * chance.normal()) * np.where(chance.random(EPOCHS) < 0.02, 5.0, 1.0)
            known = self._known[number] = Training(self.curves.scores(point, chance), seconds)
        return known


def names(curves: Curves) -> list[str]:
    """The parameters' names."""
    return [f"x{i}" for i in range(curves.dimensions)]


def space(curves: Curves) -> SearchSpace:
    """The unit cube."""
    return SearchSpace(tuple(Parameter(name, Float(0.0, 1.0)) for name in names(curves)))
