"""Whether a study that says ``folds`` and nothing else finds better configurations than others do for the same fits.

Arms: the service as it comes (see fold_service), full cross-validation, two lines of code, forgiving and aggressive
stopping, and Optuna's WilcoxonPruner (see fold_peers), all with the same random configurations in the same order. The
rows for test are in no fold. The service's default was chosen on splits 0 and 1 of the table; what is reported is from
the others.

Gains are means of paired differences in points on the rows for test. A task is a learner, a dataset, a split seed and a
number of folds; studies of one task share its rows for test, so they are averaged before anything is tested.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from benchmarks.report import Aim, Figure, Ratio
from benchmarks.search.fold_peers import RULES, Limit, Run, stopped_early, two_lines, within
from benchmarks.search.fold_service import order, served
from benchmarks.search.fold_table import Task, tasks

REPORTED = (2, 3, 4, 5)
SLOTS = (1, 8, 32)
SEEDS = 3
"""Studies of each task when this module is run by itself on all that is for reporting, for ten minutes; in ``measure``
there is one."""

TRIALS = 80
FULL_TRIALS = 40
"""Equal fits, and equal time, are what full cross-validation takes for so many trials."""
OURS = "searchd"


@dataclass(frozen=True, slots=True)
class Trace:
    """What one arm came to in one study: in points, and shares.

    Attributes:
        task: The task's place in the list.
        folds: Its folds.
        saved: Share of the fits of full cross-validation that 80 trials did without.
        regret: Mean score over all folds that the choice among 80 trials is below the best of them.
        at_fits: Test score of the choice after as many fits as full cross-validation takes for 40 trials.
        at_time: Test score of the choice after as many seconds as it takes for them; on one slot that after its fits.
    """

    task: int
    folds: int
    saved: float
    regret: float
    at_fits: float
    at_time: float


Search = Callable[[Task, int, Limit], Run]
"""An arm of one study: task, slots and limit."""


def measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]:
    """Search half of what is for reporting, or, quickly, two tasks of it."""
    chosen = list(tasks(("svc", "tree"), REPORTED[:2]))[: 2 if quick else None]
    return (), tuple(figures(compared(chosen, range(1), SLOTS)))


def compared(chosen: Sequence[Task], seeds: Iterable[int], slots: Sequence[int]) -> dict[tuple[str, int], list[Trace]]:
    """Every arm's traces by its name and slots, in the same order: studies of equal place are paired."""
    found: dict[tuple[str, int], list[Trace]] = {}
    orders = {seed: order(seed) for seed in seeds}
    for place, task in enumerate(chosen):
        for seed, configurations in orders.items():
            for slot in slots:
                for name, search in _arms(seed, configurations, slot).items():
                    found.setdefault((name, slot), []).append(_trace(task, place, slot, configurations, search))
    return found


def figures(found: dict[tuple[str, int], list[Trace]]) -> Iterator[Figure]:
    """The stable figures."""
    slots = sorted({slot for _, slot in found})
    for slot in slots:
        for folds, many in ((5, ""), (10, "_10_folds")):
            ours = [trace for trace in found[OURS, slot] if trace.folds == folds]
            suffix = many if slot == 1 else f"{many}_{slot}_slots"
            saved, regret = _mean(t.saved for t in ours), _mean(t.regret for t in ours)
            yield Figure(f"fold_fits_saved{suffix}", saved, "share", Aim(0.6))
            yield Figure(f"fold_regret_points{suffix}", regret, "points", Aim(0.1, at_least=False))
    for peer in ("two_line", *RULES):
        for slot in (slot for slot in slots if (peer, slot) in found):
            suffix = "" if slot == 1 else f"_{slot}_slots"
            for what in ("", "_at_equal_time") if slot > 1 else ("",):
                gains = _gains(found[OURS, slot], found[peer, slot], by_time=bool(what))
                name = f"fold_vs_{peer}{suffix}{what}"
                yield Figure(name, _mean(gains), "points", Aim(0.0))
                if slot == 1:
                    yield Figure(f"{name}_p", float(wilcoxon(gains).pvalue) if any(gains) else 1.0, "")


def _arms(seed: int, configurations: Sequence[int], slot: int) -> dict[str, Search]:
    """The arms, each told how many trials its limit is good for; Optuna's pruner, which takes most of the time, on one
    slot only, where it runs into its limit and loses no more than a trial by it."""

    def told(run: Callable[[Task, int, int], Run]) -> Search:
        def search(task: Task, slots: int, limit: Limit) -> Run:
            return within(lambda trials: run(task, slots, trials), limit, len(configurations))

        return search

    def rule(name: str) -> Search:
        return told(
            lambda task, slots, trials: stopped_early(task, configurations, slots, Limit(trials=trials), RULES[name]())
        )

    arms = {
        OURS: told(lambda task, slots, trials: served(task, seed, slots, trials)),
        "two_line": told(lambda task, slots, trials: two_lines(task, configurations, slots, trials)),
        **{name: rule(name) for name in RULES if name != "wilcoxon"},
    }
    if slot == 1:
        arms["wilcoxon"] = lambda task, slots, limit: stopped_early(
            task, configurations, slots, limit, RULES["wilcoxon"]()
        )
    return arms


def _trace(task: Task, place: int, slots: int, configurations: Sequence[int], search: Search) -> Trace:
    means = task.scores.mean(axis=1)
    folds = task.scores.shape[1]
    whole = search(task, slots, Limit(trials=TRIALS))
    fits = FULL_TRIALS * folds
    time = stopped_early(task, configurations, slots, Limit(trials=FULL_TRIALS), RULES["full"]()).seconds
    at_fits = float(task.test[search(task, slots, Limit(fits=fits)).chosen])
    return Trace(
        place,
        folds,
        1 - whole.fits / (TRIALS * folds),
        float(max(means[list(configurations[:TRIALS])]) - means[whole.chosen]),
        at_fits,
        float(task.test[search(task, slots, Limit(seconds=time)).chosen]) if slots > 1 else at_fits,
    )


def _gains(ours: Sequence[Trace], theirs: Sequence[Trace], *, by_time: bool) -> list[float]:
    """What ours gains in test points, one number for each task: the mean over its studies."""
    gains: dict[int, list[float]] = {}
    for a, b in zip(ours, theirs, strict=True):
        gain = a.at_time - b.at_time if by_time else a.at_fits - b.at_fits
        gains.setdefault(a.task, []).append(gain)
    return [_mean(values) for values in gains.values()]


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _print() -> None:
    """Every arm's share of fits saved and its regret, and ours against it at equal fits and time: win, tie, loss."""
    found = compared(list(tasks(("svc", "tree"), REPORTED)), range(SEEDS), SLOTS)
    for (name, slot), traces in found.items():
        line = f"{name:>10} {slot:>2} slots: saved {_mean(t.saved for t in traces):.3f}"
        line += f", regret {_mean(t.regret for t in traces):.3f}"
        line += f", test {_mean(t.at_fits for t in traces):.2f}"
        for by_time in (False, True):
            gains = _gains(found[OURS, slot], traces, by_time=by_time)
            wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
            p = float(wilcoxon(gains).pvalue) if any(gains) else 1.0
            line += f", gain {_mean(gains):+.3f} ({wins}/{len(gains) - wins - losses}/{losses}, p {p:.2g})"
        print(line)


if __name__ == "__main__":
    _print()
