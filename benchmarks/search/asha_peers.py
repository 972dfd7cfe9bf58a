"""Others' schedulers in virtual time: who gets a worker next, and who goes on after an epoch."""

import heapq
import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.search.curve_table import EPOCHS
from benchmarks.search.curves import Trials, names, space
from searchd.domain.space import Parameters
from searchd.domain.trial import TrialNumber
from searchd.searchers.random import RandomSearcher

ETA = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds until a fully trained trial reached the target, infinite if none did, and the workers' busy share."""

    seconds: float
    busy: float


@dataclass(frozen=True, slots=True)
class Job:
    """A trial for a worker, from the epoch after the given one."""

    trial: int
    parameters: Parameters
    epoch: int = 0


class Policy(Protocol):
    """Decides as a library or a paper would."""

    def job(self) -> Job | None:
        """Work for a free worker; None to wait until somebody reports."""
        ...

    def goes_on(self, job: Job, epoch: int, score: float) -> bool:
        """Whether a trial that reports its score after an epoch goes on with its worker."""
        ...


def simulate(policy: Policy, trials: Trials, workers: int, target: float, patience: float) -> Outcome:
    """Run until a fully trained trial reaches the target or so many seconds have passed."""
    at_work: list[tuple[float, int, Job, int]] = []
    free, now, spent, started = workers, 0.0, 0.0, 0

    def train(job: Job, epoch: int) -> None:
        nonlocal started
        started += 1
        seconds = trials.training(job.trial, job.parameters).seconds[epoch]
        heapq.heappush(at_work, (now + float(seconds), started, job, epoch + 1))

    while now < patience:
        while free and (job := policy.job()) is not None:
            free -= 1
            train(job, job.epoch)
        before, (now, _, job, epoch) = now, heapq.heappop(at_work)
        spent += (now - before) * (len(at_work) + 1)
        score = float(trials.training(job.trial, job.parameters).scores[epoch - 1])
        if epoch == EPOCHS and score >= target:
            return Outcome(now, spent / (workers * now))
        if policy.goes_on(job, epoch, score) and epoch < EPOCHS:
            train(job, epoch)
        else:
            free += 1
    return Outcome(math.inf, spent / (workers * now))


class Draws:
    """Random trials, the same ones as the service's random search proposes."""

    def __init__(self, trials: Trials) -> None:
        self._searcher = RandomSearcher(space(trials.curves), trials.seed)
        self._number = 0

    def next(self) -> Job:
        """The next trial."""
        self._number += 1
        found = self._searcher.suggest(TrialNumber(self._number))
        assert found is not None
        return Job(self._number, found.parameters)


class FullTrainings:
    """Random search: every trial is trained fully."""

    def __init__(self, trials: Trials) -> None:
        self._draws = Draws(trials)

    def job(self) -> Job | None:
        """A new trial."""
        return self._draws.next()

    def goes_on(self, job: Job, epoch: int, score: float) -> bool:  # noqa: ARG002
        """Always."""
        return True


class SynchronousHalving:
    """Rounds of max(27, workers) trials; at each rung all wait for the last, then the best third goes on.

    Jamieson and Talwalkar, AISTATS 2016; when the last trial of a round is trained the next round begins.
    """

    def __init__(self, trials: Trials, workers: int) -> None:
        self._draws = Draws(trials)
        self._size = max(ETA**3, workers)
        self._rung = 1
        self._jobs: deque[Job] = deque()
        self._waiting: list[tuple[float, int, Job]] = []
        self._out = 0

    def job(self) -> Job | None:
        """The next trial of the rung; None when all are at work and some must be waited for."""
        if not self._jobs and not self._out:
            self._next_rung()
        if not self._jobs:
            return None
        self._out += 1
        return self._jobs.popleft()

    def goes_on(self, job: Job, epoch: int, score: float) -> bool:
        """Up to the rung's epochs."""
        if epoch < self._rung:
            return True
        self._out -= 1
        self._waiting.append((score, -job.trial, Job(job.trial, job.parameters, epoch)))
        return False

    def _next_rung(self) -> None:
        best = sorted(self._waiting, key=lambda entry: entry[:2], reverse=True)[: len(self._waiting) // ETA]
        self._waiting = []
        if best and self._rung < EPOCHS:
            self._rung *= ETA
            self._jobs.extend(job for _, _, job in best)
        else:
            self._rung = 1
            self._jobs.extend(self._draws.next() for _ in range(self._size))


@dataclass(frozen=True, slots=True)
class RayTrial:
    """All that Ray's scheduler looks at."""

    trial_id: str


class RayAsha:
    """Ray Tune's ``ASHAScheduler``, told of every epoch as its controller tells it, over any source of trials."""

    def __init__(self, proposed: Callable[[], Job], ended: Callable[[Job, int, float], None] | None = None) -> None:
        self._proposed = proposed
        self._ended = ended
        self._scheduler: Any = ASHAScheduler(
            metric="score", mode="max", max_t=EPOCHS, grace_period=1, reduction_factor=ETA, brackets=1
        )

    def job(self) -> Job:
        """A new trial."""
        job = self._proposed()
        self._scheduler.on_trial_add(None, RayTrial(str(job.trial)))
        return job

    def goes_on(self, job: Job, epoch: int, score: float) -> bool:
        """As the scheduler says."""
        result = {"training_iteration": epoch, "score": score}
        decision = self._scheduler.on_trial_result(None, RayTrial(str(job.trial)), result)
        if decision == ASHAScheduler.STOP and self._ended is not None:
            self._ended(job, epoch, score)
        return bool(decision != ASHAScheduler.STOP)


class RayOptuna:
    """Ray Tune's ``OptunaSearch`` as it comes (TPE), told as its controller tells it."""

    def __init__(self, trials: Trials) -> None:
        logging.getLogger("ray.tune").setLevel(logging.ERROR)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        distribution = optuna.distributions.FloatDistribution(0.0, 1.0)
        distributions: dict[str, Any] = dict.fromkeys(names(trials.curves), distribution)
        name = f"{trials.curves.name} {trials.seed}"
        self._search = OptunaSearch(distributions, metric="score", mode="max", seed=trials.seed, study_name=name)
        self._number = 0

    def propose(self) -> Job:
        """The next trial."""
        self._number += 1
        parameters = self._search.suggest(str(self._number))
        assert parameters is not None
        return Job(self._number, parameters)

    def ended(self, job: Job, epoch: int, score: float) -> None:
        """Tell of a trial's last result."""
        self._search.on_trial_complete(str(job.trial), {"training_iteration": epoch, "score": score})
