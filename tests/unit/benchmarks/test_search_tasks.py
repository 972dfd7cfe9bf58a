"""The tasks of the search benchmark: their optima, and what depends on what."""

import math
import random

import numpy as np
import pytest

from benchmarks.search import bbob, tasks
from benchmarks.search.suite import BATCH, suite
from benchmarks.search.tasks import Task
from searchd.domain.space import violations

INSTANCES = (0, 1, 7)
FOUND = {
    "branin": {"x0": math.pi, "x1": 2.275},
    "hartmann6": dict(
        zip([f"x{i}" for i in range(6)], (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573), strict=True)
    ),
}


@pytest.mark.parametrize("name", suite(0))
def test_nothing_beats_the_optimum(name: str) -> None:
    """No configuration of a space has a value below the task's optimum, and each has one for every objective."""
    for instance in INSTANCES:
        task = suite(instance)[name]
        assert not list(violations(task.space))
        rng = random.Random(instance)
        for _ in range(200):
            values = task.truth(task.space.draw([rng.random() for _ in task.space.parameters]))
            assert len(values) == len(task.objectives)
            assert len(values) > 1 or values[0] >= task.optimum - 1e-9
            assert all(map(math.isfinite, values))


@pytest.mark.parametrize("name", FOUND)
def test_the_optimum_is_where_it_is_known_to_be(name: str) -> None:
    """Branin's and Hartmann's functions take their least values where the literature has them."""
    task = suite(0)[name]
    assert task.truth(FOUND[name])[0] == pytest.approx(task.optimum, abs=1e-5)


def test_hartmann3_has_its_optimum() -> None:
    """Hartmann's function in three dimensions takes its least value where the literature has it."""
    task = tasks.hartmann(3)
    assert task.truth({"x0": 0.114614, "x1": 0.555649, "x2": 0.852547})[0] == pytest.approx(task.optimum, abs=1e-5)


def test_a_shift_moves_hartmann_round_the_edge() -> None:
    """A shifted function has at the shifted place what the other has, also beyond the edge."""
    shifted, plain = tasks.hartmann(3, shift=(0.25, 0.0, 0.5)), tasks.hartmann(3)
    there = {"x0": 0.35, "x1": 0.2, "x2": 0.3}
    assert shifted.truth(there)[0] == pytest.approx(plain.truth({"x0": 0.1, "x1": 0.2, "x2": 0.8})[0])


@pytest.mark.parametrize("instance", INSTANCES)
def test_bbob_functions_reach_zero_at_their_own_best(instance: int) -> None:
    """Each BBOB function is 0 at the place that its instance draws."""
    for task, number, reach in zip(bbob.bbob(instance)[:3], (8, 10, 15), (3, 4, 4), strict=True):
        best = np.random.default_rng([instance, number]).uniform(-reach, reach, bbob.DIMENSIONS)
        assert _at(task, best) == pytest.approx(0.0, abs=1e-12), task.name
    task = bbob.gallagher(instance)
    rng = np.random.default_rng([instance, 21])
    rng.standard_normal((5, 5))
    rng.permutation(100)
    for _ in range(101):
        rng.permutation(np.zeros(5))
    rng.uniform(-5, 5, (101, 5))
    assert _at(task, rng.uniform(-4, 4, 5)) == pytest.approx(0.0, abs=1e-12)


def test_bbob_transformations_follow_their_definitions() -> None:
    """T_osz keeps 0 and signs, T_asy leaves what is negative, and rotations keep lengths."""
    x = np.array([-2.0, -0.5, 0.0, 1.0, 3.0])
    waved = bbob.oscillated(x)
    assert np.array_equal(np.sign(waved), np.sign(x))
    assert waved[3] == 1.0
    assert waved[4] == pytest.approx(
        math.exp(math.log(3) + 0.049 * (math.sin(10 * math.log(3)) + math.sin(7.9 * math.log(3))))
    )
    bent = bbob.asymmetric(x)
    assert np.array_equal(bent[:3], x[:3])
    assert bent[4] == pytest.approx(3 ** (1 + 0.2 * math.sqrt(3)))
    turn = bbob._rotation(np.random.default_rng(0))
    assert np.allclose(turn @ turn.T, np.eye(5))


def test_instances_differ_and_repeat() -> None:
    """An instance is the same each time, and another one has its optimum elsewhere."""
    drawn = {"x0": 0.1, "x1": 0.2, "x2": 0.3, "x3": 0.4, "x4": 0.5}
    for name in ("bbob_f8_rosenbrock", "bbob_f10_ellipsoid", "bbob_f15_rastrigin", "bbob_f21_gallagher"):
        assert suite(3)[name].truth(drawn) == suite(3)[name].truth(drawn) != suite(4)[name].truth(drawn)


@pytest.mark.parametrize("instance", INSTANCES)
def test_a_chain_of_choices_has_the_optimum_that_is_computed(instance: int) -> None:
    """Dynamic programming finds what trying every configuration finds."""
    task = tasks.categorical(instance, parameters=4, options=3)
    tried = [
        task.truth(dict(zip(task.space.names(), (a, b, c, d), strict=True)))[0]
        for a in "abc"
        for b in "abc"
        for c in "abc"
        for d in "abc"
    ]
    assert min(tried) == pytest.approx(task.optimum)


def test_fidelity_bends_hartmann_and_blurs_counting_ones() -> None:
    """A lower fidelity changes Hartmann's value and spreads Counting Ones' values; the full one is the truth's."""
    rng = random.Random(0)
    task = tasks.hartmann(6)
    centre = dict.fromkeys(task.space.names(), 0.3)
    assert task.evaluate(centre, rng) == task.truth(centre)
    assert task.evaluate(centre, rng, 0.1) != task.truth(centre)
    ones = tasks.counting_ones()
    half = {name: (1 if name.startswith("c") else 0.5) for name in ones.space.names()}
    few, many = ([ones.evaluate(half, rng, fidelity)[0] for _ in range(30)] for fidelity in (0.01, 1.0))
    assert np.std(few) > 3 * np.std(many)
    assert np.mean(many) == pytest.approx(ones.truth(half)[0], abs=0.01)


def test_noise_is_the_callers_chance() -> None:
    """A noisy measurement depends on the source of chance that is handed in and on nothing else."""
    task = suite(0)["hartmann6_noisy"]
    centre = dict.fromkeys(task.space.names(), 0.5)
    measured = [task.evaluate(centre, random.Random(seed))[0] for seed in (1, 1, 2)]
    assert measured[0] == measured[1] != measured[2]


def test_batches_are_tried_on_tasks_of_the_suite() -> None:
    """The tasks for many slots are among all tasks."""
    assert set(BATCH) <= set(suite(0))


def _at(task: Task, x: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    return task.truth({f"x{i}": float(value) for i, value in enumerate(x)})[0]
