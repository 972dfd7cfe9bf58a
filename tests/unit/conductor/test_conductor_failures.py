"""Each failure has its own number of retries; what keeps crashing is quarantined; a server that slept blames nobody."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from searchd.conductor.conductor import Conductor
from searchd.conductor.messages import Answer, ChangeStudy, DeleteStudy, Request, StopStudy
from searchd.domain.errors import StudyActive, TrainableQuarantined
from searchd.domain.evaluation import Evaluation
from searchd.domain.failure import RETRIES, Failure
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.study import Budget, Changes, Retry, Study, StudyName, StudyState
from searchd.domain.trial import Trial, TrialState
from searchd.engines.simulated import Behaviour, Epoch, SimulatedCluster
from searchd.ports.engine import (
    Ended,
    EngineCommand,
    EngineEvent,
    LossCause,
    Node,
    Outcome,
    RunSegments,
    Segment,
    SegmentReported,
    StartWorker,
    WorkerLost,
)
from searchd.ports.searcher import SearchFailed
from searchd.ports.store import DamagedStudy, LiveStudy
from searchd.schedulers.factory import make_scheduler
from tests.unit.conductor.simulated import SECOND, House, Recorder, rebuilt, score, trains

NONE = Scheduler(SchedulerAlgorithm.NONE)
LOST = (Failure.OUT_OF_MEMORY, Failure.WORKER_KILLED, Failure.NODE_LOST, Failure.PREEMPTED)


class Failing(House):
    """A house in which trial 2 fails in one way, so often as told, whenever it has trained an epoch."""

    def __init__(self, failure: Failure, times: int, retries: Mapping[Failure, int]) -> None:
        super().__init__()
        self.failure = failure
        self.times = times
        self.name = self.create(
            scheduler=NONE, evaluation=Evaluation(epochs=3), budget=Budget(trials=4), retry=Retry(retries=retries)
        )

    def held(self) -> tuple[object, int] | None:
        """What a worker holds of trial 2."""
        return next((held for held in self.server.conductor.mind.holders if held[0].trial == 2), None)

    def lose_workers_of_it(self) -> None:
        """Have the worker of trial 2 be lost."""
        for _ in range(self.times):
            self.run(lambda: self.held() is not None)
            held, worker = next(i for i in self.server.conductor.mind.holders.items() if i[0][0].trial == 2)
            self.cluster.attached = None
            self.cluster.kill(worker.id)
            self.cluster.attached = self.engine._inner
            self.server.post(WorkerLost(worker.id, LossCause.DIED, "it was lost", "", self.failure, held))
            self.server.turn()


@pytest.mark.parametrize("retries", [None, 0, 3])
@pytest.mark.parametrize("failure", LOST)
def test_a_lost_worker_counts_as_what_it_was_lost_by(failure: Failure, retries: int | None) -> None:
    """A fold run is handed out again as often as its study says of that failure, and fails by the next one."""
    allowed = RETRIES[failure] if retries is None else retries
    given = {} if retries is None else {failure: retries}
    for times, state in ((allowed, TrialState.COMPLETED), (allowed + 1, TrialState.FAILED)):
        house = Failing(failure, times, given)
        house.lose_workers_of_it()
        house.run()
        trial = house.trial(house.name, 2)
        assert trial.state is state
        assert trial.fold_runs[0].failures == (failure,) * allowed
        assert trial.failure is (failure if state is TrialState.FAILED else None)
        assert len(house.in_state(house.name, TrialState.COMPLETED)) == 3 + (state is TrialState.COMPLETED)


def test_a_worker_that_never_got_its_segment_blames_nobody() -> None:
    """A worker that dies while its segment is still on its way to it has not failed by it."""
    house = House()
    name = house.create(
        scheduler=NONE, evaluation=Evaluation(epochs=3), budget=Budget(trials=4), retry=Retry(attempts=1)
    )
    house.run(lambda: bool(house.server.conductor.mind.holders))
    (key, _), worker = next(iter(house.server.conductor.mind.holders.items()))
    house.cluster.attached = None
    house.cluster.kill(worker.id)
    house.cluster.attached = house.engine._inner
    house.server.post(WorkerLost(worker.id, LossCause.DIED, "it was lost"))
    house.run()
    trial = house.trial(name, key.trial)
    assert (trial.state, trial.fold_runs[0].failures) == (TrialState.COMPLETED, ())


def reporting(failure: Failure, times: int) -> Behaviour:
    """Trial 2 fails so often at its second epoch."""
    left = [times]

    def behave(segment: Segment, epoch: int) -> Iterator[Epoch]:
        for number in range(epoch + 1, segment.task.evaluation.epochs + 1):
            metrics = {"accuracy": score(segment.parameters["x"], segment.fold, number)}
            if segment.trial == 2 and number == 2 and left[0]:
                left[0] -= 1
                if failure is Failure.ERROR:
                    raise ValueError("a mistake")
                metrics = {"loss": 1.0} if failure is Failure.METRIC_MISSING else {"accuracy": float("nan")}
            yield Epoch(metrics, SECOND)

    return behave


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("failure", [Failure.ERROR, Failure.NOT_FINITE, Failure.METRIC_MISSING])
def test_what_a_trainable_does_wrong_is_retried_if_its_study_says_so(failure: Failure, retries: int) -> None:
    """An exception, a NaN, a missing metric end the trial unless retries are given; then they end it by one more."""
    final = TrialState.INFEASIBLE if failure is Failure.NOT_FINITE else TrialState.FAILED
    for times, state in ((retries, TrialState.COMPLETED), (retries + 1, final)):
        house = House(behaviour=reporting(failure, times))
        given = {failure: retries} if retries else {}
        name = house.create(
            scheduler=NONE, evaluation=Evaluation(epochs=3), budget=Budget(trials=4), retry=Retry(retries=given)
        )
        house.run()
        trial = house.trial(name, 2)
        assert trial.state is state
        assert trial.failure is (None if state is TrialState.COMPLETED else failure)
        assert trial.fold_runs[0].failures == (failure,) * retries
        assert trial.fold_runs[0].attempt == times + (state is TrialState.COMPLETED)
        assert house.study(name).state is StudyState.SUCCEEDED


def slow_then_silent(segment: Segment, epoch: int) -> Iterator[Epoch]:
    """Trial 2 reports every 4 s for ever."""
    if segment.trial == 2:
        for _ in range(epoch + 1, 1000):
            yield Epoch({"accuracy": 0.0}, 4 * SECOND)
    yield from trains(segment, epoch)


def test_a_segment_that_reports_on_and_on_times_out() -> None:
    """One that takes longer than segment_timeout although it reports has timed out, which is not tried again."""
    house = House(behaviour=slow_then_silent)
    name = house.create(
        scheduler=NONE,
        evaluation=Evaluation(epochs=100),
        budget=Budget(trials=3),
        retry=Retry(segment_timeout=timedelta(seconds=150)),
    )
    house.run()
    trial = house.trial(name, 2)
    assert (trial.state, trial.failure) == (TrialState.FAILED, Failure.TIMED_OUT)
    assert trial.reason == "timed out: the segment ran longer than 150 s"
    assert len(house.in_state(name, TrialState.COMPLETED)) == 2


def test_a_segment_that_falls_silent_hangs() -> None:
    """With a report_timeout a segment is ended so long after its last report, however much time it has left."""

    def falls_silent(segment: Segment, epoch: int) -> Iterator[Epoch]:
        for number in range(epoch + 1, 10):
            silent = segment.trial == 2 and segment.attempt == 1 and number == 4
            yield Epoch({"accuracy": 0.1 * number}, timedelta(days=9) if silent else 4 * SECOND)

    house = House(behaviour=falls_silent)
    name = house.create(
        scheduler=NONE,
        evaluation=Evaluation(epochs=9),
        budget=Budget(trials=3),
        retry=Retry(segment_timeout=timedelta(hours=9), report_timeout=timedelta(seconds=10)),
    )
    house.run()
    assert house.in_state(name, TrialState.COMPLETED) == [1, 2, 3]
    assert house.trial(name, 2).fold_runs[0].failures == (Failure.HUNG,)
    ended_at = house.trial(name, 2).ended_at
    assert ended_at is not None
    assert ended_at - house.study(name).created_at < timedelta(minutes=3)


def test_a_server_that_slept_kills_nobody() -> None:
    """When deadlines have passed while the server did not run, segments that live get their time anew; one that hangs
    is still found, later."""
    house = House(behaviour=trains)
    name = house.create(
        scheduler=NONE,
        evaluation=Evaluation(epochs=25),
        budget=Budget(trials=4),
        retry=Retry(segment_timeout=timedelta(seconds=30)),
    )
    house.run(lambda: len(house.server.conductor.mind.holders) == 4)
    house.run_for(timedelta(seconds=5))
    house.clock.advance_to(house.clock.now() + timedelta(hours=1))
    house.run()
    assert house.in_state(name, TrialState.COMPLETED) == [1, 2, 3, 4]
    assert set(house.trained.values()) == {1}


def crashing(house: House, name: StudyName, crashes: int) -> int:
    """Let so many workers crash, one after the other, each while it runs a segment; how many did."""
    done = 0
    while done < crashes and house.study(name).state in (StudyState.PENDING, StudyState.RUNNING):
        house.run(lambda: bool(house.server.conductor.mind.holders))
        holders = house.server.conductor.mind.holders
        if not holders:
            break
        house.cluster.kill(next(iter(holders.values())).id)
        house.server.turn()
        done += 1
    return done


def test_a_poison_trainable_is_quarantined() -> None:
    """A trainable that crashes one worker after the other gets no more: its studies fail with the reason, others with
    other code go on, and new ones and extensions are refused until its code has changed."""
    house = House()
    healthy = house.create("healthy", code="good", scheduler=NONE, budget=Budget(trials=5))
    house.run()
    poison = house.create("poison", scheduler=NONE, evaluation=Evaluation(epochs=100), budget=Budget(trials=50))
    assert 8 <= crashing(house, poison, 30) < 20
    house.run()
    study = house.study(poison)
    assert study.state is StudyState.FAILED
    assert "quarantined: 8 workers in a row crashed" in study.reason
    assert house.study(healthy).state is StudyState.SUCCEEDED
    with pytest.raises(TrainableQuarantined, match="8 workers in a row"):
        house.create("again")
    with pytest.raises(TrainableQuarantined, match="8 workers in a row"):
        house.server.request(ChangeStudy(poison, Changes(frozenset({"trials"}), Budget(trials=60))))
    mended = house.create("mended", code="new", budget=Budget(trials=3))
    house.run()
    assert house.study(mended).state is StudyState.SUCCEEDED


def test_crashes_at_the_same_moment_count_as_one() -> None:
    """Whoever ends all workers at once, however many there are, poisons nothing."""
    house = House([Node("a", 12, 0)])
    name = house.create(scheduler=NONE, evaluation=Evaluation(epochs=9), budget=Budget(trials=30))
    for _ in range(2):
        house.run(lambda: len(house.server.conductor.mind.holders) == 12)
        for worker in house.cluster.workers():
            house.cluster.kill(worker)
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED


def test_a_searcher_that_fails_now_and_then_pauses_nothing() -> None:
    """Failures of the searcher's process count in a row only: a suggestion in between begins anew."""
    house = House()
    name = house.create(scheduler=NONE, budget=Budget(trials=400))
    for _ in range(5):
        trials = len(house.trials(name))
        house.run(lambda trials=trials: len(house.trials(name)) > trials + 64)  # type: ignore[misc]
        house.server.post(SearchFailed(name, "it was killed"))
        house.server.turn()
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED


