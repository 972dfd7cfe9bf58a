"""What faults cost: facts, trials and training lost to kills and pauses, real and simulated, and the time to recover.

A kill counts only if it fell into a study. What was told is written down by a client and compared with the store.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import watches
from benchmarks.arms import fresh_ray, run_peer
from benchmarks.harm import pause_workers, reassignment_seconds
from benchmarks.kills import Kills, kill_servers, kill_servers_of_one_study
from benchmarks.leaders import pause_leaders
from benchmarks.report import Aim, Figure, Ratio, Report
from benchmarks.restarts import TRIALS, restart_seconds
from benchmarks.simulated_kills import kill_simulated_servers, play_seeds

WATCHED = watches.Sizes()

NONE = Aim(0, at_least=False)
ALL = Aim(1)


@dataclass(frozen=True, slots=True)
class Amounts:
    """How often each thing is done."""

    server_kills: int = 300
    simulated_server_kills: int = 10_000
    simulated_seeds: int = 5_000
    restarts: int = 15
    worker_kills: int = 30
    worker_pauses: int = 20
    leader_pauses: int = 1_000
    watched: watches.Sizes = WATCHED
    small_study: tuple[int, int, float, int] = (8, 20, 0.5, 3)
    """Trials, epochs, seconds an epoch, kills: of the study that Ray Tune restores as well."""


QUICK = Amounts(
    server_kills=10,
    simulated_server_kills=300,
    simulated_seeds=60,
    restarts=3,
    worker_kills=4,
    worker_pauses=3,
    leader_pauses=20,
    watched=watches.Sizes(events=20_000, cuts=40, restarts=2, kept=5_000),
    small_study=(8, 10, 0.2, 1),
)


def measure(quick: bool) -> Report:
    """Do everything, one thing after the other: first what takes seconds that are reported."""
    amounts = QUICK if quick else Amounts()
    recovery = _of_recovery(amounts)
    leaders = _of_leaders(amounts)
    kills = kill_servers(amounts.server_kills)
    shown = watches.run(amounts.watched)
    ratio, of_tune = _against_ray_tune(*amounts.small_study)
    return Report(
        "faults",
        (ratio,),
        (
            *_of_kills(kills),
            *_of_simulations(amounts, len(kills.broken)),
            *recovery,
            *leaders,
            Figure("watch_events", shown.shown, ""),
            Figure("watch_cuts", shown.left + shown.broken + shown.restarts, ""),
            Figure("watch_gaps", shown.missed, "", NONE),
            Figure("watch_duplicates_or_reorderings", shown.repeated + shown.invented, "", NONE),
            *of_tune,
        ),
        (
            *(f"broken: {broken.promise}: {broken.detail}"[:78] for broken in kills.broken[:5]),
            f"restarts with {TRIALS} live trials in the store; reassignment includes starting a worker",
            "the ratio: share of trained epochs that were not trained before, ours over Tune's",
        ),
    )


def _of_kills(kills: Kills) -> Sequence[Figure]:
    return (
        Figure("server_kills", kills.kills, ""),
        Figure("acknowledged_facts_lost", kills.lost, "", NONE),
        Figure("duplicate_completions", kills.duplicates, "", NONE),
        Figure("watch_faults_over_kills", kills.watch_faults, "", NONE),
        Figure("segments_running_at_kills", kills.running, ""),
        Figure("segments_surviving_server_kill", kills.survived / max(kills.running, 1), "", ALL),
        Figure("epochs_trained", kills.epochs, ""),
        Figure("epochs_retrained", kills.retrained, "", NONE),
        Figure("restart_median_seconds_over_kills", statistics.median(kills.restarts), "s"),
    )


def _of_simulations(amounts: Amounts, broken: int) -> Sequence[Figure]:
    killed = kill_simulated_servers(amounts.simulated_server_kills)
    played = play_seeds(amounts.simulated_seeds)
    return (
        Figure("simulated_server_kills", killed.kills, ""),
        Figure("simulated_acknowledged_facts_lost", killed.lost, "", NONE),
        Figure("simulated_duplicate_completions", killed.duplicates, "", NONE),
        Figure("simulated_seeds", killed.seeds + played.seeds, ""),
        Figure("broken_promises", killed.broken + played.broken + broken, "", NONE),
    )


def _of_recovery(amounts: Amounts) -> Sequence[Figure]:
    restarts = restart_seconds(amounts.restarts)
    reassignments = reassignment_seconds(amounts.worker_kills)
    pauses = pause_workers(amounts.worker_pauses)
    return (
        Figure("restart_p99_seconds", _p99(restarts), "s", Aim(5.0, at_least=False)),
        Figure("restart_median_seconds", statistics.median(restarts), "s"),
        Figure("worker_kills", len(reassignments), ""),
        Figure("reassignment_p99_seconds", _p99(reassignments), "s", Aim(5.0, at_least=False)),
        Figure("reassignment_median_seconds", statistics.median(reassignments), "s"),
        Figure("worker_pauses", pauses.pauses, ""),
        Figure("wrongly_failed_while_paused", pauses.wrongly_failed, "", NONE),
    )


def _of_leaders(amounts: Amounts) -> Sequence[Figure]:
    leaders = pause_leaders(amounts.leader_pauses)
    return (
        Figure("leader_pauses", leaders.pauses, ""),
        Figure("stale_leader_writes", leaders.stale_writes, "", NONE),
        Figure("answers_lost_over_leader_pauses", leaders.lost, "", NONE),
    )


def _against_ray_tune(trials: int, epochs: int, seconds: float, kills: int) -> tuple[Ratio, Sequence[Figure]]:
    ours = kill_servers_of_one_study(trials, epochs, seconds, kills)
    options = ("--trials", trials, "--epochs", epochs, "--seconds", seconds, "--kills", kills)
    with fresh_ray() as environment:
        theirs = run_peer("ray_tune_restore", list(map(str, options)), environment)["epochs_retrained"]
    total = trials * epochs
    return Ratio("ray_tune_restore", (total + theirs) / (total + ours)), (
        Figure("epochs_retrained_of_small_study", ours, "", NONE),
        Figure("ray_tune_restore_epochs_retrained", theirs, ""),
    )


def _p99(seconds: Sequence[float]) -> float:
    """Of fewer than a hundred it is the longest."""
    return sorted(seconds)[int(0.99 * len(seconds))]
