"""The median rule."""

import statistics
from collections.abc import Sequence

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from searchd.domain.scheduler import Scheduler as Settings
from searchd.domain.scheduler import SchedulerAlgorithm
from searchd.domain.trial import TrialNumber
from searchd.ports.scheduler import Verdict
from searchd.schedulers.median import GRACE, MedianStopping
from tests.contracts.scheduler import SchedulerContract, climbing

CURVES = st.lists(st.lists(st.integers(-4, 4).map(float), min_size=3, max_size=3), min_size=1, max_size=30)


class TestMedian(SchedulerContract):
    """The contract of all schedulers."""

    spec = climbing(Settings(SchedulerAlgorithm.MEDIAN))


@examples(deadline=None)
@given(curves=CURVES, in_turns=st.booleans())
def test_stops_who_is_below_the_median_of_running_averages(curves: Sequence[Sequence[float]], in_turns: bool) -> None:
    """A trial stops exactly if its best so far is below the median of the others' averages up to the same rung."""
    scheduler = MedianStopping()
    averages: list[list[float]] = [[], [], []]
    order = [(trial, rung) for trial in range(len(curves)) for rung in range(3)]
    stopped: set[int] = set()
    for trial, rung in sorted(order, key=lambda step: step[::-1]) if in_turns else order:
        if trial in stopped:
            continue
        shown = curves[trial][: rung + 1]
        others = averages[rung]
        stops = len(others) >= GRACE and max(shown) < statistics.median(others)
        expected = Verdict.STOP if stops else Verdict.CLIMB
        others.append(statistics.fmean(shown))
        assert scheduler.completed(TrialNumber(trial + 1), rung, shown[-1]) is expected
        if stops:
            stopped.add(trial)


def test_the_first_three_at_a_rung_go_on() -> None:
    """Nobody stops before three others have completed the rung, however bad it is."""
    scheduler = MedianStopping()
    for number, score in enumerate((1.0, 0.5, 0.0), start=1):
        assert scheduler.completed(TrialNumber(number), 0, score) is Verdict.CLIMB
    assert scheduler.completed(TrialNumber(4), 0, 0.4) is Verdict.STOP
    assert scheduler.completed(TrialNumber(1), 1, 0.0) is Verdict.CLIMB


def test_a_trial_lives_on_its_best() -> None:
    """A trial that was good once goes on where the same scores without that one would stop it."""
    scheduler = MedianStopping()
    for number in (1, 2, 3):
        scheduler.completed(TrialNumber(number), 0, 0.5)
        scheduler.completed(TrialNumber(number), 1, 0.5)
    for number, first in ((4, 0.6), (5, 0.5)):
        scheduler.completed(TrialNumber(number), 0, first)
    assert scheduler.completed(TrialNumber(4), 1, 0.1) is Verdict.CLIMB
    assert scheduler.completed(TrialNumber(5), 1, 0.1) is Verdict.CLIMB
    scheduler.completed(TrialNumber(6), 0, 0.4)
    assert scheduler.completed(TrialNumber(6), 1, 0.1) is Verdict.STOP


def test_huge_scores_do_not_overflow() -> None:
    """The averages and medians of the largest numbers there are remain finite."""
    scheduler = MedianStopping()
    largest = 1.7e308
    for number in range(1, 5):
        for rung in (0, 1):
            assert scheduler.completed(TrialNumber(number), rung, largest) is Verdict.CLIMB
    assert scheduler.completed(TrialNumber(5), 0, 1.6e308) is Verdict.STOP