def test_crashes_with_successes_in_between_are_no_poison() -> None:
    """Now and then a worker may crash: only an unbroken row of crashes counts against the trainable."""
    house = House()
    name = house.create(scheduler=NONE, budget=Budget(trials=60))
    for _ in range(15):
        assert crashing(house, name, 1) == 1
        ended = len(house.in_state(name, TrialState.COMPLETED))
        house.run(lambda ended=ended: len(house.in_state(name, TrialState.COMPLETED)) > ended)  # type: ignore[misc]
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED


def test_one_study_that_cannot_be_read_keeps_no_other_from_going_on() -> None:
    """A server that starts goes on with what it can read, sets aside what it cannot take up, and says what it was."""
    house = House()
    for name in ("a", "b"):
        house.create(name, scheduler=NONE, budget=Budget(trials=3))
    live = [stored for stored in house.store.live() if not isinstance(stored, DamagedStudy)]
    conductor = rebuilt(house)
    assert not conductor.faults
    broken = live[0].study
    stranger = house.definition("c")

    class Unreadable(list[Trial]):
        """Trials that cannot be gone through."""

        def __iter__(self) -> Iterator[Trial]:
            raise RuntimeError("a fault")

    stored: list[LiveStudy | DamagedStudy] = [
        DamagedStudy(stranger.name, "no JSON"),
        replace(live[0], trials=Unreadable()),
        live[1],
    ]
    conductor = Conductor(stored, make_scheduler, 9, house.clock.now())
    assert set(conductor.faults) == {stranger.name, broken.name}
    opening = conductor.opening()
    assert [fact.study.state for fact in opening.facts] == [StudyState.PAUSED]  # type: ignore[union-attr]
    assert set(conductor.mind.studies) == {live[1].study.name}
    paused = broken.paused("it could not be taken up")
    for body, expected in ((DeleteStudy(broken.name), StudyActive), (StopStudy(broken.name), StudyState.STOPPED)):
        decision = conductor.decide(Request(None, "", "", body, paused), house.clock.now())
        [answer] = [command for command in decision.commands if isinstance(command, Answer)]
        found = answer.result.state if isinstance(answer.result, Study) else type(answer.result)
        assert found is expected


