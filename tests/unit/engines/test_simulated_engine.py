"""The simulated engine keeps the engine contract in virtual time, and can show what befalls clusters."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from searchd.domain.failure import Failure
from searchd.engines.simulated import Epoch, SimulatedCluster, SimulatedEngine, VirtualClock
from searchd.ports.engine import (
    CancelSegment,
    CapacityChanged,
    EngineCommand,
    EngineEvent,
    LossCause,
    Node,
    Outcome,
    RunSegments,
    Segment,
    SegmentReported,
    StartWorker,
    WorkerAdopted,
    WorkerId,
    WorkerLost,
    WorkerReady,
)
from tests.contracts.engine import POOL, W1, W2, EngineContract, of, outcomes, reports, segment


def behaviour(segment: Segment, epoch: int) -> Iterator[Epoch]:
    """The contract's trainables."""
    match segment.task.trainable:
        case "raises":
            raise ValueError("the numbers do not add up")
        case "hangs":
            yield Epoch({"loss": 0.0}, timedelta(days=1))
        case "diverges":
            yield Epoch({"loss": float("nan")}, timedelta(0))
        case "forgets":
            yield Epoch({"accuracy": 1.0}, timedelta(0))
        case "returns":
            if epoch < 1:
                yield Epoch({"loss": 1.0}, timedelta(0))
        case _:
            seconds = segment.task.fixed["seconds"]
            assert isinstance(seconds, float)
            while True:
                epoch += 1
                yield Epoch({"loss": 1.0 / epoch}, timedelta(seconds=seconds))


class SimulatedHarness:
    """Implements EngineHarness in virtual time."""

    def __init__(self) -> None:
        self.events: list[EngineEvent] = []
        self.cluster = SimulatedCluster(
            VirtualClock(), [Node("a", 1.0, 0.0), Node("b", 1.0, 0.0)], behaviour, timedelta(seconds=1)
        )
        self._engine: SimulatedEngine | None = None

    def attach(self, epoch: int) -> None:
        """See EngineHarness."""
        self.events = []
        self._engine = SimulatedEngine(self.cluster, self.events.append)
        self._engine.start(epoch)

    def restart(self, epoch: int) -> None:
        """See EngineHarness."""
        assert self._engine is not None
        self.events.clear()
        self._engine.start(epoch)

    def detach(self, *, leave_workers: bool) -> None:
        """See EngineHarness."""
        assert self._engine is not None
        self._engine.close(leave_workers=leave_workers)

    def perform(self, *commands: EngineCommand) -> None:
        """See EngineHarness."""
        assert self._engine is not None
        self._engine.perform(commands)

    def run_until(self, condition: Callable[[], bool]) -> None:
        """See EngineHarness."""
        while not condition():
            assert self.cluster.next_at() is not None, f"nothing will happen any more; what came is {self.events}"
            self.cluster.step()

    def crash(self, worker: WorkerId) -> None:
        """See EngineHarness."""
        self.cluster.kill(worker)


class TestSimulatedEngine(EngineContract):
    """On a cluster of two nodes."""

    @pytest.fixture
    def harness(self) -> SimulatedHarness:
        """A cluster without workers."""
        return SimulatedHarness()


@pytest.fixture
def harness() -> SimulatedHarness:
    """A cluster with a worker on each of its two nodes."""
    made = SimulatedHarness()
    made.attach(1)
    made.perform(StartWorker(W1, POOL), StartWorker(W2, POOL))
    made.run_until(lambda: len(of(made.events, WorkerReady)) == 2)
    return made


@pytest.mark.parametrize(
    ("trainable", "outcome", "failure"),
    [
        ("raises", Outcome.FAILED, Failure.ERROR),
        ("forgets", Outcome.FAILED, Failure.METRIC_MISSING),
        ("diverges", Outcome.INFEASIBLE, Failure.NOT_FINITE),
    ],
)
def test_failures_have_their_kind(
    harness: SimulatedHarness, trainable: str, outcome: Outcome, failure: Failure
) -> None:
    """What fails says in which way."""
    harness.perform(RunSegments(W1, (segment(1, trainable=trainable),)))
    harness.run_until(lambda: bool(outcomes(harness.events)))
    ended = of(harness.events, SegmentReported)[-1].ended
    assert ended is not None
    assert (ended.outcome, ended.failure) == (outcome, failure)


def test_a_lost_node_takes_its_workers_along(harness: SimulatedHarness) -> None:
    """When a node is lost its workers are, for that reason, and the others train on."""
    harness.perform(RunSegments(W2, (segment(2, seconds=1.0),)))
    harness.cluster.lose_node("a")
    assert [(e.worker, e.cause, e.failure) for e in of(harness.events, WorkerLost)] == [
        (W1, LossCause.DIED, Failure.NODE_LOST)
    ]
    assert harness.events[-1] == CapacityChanged((Node("b", 1.0, 0.0),))
    harness.run_until(lambda: outcomes(harness.events) == [(2, Outcome.REACHED)])


def test_without_nodes_no_worker_starts(harness: SimulatedHarness) -> None:
    """A worker that there is no node for is lost unplaced."""
    harness.cluster.resize(())
    harness.perform(StartWorker(WorkerId("three"), POOL))
    assert [(e.worker, e.cause) for e in of(harness.events, WorkerLost)] == [(WorkerId("three"), LossCause.UNPLACED)]


