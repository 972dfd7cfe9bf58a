"""Search tasks in closed form with known optima, all to be minimised. What is random in a task is its instance's."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from searchd.domain.space import Choice, Condition, Float, Integer, Parameter, Parameters, SearchSpace

Values = tuple[float, ...]
"""What a trial measures: one value for each objective, smaller is better."""


@dataclass(frozen=True, slots=True)
class Task:
    """A function to minimise over a space.

    Attributes:
        name: Stable, for tables.
        space: Of its parameters.
        truth: The values of a configuration without noise, at full fidelity.
        optimum: The least value of the only objective; with several, the largest hypervolume below ``reference``.
        observed: The values of a configuration as measured with a source of chance at a fidelity in (0, 1]; None where
            they are the true ones at any fidelity.
        reference: The point that bounds the hypervolume, one number for each objective; empty with one objective.
    """

    name: str
    space: SearchSpace
    truth: Callable[[Parameters], Values]
    optimum: float
    observed: Callable[[Parameters, random.Random, float], Values] | None = None
    reference: Values = ()

    def evaluate(self, parameters: Parameters, rng: random.Random, fidelity: float = 1.0) -> Values:
        """What a trial of the configuration measures at a fidelity in (0, 1]; shape (n_objectives,)."""
        return self.truth(parameters) if self.observed is None else self.observed(parameters, rng, fidelity)

    @property
    def objectives(self) -> tuple[str, ...]:
        """The names of the values, in order."""
        return tuple(f"value_{i}" for i in range(1, max(len(self.reference), 1) + 1))


def branin() -> Task:
    """Branin's function of two parameters with its three optima (Dixon and Szego, 1978)."""

    def truth(parameters: Parameters) -> Values:
        x, y = parameters["x0"], parameters["x1"]
        bent = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
        return (bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10,)

    space = SearchSpace((Parameter("x0", Float(-5.0, 10.0)), Parameter("x1", Float(0.0, 15.0))))
    return Task("branin", space, truth, 10 / (8 * math.pi))


_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_HARTMANN = {
    3: (
        np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]]),
        np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]) * 1e-4,
        -3.8627797874,
    ),
    6: (
        np.array(
            [
                [10, 3, 17, 3.5, 1.7, 8],
                [0.05, 10, 17, 0.1, 8, 14],
                [3, 3.5, 1.7, 10, 17, 8],
                [17, 8, 0.05, 10, 0.1, 14],
            ]
        ),
        np.array(
            [
                [1312, 1696, 5569, 124, 8283, 5886],
                [2329, 4135, 8307, 3736, 1004, 9991],
                [2348, 1451, 3522, 2883, 3047, 6650],
                [4047, 8828, 8732, 5743, 1091, 381],
            ]
        )
        * 1e-4,
        -3.3223680115,
    ),
}
"""By dimensions: widths and centres of the four hollows, shape (4, dimensions), and the least value."""


def hartmann(dimensions: int, noise: float = 0.0, shift: Sequence[float] = ()) -> Task:
    """Hartmann's function on the unit cube, in 3 or 6 dimensions (Dixon and Szego, 1978).

    At a lower fidelity z the hollows have other depths: each loses 0.1 (1 - z) (Kandasamy et al., "Multi-fidelity
    Bayesian Optimisation with Continuous Approximations", ICML 2017).

    Args:
        dimensions: 3 or 6.
        noise: Standard deviation of normal noise on each measurement.
        shift: Moves the function by so much along each dimension, round the edge; empty for not at all.
    """
    widths, centres, optimum = _HARTMANN[dimensions]
    names = [f"x{i}" for i in range(dimensions)]
    moved = np.array(shift or [0.0] * dimensions)

    def at(parameters: Parameters, fidelity: float) -> float:
        x = np.array([parameters[name] for name in names]) - moved
        x = np.where((x < 0) | (x > 1), x % 1.0, x)
        depths = _ALPHA - 0.1 * (1 - fidelity)
        return -float(depths @ np.exp(-(widths * (x - centres) ** 2).sum(axis=1)))

    def observed(parameters: Parameters, rng: random.Random, fidelity: float) -> Values:
        return (at(parameters, fidelity) + (rng.gauss(0.0, noise) if noise else 0.0),)

    name = f"hartmann{dimensions}" + ("_noisy" if noise else "")
    return Task(name, _cube(names), lambda parameters: (at(parameters, 1.0),), optimum, observed)