def test_a_worker_that_sets_its_work_aside_gets_no_more() -> None:
    """A worker that is being preempted drains by itself: its segment goes on elsewhere, blamed on nobody, and it gets
    nothing more."""
    house = House()
    name = house.create(scheduler=NONE, evaluation=Evaluation(epochs=9), budget=Budget(trials=6))
    house.run(lambda: len(house.server.conductor.mind.holders) == 4)
    (key, attempt), worker = next(iter(house.server.conductor.mind.holders.items()))
    house.server.post(SegmentReported(worker.id, 10_000, key, attempt, (), Ended(Outcome.DRAINED, 0)))
    house.server.turn()
    told = len(house.engine.commands)
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED
    assert house.trial(name, key.trial).fold_runs[0].failures == ()
    later = house.engine.commands[told:]
    assert not [c for c in later if isinstance(c, RunSegments) and c.worker == worker.id]
    assert worker.id not in house.server.conductor.mind.cluster.workers


class Reluctant(Recorder):
    """An engine that can be made to fail every start of a worker, a second later."""

    def __init__(self, cluster: SimulatedCluster, deliver: Callable[[EngineEvent], None]) -> None:
        super().__init__(cluster, deliver)
        self.failing = False
        self.cluster = cluster

    def perform(self, commands: Sequence[EngineCommand]) -> None:
        """Fail the starts among them, carry out the rest."""
        starts = [c for c in commands if isinstance(c, StartWorker) and self.failing]
        self.commands.extend(starts)
        super().perform([c for c in commands if c not in starts])
        for start in starts:
            lost = WorkerLost(start.worker, LossCause.UNPLACED, "its code has changed")
            self.cluster.plan(SECOND, lambda lost=lost: self._deliver(lost))  # type: ignore[misc]


