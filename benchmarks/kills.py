"""A real server on its real Ray, killed at random moments of studies that run."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from searchd.domain.study import StudyName
from tests.acceptance.faults.house import House, temporary_house
from tests.acceptance.faults.promises import Broken, Promise, fold_epoch

SECONDS_BETWEEN = 1.0
"""A server lives at most so long once it serves."""

TRIALS, EPOCHS, EPOCH_SECONDS = 24, 10, 0.2
"""Of a study; when one is nearly through the next one begins."""

WATCH = {Promise.WATCH_GAP, Promise.WATCH_DUPLICATE, Promise.WATCH_ORDER, Promise.WATCH_TRUE}


@dataclass(frozen=True, slots=True)
class Kills:
    """What came of it.

    Attributes:
        kills: Kills that fell into a study.
        restarts: Seconds from each start to serving.
        running: Segments that ran at a kill, over all kills.
        survived: Those of them that went on, in the same attempt.
        epochs: Epochs trained, those that were trained again included.
        retrained: Epochs trained again.
        broken: Promises that were not kept.
    """

    kills: int
    restarts: Sequence[float]
    running: int
    survived: int
    epochs: int
    retrained: int
    broken: Sequence[Broken]

    @property
    def lost(self) -> int:
        """Acknowledged facts that were lost, and shown ones."""
        return self._count({Promise.ACKNOWLEDGED, Promise.SHOWN})

    @property
    def duplicates(self) -> int:
        """Trials whose end was recorded more often than once."""
        return self._count({Promise.COMPLETED_ONCE})

    @property
    def watch_faults(self) -> int:
        """Gaps, repeats and disorder in what watches showed."""
        return self._count(WATCH)

    def _count(self, promises: set[Promise]) -> int:
        return sum(broken.promise in promises for broken in self.broken)


def kill_servers(wanted: int, seed: int = 0) -> Kills:
    """Kill servers until so many kills have fallen into a study, let everything end, and look at what there is."""
    chance = random.Random(seed)
    with temporary_house() as house:
        run = _Run(house, chance)
        while run.kills < wanted:
            run.kill()
        return run.outcome()


def kill_servers_of_one_study(trials: int, epochs: int, seconds: float, kills: int) -> int:
    """Kill the server each time that so many more epochs of a study have been trained; the epochs trained again."""
    with temporary_house() as house:
        name = house.study("alone", seconds, evaluation={"epochs": epochs}, budget={"trials": trials})
        for kill in range(1, kills + 1):
            house.await_epochs(name, trials * epochs * kill // (kills + 1))
            house.start()
        house.end_of(name)
        return len(house.trained()) - len(set(map(fold_epoch, house.trained())))


class _Run:
    def __init__(self, house: House, chance: random.Random) -> None:
        self._house = house
        self._chance = chance
        self._restarts: list[float] = []
        self._names: list[StudyName] = []
        self._running = self._survived = 0
        self.kills = 0
        self._begin()

    def kill(self) -> None:
        """Let it serve for a moment, kill it, and start another one."""
        house = self._house
        time.sleep(self._chance.uniform(0.0, SECONDS_BETWEEN))
        if house.recorder.look(self._names[-1]).progress.epochs > 0.7 * TRIALS * EPOCHS:
            self._begin()
        before = {name: _running(house, name) for name in self._names[-2:]}
        house.server.kill()
        in_course = not before.keys().isdisjoint(house.unended())
        began = time.monotonic()
        house.start()
        if not in_course:
            return
        self._restarts.append(time.monotonic() - began)
        self.kills += 1
        for name, running in before.items():
            after = dict(_attempts(house, name))
            self._running += len(running)
            self._survived += sum(after[trial] == attempt for trial, attempt in running.items())

    def outcome(self) -> Kills:
        """Let everything end, and count."""
        house = self._house
        for name in self._names:
            house.end_of(name)
        times = Counter(map(fold_epoch, house.trained()))
        again = times.total() - len(times)
        broken = house.broken()
        return Kills(self.kills, self._restarts, self._running, self._survived, times.total(), again, broken)

    def _begin(self) -> None:
        study_id, evaluation, budget = f"s{len(self._names)}", {"epochs": EPOCHS}, {"trials": TRIALS}
        self._names.append(self._house.study(study_id, EPOCH_SECONDS, evaluation=evaluation, budget=budget))


def _running(house: House, name: StudyName) -> dict[int, int]:
    """The attempts that workers hold now, by trial."""
    trials = house.recorder.client.study(name).trials()
    return {trial.number: run.attempt for trial in trials for run in trial.fold_runs if run.running}


def _attempts(house: House, name: StudyName) -> list[tuple[int, int]]:
    trials = house.recorder.client.study(name).trials()
    return [(trial.number, run.attempt) for trial in trials for run in trial.fold_runs]
