"""Search among trials that are stopped early: ours, which expects an end for each, against Optuna's samplers.

All arms have the same asynchronous successive halving (stopping, eta 3, rungs of 1, 3, 9, 27 epochs), four workers in
virtual time and 432 epochs. Optuna is used through ask, report and tell; its Gaussian process passes over pruned
trials, its TPE ranks them below the others. A ratio is the geometric mean over tasks of the peer's median regret area
over ours: the mean over the budget of the regret of the trial that looks best among the complete ones (before there is
one, of a random configuration).
"""

import heapq
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import fmean
from typing import Protocol

import numpy as np
import optuna

from benchmarks.report import Figure, Ratio
from benchmarks.search.processes import processes
from benchmarks.search.statistics import Array, compared
from benchmarks.search.tasks import Task, Values, counting_ones, hartmann
from searchd.domain.evaluation import Evaluation
from searchd.domain.fidelity import Fidelity
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler, SchedulerMode
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Float, Parameter, Parameters, SearchSpace
from searchd.domain.study import Budget, StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.scheduler import Verdict
from searchd.ports.searcher import Observation
from searchd.schedulers.asha import AshaStopping
from searchd.searchers.factory import make_searcher

EPOCHS = (1, 3, 9, 27)
ETA = 3
WORKERS = 4
BUDGET = 432
OURS = "searchd"
PEERS = ("optuna_gp_under_asha", "optuna_tpe_under_asha", "random_under_asha")

TASKS = ("hartmann3", "hartmann6", "counting_ones", "crossing")


@dataclass(frozen=True, slots=True)
class Run:
    """One search."""

    task: str
    arm: str
    seed: int


def measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]:
    """Run all arms on all tasks, with three seeds, or on two tasks with one."""
    tasks, seeds = (TASKS[:2], 1) if quick else (TASKS, 3)
    runs = [Run(*of) for of in product(tasks, (OURS, *PEERS), range(seeds))]
    areas = dict(zip(runs, processes().map(area, runs), strict=True))
    by_arm: dict[str, Mapping[str, Array]] = {
        arm: {task: np.array([areas[Run(task, arm, seed)] for seed in range(seeds)]) for task in tasks}
        for arm in (OURS, *PEERS)
    }
    rng = np.random.default_rng(0)
    ratios, figures = [], []
    for peer in PEERS:
        against = compared(by_arm[OURS], by_arm[peer], rng)
        ratios.append(Ratio(peer, against.ratio))
        figures.append(Figure(f"{peer}_ratio_low", against.low, "x"))
        figures.append(Figure(f"{peer}_ratio_high", against.high, "x"))
    for task, arm in product(tasks, by_arm):
        figures.append(Figure(f"regret_area_{task}_{arm}", float(np.median(by_arm[arm][task])), "regret"))
    return ratios, figures


class Arm(Protocol):
    """A search under way; values are smaller for better."""

    def ask(self, number: int) -> Parameters:
        """The configuration of trial ``number``, which runs from now on."""
        ...

    def reached(self, number: int, values: Sequence[float], ended: bool) -> None:
        """A trial has these values at its rungs so far, and goes on unless it ``ended``."""
        ...


class SearcherArm:
    """One of our searchers, told what the conductor tells it."""

    def __init__(self, task: Task, algorithm: Algorithm, seed: int) -> None:
        ladder = tuple(Fidelity(1, epochs) for epochs in EPOCHS)
        spec = StudySpec(
            "benchmark",
            (Objective("value", Goal.MINIMIZE),),
            task.space,
            seed=seed,
            search=Search(algorithm, default_first=False),
            scheduler=Scheduler(eta=ETA, mode=SchedulerMode.STOPPING),
            evaluation=Evaluation(epochs=EPOCHS[-1], ladder=ladder),
            budget=Budget(trials=BUDGET),
        )
        self._searcher = make_searcher(spec)
        self._known: dict[int, Observation] = {}

    def ask(self, number: int) -> Parameters:
        """The searcher's suggestion; its trial runs from now on."""
        suggestion = self._searcher.suggest(TrialNumber(number))
        if suggestion is None:
            raise RuntimeError("a continuous space cannot be used up")
        known = Observation(TrialNumber(number), suggestion.parameters, TrialState.RUNNING, note=suggestion.note)
        self._known[number] = known
        self._searcher.tell([known])
        return suggestion.parameters

    def reached(self, number: int, values: Sequence[float], ended: bool) -> None:
        """Told at each rung."""
        complete = TrialState.COMPLETED if len(values) == len(EPOCHS) else TrialState.STOPPED
        state = complete if ended else TrialState.RUNNING
        self._searcher.tell([replace(self._known[number], state=state, scores=tuple(values))])


