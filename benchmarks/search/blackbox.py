"""Plain black-box search: ours against Optuna, hyperopt and chance on closed-form tasks.

Regrets are divided by the mean of chance's at the same trial; an arm's area is the mean of that over a study's
trials, and last_regret its end. A ratio searchd/PEER is the geometric mean over tasks of the peer's median area over
ours, so more is better, with a bootstrap interval from ratio_low to ratio_high; last_regret_ratio is the same of last
regrets. A rank is an arm's among searchd and its peers, averaged over trials, seeds and tasks. wins, ties and losses
count tasks by Wilcoxon's test over paired seeds at p < 0.05; wilcoxon_p is of all pairs together. An arm that is
missing from a task refuses it. batch_N asks for N at once and tells them at once; async_N keeps N slots busy with
trials of random length.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from benchmarks.report import Aim, Figure, Ratio
from benchmarks.search.arms import OURS, PEERS, SINGLE, SLOW
from benchmarks.search.processes import processes
from benchmarks.search.runs import Outcome, Run, Slots, play
from benchmarks.search.statistics import Array, Comparison, anytime_ranks, compared
from benchmarks.search.suite import BATCH, suite

DISCRETE = ("categorical", "small")
"""Tasks whose configurations can be repeated; among reals none comes twice."""


RESOLUTION = 1e-3
"""Last regrets below this share of chance's are not told apart when they are compared."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is run.

    Attributes:
        trials: Of a study with one slot.
        seeds: For arms that are fast.
        slow_seeds: For arms that fit a Gaussian process.
        single_seeds: For our algorithms one by one.
        slots: Ways to have many slots, with the trials of such a study and its seeds.
    """

    trials: int
    seeds: int
    slow_seeds: int
    single_seeds: int
    slots: tuple[tuple[Slots, int, int], ...]


FULL = Size(
    trials=32,
    seeds=30,
    slow_seeds=10,
    single_seeds=2,
    slots=((Slots(8, batch=True), 48, 5), (Slots(8), 48, 5), (Slots(64, batch=True), 128, 2), (Slots(64), 128, 2)),
)
QUICK = Size(trials=14, seeds=3, slow_seeds=1, single_seeds=1, slots=((Slots(8), 16, 1),))

Outcomes = Mapping[Run, Outcome]


def measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]:
    """Run every arm on every task, and those that users meet on many slots."""
    size = QUICK if quick else FULL
    return reported(played(planned(size)), size)


def reported(outcomes: Outcomes, size: Size) -> tuple[Sequence[Ratio], Sequence[Figure]]:
    """What the outcomes of all runs of that size say."""
    ratios, figures = _one_slot({run: outcome for run, outcome in outcomes.items() if run.slots == Slots()})
    for slots, _, _ in size.slots:
        found = _many_slots({run: outcome for run, outcome in outcomes.items() if run.slots == slots}, slots)
        ratios, figures = [*ratios, *found[0]], [*figures, *found[1]]
    counts = [(f.name, getattr(size, f.name)) for f in fields(size) if f.name != "slots"]
    for slots, trials, seeds in size.slots:
        counts += [(f"trials_{slots}", trials), (f"seeds_{slots}", seeds)]
    return ratios, [*figures, *(Figure(f"blackbox_{name}", count, "") for name, count in counts)]


def planned(size: Size) -> list[Run]:
    """All runs; the slow ones first, so that no processor is idle at the end."""
    runs = []
    for arm in (OURS, *PEERS, *SINGLE):
        fast = size.single_seeds if arm in SINGLE else size.seeds
        seeds = min(size.slow_seeds, fast) if arm in SLOW else fast
        runs += [Run(arm, task, seed, size.trials) for task in suite(0) for seed in range(seeds)]
    for slots, trials, seeds in size.slots:
        for arm in (OURS, *PEERS):
            runs += [Run(arm, task, seed, trials, slots) for task in BATCH for seed in range(seeds)]
    return sorted(runs, key=lambda run: (run.arm in SLOW, run.trials), reverse=True)


def played(runs: Sequence[Run]) -> Outcomes:
    """Carry out runs on all processors; those that their arm refuses are left out."""
    found = zip(runs, processes().map(play, runs), strict=True)
    return {run: outcome for run, outcome in found if outcome is not None}


def _one_slot(outcomes: Outcomes) -> tuple[list[Ratio], list[Figure]]:
    curves = _curves(outcomes)
    peers = _comparisons(curves)
    ratios = [Ratio(peer, found.ratio, Aim(1.0)) for peer, found in peers.items()]
    figures = [
        Figure(f"{name}_{peer}", value, unit) for peer, found in peers.items() for name, value, unit in _details(found)
    ]
    ends = _comparisons(curves, _lasts_above_resolution)
    figures += [Figure(f"last_regret_ratio_{peer}", found.ratio, "x") for peer, found in ends.items()]
    ranks = _ranks(curves)
    others = [rank for arm, rank in ranks.items() if arm != OURS]
    figures += [Figure("anytime_rank_best_peer", min(others), "")]
    figures += [Figure(f"anytime_rank_{arm}", rank, "") for arm, rank in ranks.items()]
    for title, cell in (("area", _areas), ("last_regret", _lasts)):
        figures += [
            Figure(f"{title}/{task}/{arm}", float(np.median(cell(curve))), "")
            for task, arms in curves.items()
            for arm, curve in arms.items()
        ]
    return ratios, [*figures, *_duplicates(outcomes, "duplicates", DISCRETE)]


def _many_slots(outcomes: Outcomes, slots: Slots) -> tuple[list[Ratio], list[Figure]]:
    curves = _curves(outcomes)
    peers = _comparisons(curves)
    ratios = [Ratio(f"{peer}_{slots}", found.ratio, Aim(1.0)) for peer, found in peers.items()]
    figures = [
        Figure(f"{slots}/{peer}/{name}", value, unit)
        for peer, found in peers.items()
        for name, value, unit in _details(found)
    ]
    figures += [
        Figure(f"area_{slots}/{task}/{arm}", float(np.median(_areas(curve))), "")
        for task, arms in curves.items()
        for arm, curve in arms.items()
    ]
    return ratios, [*figures, *_duplicates(outcomes, f"duplicates_{slots}", BATCH[1:])]


def _curves(outcomes: Outcomes) -> dict[str, dict[str, Array]]:
    """Regrets over chance's by task and arm, shape (n_seeds, n_trials), seeds in order. Trials at which chance was at
    the optimum in every seed are left out."""
    found: dict[str, dict[str, list[tuple[float, ...]]]] = {task: {} for task in suite(0)}
    order = (OURS, *PEERS, *SINGLE)
    for run, outcome in sorted(outcomes.items(), key=lambda item: (order.index(item[0].arm), item[0].seed)):
        found[run.task].setdefault(run.arm, []).append(outcome.regrets)
    return {task: _normalised({arm: np.array(of) for arm, of in arms.items()}) for task, arms in found.items() if arms}


def _normalised(regrets: Mapping[str, Array]) -> dict[str, Array]:
    chance = regrets["random"].mean(axis=0)
    counted = chance > 0
    return {arm: of[:, counted] / chance[counted] for arm, of in regrets.items()}


def _areas(curve: Array) -> Array:
    return np.asarray(curve.mean(axis=1))


def _lasts(curve: Array) -> Array:
    return curve[:, -1]


def _lasts_above_resolution(curve: Array) -> Array:
    return np.maximum(curve[:, -1], RESOLUTION)


def _comparisons(
    curves: Mapping[str, Mapping[str, Array]], cell: Callable[[Array], Array] = _areas
) -> dict[str, Comparison]:
    def of(arm: str) -> dict[str, Array]:
        return {task: cell(arms[arm]) for task, arms in curves.items() if arm in arms}

    return {peer: compared(of(OURS), of(peer), np.random.default_rng(0)) for peer in PEERS}


def _details(found: Comparison) -> tuple[tuple[str, float, str], ...]:
    return (
        ("ratio_low", found.low, "x"),
        ("ratio_high", found.high, "x"),
        ("wilcoxon_p", found.p, ""),
        ("wins", found.wins, "tasks"),
        ("ties", found.ties, "tasks"),
        ("losses", found.losses, "tasks"),
    )


def _ranks(curves: Mapping[str, Mapping[str, Array]]) -> dict[str, float]:
    """Mean ranks over tasks, each among the arms that take part in it."""
    by_task = [anytime_ranks({arm: of[arm] for arm in (OURS, *PEERS) if arm in of}) for of in curves.values()]
    return {arm: float(np.mean([of[arm] for of in by_task if arm in of])) for arm in (OURS, *PEERS)}


def _duplicates(outcomes: Outcomes, title: str, tasks: Sequence[str]) -> list[Figure]:
    counts: dict[tuple[str, str], list[int]] = {}
    for run, outcome in outcomes.items():
        if run.task in tasks:
            counts.setdefault((run.task, run.arm), []).append(outcome.duplicates)
    return [Figure(f"{title}/{task}/{arm}", float(np.mean(of)), "") for (task, arm), of in sorted(counts.items())]
