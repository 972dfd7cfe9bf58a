"""The benchmark of schedulers: its simulators, its peers and its statistics."""

import math

import numpy as np
import pytest

from benchmarks.search.asha import ARMS, compared
from benchmarks.search.asha_peers import (
    Draws,
    FullTrainings,
    Job,
    RayAsha,
    SynchronousHalving,
    simulate,
)
from benchmarks.search.curve_table import CONFIGURATIONS, EPOCHS, SEEDS
from benchmarks.search.curves import DRAWS, Recorded, Synthetic, Trials, target

CURVES = Synthetic()
DAYS = 86_400.0


def _trials() -> Trials:
    return Trials(CURVES, seed=7)


@pytest.mark.parametrize("workers", [1, 5])
def test_both_simulators_agree(workers: int) -> None:
    """The service without a scheduler takes exactly as long as random search among the peers, and is always busy."""
    goal = target(CURVES, 60)
    peers = ARMS["random"](_trials(), workers, goal, 100 * DAYS)
    ours = ARMS["none"](_trials(), workers, goal, 100 * DAYS)
    assert math.isfinite(peers.seconds)
    assert ours.seconds == pytest.approx(peers.seconds, rel=1e-6)
    assert ours.busy == pytest.approx(1)
    assert peers.busy == pytest.approx(1)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_reaches_a_common_target(arm: str) -> None:
    """Whatever the arm, a target that one in ten reaches is found, again in the same time."""
    goal = target(CURVES, 10)
    first, again = (ARMS[arm](_trials(), 3, goal, 100 * DAYS) for _ in range(2))
    assert first == again
    assert math.isfinite(first.seconds)
    assert 0 < first.busy <= 1 + 1e-9


def test_a_run_out_of_patience_is_infinite() -> None:
    """A target that is not reached in time counts as infinitely late, in both simulators."""
    for arm in ("random", "asha"):
        assert math.isinf(ARMS[arm](_trials(), 2, math.inf, DAYS / 10).seconds)


def test_targets_are_rare() -> None:
    """Fewer than one in so many random trials reach the target, and not far fewer."""
    for curves in (CURVES, Recorded()):
        finals = curves.finals(np.random.default_rng(0))
        assert len(finals) == DRAWS
        share = float((finals >= target(curves, 600)).mean())
        assert 1 / 1200 < share <= 1 / 600


def test_recorded_curves_are_whole() -> None:
    """The committed table has every configuration, seed and epoch, and networks learn."""
    curves = Recorded()
    losses = np.array([-curves.scores(point, np.random.default_rng(1)) for point in np.eye(curves.dimensions)])
    assert losses.shape == (curves.dimensions, EPOCHS)
    assert np.isfinite(losses).all()
    assert np.median(losses[:, -1]) < np.median(losses[:, 0])
    assert curves.sizes == (CONFIGURATIONS, SEEDS, EPOCHS)


def test_synchronous_halving_waits_for_the_last() -> None:
    """No trial goes on before all of its rung have reported, and then the best third does."""
    halving = SynchronousHalving(_trials(), workers=1)
    first = [halving.job() for _ in range(27)]
    jobs = [job for job in first if job is not None]
    assert len(jobs) == 27
    for job in jobs:
        assert halving.job() is None
        assert not halving.goes_on(job, 1, float(job.trial % 10))
    second = [halving.job() for _ in range(10)]
    assert [job.trial for job in second if job is not None] == [9, 19, 8, 18, 7, 17, 27, 6, 16]


def test_rays_scheduler_stops_and_tells() -> None:
    """Ray's ASHA lets the first trial go on and stops a worse one, of which the searcher hears."""
    told: list[tuple[Job, int, float]] = []
    draws = Draws(_trials())
    policy = RayAsha(draws.next, lambda job, epoch, score: told.append((job, epoch, score)))
    good, bad = policy.job(), policy.job()
    assert policy.goes_on(good, 1, 0.9)
    assert not policy.goes_on(bad, 1, 0.1)
    assert [(job.trial, epoch, score) for job, epoch, score in told] == [(2, 1, 0.1)]


def test_time_is_counted_by_workers() -> None:
    """Two workers reach a target no later than one; nobody is busier than all the time."""
    goal = target(CURVES, 30)
    alone, together = (
        simulate(FullTrainings(trials), trials, workers, goal, 100 * DAYS)
        for trials, workers in ((_trials(), 1), (_trials(), 2))
    )
    assert together.seconds < alone.seconds


def test_comparison_is_of_medians() -> None:
    """The ratio is the peer's median over ours, its interval holds it, and a peer that is given up counts from then."""
    ours = np.array([1.0, 2.0, 3.0])
    ratio, low, high = compared(ours, 2 * ours, 10)
    assert ratio == 2
    assert low <= 2 <= high
    late = np.array([math.inf, math.inf, 1.0])
    assert compared(ours, late, 10)[0] == 5
    assert compared(late, ours, 10)[0] == 0
    assert compared(late, late, 10)[0] == 1
