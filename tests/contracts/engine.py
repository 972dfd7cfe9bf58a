"""What every engine promises, whatever it runs on: subclass EngineContract and give it a harness."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import pytest

from searchd.domain.evaluation import Evaluation
from searchd.domain.failure import Failure
from searchd.domain.study import Resources, study_name
from searchd.domain.trial import FoldRunKey, TrialNumber
from searchd.ports.engine import (
    Acknowledge,
    CancelSegment,
    CapacityChanged,
    Drain,
    EngineCommand,
    EngineEvent,
    KillWorker,
    LossCause,
    Outcome,
    PoolKey,
    RetireWorker,
    RunSegments,
    Segment,
    SegmentReported,
    SegmentStarted,
    StartWorker,
    Task,
    WorkerAdopted,
    WorkerId,
    WorkerLost,
    WorkerReady,
)
from searchd.worker.sources import fingerprint, source_files

STUDY = study_name("default", "engines")
TRAINABLES = "tests.integration.ray.ray_trainables"
"""The module whose trainables are run; real workers run no others than those of their pool's code."""
POOL = PoolKey(fingerprint(source_files(TRAINABLES)), Resources(cpus=1.0, gpus=0.0))
W1 = WorkerId("one")
W2 = WorkerId("two")

E = TypeVar("E", bound=EngineEvent)


