"""Time until a fully trained trial reaches a rare score, in virtual time, with 1, 25 and 500 workers and stragglers.

Targets are reached by fewer than one in 24 x workers random trials (at least 600), since random search would hit a
less rare one in its first wave. Curves are synthetic ones that cross, and recorded ones of real networks
(``curve_table``; too few of them to be rare enough for 500 workers). All arms with random search try the same
configurations in the same order. Ours are the real conductor, searcher and schedulers over the simulated engine, where
going on from a checkpoint takes a tenth of an epoch and a stopped trial hears of it an epoch later; the others lose no
time at all. Times are medians over seeds, infinite where the target was not reached (left out then, and in a ratio a
peer's counts as the time at which it was given up); intervals are of 95%, bootstrapped over seeds in pairs.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.report import Aim, Figure, Ratio
from benchmarks.search.asha_peers import (
    ETA,
    Draws,
    FullTrainings,
    Outcome,
    Policy,
    RayAsha,
    RayOptuna,
    SynchronousHalving,
    simulate,
)
from benchmarks.search.asha_service import run
from benchmarks.search.curve_table import EPOCHS
from benchmarks.search.curves import EPOCH_SECONDS, Array, Curves, Recorded, Synthetic, Trials, target
from searchd.domain.fidelity import Fidelity, Ladder
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm

RESAMPLES = 2000
RARITY = 24
"""The target is rarer than one in this many times the workers."""

LEAST_RARE = 600
"""And rarer than this, however few workers there are."""

PATIENCE = 5.0
"""Runs are given up after this many times the expected time of random search."""

LITTLE_PATIENCE = 0.4
"""Those that learn are given up earlier, for their models grow slow."""

PROMOTION = Scheduler(eta=ETA)


@dataclass(frozen=True, slots=True)
class Setting:
    """Curves and workers, and what to measure with them."""

    curves: Curves
    workers: int
    arms: tuple[str, ...]
    seeds: int
    patience: float = PATIENCE

    @property
    def name(self) -> str:
        """What is appended to the names of figures."""
        recorded = "" if isinstance(self.curves, Synthetic) else f"_{self.curves.name}"
        return f"_w{self.workers}{recorded}"

    @property
    def rarity(self) -> int:
        """One in so many random trials or fewer reach the target."""
        return max(RARITY * self.workers, LEAST_RARE)

    @property
    def limit(self) -> float:
        """Seconds after which a run is given up."""
        return self.patience * self.rarity * EPOCHS * EPOCH_SECONDS / self.workers


Arm = Callable[[Trials, int, float, float], Outcome]


def _peer(policy: Callable[[Trials, int], Policy]) -> Arm:
    return lambda trials, workers, goal, patience: simulate(policy(trials, workers), trials, workers, goal, patience)


def _ours(scheduler: Scheduler, algorithm: Algorithm = Algorithm.RANDOM, ladder: Ladder = ()) -> Arm:
    return lambda trials, workers, goal, patience: run(trials, scheduler, algorithm, workers, goal, patience, ladder)


def _ray_optuna(trials: Trials) -> Policy:
    search = RayOptuna(trials)
    return RayAsha(search.propose, search.ended)


ARMS: dict[str, Arm] = {
    "random": _peer(lambda trials, _: FullTrainings(trials)),
    "none": _ours(Scheduler(SchedulerAlgorithm.NONE)),
    "synchronous_halving": _peer(SynchronousHalving),
    "one_epoch": _ours(Scheduler(eta=EPOCHS), ladder=(Fidelity(1, 1), Fidelity(1, EPOCHS))),
    "median": _ours(Scheduler(SchedulerAlgorithm.MEDIAN)),
    "hyperband": _ours(Scheduler(SchedulerAlgorithm.HYPERBAND, eta=ETA)),
    "asha_stopping": _ours(Scheduler(eta=ETA, mode=SchedulerMode.STOPPING)),
    "ray_asha": _peer(lambda trials, _: RayAsha(Draws(trials).next)),
    "asha": _ours(PROMOTION),
    "ray_optuna_asha": _peer(lambda trials, _: _ray_optuna(trials)),
    "tpe_asha": _ours(PROMOTION, Algorithm.TPE),
}
MAIN = ("random", "ray_asha", "asha")
WITH_BASELINE = (*MAIN, "one_epoch")
OTHERS = ("synchronous_halving", "median", "hyperband", "asha_stopping")
LEARNING = ("ray_optuna_asha", "tpe_asha")

AIMS = {"asha_speedup_w25": Aim(4), "asha_speedup_w500": Aim(2)}


def settings(quick: bool) -> list[Setting]:
    """What is measured."""
    synthetic, recorded = Synthetic(), Recorded()
    if quick:
        return [Setting(curves, 25, (*WITH_BASELINE, *OTHERS), 2) for curves in (synthetic, recorded)]
    return [
        Setting(synthetic, 1, MAIN, 30),
        Setting(synthetic, 25, WITH_BASELINE, 30),
        Setting(synthetic, 500, MAIN, 4),
        Setting(recorded, 1, MAIN, 30),
        Setting(recorded, 25, WITH_BASELINE, 30),
        Setting(synthetic, 25, ("random", *OTHERS), 10),
        Setting(recorded, 25, ("random", *OTHERS), 10),
        Setting(synthetic, 25, LEARNING, 8, patience=LITTLE_PATIENCE),
        Setting(recorded, 25, LEARNING, 8, patience=LITTLE_PATIENCE),
    ]


def measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]:
    """Run all settings, on seeds that nothing was chosen by."""
    ratios: list[Ratio] = []
    figures: dict[str, Figure] = {}
    for setting in settings(quick):
        found = outcomes(setting, first_seed=1)
        for figure in _figures(setting, found):
            figures.setdefault(figure.name, figure)
        for ours, peer in (("asha", "ray_asha"), ("tpe_asha", "ray_optuna_asha")):
            if ours in found and peer in found:
                name = peer if peer == "ray_optuna_asha" and setting.name == "_w25" else f"{peer}{setting.name}"
                ratio, low, high = compared(_seconds(found[ours]), _seconds(found[peer]), setting.limit)
                ratios.append(Ratio(name, ratio, Aim(1)))
                figures[f"{name}_low"] = Figure(f"{name}_low", low, "x")
                figures[f"{name}_high"] = Figure(f"{name}_high", high, "x")
    return ratios, list(figures.values())


def outcomes(setting: Setting, first_seed: int) -> dict[str, list[Outcome]]:
    """What came of each arm, by seed."""
    goal = target(setting.curves, setting.rarity)
    seeds = range(first_seed, first_seed + setting.seeds)
    return {
        arm: [ARMS[arm](Trials(setting.curves, seed), setting.workers, goal, setting.limit) for seed in seeds]
        for arm in setting.arms
    }


def _figures(setting: Setting, found: dict[str, list[Outcome]]) -> Iterator[Figure]:
    for arm, of in found.items():
        hours = float(np.median(_seconds(of))) / 3600
        if math.isfinite(hours):
            yield Figure(f"{arm}_hours{setting.name}", hours, "hours")
        reached = float(np.isfinite(_seconds(of)).mean())
        if reached < 1:
            yield Figure(f"{arm}_reached{setting.name}", reached, "share")
        if arm == "random":
            continue
        yield Figure(f"{arm}_busy{setting.name}", float(np.mean([o.busy for o in of])), "share")
        if "random" in found:
            ratio, low, high = compared(_seconds(of), _seconds(found["random"]), setting.limit)
            speedup = f"{arm}_speedup{setting.name}"
            yield Figure(speedup, ratio, "x", AIMS.get(speedup))
            yield Figure(f"{speedup}_low", low, "x")
            yield Figure(f"{speedup}_high", high, "x")


def _seconds(found: Sequence[Outcome]) -> Array:
    return np.array([outcome.seconds for outcome in found])


def compared(ours: Array, peer: Array, limit: float) -> tuple[float, float, float]:
    """The peer's median over ours, and its 95% interval; seconds by seed, in pairs, shape (n_seeds,) both.

    Runs were given up at the limit.
    """
    drawn = np.random.default_rng(0).integers(0, len(ours), (RESAMPLES, len(ours)))
    ratios = sorted(_ratio(ours[pick], peer[pick], limit) for pick in drawn)
    return _ratio(ours, peer, limit), ratios[round(0.025 * RESAMPLES)], ratios[round(0.975 * RESAMPLES) - 1]


def _ratio(ours: Array, peer: Array, limit: float) -> float:
    """The peer's median over ours: at least so much if the peer's is infinite, 0 if ours is, 1 if both are."""
    mine, theirs = float(np.median(ours)), float(np.median(peer))
    if math.isinf(mine):
        return 1.0 if math.isinf(theirs) else 0.0
    return min(theirs, limit) / mine
