"""Four functions of the BBOB suite in five dimensions, each instance with its own optimum and rotations.

Hansen, Finck, Ros and Auger, "Real-Parameter Black-Box Optimization Benchmarking 2009: Noiseless Functions
Definitions", INRIA RR-6829. The least value is 0: the arbitrary offset of the definitions is left out.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.tasks import Task, Values
from searchd.domain.space import Float, Parameter, Parameters, SearchSpace

DIMENSIONS = 5
PEAKS = 101

Vector = NDArray[np.float64]

_NAMES = tuple(f"x{i}" for i in range(DIMENSIONS))
_EXPONENTS = np.arange(DIMENSIONS) / (DIMENSIONS - 1)


def rosenbrock(instance: int) -> Task:
    """f8: a bent valley, not rotated."""
    best = _rng(instance, 8).uniform(-3, 3, DIMENSIONS)
    scale = max(1.0, np.sqrt(DIMENSIONS) / 8)

    def value(x: Vector) -> float:
        z = scale * (x - best) + 1
        return float((100 * (z[:-1] ** 2 - z[1:]) ** 2 + (z[:-1] - 1) ** 2).sum())

    return _task("bbob_f8_rosenbrock", value)


def ellipsoid(instance: int) -> Task:
    """f10: a rotated bowl a thousand times longer than wide."""
    rng = _rng(instance, 10)
    best, turn = rng.uniform(-4, 4, DIMENSIONS), _rotation(rng)
    return _task("bbob_f10_ellipsoid", lambda x: float((1e6**_EXPONENTS * oscillated(turn @ (x - best)) ** 2).sum()))


def rastrigin(instance: int) -> Task:
    """f15: a rotated bowl with very many regular hollows."""
    rng = _rng(instance, 15)
    best, outer, inner = rng.uniform(-4, 4, DIMENSIONS), _rotation(rng), _rotation(rng)
    stretch = outer @ np.diag(10 ** (0.5 * _EXPONENTS)) @ inner

    def value(x: Vector) -> float:
        z = stretch @ asymmetric(oscillated(outer @ (x - best)))
        return float(10 * (DIMENSIONS - np.cos(2 * np.pi * z).sum()) + z @ z)

    return _task("bbob_f15_rastrigin", value)


def gallagher(instance: int) -> Task:
    """f21: 101 peaks of random places, heights and shapes, which have nothing to do with each other."""
    rng = _rng(instance, 21)
    turn = _rotation(rng)
    conditions = np.concatenate([[1000.0], 1000 ** (2 * rng.permutation(PEAKS - 1) / (PEAKS - 2))])
    shapes = np.array([rng.permutation(a ** (0.5 * _EXPONENTS)) / a**0.25 for a in conditions])
    heights = np.concatenate([[10.0], 1.1 + 8 * np.arange(PEAKS - 1) / (PEAKS - 2)])
    places = rng.uniform(-5, 5, (PEAKS, DIMENSIONS))
    places[0] = rng.uniform(-4, 4, DIMENSIONS)

    def value(x: Vector) -> float:
        turned = (x - places) @ turn.T
        peaks = heights * np.exp(-(shapes * turned**2).sum(axis=1) / (2 * DIMENSIONS))
        return float(oscillated(np.array([10 - peaks.max()]))[0] ** 2)

    return _task("bbob_f21_gallagher", value)


def bbob(instance: int) -> tuple[Task, ...]:
    """The four of them."""
    return rosenbrock(instance), ellipsoid(instance), rastrigin(instance), gallagher(instance)


def oscillated(x: Vector) -> Vector:
    """The definitions' T_osz: small waves that break symmetry, 0 where ``x`` is; same shape."""
    size = np.log(np.abs(np.where(x == 0, 1.0, x)))
    first, second = np.where(x > 0, 10.0, 5.5), np.where(x > 0, 7.9, 3.1)
    return np.asarray(np.sign(x) * np.exp(size + 0.049 * (np.sin(first * size) + np.sin(second * size))))


def asymmetric(x: Vector, beta: float = 0.2) -> Vector:
    """The definitions' T_asy: positive coordinates raised to a power that grows with them; shape (DIMENSIONS,)."""
    up = np.maximum(x, 0.0)
    return np.asarray(np.where(x > 0, up ** (1 + beta * _EXPONENTS * np.sqrt(up)), x))


def _task(name: str, value: Callable[[Vector], float]) -> Task:
    def truth(parameters: Parameters) -> Values:
        return (value(np.array([parameters[n] for n in _NAMES])),)

    return Task(name, SearchSpace(tuple(Parameter(n, Float(-5.0, 5.0)) for n in _NAMES)), truth, 0.0)


def _rng(instance: int, function: int) -> np.random.Generator:
    return np.random.default_rng([instance, function])


def _rotation(rng: np.random.Generator) -> Vector:
    turned, upper = np.linalg.qr(rng.standard_normal((DIMENSIONS, DIMENSIONS)))
    return turned * np.sign(np.diag(upper))