COUNTING_SAMPLES = 729
"""Draws that Counting Ones makes of each continuous parameter at full fidelity."""


def counting_ones(choices: int = 8, floats: int = 8) -> Task:
    """Count the ones among binary choices and draws of biased coins (Falkner, Klein and Hutter, "BOHB", ICML 2018).

    At a lower fidelity each coin is thrown less often, at least once, so that the count is noisier.
    """
    binary, biased = [f"c{i}" for i in range(choices)], [f"p{i}" for i in range(floats)]
    count = choices + floats

    def truth(parameters: Parameters) -> Values:
        return (-sum(parameters[name] for name in (*binary, *biased)) / count,)

    def observed(parameters: Parameters, rng: random.Random, fidelity: float) -> Values:
        draws = max(round(COUNTING_SAMPLES * fidelity), 1)
        heads = sum(sum(rng.random() < parameters[name] for _ in range(draws)) / draws for name in biased)
        return (-(sum(parameters[name] for name in binary) + heads) / count,)

    space = SearchSpace((*(Parameter(name, Choice((0, 1))) for name in binary), *_cube(biased).parameters))
    return Task("counting_ones", space, truth, -1.0, observed)


def mixed_ackley(instance: int) -> Task:
    """Ackley's function of 5 reals, 3 integers and 2 choices of 5, the optimum moved off the centre.

    A choice stands for one of -2 … 2, in an order that its options do not show.
    """
    rng = np.random.default_rng([instance, 1])
    centres = np.concatenate([rng.uniform(-3, 3, 5), rng.integers(-3, 4, 3), np.zeros(2)])
    options = tuple("abcde")
    meaning = [dict(zip(options, rng.permutation([-2, -1, 0, 1, 2]).tolist(), strict=True)) for _ in range(2)]
    plain = [f"x{i}" for i in range(8)]

    def truth(parameters: Parameters) -> Values:
        chosen = [meaning[i][parameters[f"c{i}"]] for i in range(2)]
        z = np.array([*(parameters[name] for name in plain), *chosen]) - centres
        far = 20 * math.exp(-0.2 * math.sqrt(float((z**2).mean())))
        return (20 + math.e - far - math.exp(float(np.cos(2 * math.pi * z).mean())),)

    space = SearchSpace(
        (
            *(Parameter(name, Float(-5.0, 5.0)) for name in plain[:5]),
            *(Parameter(name, Integer(-5, 6)) for name in plain[5:]),
            *(Parameter(f"c{i}", Choice(options)) for i in range(2)),
        )
    )
    return Task("ackley_mixed", space, truth, 0.0)