class EngineHarness(Protocol):
    """A cluster of at least two CPUs on which engines are attached, one after the other.

    Its trainables: ``quadratic`` takes ``fixed["seconds"]`` for each epoch and can be paused; ``raises`` fails at its
    first epoch with "the numbers do not add up"; ``hangs`` never reports.

    Attributes:
        events: What the engine that was attached last has delivered, in order.
    """

    events: list[EngineEvent]

    def attach(self, epoch: int) -> None:
        """Build an engine and start it; ``events`` begins anew."""
        ...

    def restart(self, epoch: int) -> None:
        """Start the attached engine once more; ``events`` begins anew."""
        ...

    def detach(self, *, leave_workers: bool) -> None:
        """Close the engine."""
        ...

    def perform(self, *commands: EngineCommand) -> None:
        """Hand commands to the engine in one call."""
        ...

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Let time pass until the condition holds; fails the test when it does not come to hold."""
        ...

    def crash(self, worker: WorkerId) -> None:
        """End a worker's process without anybody's asking."""
        ...


def segment(trial: int = 1, **changes: Any) -> Segment:
    """A segment of the trial's first fold run: one epoch at once, unless told ``target``, ``epochs``, ``seconds``,
    ``trainable``, ``attempt`` or ``fold``."""
    target = changes.get("target", 1)
    task = Task(
        study=STUDY,
        trainable=changes.get("trainable", "quadratic"),
        fixed={"seconds": changes.get("seconds", 0.0)},
        dataset=None,
        data="",
        evaluation=Evaluation(folds=2, epochs=changes.get("epochs", target)),
        seed=7,
        metrics=("loss",),
    )
    return Segment(task, TrialNumber(trial), {"x": 3.0}, 0, changes.get("fold", 0), changes.get("attempt", 1), target)


def of(events: list[EngineEvent], kind: type[E]) -> list[E]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def reports(events: list[EngineEvent], key: FoldRunKey) -> list[int]:
    """The epochs that were reported of a fold run, in order."""
    return [r.epoch for event in of(events, SegmentReported) if event.key == key for r in event.reports]


def outcomes(events: list[EngineEvent]) -> list[tuple[int, Outcome]]:
    """Trials and how their segments ended, in order."""
    return [(event.key.trial, event.ended.outcome) for event in of(events, SegmentReported) if event.ended is not None]


class EngineContract:
    """Subclass it with a fixture ``harness`` that gives an EngineHarness nothing is attached to."""

    @pytest.fixture
    def ready(self, harness: EngineHarness) -> EngineHarness:
        """A harness with an engine attached and worker one ready."""
        harness.attach(1)
        harness.perform(StartWorker(W1, POOL))
        harness.run_until(lambda: bool(of(harness.events, WorkerReady)))
        return harness

    def test_capacity_is_the_first_event(self, harness: EngineHarness) -> None:
        """Before start returns, the first event tells what the cluster offers."""
        harness.attach(1)
        first = harness.events[0]
        assert isinstance(first, CapacityChanged)
        assert sum(node.cpus for node in first.nodes) >= 2

    def test_a_started_worker_becomes_ready(self, ready: EngineHarness) -> None:
        """A worker that was started is announced as ready, once."""
        ready.perform(StartWorker(W2, POOL))
        ready.run_until(lambda: len(of(ready.events, WorkerReady)) == 2)
        assert [event.worker for event in of(ready.events, WorkerReady)] == [W1, W2]

    def test_segments_queue_before_a_worker_is_ready(self, harness: EngineHarness) -> None:
        """What is handed over before a worker is ready runs once it is."""
        harness.attach(1)
        harness.perform(StartWorker(W1, POOL), RunSegments(W1, (segment(),)))
        harness.run_until(lambda: outcomes(harness.events) == [(1, Outcome.REACHED)])
        assert isinstance(harness.events[1], WorkerReady)

    def test_segments_run_in_order(self, ready: EngineHarness) -> None:
        """Segments of a worker run in the order of their handing over, each reporting its epochs and then its end."""
        ready.perform(RunSegments(W1, (segment(1), segment(2))))
        ready.perform(RunSegments(W1, (segment(3),)))
        ready.perform(RunSegments(W1, (segment(4), segment(5))))
        ready.run_until(lambda: len(outcomes(ready.events)) == 5)
        assert outcomes(ready.events) == [(trial, Outcome.REACHED) for trial in range(1, 6)]
        assert all(reports(ready.events, segment(trial).key) == [1] for trial in range(1, 6))

    def test_messages_are_numbered_without_gaps(self, ready: EngineHarness) -> None:
        """A worker's messages are numbered from 1 without gaps, over all its segments."""
        ready.perform(RunSegments(W1, tuple(segment(trial, target=2, seconds=0.01) for trial in (1, 2, 3))))
        ready.run_until(lambda: len(outcomes(ready.events)) == 3)
        messages = of(ready.events, SegmentReported)
        assert [message.sequence for message in messages] == list(range(1, len(messages) + 1))

    def test_a_segment_continues_where_the_last_one_ended(self, ready: EngineHarness) -> None:
        """A fold run goes on after its last epoch, also when another one ran in between."""
        ready.perform(RunSegments(W1, (segment(1, target=2, epochs=5), segment(2), segment(1, target=5, attempt=2))))
        ready.run_until(lambda: len(outcomes(ready.events)) == 3)
        assert reports(ready.events, segment(1).key) == [1, 2, 3, 4, 5]

    def test_a_failing_segment_gives_its_reason_and_the_next_one_runs(self, ready: EngineHarness) -> None:
        """What a trainable raises becomes the reason of a FAILED end, and the worker goes on."""
        ready.perform(RunSegments(W1, (segment(1, trainable="raises"), segment(2))))
        ready.run_until(lambda: len(outcomes(ready.events)) == 2)
        assert outcomes(ready.events) == [(1, Outcome.FAILED), (2, Outcome.REACHED)]
        ended = of(ready.events, SegmentReported)[0].ended
        assert ended is not None
        assert "the numbers do not add up" in ended.reason

    def test_a_long_segment_is_announced(self, ready: EngineHarness) -> None:
        """A segment that runs for more than a moment is announced while it runs, one that is over at once never."""
        ready.perform(RunSegments(W1, (segment(1), segment(2, target=2, seconds=1.5))))
        ready.run_until(lambda: len(outcomes(ready.events)) == 2)
        started = of(ready.events, SegmentStarted)
        assert {(event.worker, event.key, event.attempt) for event in started} == {(W1, segment(2).key, 1)}
        assert all(timedelta(0) <= event.elapsed < timedelta(seconds=3) for event in started)
        assert ready.events.index(started[0]) < ready.events.index(of(ready.events, SegmentReported)[-1])

    def test_cancelling_a_queued_segment(self, ready: EngineHarness) -> None:
        """A cancelled segment that has not begun reports CANCELLED and no epochs; the running one is untouched."""
        ready.perform(RunSegments(W1, (segment(1, target=3, seconds=0.2), segment(2))))
        ready.perform(CancelSegment(W1, segment(2).key, 1))
        ready.run_until(lambda: len(outcomes(ready.events)) == 2)
        assert outcomes(ready.events) == [(1, Outcome.REACHED), (2, Outcome.CANCELLED)]
        assert reports(ready.events, segment(2).key) == []

    def test_cancelling_the_running_segment(self, ready: EngineHarness) -> None:
        """A cancelled segment that runs ends CANCELLED before its target, and the next one runs."""
        ready.perform(RunSegments(W1, (segment(1, target=100, seconds=0.2), segment(2))))
        ready.run_until(lambda: bool(reports(ready.events, segment(1).key)))
        ready.perform(CancelSegment(W1, segment(1).key, 1))
        ready.run_until(lambda: len(outcomes(ready.events)) == 2)
        assert outcomes(ready.events) == [(1, Outcome.CANCELLED), (2, Outcome.REACHED)]
        assert len(reports(ready.events, segment(1).key)) < 10

    def test_cancelling_what_a_worker_does_not_hold(self, ready: EngineHarness) -> None:
        """Cancelling another attempt, or a segment that has ended, changes nothing."""
        ready.perform(RunSegments(W1, (segment(1),)))
        ready.run_until(lambda: len(outcomes(ready.events)) == 1)
        ready.perform(CancelSegment(W1, segment(1).key, 1), CancelSegment(W1, segment(2).key, 7))
        ready.perform(RunSegments(W1, (segment(2),)))
        ready.run_until(lambda: len(outcomes(ready.events)) == 2)
        assert outcomes(ready.events) == [(1, Outcome.REACHED), (2, Outcome.REACHED)]

    def test_a_dead_worker_is_lost_once(self, ready: EngineHarness) -> None:
        """A worker whose process is killed is reported as DIED of that, once, and other workers go on."""
        ready.perform(StartWorker(W2, POOL), RunSegments(W1, (segment(1, trainable="hangs"),)))
        ready.run_until(lambda: len(of(ready.events, WorkerReady)) == 2)
        ready.crash(W1)
        ready.run_until(lambda: bool(of(ready.events, WorkerLost)))
        ready.perform(RunSegments(W1, (segment(3),)), RunSegments(W2, (segment(2),)))
        ready.run_until(lambda: len(outcomes(ready.events)) == 1)
        lost = of(ready.events, WorkerLost)
        assert [(e.worker, e.cause, e.failure) for e in lost] == [(W1, LossCause.DIED, Failure.WORKER_KILLED)]
        assert lost[0].reason
        assert "\n" not in lost[0].reason

    def test_retiring(self, ready: EngineHarness) -> None:
        """A retired worker ends, and is reported as RETIRED."""
        ready.perform(RetireWorker(W1))
        ready.run_until(lambda: bool(of(ready.events, WorkerLost)))
        assert [(e.worker, e.cause) for e in of(ready.events, WorkerLost)] == [(W1, LossCause.RETIRED)]

    def test_killing(self, ready: EngineHarness) -> None:
        """A worker that hangs can be killed, and is reported as KILLED with the reason that was given."""
        ready.perform(RunSegments(W1, (segment(1, trainable="hangs"),)))
        ready.run_until(lambda: bool(of(ready.events, SegmentStarted)))
        ready.perform(KillWorker(W1, "it took longer than 10 min"))
        ready.run_until(lambda: bool(of(ready.events, WorkerLost)))
        lost = of(ready.events, WorkerLost)
        assert [(e.worker, e.cause, e.reason) for e in lost] == [(W1, LossCause.KILLED, "it took longer than 10 min")]

    def test_draining_saves_what_is_held(self, ready: EngineHarness) -> None:
        """After a drain everything that was held ends DRAINED, and continues later where it was."""
        ready.perform(RunSegments(W1, (segment(1, target=100, seconds=0.2), segment(2))))
        ready.run_until(lambda: bool(reports(ready.events, segment(1).key)))
        ready.perform(Drain())
        ready.run_until(lambda: len(outcomes(ready.events)) == 2)
        assert outcomes(ready.events) == [(1, Outcome.DRAINED), (2, Outcome.DRAINED)]
        before = reports(ready.events, segment(1).key)
        ready.detach(leave_workers=False)
        ready.attach(2)
        assert not of(ready.events, WorkerAdopted)
        later = segment(1, target=before[-1] + 1, epochs=100, seconds=0.2, attempt=2)
        ready.perform(StartWorker(W2, POOL), RunSegments(W2, (later,)))
        ready.run_until(lambda: len(outcomes(ready.events)) == 1)
        assert reports(ready.events, segment(1).key) == [before[-1] + 1]

    def test_commands_for_unknown_workers_are_ignored(self, ready: EngineHarness) -> None:
        """A command for a worker that is not there changes nothing."""
        nobody = WorkerId("nobody")
        ready.perform(
            RunSegments(nobody, (segment(9),)),
            CancelSegment(nobody, segment(9).key, 1),
            Acknowledge(nobody, 3),
            RetireWorker(nobody),
            KillWorker(nobody, "late"),
            RunSegments(W1, (segment(1),)),
        )
        ready.run_until(lambda: bool(outcomes(ready.events)))
        assert outcomes(ready.events) == [(1, Outcome.REACHED)]
        assert not of(ready.events, WorkerLost)

    def test_the_next_engine_adopts_the_workers(self, ready: EngineHarness) -> None:
        """A second engine finds the workers that the first one left, learns what they hold, is told again what was not
        acknowledged, and nothing that was; no epoch is lost."""
        ready.perform(RunSegments(W1, (segment(1), segment(2), segment(3, target=6, seconds=0.5), segment(4))))
        ready.run_until(lambda: len(outcomes(ready.events)) == 2)
        sequence = next(e.sequence for e in of(ready.events, SegmentReported) if e.key.trial == 1 and e.ended)
        ready.perform(Acknowledge(W1, sequence))
        ready.run_until(lambda: bool(reports(ready.events, segment(3).key)))
        ready.detach(leave_workers=True)

        ready.attach(2)
        assert isinstance(ready.events[0], CapacityChanged)
        assert [(e.worker, e.pool, e.holding) for e in of(ready.events, WorkerAdopted)] == [
            (W1, POOL, ((segment(3).key, 1), (segment(4).key, 1)))
        ]
        assert reports(ready.events, segment(2).key) == [1]
        assert 1 in reports(ready.events, segment(3).key)
        ready.run_until(lambda: len(outcomes(ready.events)) == 3)
        assert outcomes(ready.events) == [(2, Outcome.REACHED), (3, Outcome.REACHED), (4, Outcome.REACHED)]
        assert reports(ready.events, segment(1).key) == []
        assert reports(ready.events, segment(3).key) == [1, 2, 3, 4, 5, 6]
        assert min(e.sequence for e in of(ready.events, SegmentReported)) == sequence + 1

    def test_an_engine_started_again_adopts_its_own_workers(self, ready: EngineHarness) -> None:
        """Started again under a newer epoch, an engine says anew what its workers hold, and what it must hear."""
        ready.perform(RunSegments(W1, (segment(1), segment(2, target=4, seconds=0.3))))
        ready.run_until(lambda: bool(reports(ready.events, segment(2).key)))
        ready.restart(2)
        assert isinstance(ready.events[0], CapacityChanged)
        assert [e.holding for e in of(ready.events, WorkerAdopted)] == [((segment(2).key, 1),)]
        ready.run_until(lambda: len(outcomes(ready.events)) == 2)
        assert reports(ready.events, segment(1).key) == [1]
        assert reports(ready.events, segment(2).key) == [1, 2, 3, 4]
        assert not of(ready.events, WorkerLost)

    def test_adopted_workers_take_work_and_retire(self, ready: EngineHarness) -> None:
        """An adopted worker is as good as a new one, also after a drain."""
        ready.perform(Drain())
        ready.detach(leave_workers=True)
        ready.attach(2)
        ready.perform(RunSegments(W1, (segment(1),)))
        ready.run_until(lambda: bool(outcomes(ready.events)))
        assert outcomes(ready.events) == [(1, Outcome.REACHED)]
        ready.perform(Acknowledge(W1, of(ready.events, SegmentReported)[-1].sequence), RetireWorker(W1))
        ready.run_until(lambda: bool(of(ready.events, WorkerLost)))
        assert [e.cause for e in of(ready.events, WorkerLost)] == [LossCause.RETIRED]

    def test_workers_can_be_ended_with_the_engine(self, ready: EngineHarness) -> None:
        """An engine that does not leave its workers ends them."""
        ready.detach(leave_workers=False)
        ready.attach(2)
        assert not of(ready.events, WorkerAdopted)