def test_a_pool_that_cannot_grow_works_with_what_it_has() -> None:
    """Where some workers run and no other starts, as after an edit of the code, starts are tried now and then only, and
    the study ends by those it has."""
    house = House(engines=Reluctant)
    name = house.create(scheduler=NONE, evaluation=Evaluation(epochs=90), budget=Budget(trials=9))
    house.run(lambda: len(house.server.conductor.mind.holders) == 4)
    assert isinstance(house.engine, Reluctant)
    house.engine.failing = True
    for worker in house.cluster.workers()[:2]:
        house.cluster.kill(worker)
    before = sum(isinstance(command, StartWorker) for command in house.engine.commands)
    began = house.clock.now()
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED
    minutes = (house.clock.now() - began) / timedelta(minutes=1)
    tried = sum(isinstance(command, StartWorker) for command in house.engine.commands) - before
    assert 3 <= tried <= 4 + 2 * minutes


def test_reports_of_a_deleted_study_are_not_taken_for_its_namesakes() -> None:
    """A study that gets the name of a deleted one hears nothing of what workers still have to say of that."""
    house = House()
    first = house.create(scheduler=NONE, budget=Budget(trials=4))
    house.run()
    late = house.engine.reported()
    assert late
    house.delete(first)
    house.clock.advance_to(house.clock.now() + SECOND)
    second = house.create(scheduler=NONE, evaluation=Evaluation(epochs=9), budget=Budget(trials=4), seed=5)
    assert second == first
    house.run(lambda: len(house.server.conductor.mind.holders) == 4)
    held = dict(house.server.conductor.mind.holders)
    for event in late:
        house.server.post(event)
    house.server.turn()
    assert house.server.conductor.mind.holders == held
    assert not house.store.measurements(second, None, None, 100)
    house.run()
    assert house.study(second).state is StudyState.SUCCEEDED
    assert house.study(second).progress.epochs == 4 * 9
