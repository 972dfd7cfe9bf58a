"""How busy the slots are kept with trials of a second and a half: ours, plain processes, and Ray Tune.

The work is fixed: the same number of trainings of the same length for everybody. The busy fraction is
trials x solo time / (slots x wall time), where the solo time is that of one training with the machine to itself; two at
once may slow each other, which is why plain processes are the yardstick.
"""

import statistics

from benchmarks.arms import SLOTS, fresh_ray, run_peer
from benchmarks.ours import definition, server, timed, warm_up
from benchmarks.peers.bare_processes import WARM_UP_ITERATIONS
from benchmarks.report import Aim, Figure, Ratio, Report
from benchmarks.training_for_benchmarks import MODULE

SOLO_SECONDS = 1.5
TRIALS, QUICK_TRIALS = 24, 8


def measure(quick: bool) -> Report:
    """Run all contenders one by one; plain processes before and after ours, and the mean of the two counts."""
    trials = QUICK_TRIALS if quick else TRIALS
    alone = run_peer("bare_processes", ["--calibrate", str(SOLO_SECONDS)])
    iterations, solo = int(alone["iterations"]), alone["solo_seconds"]
    before = _bare(trials, iterations)
    ours, training = _ours(trials, iterations)
    after = _bare(trials, iterations)
    walls = {
        "bare_processes": statistics.fmean((before, after)),
        "ray_tune": _tune("default", trials, iterations),
        "ray_tune_reuse": _tune("reuse", trials, iterations),
    }

    def busy(wall: float) -> float:
        return trials * solo / (SLOTS * wall)

    aims = {"bare_processes": Aim(0.95)}
    return Report(
        "utilisation",
        tuple(Ratio(peer, wall / ours, aims.get(peer)) for peer, wall in walls.items()),
        (
            Figure("busy_fraction", busy(ours), ""),
            *(Figure(f"{peer}_busy_fraction", busy(wall), "") for peer, wall in walls.items()),
            Figure("training_share_of_slot_time", training, ""),
            Figure("solo_seconds", solo, "s"),
        ),
        (f"{trials} trials on {SLOTS} slots; plain processes before and after ours: {before:.1f} s, {after:.1f} s",),
    )


def _bare(trials: int, iterations: int) -> float:
    options = ["--trials", str(trials), "--processes", str(SLOTS), "--iterations", str(iterations)]
    return run_peer("bare_processes", options)["wall_seconds"]


def _ours(trials: int, iterations: int) -> tuple[float, float]:
    """On a server whose workers have trained before: seconds from submission to the end, and the share of both slots'
    time in which trials trained, however fast."""
    study = definition("benchmark_network", trials, fixed={"iterations": iterations})
    with server(MODULE) as running:
        warm_up(running.client, definition("benchmark_network", 2 * SLOTS, fixed={"iterations": WARM_UP_ITERATIONS}))
        wall, ended = timed(running.client, study)
    return wall, ended.progress.train_seconds / (SLOTS * wall)


def _tune(setup: str, trials: int, iterations: int) -> float:
    """A whole ``fit()``, as every study in Ray Tune is one; the process has done another before."""
    with fresh_ray() as environment:
        options = ["--setup", setup, "--work", "network", "--trials", str(trials), "--iterations", str(iterations)]
        return run_peer("ray_tune", options, environment)["wall_seconds"]
