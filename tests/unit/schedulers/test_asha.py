"""Both forms of asynchronous successive halving."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from searchd.domain.scheduler import Scheduler as Settings
from searchd.domain.scheduler import SchedulerAlgorithm, SchedulerMode
from searchd.domain.trial import TrialNumber
from searchd.ports.scheduler import Verdict
from searchd.schedulers.asha import AshaPromotion, AshaStopping
from searchd.schedulers.factory import make_scheduler
from tests.contracts.scheduler import STEPS, SchedulerContract, Step, Study, climbing


class TestStopping(SchedulerContract):
    """The contract of all schedulers."""

    spec = climbing(Settings(SchedulerAlgorithm.ASHA, 3, SchedulerMode.STOPPING))


class TestPromotion(SchedulerContract):
    """The contract of all schedulers."""

    spec = climbing(Settings(SchedulerAlgorithm.ASHA, 3, SchedulerMode.PROMOTION))


class TestPromotionOfHalf(SchedulerContract):
    """The contract of all schedulers, where every second trial climbs."""

    spec = climbing(Settings(SchedulerAlgorithm.ASHA, 2, SchedulerMode.PROMOTION))


class TestBracketsOfStopping(SchedulerContract):
    """The contract of all schedulers, with some trials that are judged later."""

    spec = climbing(Settings(SchedulerAlgorithm.ASHA, 2, SchedulerMode.STOPPING, brackets=3))


class TestHyperband(SchedulerContract):
    """The contract of all schedulers, with all brackets."""

    spec = climbing(Settings(SchedulerAlgorithm.HYPERBAND, 2))


def test_settings_choose_the_form() -> None:
    """Each mode has its class; without an algorithm any will do."""
    assert isinstance(make_scheduler(TestStopping.spec), AshaStopping)
    assert isinstance(make_scheduler(TestPromotion.spec), AshaPromotion)
    assert make_scheduler(climbing(Settings(SchedulerAlgorithm.NONE))).promotable() is None


SCORES = st.lists(st.floats(-1e6, 1e6) | st.integers(0, 3).map(float), min_size=1, max_size=80)


@examples(deadline=None)
@given(eta=st.integers(2, 6), scores=SCORES)
def test_stopping_cuts_at_numpys_quantile(eta: int, scores: Sequence[float]) -> None:
    """A trial stops exactly if it is below the linearly interpolated (1 - 1/eta) quantile of those before it."""
    scheduler = AshaStopping(eta)
    for number, score in enumerate(scores):
        before = scores[:number]
        stops = bool(before) and score < np.nanpercentile(before, (1 - 1 / eta) * 100)
        expected = Verdict.STOP if stops else Verdict.CLIMB
        assert scheduler.completed(TrialNumber(number + 1), 0, score) is expected


def test_stopping_judges_each_rung_by_itself() -> None:
    """Scores at one rung do not count at another."""
    scheduler = AshaStopping(3)
    for number in range(1, 10):
        scheduler.completed(TrialNumber(number), 0, 10.0)
    assert scheduler.completed(TrialNumber(1), 1, 1.0) is Verdict.CLIMB
    assert scheduler.completed(TrialNumber(10), 0, 9.0) is Verdict.STOP


def naive(study: Study, eta: int) -> tuple[TrialNumber, int] | None:
    """Algorithm 2's get_job without its last line, by sorting everything, and with at most so many that climb."""
    for rung in reversed(range(3)):
        there = [(-scores[rung], trial) for trial, scores in study.scores.items() if len(scores) > rung]
        ranked = [trial for _, trial in sorted(there)]
        paused = [trial for trial in ranked if trial in study.paused and len(study.scores[trial]) == rung + 1]
        share = len(ranked) // eta
        for trial in ranked[:share]:
            if trial in paused and (len(ranked) - len(paused) < share or trial == ranked[0]):
                return trial, rung
    return None


@examples(deadline=None)
@given(eta=st.integers(2, 4), steps=STEPS)
def test_promotion_is_algorithm_2_within_its_share(eta: int, steps: Sequence[Step]) -> None:
    """At every moment the trial to promote is the one that sorting all rungs gives, if it is one in eta or the best."""
    study = Study(AshaPromotion(eta))
    for step in steps:
        study.live([step])
        assert study.scheduler.promotable() == naive(study, eta)


def test_promotion_waits_for_eta_trials() -> None:
    """With eta 3 the third trial of a rung earns the best of the three its promotion, and only one."""
    scheduler = AshaPromotion(3)
    for number, score in ((1, 0.2), (2, 0.9)):
        assert scheduler.completed(TrialNumber(number), 0, score) is Verdict.PAUSE
        assert scheduler.promotable() is None
    scheduler.completed(TrialNumber(3), 0, 0.5)
    assert scheduler.promotable() == (2, 0)
    scheduler.promoted(TrialNumber(2), 0)
    assert scheduler.promotable() is None
    assert scheduler.best_paused() == (3, 0)


def test_no_more_climb_than_one_in_eta_but_for_the_best() -> None:
    """When the early ones turn out mediocre, only a trial that beats all climbs before its share has grown."""
    scheduler = AshaPromotion(2)

    def promoted_after(number: int, score: float) -> list[int]:
        scheduler.completed(TrialNumber(number), 0, score)
        climbing = []
        while (found := scheduler.promotable()) is not None:
            scheduler.promoted(*found)
            climbing.append(int(found[0]))
        return climbing

    assert promoted_after(1, 0.1) == []
    assert promoted_after(2, 0.2) == [2]
    assert promoted_after(3, 0.5) == [3]
    assert promoted_after(4, 0.4) == []
    assert promoted_after(5, 0.3) == []
    assert promoted_after(6, 0.0) == [4]


def test_equal_scores_rank_by_number() -> None:
    """Of trials with the same score the one with the lower number climbs first."""
    scheduler = AshaPromotion(2)
    for number in (4, 2, 3, 1):
        scheduler.completed(TrialNumber(number), 0, 0.5)
    for expected in (1, 2):
        assert scheduler.promotable() == (expected, 0)
        scheduler.promoted(TrialNumber(expected), 0)
    assert scheduler.promotable() is None


def test_a_forgotten_trial_still_counts_for_others() -> None:
    """An ended trial keeps its place among the best, so nobody worse earns it."""
    scheduler = AshaPromotion(3)
    for number, score in ((1, 0.9), (2, 0.8), (3, 0.1)):
        scheduler.completed(TrialNumber(number), 0, score)
    scheduler.forget(TrialNumber(1), 0)
    assert scheduler.promotable() is None
    assert scheduler.best_paused() == (2, 0)
