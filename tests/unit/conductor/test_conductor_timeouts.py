"""Segments that outlive their timeout, and the workers that run them."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from searchd.conductor.dispatch import DEADLINE_SLACK, deadline
from searchd.conductor.workers import check_deadline
from searchd.domain.evaluation import Evaluation
from searchd.domain.failure import Failure
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.study import Budget, Retry, StudyState
from searchd.domain.trial import TrialState
from searchd.engines.simulated import Epoch
from searchd.ports.engine import (
    Ended,
    KillWorker,
    LossCause,
    Node,
    Outcome,
    Report,
    Segment,
    SegmentReported,
    WorkerLost,
)
from tests.unit.conductor.simulated import House, times_out_at

NONE = Scheduler(SchedulerAlgorithm.NONE)


@pytest.mark.parametrize("seconds", [20, 600])
def test_hanging_segment_is_killed_at_its_timeout(seconds: int) -> None:
    """A segment that reports nothing for its whole time is killed then and tried once more, the others go on."""
    house = House(behaviour=times_out_at(2))
    timeout = timedelta(seconds=seconds)
    name = house.create(
        scheduler=NONE, evaluation=Evaluation(epochs=3), budget=Budget(trials=9), retry=Retry(segment_timeout=timeout)
    )
    house.run()
    trial = house.trial(name, 2)
    assert trial.state is TrialState.FAILED
    assert trial.failure is Failure.HUNG
    assert trial.reason == f"hung: nothing was reported for {seconds} s (attempt 2 of 2)"
    assert trial.started_at is not None
    assert trial.ended_at is not None
    assert 2 * timeout <= trial.ended_at - trial.started_at <= 2 * timeout + timedelta(seconds=5)
    assert len(house.in_state(name, TrialState.COMPLETED)) == 8
    assert house.study(name).state is StudyState.SUCCEEDED


def test_timeout_counts_per_segment_not_per_worker() -> None:
    """A worker that runs many segments, each within the timeout, is never killed."""
    house = House()
    name = house.create(
        scheduler=NONE,
        evaluation=Evaluation(epochs=9),
        budget=Budget(trials=40),
        retry=Retry(segment_timeout=timedelta(seconds=10)),
    )
    house.run()
    assert not [c for c in house.engine.commands if isinstance(c, KillWorker)]
    assert len(house.in_state(name, TrialState.COMPLETED)) == 40


def test_short_timeout_holds_on_a_worker_that_served_a_long_one() -> None:
    """A worker's earlier, later-ending deadline does not delay that of the segment it runs now."""
    house = House([Node("a", 1, 0)], times_out_at(2))
    patient = Retry(segment_timeout=timedelta(hours=9))
    long = house.create("long", scheduler=NONE, budget=Budget(trials=1), retry=patient)
    house.run()
    assert house.study(long).state is StudyState.SUCCEEDED
    brief = Retry(segment_timeout=timedelta(seconds=30), retries={Failure.HUNG: 0})
    name = house.create(scheduler=NONE, budget=Budget(trials=3), retry=brief)
    began = house.clock.now()
    house.run()
    trial = house.trial(name, 2)
    assert trial.state is TrialState.FAILED
    assert trial.ended_at is not None
    assert trial.ended_at - began < timedelta(minutes=1)


def test_timers_do_not_pile_up() -> None:
    """However often deadlines move, a worker has a few timers, not one for each segment that it ran."""

    def varied(segment: Segment, epoch: int) -> Iterator[Epoch]:
        yield Epoch({"accuracy": 1.0}, timedelta(seconds=1 + segment.trial * 7 % 50))

    house = House([Node("a", 3, 0)], varied)
    for name, minutes in (("short", 1), ("long", 10)):
        patient = Retry(segment_timeout=timedelta(minutes=minutes))
        house.create(name, scheduler=NONE, budget=Budget(trials=2000), retry=patient)
    house.run_for(timedelta(hours=2))
    assert len(house.engine.segments()) > 800
    assert len(house.server.conductor.mind.due(house.clock.now() + timedelta(days=1))) < 60


def test_segment_that_ends_before_the_kill_arrives_is_not_blamed() -> None:
    """If the overdue segment ends just before its worker is killed, the next one in line is handed out unharmed."""

    def brief_then_slow(segment: Segment, epoch: int) -> Iterator[Epoch]:
        yield Epoch({"accuracy": 1.0}, timedelta(milliseconds=20 if segment.trial < 4 else 900))

    house = House([Node("a", 1, 0)], brief_then_slow)
    name = house.create(scheduler=NONE, budget=Budget(trials=30), default=None, retry=Retry(attempts=1))
    mind = house.server.conductor.mind
    house.run(lambda: any(len(w.held) > 1 and w.held[0][0].trial >= 4 for w in mind.cluster.workers.values()))
    (worker,) = mind.cluster.workers.values()
    first, second = worker.held[0], worker.held[1]
    worker.began = house.clock.now() - timedelta(minutes=10)
    worker.timer = house.clock.now()
    check_deadline(mind, worker, house.clock.now())
    reached = Ended(Outcome.REACHED, 1)
    report = Report(1, {"accuracy": 1.0}, 0.9, house.clock.now())
    house.server.post(SegmentReported(worker.id, 999, first[0], first[1], (report,), reached))
    house.server.post(WorkerLost(worker.id, LossCause.KILLED, "timed out"))
    house.server.turn()
    assert house.trial(name, first[0].trial).state is TrialState.COMPLETED
    assert house.trial(name, second[0].trial).state is TrialState.RUNNING
    assert house.trial(name, second[0].trial).fold_runs[0].failures == ()


def test_slack_is_only_for_starts_that_are_not_known() -> None:
    """A brief segment's start is not announced, so its deadline leaves room for the queue before it."""
    house = House(behaviour=lambda segment, epoch: iter([Epoch({"accuracy": 1.0}, timedelta(milliseconds=10))]))
    house.create(scheduler=NONE, budget=Budget(trials=9), retry=Retry(segment_timeout=timedelta(seconds=60)))
    house.run(lambda: bool(house.server.conductor.mind.holders))
    worker = next(iter(house.server.conductor.mind.holders.values()))
    late = deadline(worker)
    assert late is not None
    assert late[0] == house.clock.now() + timedelta(seconds=60) + DEADLINE_SLACK
