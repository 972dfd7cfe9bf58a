"""How others save folds, over the fold table: full cross-validation, two lines of code, and rules that stop early.

A fit takes the table's mean seconds of its configuration; there are so many workers, and each runs the folds of its
trial one after the other.
"""

import heapq
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import optuna

from benchmarks.search.fold_table import Task

FIRST_GUESS = 80
GUESSES = 5
ENOUGH = 0.97
"""A search that uses this share of its limit is large enough."""


@dataclass(frozen=True, slots=True)
class Limit:
    """When a search starts nothing more: after so many trials, fits or seconds, whichever comes first."""

    trials: int = 10**9
    fits: int = 10**9
    seconds: float = 1e18


@dataclass(frozen=True, slots=True)
class Run:
    """What a search came to: the configuration that it chose, and the fits and the seconds that it took."""

    chosen: int
    fits: int
    seconds: float


class Rule(Protocol):
    """Stops trials between their folds. Trials are numbered from 0; scores are in points, larger is better."""

    def lost(self, trial: int, scores: Sequence[float]) -> bool:
        """Whether to stop a trial, given its scores so far, at least one and fewer than there are folds."""
        ...

    def completed(self, trial: int, scores: Sequence[float]) -> None:
        """A trial has all its folds."""
        ...


class Full:
    """Cross-validation as it is."""

    def lost(self, trial: int, scores: Sequence[float]) -> bool:  # noqa: ARG002  # the protocol's
        """Never."""
        return False

    def completed(self, trial: int, scores: Sequence[float]) -> None:
        """Nothing is compared."""


class Bergman:
    """The rules of Bergman, Purucker and Hutter, "Don't Waste Your Time: Early Stopping Cross-Validation" (2024)."""

    def __init__(self, forgiving: bool) -> None:
        self._forgiving = forgiving
        self._best: Sequence[float] | None = None

    def lost(self, trial: int, scores: Sequence[float]) -> bool:  # noqa: ARG002  # the protocol's
        """Whether the mean so far is no better than the best trial's worst fold, or (aggressive) than its mean."""
        if self._best is None:
            return False
        bar = min(self._best) if self._forgiving else float(np.mean(self._best))
        return float(np.mean(scores)) <= bar

    def completed(self, trial: int, scores: Sequence[float]) -> None:  # noqa: ARG002  # the protocol's
        """It is the best from now on if its mean is."""
        if self._best is None or np.mean(scores) > np.mean(self._best):
            self._best = scores


class Wilcoxon:
    """Optuna's own WilcoxonPruner with its defaults, told of pruned trials as its documentation recommends."""

    def __init__(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            pruner = optuna.pruners.WilcoxonPruner()
        sampler = optuna.samplers.RandomSampler(seed=0)
        self._study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        self._trials: dict[int, optuna.Trial] = {}

    def lost(self, trial: int, scores: Sequence[float]) -> bool:
        """Whether it prunes; the trial is then told with its mean so far."""
        asked = self._reported(trial, scores)
        if not asked.should_prune():
            return False
        self._study.tell(asked, float(np.mean(scores)))
        return True

    def completed(self, trial: int, scores: Sequence[float]) -> None:
        """Tell the trial's mean."""
        self._study.tell(self._reported(trial, scores), float(np.mean(scores)))

    def _reported(self, trial: int, scores: Sequence[float]) -> optuna.Trial:
        if trial not in self._trials:
            self._trials[trial] = self._study.ask()
        self._trials[trial].report(scores[-1], len(scores) - 1)
        return self._trials[trial]


RULES: dict[str, Callable[[], Rule]] = {
    "full": Full,
    "forgiving": lambda: Bergman(forgiving=True),
    "aggressive": lambda: Bergman(forgiving=False),
    "wilcoxon": Wilcoxon,
}


def stopped_early(task: Task, order: Sequence[int], slots: int, limit: Limit, rule: Rule) -> Run:
    """Search with a rule: trial n has configuration ``order[n]``. What is under way at the limit of fits counts."""
    folds = task.scores.shape[1]
    workers: list[tuple[float, int]] = [(0.0, worker) for worker in range(slots)]
    at: dict[int, tuple[int, list[float]]] = {}
    started = fits = 0
    best, seconds = (-1.0, 0), 0.0
    while workers:
        now, worker = heapq.heappop(workers)
        if worker in at:
            trial, scores = at.pop(worker)
            seconds = now
            scores.append(float(task.scores[order[trial], len(scores)]))
            if len(scores) == folds:
                rule.completed(trial, scores)
                best = max(best, (float(np.mean(scores)), -trial))
            elif not rule.lost(trial, scores):
                at[worker] = trial, scores
        if fits >= limit.fits or now >= limit.seconds:
            continue
        if worker not in at:
            if started >= min(limit.trials, len(order)):
                continue
            at[worker] = started, []
            started += 1
        fits += 1
        heapq.heappush(workers, (now + float(task.seconds[order[at[worker][0]]]), worker))
    return Run(order[-best[1]], fits, seconds)


def two_lines(task: Task, order: Sequence[int], slots: int, trials: int) -> Run:
    """One fold for all, then all the others for the best quarter of them, with no stopping. Waits between the two."""
    first = sorted(range(trials), key=lambda n: (-task.scores[order[n], 0], n))
    kept = first[: max(trials // 4, 1)]
    folds = task.scores.shape[1]
    best = max(kept, key=lambda n: (float(np.mean(task.scores[order[n]])), -n))
    lasting = [float(task.seconds[order[n]]) for n in range(trials)]
    rest = [lasting[n] for n in kept for _ in range(folds - 1)]
    return Run(order[best], trials + len(rest), _makespan(lasting, slots) + _makespan(rest, slots))


def within(search: Callable[[int], Run], limit: Limit, most: int) -> Run:
    """The largest search that keeps to a limit, of those that a few guesses find, for a search that is told its trials.

    Args:
        search: Runs a search of so many trials.
        limit: What it must keep to; a search of 4 trials does in any case.
        most: Trials that there are.
    """
    if limit.trials < most:
        return search(limit.trials)
    low, high, trials = 4, most + 1, FIRST_GUESS
    best: Run | None = None
    for _ in range(GUESSES):
        run = search(trials)
        used = max(run.fits / limit.fits, run.seconds / limit.seconds)
        if used <= 1:
            low, best = trials, run
        else:
            high = trials
        if high - low <= 1 or ENOUGH <= used <= 1:
            break
        trials = min(max(round(trials * (1 + ENOUGH) / 2 / used), low + 1), high - 1)
    return best or search(low)


def _makespan(seconds: Sequence[float], slots: int) -> float:
    """When all are done if each goes to the worker that is free first."""
    free = [0.0] * slots
    for lasting in seconds:
        heapq.heappush(free, heapq.heappop(free) + lasting)
    return max(free)
