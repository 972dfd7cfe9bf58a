"""The statistics of the search benchmark, on numbers whose answers are known."""

import numpy as np
import pytest

from benchmarks.search.statistics import anytime_ranks, compared, hypervolume, paired_p, verdict


def test_a_ratio_is_the_geometric_mean_over_tasks() -> None:
    """A peer with four times our area on one task and the same on another is behind by a factor of two."""
    ours = {"a": np.ones(8), "b": np.ones(8)}
    found = compared(ours, {"a": np.full(8, 4.0), "b": np.ones(8)}, np.random.default_rng(0))
    assert found.ratio == pytest.approx(2.0)
    assert (found.low, found.high) == pytest.approx((2.0, 2.0))
    assert (found.wins, found.ties, found.losses) == (1, 1, 0)


def test_losses_are_told_as_losses() -> None:
    """Where the peer is better in every seed the task is lost and the ratio is below one."""
    peer = {"a": np.linspace(0.1, 0.2, 8)}
    found = compared({"a": np.linspace(0.5, 0.9, 8)}, peer, np.random.default_rng(0))
    assert found.losses == 1
    assert found.high < 1
    assert found.p < 0.05


def test_only_what_both_have_is_compared() -> None:
    """Tasks and seeds that one of the two lacks do not count; with none left there is an error."""
    ours = {"a": np.array([1.0, 1.0, 1.0]), "b": np.array([9.0])}
    assert compared(ours, {"a": np.array([3.0, 3.0])}, np.random.default_rng(0)).ratio == pytest.approx(3.0)
    with pytest.raises(ValueError, match="no task in common"):
        compared(ours, {"c": np.ones(3)}, np.random.default_rng(0))


def test_a_regret_of_nothing_can_be_compared() -> None:
    """An area of 0 gives a large finite ratio."""
    found = compared({"a": np.zeros(6)}, {"a": np.ones(6)}, np.random.default_rng(0))
    assert np.isfinite([found.ratio, found.low, found.high]).all()
    assert found.wins == 1


def test_the_interval_covers_the_ratio() -> None:
    """A bootstrap interval lies round the ratio, and is the same for the same chance."""
    rng = np.random.default_rng(1)
    ours, peer = {"a": rng.lognormal(0, 1, 20)}, {"a": rng.lognormal(0.5, 1, 20)}
    found = compared(ours, peer, np.random.default_rng(0))
    assert found.low < found.ratio < found.high
    assert found == compared(ours, peer, np.random.default_rng(0))


def test_equal_pairs_and_few_pairs_decide_nothing() -> None:
    """Equal results have p = 1, and three seeds cannot be significant however clear they look."""
    same = np.array([1.0, 2.0, 3.0])
    assert paired_p(same, same) == 1.0
    assert verdict(same, same + 10) == 0


def test_ranks_are_means_over_seeds_and_trials() -> None:
    """The better arm at each trial has rank 1, ties share, and seeds that an arm lacks are left out."""
    curves = {"a": np.array([[1.0, 0.0], [9.0, 9.0]]), "b": np.array([[1.0, 2.0]])}
    assert anytime_ranks(curves) == {"a": 1.25, "b": 1.75}


def test_hypervolume_is_the_area_that_is_dominated() -> None:
    """Points add the area below the reference that no better point has; those beyond it and repeats add nothing."""
    assert hypervolume([], (1.0, 1.0)) == 0.0
    assert hypervolume([(0.0, 0.5), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5), (2.0, -5.0)], (1.0, 1.0)) == pytest.approx(0.75)
