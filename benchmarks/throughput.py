"""Trials per second when trials take no time: ours, durable and over gRPC, against Ray Tune and against bare loops.

All do the same random search on two warm slots. Warm-up is left out on every side: our server runs another study
first, Ray Tune is timed by what more trials take in a longer fit, the loops run some trials before.
"""

import statistics

from benchmarks.arms import fresh_ray, run_peer
from benchmarks.ours import definition, server, timed, warm_up
from benchmarks.report import Aim, Figure, Ratio, Report
from benchmarks.trainables_for_benchmarks import MODULE
from searchd.conductor.dispatch import MOST_IN_FLIGHT

TRIALS, QUICK_TRIALS = 10_000, 2000
WARM_UP_TRIALS = 500
TUNE_TRIALS = {"default": (16, 8), "fastest": (400, 120)}
"""Trials of Ray Tune, in full and quick: fewer, since it is slower, and slower still the more there are."""

SAME_DEPTH_SCALE = 10
REPEATS = 3


def measure(quick: bool) -> Report:
    """Run all contenders, one after the other, each on a Ray of its own."""
    trials = QUICK_TRIALS if quick else TRIALS
    ours = _ours(trials)
    peers = {
        "ray_tune_default": _tune("default", quick),
        "ray_tune_fastest": _tune("fastest", quick),
        "bare_loop": _loop(trials, 1, 1),
        "bare_loop_same_depth": _loop(trials * SAME_DEPTH_SCALE, MOST_IN_FLIGHT // 2, 2),
    }
    aims = {"ray_tune_fastest": Aim(25), "bare_loop": Aim(0.8)}
    return Report(
        "throughput",
        tuple(Ratio(peer, ours / rate, aims.get(peer)) for peer, rate in peers.items()),
        (
            Figure("searchd_trials_per_second", ours, "trials/s"),
            *(Figure(f"{peer}_trials_per_second", rate, "trials/s") for peer, rate in peers.items()),
        ),
        (
            f"ours: {trials} trials over gRPC into SQLite with a flush per commit, median of {REPEATS} studies",
            f"same depth: 2 calls of {MOST_IN_FLIGHT // 2} configurations in flight per actor",
        ),
    )


def _ours(trials: int) -> float:
    study = definition("benchmark_trivial", trials)
    with server(MODULE) as running:
        warm_up(running.client, study | {"budget": {"trials": WARM_UP_TRIALS}})
        seconds = [timed(running.client, study | {"seed": seed})[0] for seed in range(1, REPEATS + 1)]
    return trials / statistics.median(seconds)


def _tune(setup: str, quick: bool) -> float:
    trials = TUNE_TRIALS[setup][quick]
    with fresh_ray() as environment:
        options = ["--setup", setup, "--work", "trivial", "--trials", str(trials), "--fewer", str(trials // 4)]
        options += ["--repeats", str(REPEATS if setup == "fastest" and not quick else 1)]
        return run_peer("ray_tune", options, environment)["trials_per_second"]


def _loop(trials: int, group: int, calls: int) -> float:
    with fresh_ray() as environment:
        options = ["--trials", str(trials), "--group", str(group), "--calls", str(calls), "--repeats", str(REPEATS)]
        return run_peer("bare_loop", options, environment)["trials_per_second"]
