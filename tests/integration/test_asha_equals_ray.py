"""Stopping-ASHA against Ray Tune's own scheduler."""

import random
from dataclasses import dataclass
from typing import Any

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.schedulers.trial_scheduler import TrialScheduler

from searchd.domain.objective import Goal
from searchd.domain.trial import TrialNumber
from searchd.ports.scheduler import Verdict
from searchd.schedulers.asha import AshaStopping


@dataclass
class RayTrial:
    """As much of a Ray Tune trial as its scheduler looks at."""

    trial_id: str


def ray_decisions(events: list[tuple[int, int, float]], goal: Goal, eta: int, grace: int, top: int) -> list[bool]:
    """Whether Ray lets the trial go on, for each event (trial, epoch, metric) of trials that go on."""
    scheduler: Any = AsyncHyperBandScheduler(  # its types ask for a controller and trials that it does not use
        metric="m",
        mode="max" if goal is Goal.MAXIMIZE else "min",
        grace_period=grace,
        max_t=top,
        reduction_factor=eta,
        brackets=1,
    )
    trials: dict[int, RayTrial] = {}
    decisions: list[bool] = []
    stopped = set()
    for number, epoch, value in events:
        if number not in trials:
            trials[number] = RayTrial(str(number))
            scheduler.on_trial_add(None, trials[number])
        if number in stopped:
            continue
        result = {"training_iteration": epoch, "m": value}
        goes_on = scheduler.on_trial_result(None, trials[number], result) == TrialScheduler.CONTINUE
        if not goes_on and epoch < top:
            stopped.add(number)
        if epoch < top:
            decisions.append(goes_on)
    return decisions


def our_decisions(events: list[tuple[int, int, float]], goal: Goal, eta: int, grace: int, top: int) -> list[bool]:
    """The same from ours, which is asked at rungs only."""
    scheduler = AshaStopping(eta)
    rungs = [grace]
    while rungs[-1] * eta < top:
        rungs.append(rungs[-1] * eta)
    decisions: list[bool] = []
    stopped = set()
    for number, epoch, value in events:
        if number in stopped or epoch >= top:
            continue
        goes_on = True
        if epoch in rungs:
            verdict = scheduler.completed(TrialNumber(number), rungs.index(epoch), goal.signed(value))
            goes_on = verdict is Verdict.CLIMB
        if not goes_on:
            stopped.add(number)
        decisions.append(goes_on)
    return decisions


def interleaved(generator: random.Random, trials: int, top: int, ties: bool) -> list[tuple[int, int, float]]:
    """Trials that report every epoch up to ``top``, in a random order between them; with many equal values or few."""
    reached = dict.fromkeys(range(1, trials + 1), 0)
    quality = {number: generator.random() for number in reached}
    events = []
    while reached:
        number = generator.choice(sorted(reached)[:12])
        reached[number] += 1
        noisy = quality[number] + generator.gauss(0, 0.2) - 1 / reached[number]
        events.append((number, reached[number], round(noisy * 3) / 3 if ties else noisy))
        if reached[number] == top:
            del reached[number]
    return events


@pytest.mark.parametrize("goal", list(Goal))
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("eta", "grace", "top"), [(3, 1, 27), (2, 1, 20), (4, 2, 40), (3, 5, 30)])
def test_stops_whom_ray_stops(goal: Goal, ties: bool, eta: int, grace: int, top: int) -> None:
    """Fed the same interleaved reports, ours and Ray's scheduler with one bracket stop the same trials at the same
    epochs, in both directions, with ties and without."""
    for seed in range(10):
        events = interleaved(random.Random(f"{seed}/{goal}/{ties}"), 40, top, ties)
        theirs = ray_decisions(events, goal, eta, grace, top)
        assert our_decisions(events, goal, eta, grace, top) == theirs
        assert 0 < theirs.count(False) < 40
