"""Workers of a real server, killed and paused in the middle of what they train."""

import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

from searchd.domain.trial import TrialState
from tests.acceptance.faults.house import House, temporary_house
from tests.acceptance.faults.promises import Epoch
from tests.acceptance.server import eventually

EPOCHS, EPOCH_SECONDS = 10, 0.2
PAUSE_SECONDS = 3.0
LIVES = {"retries": {"worker_killed": 1000}}


@dataclass(frozen=True, slots=True)
class Pauses:
    """Workers that stood still for a while, and trials that failed or were handed out again because of it."""

    pauses: int
    wrongly_failed: int


def reassignment_seconds(kills: int, seed: int = 0) -> Sequence[float]:
    """From each kill -9 of a worker's process to the begin of the first epoch that its trial is trained elsewhere."""
    chance = random.Random(seed)
    with temporary_house() as house:
        name = house.study(
            "killed",
            EPOCH_SECONDS,
            watched=False,
            evaluation={"epochs": EPOCHS},
            budget={"trials": 10 + 4 * kills},
            retry=LIVES,
        )
        seconds: list[float] = []
        while len(seconds) < kills:
            house.await_epochs(name, len(house.trained(name)) + 2)
            time.sleep(chance.uniform(0.0, EPOCH_SECONDS))
            newest = max(house.trained(name), key=lambda epoch: epoch.seconds)
            if newest.number < EPOCHS - 1:
                seconds.append(_reassigned(house, newest))
        house.recorder.stop(name)
        return seconds


def _reassigned(house: House, newest: Epoch) -> float:
    """Kill the process that has trained an epoch and trains the next one; how long until another trains that."""
    began = time.monotonic()
    os.kill(newest.pid, signal.SIGKILL)

    def elsewhere() -> list[float]:
        epochs = [epoch for epoch in house.trained() if epoch[:3] == newest[:3] and epoch.pid != newest.pid]
        return [epoch.seconds for epoch in epochs if epoch.seconds > began]

    eventually(lambda: bool(elsewhere()))
    return max(min(elsewhere()) - EPOCH_SECONDS - began, 0.0)


def pause_workers(pauses: int, seed: int = 0) -> Pauses:
    """Stop workers in the middle of an epoch for less than any time limit, every second time with the server killed
    and started anew meanwhile."""
    chance = random.Random(seed)
    with temporary_house() as house:
        trials = 4 + 2 * pauses
        name = house.study("paused", EPOCH_SECONDS, evaluation={"epochs": EPOCHS}, budget={"trials": trials})
        for number in range(pauses):
            house.await_epochs(name, len(house.trained(name)) + 2)
            time.sleep(chance.uniform(0.0, EPOCH_SECONDS))
            pid = house.workers(name)[-1]
            os.kill(pid, signal.SIGSTOP)
            try:
                if number % 2:
                    house.start()
                time.sleep(PAUSE_SECONDS)
            finally:
                os.kill(pid, signal.SIGCONT)
        house.recorder.stop(name)
        house.end_of(name)
        ended = list(house.recorder.client.study(name).trials())
        again = sum(run.attempt > 1 for trial in ended for run in trial.fold_runs)
        failed = sum(trial.state in (TrialState.FAILED, TrialState.INFEASIBLE) for trial in ended)
        return Pauses(pauses, failed + again)