def test_a_preempted_worker_saves_and_leaves(harness: SimulatedHarness) -> None:
    """A worker whose node is taken back sets aside what it holds, and is lost for that reason; an idle one at once."""
    harness.perform(RunSegments(W1, (segment(1, target=9, seconds=1.0), segment(3))))
    harness.run_until(lambda: bool(reports(harness.events, segment(1).key)))
    harness.cluster.preempt(W1)
    harness.cluster.preempt(W2)
    harness.run_until(lambda: W1 not in harness.cluster.workers())
    assert outcomes(harness.events) == [(1, Outcome.DRAINED), (3, Outcome.DRAINED)]
    assert [(e.worker, e.failure) for e in of(harness.events, WorkerLost)] == [
        (W2, Failure.PREEMPTED),
        (W1, Failure.PREEMPTED),
    ]
    harness.perform(StartWorker(W1, POOL), RunSegments(W1, (segment(1, target=3, epochs=9, seconds=1.0, attempt=2),)))
    harness.run_until(lambda: outcomes(harness.events)[2:] == [(1, Outcome.REACHED)])
    assert reports(harness.events, segment(1).key) == [1, 2, 3]


def test_a_worker_out_of_reach_trains_on_and_tells_later(harness: SimulatedHarness) -> None:
    """While a worker is cut off nothing passes, in either direction; then everything does, in order."""
    harness.perform(RunSegments(W1, (segment(1, target=2, seconds=1.0),)))
    harness.cluster.cut_off(W1)
    harness.perform(RunSegments(W1, (segment(3),)), RunSegments(W2, (segment(2, target=5, seconds=1.0),)))
    harness.run_until(lambda: outcomes(harness.events) == [(2, Outcome.REACHED)])
    assert harness.cluster.holding(W1) == []
    harness.cluster.reconnect(W1)
    harness.run_until(lambda: len(outcomes(harness.events)) == 3)
    assert outcomes(harness.events)[1:] == [(1, Outcome.REACHED), (3, Outcome.REACHED)]
    assert reports(harness.events, segment(1).key) == [1, 2]


def test_a_worker_that_missed_an_adoption_is_adopted_later(harness: SimulatedHarness) -> None:
    """A worker that is cut off while an engine starts is adopted when it is back, and obeys nothing from before."""
    harness.perform(RunSegments(W1, (segment(1, target=3, seconds=1.0),)))
    harness.cluster.cut_off(W1)
    harness.perform(CancelSegment(W1, segment(1).key, 1))
    harness.attach(2)
    assert [event.worker for event in of(harness.events, WorkerAdopted)] == [W2]
    harness.cluster.reconnect(W1)
    assert [(e.worker, e.holding) for e in of(harness.events, WorkerAdopted)[1:]] == [(W1, ((segment(1).key, 1),))]
    harness.run_until(lambda: outcomes(harness.events) == [(1, Outcome.REACHED)])
    assert reports(harness.events, segment(1).key) == [1, 2, 3]


def test_an_engine_of_an_older_epoch_adopts_nothing(harness: SimulatedHarness) -> None:
    """Workers refuse an engine that is older than theirs, at its start and ever after; theirs stays."""
    heard: list[EngineEvent] = []
    harness.attach(5)
    late = SimulatedEngine(harness.cluster, heard.append)
    late.start(4)
    late.perform([RunSegments(W1, (segment(1),))])
    assert heard == [CapacityChanged(harness.cluster.nodes)]
    assert not harness.cluster.holding(W1)
    harness.perform(RunSegments(W1, (segment(2),)))
    harness.run_until(lambda: outcomes(harness.events) == [(2, Outcome.REACHED)])


def test_a_superseded_engine_can_still_have_workers_started(harness: SimulatedHarness) -> None:
    """Nobody keeps a superseded engine from starting a worker; the next one that attaches finds it."""
    late = SimulatedEngine(harness.cluster, lambda event: None)
    late.perform([StartWorker(WorkerId("three"), POOL)])
    assert not [event for event in of(harness.events, WorkerReady) if event.worker == "three"]
    harness.attach(2)
    assert [event.worker for event in of(harness.events, WorkerAdopted)] == [W1, W2, "three"]


def test_what_was_reached_or_returned_before_is_reported_again(harness: SimulatedHarness) -> None:
    """A fold run that has been at its target, or has nothing left to train, repeats its last report untrained."""
    harness.perform(RunSegments(W1, (segment(1, target=1, epochs=3), segment(1, target=1, epochs=3, attempt=2))))
    first = segment(2, target=1, epochs=3, trainable="returns")
    second = segment(2, target=3, epochs=3, trainable="returns", attempt=2)
    harness.perform(RunSegments(W2, (first, second)))
    harness.run_until(lambda: len(outcomes(harness.events)) == 4)
    assert reports(harness.events, segment(1).key) == [1, 1]
    assert reports(harness.events, segment(2).key) == [1, 1]
    assert sorted(outcomes(harness.events)) == [
        (1, Outcome.REACHED),
        (1, Outcome.REACHED),
        (2, Outcome.FINISHED),
        (2, Outcome.REACHED),
    ]
