"""What earlier studies and knowledge of cost are worth, and what an earlier study that misleads costs.

Five Hartmann functions in 6 dimensions, each moved by up to 0.1 along every axis: four earlier studies of 60 trials by
TPE, and a fifth that is to come below -3.0 (the least value is -3.32) within 60 trials. ``warm_start_trials_ratio`` is
its mean number of trials with earlier studies over that from cold, misleading_warm_start_ratio the same where the
earlier studies minimised the opposite; who does not arrive counts as 60; intervals are of 95%, bootstrapped over seeds
in pairs. As in the service, the searcher is handed the best configuration of each earlier study, and knows of their
other trials. ``cost_aware_speedup`` is the mean time to within 0.05 of Branin's optimum without cost-aware search over
that with it, where trials take from 1 to 100 s along the first parameter.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from benchmarks.report import Aim, Figure, Ratio
from benchmarks.search.processes import processes
from benchmarks.search.tasks import Task, branin, hartmann
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.search import Algorithm, Precedent, Search
from searchd.domain.space import Float, Parameters
from searchd.domain.study import Budget, StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation
from searchd.searchers.factory import make_searcher

SEEDS = 30
RESAMPLES = 2000
EARLIER = 4
TRIALS = 60
TARGET = -3.0
COST_TRIALS = 40
CLOSE = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a search went: its trials and seconds until it arrived, or all of them."""

    trials: int
    seconds: float


def measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]:
    """Run every arm with all seeds, or one."""
    seeds = range(1 if quick else SEEDS)
    map_ = processes().map
    starts = [map_(start, [earlier] * len(seeds), seeds) for earlier in ("", "like", "opposite")]
    searches = [map_(costly, [knows] * len(seeds), seeds) for knows in (False, True)]
    cold, warm, misled = (list(each) for each in starts)
    blind, aware = (list(each) for each in searches)
    trials = [fmean(each) for each in (cold, warm, misled)]
    seconds = [fmean(outcome.seconds for outcome in each) for each in (blind, aware)]
    intervals = (interval(warm, cold), interval(misled, cold))
    return (), (
        Figure("warm_start_trials_ratio", trials[1] / trials[0], "x", Aim(0.5, at_least=False)),
        Figure("misleading_warm_start_ratio", trials[2] / trials[0], "x", Aim(1.1, at_least=False)),
        Figure("warm_start_trials_ratio_low", intervals[0][0], "x"),
        Figure("warm_start_trials_ratio_high", intervals[0][1], "x"),
        Figure("misleading_warm_start_ratio_low", intervals[1][0], "x"),
        Figure("misleading_warm_start_ratio_high", intervals[1][1], "x"),
        Figure("warm_start_seeds", len(seeds), ""),
        Figure("cold_start_trials", trials[0], "trials"),
        Figure("warm_start_trials", trials[1], "trials"),
        Figure("misleading_warm_start_trials", trials[2], "trials"),
        Figure("cost_aware_speedup", seconds[0] / seconds[1], "x"),
        Figure("cost_aware_seconds", seconds[1], "s"),
        Figure("cost_blind_seconds", seconds[0], "s"),
    )


def start(earlier: str, seed: int) -> int:
    """Trials to the target, after ``like`` or ``opposite`` earlier studies, or none."""
    known = [_precedents(seed, number, earlier == "opposite") for number in range(EARLIER)] if earlier else []
    spec = replace(_study(_moved(seed, EARLIER), seed, Algorithm.BAYESIAN), precedents=tuple(known))
    spec = replace(spec, inherited=tuple(study[0].parameters for study in known))
    return _searched(_moved(seed, EARLIER), spec, TRIALS, TARGET).trials


def interval(trials: Sequence[int], of: Sequence[int]) -> tuple[float, float]:
    """The 95% interval of the ratio of two means over the same seeds; shape (n_seeds,) both."""
    pairs = np.array([trials, of], float)
    drawn = np.random.default_rng(0).integers(0, len(trials), (RESAMPLES, len(trials)))
    sums = pairs[:, drawn].sum(axis=2)
    low, high = np.quantile(sums[0] / sums[1], (0.025, 0.975))
    return float(low), float(high)


def costly(aware: bool, seed: int) -> Outcome:
    """A search for Branin's optimum where one side of the space is a hundred times as dear as the other."""
    task = branin()
    spec = _study(task, seed, Algorithm.BAYESIAN)
    spec = replace(spec, search=replace(spec.search, cost_aware=aware))
    domain = task.space.parameters[0].domain
    low, high = (domain.low, domain.high) if isinstance(domain, Float) else (0.0, 1.0)

    def seconds(parameters: Parameters) -> float:
        return float(100.0 ** ((parameters["x0"] - low) / (high - low)))

    return _searched(task, spec, COST_TRIALS, task.optimum + CLOSE, seconds)


def _moved(seed: int, number: int) -> Task:
    rng = random.Random(f"{seed}/{number}")
    return hartmann(6, shift=[rng.uniform(-0.1, 0.1) for _ in range(6)])


def _precedents(seed: int, number: int, opposite: bool) -> tuple[Precedent, ...]:
    """What an earlier study hands on: its trials, the best first, by what it took for good."""
    task = _moved(seed, number)
    sign = 1.0 if opposite else -1.0
    spec = _study(task, seed * EARLIER + number, Algorithm.TPE)
    searcher = make_searcher(replace(spec, objectives=(Objective("value", Goal.MAXIMIZE),)))
    found: list[Precedent] = []
    for trial in range(1, TRIALS + 1):
        suggestion = searcher.suggest(TrialNumber(trial))
        if suggestion is None:
            break
        score = sign * task.truth(suggestion.parameters)[0]
        searcher.tell([Observation(TrialNumber(trial), suggestion.parameters, TrialState.COMPLETED, (score,))])
        found.append(Precedent(suggestion.parameters, score))
    return tuple(sorted(found, key=lambda precedent: -precedent.score))


def _study(task: Task, seed: int, algorithm: Algorithm) -> StudySpec:
    return StudySpec(
        "benchmark",
        (Objective("value", Goal.MINIMIZE),),
        task.space,
        seed=seed,
        search=Search(algorithm, default_first=False),
        scheduler=Scheduler(SchedulerAlgorithm.NONE),
        budget=Budget(trials=TRIALS, slots=1),
    )


def _searched(
    task: Task,
    spec: StudySpec,
    most: int,
    target: float,
    cost: Callable[[Parameters], float] = lambda _: 1.0,
) -> Outcome:
    """One trial after the other, until the target is reached."""
    searcher = make_searcher(spec)
    seconds = 0.0
    for number in range(1, most + 1):
        suggestion = searcher.suggest(TrialNumber(number))
        if suggestion is None:
            break
        parameters = suggestion.parameters
        value, took = task.truth(parameters)[0], cost(parameters)
        seconds += took
        if value <= target:
            return Outcome(number, seconds)
        known = Observation(
            TrialNumber(number),
            parameters,
            TrialState.COMPLETED,
            (value,),
            seconds=took,
            note=suggestion.note,
            origin=suggestion.origin,
        )
        searcher.tell([known])
    return Outcome(most, seconds)