def conditional(instance: int) -> Task:
    """Which of three learners, each with parameters of its own: an error rate made of bowls. The best is the SVM's."""
    rng = np.random.default_rng([instance, 2])
    c, gamma = rng.uniform(-1, 2), rng.uniform(-3, 0)
    depth, share, alpha = int(rng.integers(6, 14)), rng.uniform(0.3, 0.7), rng.uniform(-4, -1)
    floors = {"rbf": 0.02, "poly": 0.03, "linear": 0.08, "forest": 0.04, "ridge": 0.07}

    def error(parameters: Parameters) -> float:
        match parameters["model"]:
            case "svm":
                bowl = 0.02 * (math.log10(parameters["c"]) - c) ** 2
                if parameters["kernel"] != "linear":
                    bowl += 0.03 * (math.log10(parameters["gamma"]) - gamma) ** 2
                if parameters["kernel"] == "poly":
                    bowl += 0.01 * abs(parameters["degree"] - 3)
                return float(floors[parameters["kernel"]] + bowl)
            case "forest":
                bowl = 0.001 * (parameters["depth"] - depth) ** 2 + 0.1 * (parameters["share"] - share) ** 2
                return float(floors["forest"] + bowl + 0.2 / parameters["trees"])
        return float(floors["ridge"] + 0.01 * (math.log10(parameters["alpha"]) - alpha) ** 2)

    def when(parameter: str, *values: str) -> tuple[Condition, ...]:
        return (Condition(parameter, values),)

    svm, forest = when("model", "svm"), when("model", "forest")
    space = SearchSpace(
        (
            Parameter("model", Choice(("svm", "forest", "linear"))),
            Parameter("c", Float(1e-3, 1e3, log=True), svm),
            Parameter("kernel", Choice(("linear", "rbf", "poly")), svm),
            Parameter("gamma", Float(1e-4, 1e1, log=True), when("kernel", "rbf", "poly")),
            Parameter("degree", Integer(2, 6), when("kernel", "poly")),
            Parameter("trees", Integer(10, 501, log=True), forest),
            Parameter("depth", Integer(1, 21), forest),
            Parameter("share", Float(0.1, 1.0), forest),
            Parameter("alpha", Float(1e-6, 1e1, log=True), when("model", "linear")),
        )
    )
    return Task("conditional", space, lambda parameters: (error(parameters),), floors["rbf"])


def categorical(instance: int, parameters: int = 8, options: int = 6) -> Task:
    """Choices only: a random cost for each option, and one for each pair of neighbouring parameters' options.

    The neighbours form a chain, so the optimum is found exactly by dynamic programming.
    """
    rng = np.random.default_rng([instance, 3])
    own = rng.uniform(size=(parameters, options))
    between = 0.5 * rng.uniform(size=(parameters - 1, options, options))
    names = [f"c{i}" for i in range(parameters)]

    def truth(chosen: Parameters) -> Values:
        picked = [ord(chosen[name]) - ord("a") for name in names]
        costs = [own[i, option] for i, option in enumerate(picked)]
        costs += [between[i, picked[i], picked[i + 1]] for i in range(parameters - 1)]
        return (float(sum(costs)),)

    least = own[0]
    for i in range(1, parameters):
        least = own[i] + (least[:, None] + between[i - 1]).min(axis=0)
    letters = tuple(chr(ord("a") + option) for option in range(options))
    space = SearchSpace(tuple(Parameter(name, Choice(letters)) for name in names))
    return Task("categorical", space, truth, float(least.min()))


def small(instance: int) -> Task:
    """A discrete space of 36 configurations, fewer than a study has trials."""
    rng = np.random.default_rng([instance, 4])
    low, high = (int(n) for n in rng.integers(0, [4, 3]))
    offsets = dict(zip("abc", (0.3 * rng.permutation(3)).tolist(), strict=True))

    def truth(parameters: Parameters) -> Values:
        return (abs(parameters["n"] - low) + (parameters["m"] - high) ** 2 + offsets[parameters["c"]],)

    space = SearchSpace(
        (Parameter("n", Integer(0, 4)), Parameter("m", Integer(0, 3)), Parameter("c", Choice(("a", "b", "c"))))
    )
    everything = product(range(4), range(3), "abc")
    return Task("small", space, truth, min(truth({"n": n, "m": m, "c": c})[0] for n, m, c in everything))


def zdt1(dimensions: int = 5) -> Task:
    """Two objectives with a known convex front (Zitzler, Deb and Thiele, Evolutionary Computation 2000)."""
    names = [f"x{i}" for i in range(dimensions)]

    def truth(parameters: Parameters) -> Values:
        first = parameters["x0"]
        g = 1 + 9 * sum(parameters[name] for name in names[1:]) / (dimensions - 1)
        return (first, g * (1 - math.sqrt(first / g)))

    # Below (1.1, 10): all of it but the area under the front 1 - sqrt(f) over [0, 1].
    return Task("zdt1", _cube(names), truth, 11.0 - 1 / 3, reference=(1.1, 10.0))


def _cube(names: Sequence[str]) -> SearchSpace:
    return SearchSpace(tuple(Parameter(name, Float(0.0, 1.0)) for name in names))
