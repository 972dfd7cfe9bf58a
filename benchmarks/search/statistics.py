"""Statistics of comparisons over tasks and seeds. Regrets and areas are never negative; smaller is better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, wilcoxon

Array = NDArray[np.float64]

SIGNIFICANT = 0.05
"""A task is won or lost where the paired test says so with less than this; else it is a tie."""

RESAMPLES = 1000

TINY = 1e-12
"""Stands in for a regret of 0 where ratios are taken."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours against a peer over a suite.

    Attributes:
        ratio: Geometric mean over tasks of the peer's median area over ours; above 1 is for us.
        low: Lower end of its 95% bootstrap interval, seeds drawn again in pairs.
        high: Upper end.
        p: Of the two-sided Wilcoxon signed-rank test over all pairs of task and seed.
        wins: Tasks on which the test over their seeds is for us.
        ties: Tasks on which it is for nobody.
        losses: Tasks on which it is for the peer.
    """

    ratio: float
    low: float
    high: float
    p: float
    wins: int
    ties: int
    losses: int


def compared(ours: Mapping[str, Array], peer: Mapping[str, Array], rng: np.random.Generator) -> Comparison:
    """Compare areas by task, shape (n_seeds,) each, seeds in the same order; only tasks and seeds that both have count.

    Raises:
        ValueError: they have no task in common.
    """
    pairs = {}
    for task in [name for name in ours if name in peer]:
        seeds = min(len(ours[task]), len(peer[task]))
        pairs[task] = np.log(np.maximum(np.stack([ours[task][:seeds], peer[task][:seeds]]), TINY))
    if not pairs:
        raise ValueError("the arms have no task in common")
    gains = [np.median(logs, axis=1) for logs in pairs.values()]
    ratio = float(np.exp(np.mean([peer - ours for ours, peer in gains])))
    low, high = _interval(list(pairs.values()), rng)
    verdicts = [verdict(logs[0], logs[1]) for logs in pairs.values()]
    together = np.concatenate(list(pairs.values()), axis=1)
    counts = [verdicts.count(which) for which in (1, 0, -1)]
    return Comparison(ratio, low, high, paired_p(together[0], together[1]), *counts)


def _interval(pairs: Sequence[Array], rng: np.random.Generator) -> tuple[float, float]:
    totals = np.zeros(RESAMPLES)
    for logs in pairs:
        drawn = logs[:, rng.integers(0, logs.shape[1], (RESAMPLES, logs.shape[1]))]
        medians = np.median(drawn, axis=2)
        totals += medians[1] - medians[0]
    low, high = np.exp(np.quantile(totals / len(pairs), [0.025, 0.975]))
    return float(low), float(high)


def paired_p(a: Array, b: Array) -> float:
    """The two-sided p of Wilcoxon's signed-rank test; 1 where no pair differs."""
    if np.array_equal(a, b):
        return 1.0
    apart = np.abs(a - b)
    # Where pairs tie, SciPy would try every permutation of signs, which takes it half a second.
    tied = bool((apart == 0).any()) or len(np.unique(apart)) < len(apart)
    return float(wilcoxon(a, b, method="asymptotic" if tied else "auto").pvalue)


def verdict(ours: Array, peer: Array) -> int:
    """1 if ours is significantly smaller in paired seeds, -1 if the peer's is, else 0."""
    if paired_p(ours, peer) >= SIGNIFICANT:
        return 0
    ranks = rankdata(np.abs(ours - peer)) * np.sign(peer - ours)
    return int(np.sign(ranks.sum()))


def anytime_ranks(curves: Mapping[str, Array]) -> dict[str, float]:
    """The mean rank of each arm over seeds and trials, 1 being best and ties sharing; curves of shape (n_seeds,
    n_trials), of which the seeds that all have count."""
    seeds = min(len(curve) for curve in curves.values())
    ranks = rankdata(np.stack([curve[:seeds] for curve in curves.values()]), axis=0)
    return {arm: float(rank.mean()) for arm, rank in zip(curves, ranks, strict=True)}


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The area that points of two objectives dominate below the reference, smaller being better; shape (n, 2)."""
    area, lowest = 0.0, reference[1]
    for first, second in sorted((p[0], p[1]) for p in points):
        if first < reference[0] and second < lowest:
            area += (reference[0] - first) * (lowest - second)
            lowest = second
    return area
