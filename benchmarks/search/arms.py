"""Who proposes configurations in a comparison: ours, its peers as their users run them, and chance."""

import random
import warnings
from collections.abc import Callable, Mapping
from typing import Protocol

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, TPESampler

from benchmarks.search.hyperopt_arm import HyperoptArm
from benchmarks.search.tasks import Task, Values
from searchd.domain.errors import InvalidStudy
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Choice, Domain, Float, Parameters, ParameterValue
from searchd.domain.study import Budget, StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Suggestion
from searchd.searchers.factory import make_searcher

OURS = "searchd"
"""The arm that a study gets which says nothing about its search."""

PEERS = ("optuna_tpe", "optuna_gp", "optuna_cmaes", "hyperopt_tpe", "random")
SINGLE = tuple(
    f"{OURS}_{algorithm}"
    for algorithm in Algorithm
    if algorithm not in (Algorithm.BAYESIAN, Algorithm.GRID, Algorithm.GRADIENT, Algorithm.RAY)
)
"""Our algorithms one by one."""

SLOW = (OURS, "searchd_gp", "optuna_gp")
"""Arms that fit a Gaussian process somewhere."""

TRIAL_SECONDS = 600.0
"""What our searcher is told that trials take, so that no proposal is too slow for it."""


class Arm(Protocol):
    """A search under way. Trials are numbered from 1 in the order in which they are asked for."""

    def ask(self) -> Parameters | None:
        """The next trial's configuration; None if the space is used up."""
        ...

    def tell(self, number: int, values: Values) -> None:
        """What a trial measured; shape (n_objectives,), smaller is better."""
        ...


def make_arm(name: str, task: Task, seed: int, trials: int) -> Arm | None:
    """A search by the arm of this name, told nothing yet; None if the arm refuses such a task.

    Raises:
        ValueError: there is no such arm.
    """
    if name == OURS:
        return SearcherArm(study(Algorithm.BAYESIAN, task, seed, trials))
    if name in SINGLE:
        return _single(Algorithm(name.removeprefix(f"{OURS}_")), task, seed, trials)
    several = len(task.objectives) > 1
    if name in _SAMPLERS:
        return None if several and name == "optuna_cmaes" else OptunaArm(_SAMPLERS[name](seed), task)
    match name:
        case "hyperopt_tpe":
            return None if several else HyperoptArm(task, seed)
        case "random":
            return RandomArm(task, seed)
    raise ValueError(f"there is no arm {name!r}")


class SearcherArm:
    """One of our searchers, told what the conductor tells it: running trials at once, results when they are there."""

    def __init__(self, spec: StudySpec) -> None:
        """As ``make_searcher``, whose errors it has."""
        self._searcher = make_searcher(spec)
        self._running: dict[int, Suggestion] = {}
        self._next = TrialNumber(1)

    def ask(self) -> Parameters | None:
        """The next trial's configuration; None if the space is used up."""
        number = self._next
        suggestion = self._searcher.suggest(number)
        if suggestion is None:
            return None
        self._next = TrialNumber(number + 1)
        self._running[number] = suggestion
        self._searcher.tell([_observed(number, suggestion, TrialState.RUNNING)])
        return suggestion.parameters

    def tell(self, number: int, values: Values) -> None:
        """What a trial measured."""
        suggestion = self._running.pop(number)
        self._searcher.tell([_observed(TrialNumber(number), suggestion, TrialState.COMPLETED, values)])


def _observed(number: TrialNumber, of: Suggestion, state: TrialState, values: Values = ()) -> Observation:
    seconds = TRIAL_SECONDS if values else 0.0
    return Observation(number, of.parameters, state, values[:1], values[1:], seconds=seconds, note=of.note)


def _single(algorithm: Algorithm, task: Task, seed: int, trials: int) -> SearcherArm | None:
    try:
        return SearcherArm(study(algorithm, task, seed, trials))
    except (ValueError, InvalidStudy):
        return None


def study(algorithm: Algorithm, task: Task, seed: int, trials: int) -> StudySpec:
    """A study of a task as our searchers get to see it."""
    return StudySpec(
        "benchmark",
        tuple(Objective(name, Goal.MINIMIZE) for name in task.objectives),
        task.space,
        seed=seed,
        search=Search(algorithm, default_first=False),
        scheduler=Scheduler(SchedulerAlgorithm.NONE),
        budget=Budget(trials=trials),
    )


class OptunaArm:
    """A sampler of Optuna with its default settings, through ``Study.ask`` and ``Study.tell``."""

    def __init__(self, sampler: BaseSampler, task: Task) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(directions=["minimize"] * len(task.objectives), sampler=sampler)
        self._space = task.space
        self._trials: list[optuna.Trial] = []

    def ask(self) -> Parameters | None:
        """The next trial's configuration; never None."""
        trial = self._study.ask()
        self._trials.append(trial)
        chosen: dict[str, ParameterValue] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of samplers that are experimental, or leave choices to chance
            for parameter in self._space.active(chosen):
                chosen[parameter.name] = _suggested(trial, parameter.name, parameter.domain)
        return chosen

    def tell(self, number: int, values: Values) -> None:
        """What a trial measured."""
        self._study.tell(self._trials[number - 1], list(values))


def _suggested(trial: optuna.Trial, name: str, domain: Domain) -> ParameterValue:
    if isinstance(domain, Choice):
        return trial.suggest_categorical(name, domain.options)
    if isinstance(domain, Float):
        return trial.suggest_float(name, domain.low, domain.high, log=domain.log)
    return trial.suggest_int(name, domain.low, domain.high - 1, log=domain.log)


def _cmaes(seed: int) -> BaseSampler:
    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


_SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "optuna_tpe": lambda seed: TPESampler(seed=seed),
    "optuna_gp": lambda seed: GPSampler(seed=seed),
    "optuna_cmaes": _cmaes,
}


class RandomArm:
    """Independent draws, repeats and all."""

    def __init__(self, task: Task, seed: int) -> None:
        self._space = task.space
        self._rng = random.Random(seed)

    def ask(self) -> Parameters | None:
        """The next trial's configuration; never None."""
        return self._space.draw([self._rng.random() for _ in self._space.parameters])

    def tell(self, number: int, values: Values) -> None:
        """Chance does not learn."""