class OptunaArm:
    """One of Optuna's samplers, used as its documentation shows."""

    def __init__(self, task: Task, sampler: optuna.samplers.BaseSampler) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._task = task
        self._study = optuna.create_study(sampler=sampler)
        self._trials: dict[int, optuna.Trial] = {}

    def ask(self, number: int) -> Parameters:
        """The sampler's configuration."""
        trial = self._trials[number] = self._study.ask()
        domains = [(p.name, p.domain) for p in self._task.space.parameters if isinstance(p.domain, Float)]
        return {name: trial.suggest_float(name, domain.low, domain.high) for name, domain in domains}

    def reached(self, number: int, values: Sequence[float], ended: bool) -> None:
        """Reported at each rung; a stopped trial is told as pruned."""
        trial = self._trials[number]
        trial.report(values[-1], len(values))
        if ended and len(values) < len(EPOCHS):
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        elif ended:
            self._study.tell(trial, values[-1])


def area(run: Run) -> float:
    """The mean regret over the budget of what looks best."""
    task = task_of(run.task)
    arm = _arm(run, task)
    rng = random.Random(f"{run.task}/{run.seed}")
    scheduler = AshaStopping(ETA)
    start = _random_regret(task)
    regret, spent, total = start, 0, 0.0
    best = math.inf
    values: dict[int, list[float]] = {}
    parameters: dict[int, Parameters] = {}
    busy: list[tuple[float, int]] = []

    def segment(number: int, now: float) -> None:
        heapq.heappush(busy, (now + _epochs(len(values[number])) * rng.uniform(0.8, 1.2), number))

    def begin(now: float) -> None:
        number = len(values) + 1
        parameters[number], values[number] = arm.ask(number), []
        segment(number, now)

    for _ in range(WORKERS):
        begin(0.0)
    while spent < BUDGET:
        now, number = heapq.heappop(busy)
        rung = len(values[number])
        took = min(_epochs(rung), BUDGET - spent)
        spent, total = spent + took, total + regret * took
        chance = random.Random(f"{run.seed}/{number}/{rung}")
        value = task.evaluate(parameters[number], chance, EPOCHS[rung] / EPOCHS[-1])[0]
        values[number].append(value)
        top = rung + 1 == len(EPOCHS)
        ended = top or scheduler.completed(TrialNumber(number), rung, -value) is Verdict.STOP
        arm.reached(number, values[number], ended)
        if top and value < best:
            best, regret = value, task.truth(parameters[number])[0] - task.optimum
        if ended:
            begin(now)
        else:
            segment(number, now)
    return total / BUDGET


def task_of(name: str) -> Task:
    """A task by its name."""
    match name:
        case "hartmann3":
            return hartmann(3, noise=0.01)
        case "hartmann6":
            return hartmann(6, noise=0.01)
        case "counting_ones":
            return counting_ones(choices=0, floats=8)
        case _:
            return crossing()


def crossing() -> Task:
    """Learning curves that cross: what ends better rises more slowly, as with a smaller learning rate.

    The value after e epochs is the asymptote plus 0.3 + asymptote's gain times exp(-rate e), where the rate grows with
    x0 and the asymptote is best at x0 = 0.2.
    """
    best = (0.2, 0.6, 0.4, 0.7)
    names = tuple(f"x{i}" for i in range(len(best)))

    def at(parameters: Parameters, fidelity: float) -> float:
        gain = 1 - sum((parameters[name] - b) ** 2 for name, b in zip(names, best, strict=True))
        left = math.exp(-(0.05 + 0.9 * parameters["x0"]) * EPOCHS[-1] * fidelity)
        return float(-gain * (1 - left) + 0.3 * left)

    def observed(parameters: Parameters, rng: random.Random, fidelity: float) -> Values:
        return (at(parameters, fidelity) + rng.gauss(0.0, 0.005),)

    grid = np.linspace(0.0, 1.0, 10_001)
    optimum = min(at({"x0": float(x), "x1": best[1], "x2": best[2], "x3": best[3]}, 1.0) for x in grid)
    space = SearchSpace(tuple(Parameter(name, Float(0.0, 1.0)) for name in names))
    return Task("crossing", space, lambda parameters: (at(parameters, 1.0),), optimum, observed)


def _arm(run: Run, task: Task) -> Arm:
    match run.arm:
        case "optuna_gp_under_asha":
            return OptunaArm(task, optuna.samplers.GPSampler(seed=run.seed))
        case "optuna_tpe_under_asha":
            return OptunaArm(task, optuna.samplers.TPESampler(seed=run.seed))
        case "random_under_asha":
            return SearcherArm(task, Algorithm.RANDOM, run.seed)
        case _:
            return SearcherArm(task, Algorithm.BAYESIAN, run.seed)


def _epochs(rung: int) -> int:
    """From the rung below."""
    return EPOCHS[rung] - (EPOCHS[rung - 1] if rung else 0)


def _random_regret(task: Task) -> float:
    """The mean true regret of 200 random configurations."""
    rng = random.Random(0)
    drawn = [task.space.draw([rng.random() for _ in task.space.parameters]) for _ in range(200)]
    return fmean(task.truth(parameters)[0] for parameters in drawn) - task.optimum
