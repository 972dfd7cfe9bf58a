"""One arm on one task: in turn, in batches, or on slots that come free one by one in virtual time."""

import heapq
import json
import random
from dataclasses import dataclass

from benchmarks.search.arms import Arm, make_arm
from benchmarks.search.statistics import hypervolume
from benchmarks.search.suite import suite
from benchmarks.search.tasks import Task, Values
from searchd.domain.space import Parameters

SPREAD = 0.5
"""Standard deviation of the logarithm of a trial's duration."""


@dataclass(frozen=True, slots=True)
class Slots:
    """How many trials run at once. Those of a batch are asked for together and told together; others when a slot is
    free and when they end."""

    count: int = 1
    batch: bool = False

    def __str__(self) -> str:
        return f"{'batch' if self.batch else 'async'}_{self.count}"


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be run: an arm on a task's instance, with so many trials. The seed is the instance's number."""

    arm: str
    task: str
    seed: int
    trials: int
    slots: Slots = Slots()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        regrets: After each trial that ended, how far the choice so far is from the optimum; shape (trials,). With one
            objective it is the true value of the configuration that has measured best, with several the hypervolume of
            all true values.
        duplicates: Trials whose configuration another one had before.
    """

    regrets: tuple[float, ...]
    duplicates: int


def play(run: Run) -> Outcome | None:
    """Carry out a run; None if the arm refuses the task."""
    task = suite(run.seed)[run.task]
    arm = make_arm(run.arm, task, run.seed, run.trials)
    return None if arm is None else _Bench(task, arm, run).played()


class _Bench:
    """A run under way. Noise and durations depend on the seed and the trial's number, so that arms meet the same."""

    def __init__(self, task: Task, arm: Arm, run: Run) -> None:
        self._task = task
        self._arm = arm
        self._run = run
        self._asked: list[Parameters] = []
        self._truths: list[Values] = []
        self._best: tuple[float, float] | None = None
        self._regrets: list[float] = []

    def played(self) -> Outcome:
        if self._run.slots.batch:
            self._in_batches()
        else:
            self._as_slots_come_free()
        # A space that is used up leaves nothing to try: what was found stays.
        missing = self._run.trials - len(self._regrets)
        keys = {json.dumps(parameters, sort_keys=True) for parameters in self._asked}
        return Outcome(
            (*self._regrets, *[self._regrets[-1]] * missing),
            len(self._asked) - len(keys),
        )

    def _in_batches(self) -> None:
        while len(self._asked) < self._run.trials:
            first = len(self._asked) + 1
            for _ in range(min(self._run.slots.count, self._run.trials - len(self._asked))):
                if not self._ask():
                    break
            for number in range(first, len(self._asked) + 1):
                self._end(number)
            if len(self._asked) < first:
                return

    def _as_slots_come_free(self) -> None:
        running: list[tuple[float, int]] = []
        now = 0.0
        while True:
            while len(running) < self._run.slots.count and len(self._asked) < self._run.trials and self._ask():
                number = len(self._asked)
                heapq.heappush(running, (now + self._chance(number, "time").lognormvariate(0.0, SPREAD), number))
            if not running:
                return
            now, number = heapq.heappop(running)
            self._end(number)

    def _ask(self) -> bool:
        parameters = self._arm.ask()
        if parameters is not None:
            self._asked.append(parameters)
        return parameters is not None

    def _end(self, number: int) -> None:
        parameters = self._asked[number - 1]
        values = self._task.evaluate(parameters, self._chance(number, "noise"))
        self._arm.tell(number, values)
        self._regrets.append(self._regret(values, self._task.truth(parameters)))

    def _regret(self, values: Values, truth: Values) -> float:
        if self._task.reference:
            self._truths.append(truth)
            return self._task.optimum - hypervolume(self._truths, self._task.reference)
        if self._best is None or values[0] < self._best[0]:
            self._best = values[0], truth[0]
        return self._best[1] - self._task.optimum

    def _chance(self, number: int, what: str) -> random.Random:
        return random.Random(f"{self._run.seed}/{number}/{what}")
