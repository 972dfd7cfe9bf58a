"""Ray Tune's schedulers as ours."""

import random
import statistics
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from searchd.domain.errors import InvalidStudy
from searchd.domain.scheduler import Scheduler as Settings
from searchd.domain.scheduler import SchedulerAlgorithm, SchedulerMode
from searchd.domain.trial import TrialNumber
from searchd.ports.scheduler import Scheduler, Verdict
from searchd.schedulers.asha import AshaStopping
from searchd.schedulers.factory import make_scheduler
from searchd.schedulers.ray_tune import RayScheduler
from searchd.schedulers.vendors import RAY_SCHEDULERS, scheduler_violations
from searchd.worker.randomness import save_states
from tests.contracts.scheduler import SchedulerContract, climbing


def settings(name: str, eta: int = 3, brackets: int = 1) -> Settings:
    """A study's settings that name a scheduler of Ray Tune."""
    return Settings(SchedulerAlgorithm.RAY, eta, SchedulerMode.STOPPING, brackets=brackets, ray=name)


class TestRayAsha(SchedulerContract):
    """The contract of all schedulers."""

    spec = climbing(settings("asha"))


class TestRayAshaWithBrackets(SchedulerContract):
    """The contract of all schedulers, where Ray draws a bracket for each trial."""

    spec = climbing(settings("async_hyperband", 2, 3))


class TestRayMedian(SchedulerContract):
    """The contract of all schedulers."""

    spec = climbing(settings("median_stopping_rule"))


class TestRayFifo(SchedulerContract):
    """The contract of all schedulers."""

    spec = climbing(settings("fifo"))


def verdicts(scheduler: Scheduler, scores: Sequence[Sequence[float]]) -> list[list[Verdict]]:
    """What becomes of trials that come to each rung one after the other; shape (n_rungs, n_trials there)."""
    there = [TrialNumber(n + 1) for n in range(len(scores[0]))]
    found = []
    for rung, row in enumerate(scores):
        at = {trial: scheduler.completed(trial, rung, row[trial - 1]) for trial in there}
        found.append(list(at.values()))
        there = [trial for trial in there if at[trial] is Verdict.CLIMB]
    return found


@pytest.mark.parametrize("eta", [2, 3, 4])
@pytest.mark.parametrize("ties", [False, True])
def test_rungs_are_rays_milestones(eta: int, ties: bool) -> None:
    """With one bracket Ray's ASHA stops whom ours stops, at every rung, ties included."""
    generator = random.Random(eta)
    scores = [[round(generator.random() * 5) if ties else generator.random() for _ in range(60)] for _ in range(4)]
    theirs = verdicts(RayScheduler(settings("asha", eta), 1, 5), scores)
    assert theirs == verdicts(AshaStopping(eta), scores)
    assert all(Verdict.STOP in row for row in theirs[:2])


def test_the_median_rule_stops_who_is_below_the_median() -> None:
    """From the fourth trial on, one whose best is worse than the median of the others' means stops."""
    scheduler = RayScheduler(settings("median_stopping_rule"), 1, 4)
    assert [scheduler.completed(TrialNumber(n), 0, s) for n, s in enumerate((0.5, 0.6, 0.1), 1)] == [Verdict.CLIMB] * 3
    assert scheduler.completed(TrialNumber(4), 0, 0.49) is Verdict.STOP
    assert scheduler.completed(TrialNumber(5), 0, 0.51) is Verdict.CLIMB


def test_fifo_stops_nobody() -> None:
    """Whoever completes a rung climbs."""
    assert set(verdicts(RayScheduler(settings("fifo"), 1, 4), [[0.9, 0.1, 0.5]])[0]) == {Verdict.CLIMB}


def spared(seed: int) -> list[int]:
    """Of 400 trials, each worse than all before it at rung 0, those that climb since their bracket asks nothing."""
    scheduler = RayScheduler(settings("asha", 3, 3), seed, 5)
    return [n for n in range(1, 401) if scheduler.completed(TrialNumber(n), 0, -float(n)) is Verdict.CLIMB]


def test_brackets_are_drawn_by_study_and_trial() -> None:
    """A trial has the same bracket in every life of its study, another study's differ, and Ray's weights hold."""
    before = save_states()
    assert spared(1) == spared(1)
    assert spared(1) != spared(2)
    assert save_states() == before
    weights = [1.0, np.exp(-1), np.exp(-2)]
    assert statistics.mean(len(spared(seed)) / 400 for seed in range(3)) == pytest.approx(
        sum(weights[1:]) / sum(weights), abs=0.05
    )


def test_a_rung_beyond_the_ladder_stops_nobody() -> None:
    """When a study has grown a longer ladder than its scheduler was made for, trials above its end climb."""
    scheduler = RayScheduler(settings("asha"), 1, 2)
    for number in range(1, 10):
        scheduler.completed(TrialNumber(number), 1, 1.0)
    assert scheduler.completed(TrialNumber(1), 5, 0.0) is Verdict.CLIMB


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hyperband", "use scheduler.algorithm hyperband"),
        ("hb_bohb", "use scheduler.algorithm hyperband"),
        ("pbt", "use scheduler.algorithm population"),
        ("pb2", "use scheduler.algorithm population"),
        ("resource_changing", "set resources"),
        ("asah", "did you mean ray:asha?"),
        ("", "known after ray: are asha, "),
    ],
)
def test_other_names_are_refused_with_a_remedy(name: str, said: str) -> None:
    """What needs Tune's own loop is refused by name, what nobody knows with the nearest name; both say what to do."""
    with pytest.raises(InvalidStudy) as refusal:
        make_scheduler(climbing(settings(name)))
    (violation,) = refusal.value.violations
    assert violation.path == "scheduler.algorithm"
    assert said in violation.remedy


def test_every_known_name_is_rays() -> None:
    """Ray knows each name, asha by its class's, and each makes a scheduler; what is not offered is refused by name."""
    from ray.tune.schedulers import SCHEDULER_IMPORT

    assert set(SCHEDULER_IMPORT) >= set(RAY_SCHEDULERS) - {"asha"}
    for name in SCHEDULER_IMPORT:
        messages = [v.message for v in scheduler_violations(settings(name), None)]
        assert Counter(map(bool, messages)) == Counter() if name in RAY_SCHEDULERS else "Tune's own loop" in messages[0]
        if name in RAY_SCHEDULERS:
            assert make_scheduler(climbing(settings(name))).promotable() is None


def test_promotion_does_not_go_with_ray() -> None:
    """A study that names a scheduler of Ray Tune and asks for promotion is told so; others are not looked at."""
    paths = [v.path for v in scheduler_violations(settings("asha"), SchedulerMode.PROMOTION)]
    assert paths == ["scheduler.mode"]
    assert not list(scheduler_violations(None, SchedulerMode.PROMOTION))
    assert not list(scheduler_violations(Settings(SchedulerAlgorithm.ASHA), SchedulerMode.PROMOTION))
