"""The simulated engine: the same port in virtual time, for tests, for measuring schedulers, and for trying studies."""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import assert_never

from searchd.domain.study import StudyName
from searchd.domain.trial import FoldRunKey, TrialNumber
from searchd.ports.engine import (
    Acknowledge,
    CancelSegment,
    CapacityChanged,
    Drain,
    Ended,
    EngineCommand,
    EngineEvent,
    Forget,
    KillWorker,
    LossCause,
    Node,
    Outcome,
    PoolKey,
    Report,
    RetireWorker,
    RunSegments,
    Segment,
    SegmentReported,
    SegmentStarted,
    StartWorker,
    WorkerAdopted,
    WorkerId,
    WorkerLost,
    WorkerReady,
)

Held = tuple[FoldRunKey, int]


class VirtualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        """The current virtual time."""
        return self._now

    def advance_to(self, at: datetime) -> None:
        """Move to a time that is not before the current one."""
        self._now = max(self._now, at)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What training one epoch gives: metrics, and how long it took."""

    metrics: Mapping[str, float]
    duration: timedelta


Behaviour = Callable[[Segment, int], Iterator[Epoch]]
"""Trains a segment from the epoch after the given one. Returning ends the fold run early; raising fails it; a duration
longer than any timeout is a hang."""


@dataclass(slots=True)
class _Worker:
    id: WorkerId
    pool: PoolKey
    ready: bool = False
    queue: deque[Segment] = field(default_factory=deque)
    running: Segment | None = None
    epochs: Iterator[Epoch] | None = None
    epoch: int = 0
    announced: bool = False
    cancelled: set[Held] = field(default_factory=set)
    draining: bool = False
    sequence: int = 0
    outbox: deque[SegmentReported] = field(default_factory=deque)


class SimulatedCluster:
    """Nodes and workers that live on in virtual time, whichever engine is attached."""

    def __init__(self, clock: VirtualClock, nodes: Sequence[Node], behaviour: Behaviour, start: timedelta) -> None:
        """A cluster without workers.

        Args:
            clock: Virtual time; moved by ``step``.
            nodes: What there is.
            behaviour: How trainables train.
            start: How long a worker takes to start.
        """
        self.clock = clock
        self.nodes = tuple(nodes)
        self._behaviour = behaviour
        self._start = start
        self._workers: dict[WorkerId, _Worker] = {}
        self._checkpoints: dict[tuple[StudyName, TrialNumber], dict[FoldRunKey, int]] = {}
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._planned = 0
        self.attached: SimulatedEngine | None = None

    # Time

    def plan(self, delay: timedelta, action: Callable[[], None]) -> None:
        """Have something happen after a delay."""
        self._planned += 1
        heapq.heappush(self._agenda, (self.clock.now() + delay, self._planned, action))

    def next_at(self) -> datetime | None:
        """When the next thing happens, or None if nothing will."""
        return self._agenda[0][0] if self._agenda else None

    def step(self) -> None:
        """Move to the next thing and let it happen."""
        at, _, action = heapq.heappop(self._agenda)
        self.clock.advance_to(at)
        action()

    # Workers

    def workers(self) -> list[WorkerId]:
        """The workers that live, in order of their start."""
        return list(self._workers)

    def resize(self, nodes: Sequence[Node]) -> None:
        """Change what the cluster consists of; workers stay until they are killed."""
        self.nodes = tuple(nodes)
        self._deliver(CapacityChanged(self.nodes))

    def kill(self, name: WorkerId, cause: LossCause = LossCause.DIED, reason: str = "killed") -> None:
        """End a worker as its process' death would."""
        if self._workers.pop(name, None) is not None:
            self._deliver(WorkerLost(name, cause, reason))

    def perform(self, command: EngineCommand) -> None:
        """Carry out a command."""
        match command:
            case StartWorker(name, pool):
                self._workers[name] = _Worker(name, pool)
                self.plan(self._start, lambda: self._become_ready(name))
            case RetireWorker(name):
                self.plan(timedelta(0), lambda: self.kill(name, LossCause.RETIRED, "retired"))
            case KillWorker(name, reason):
                self.plan(timedelta(0), lambda: self.kill(name, LossCause.KILLED, reason))
            case RunSegments(name, segments):
                if (worker := self._workers.get(name)) is not None:
                    worker.queue.extend(segments)
                    self._begin(worker)
            case CancelSegment(name, key, attempt):
                if (worker := self._workers.get(name)) is not None:
                    worker.cancelled.add((key, attempt))
            case Acknowledge(name, sequence):
                if (worker := self._workers.get(name)) is not None:
                    while worker.outbox and worker.outbox[0].sequence <= sequence:
                        worker.outbox.popleft()
            case Drain():
                for worker in self._workers.values():
                    worker.draining = True
            case Forget(study, trial):
                self._forget(study, trial)
            case _:
                assert_never(command)

    def adopt(self) -> Iterator[EngineEvent]:
        """What an engine that attaches must learn: the nodes, each worker and what it holds, and its outbox."""
        yield CapacityChanged(self.nodes)
        for worker in self._workers.values():
            worker.draining = False
            held = [*([worker.running] if worker.running else []), *worker.queue]
            yield WorkerAdopted(worker.id, worker.pool, tuple((s.key, s.attempt) for s in held))
            yield from worker.outbox

    def _deliver(self, event: EngineEvent) -> None:
        if self.attached is not None:
            self.attached.deliver(event)

    def _become_ready(self, name: WorkerId) -> None:
        if (worker := self._workers.get(name)) is not None:
            worker.ready = True
            self._deliver(WorkerReady(name))
            self._begin(worker)

    def _begin(self, worker: _Worker) -> None:
        """Start the next queued segment if the worker is free."""
        while worker.ready and worker.running is None and worker.queue:
            segment = worker.queue.popleft()
            if (segment.key, segment.attempt) in worker.cancelled or worker.draining:
                self._report(worker, segment, (), self._unwanted(worker, segment, 0))
                continue
            worker.running = segment
            worker.epoch = min(self._saved(segment.key).get(segment.key, 0), segment.target - 1)
            worker.epochs = self._behaviour(segment, worker.epoch)
            worker.announced = False
            self._train(worker)

    def _train(self, worker: _Worker) -> None:
        """Plan the end of the running segment's next epoch."""
        segment = worker.running
        if segment is None or worker.epochs is None:
            return
        try:
            epoch = next(worker.epochs, None)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self.plan(timedelta(0), lambda: self._end(worker, segment, (), Ended(Outcome.FAILED, worker.epoch, reason)))
            return
        if epoch is None:
            ended = Ended(Outcome.FINISHED, worker.epoch)
            self.plan(timedelta(0), lambda: self._end(worker, segment, (), ended))
            return
        if not worker.announced and epoch.duration >= timedelta(seconds=1):
            worker.announced = True
            self._deliver(SegmentStarted(worker.id, segment.key, segment.attempt, timedelta(0)))
        self.plan(epoch.duration, lambda: self._epoch_done(worker, segment, epoch))

    def _epoch_done(self, worker: _Worker, segment: Segment, epoch: Epoch) -> None:
        if worker.id not in self._workers:
            return
        worker.epoch += 1
        report = Report(worker.epoch, epoch.metrics, epoch.duration.total_seconds(), self.clock.now())
        reached = worker.epoch >= segment.target
        if (segment.key, segment.attempt) in worker.cancelled or (worker.draining and not reached):
            self._end(worker, segment, (report,), self._unwanted(worker, segment, worker.epoch))
        elif reached:
            if segment.target < segment.task.evaluation.epochs:
                self._saved(segment.key)[segment.key] = worker.epoch
            self._end(worker, segment, (report,), Ended(Outcome.REACHED, worker.epoch))
        else:
            self._report(worker, segment, (report,), None)
            self._train(worker)

    def _unwanted(self, worker: _Worker, segment: Segment, epoch: int) -> Ended:
        if (segment.key, segment.attempt) in worker.cancelled:
            worker.cancelled.discard((segment.key, segment.attempt))
            return Ended(Outcome.CANCELLED, epoch)
        if epoch:
            self._saved(segment.key)[segment.key] = epoch
        return Ended(Outcome.DRAINED, epoch)

    def _end(self, worker: _Worker, segment: Segment, reports: tuple[Report, ...], ended: Ended) -> None:
        if worker.id not in self._workers:
            return
        worker.running = worker.epochs = None
        self._report(worker, segment, reports, ended)
        self._begin(worker)

    def _report(self, worker: _Worker, segment: Segment, reports: tuple[Report, ...], ended: Ended | None) -> None:
        worker.sequence += 1
        message = SegmentReported(worker.id, worker.sequence, segment.key, segment.attempt, reports, ended)
        worker.outbox.append(message)
        self._deliver(message)

    def _saved(self, key: FoldRunKey) -> dict[FoldRunKey, int]:
        return self._checkpoints.setdefault((key.study, key.trial), {})

    def _forget(self, study: StudyName, trial: TrialNumber | None) -> None:
        if trial is not None:
            self._checkpoints.pop((study, trial), None)
            return
        for saved in [s for s in self._checkpoints if s[0] == study]:
            del self._checkpoints[saved]


class SimulatedEngine:
    """One server's hold on a simulated cluster."""

    def __init__(self, cluster: SimulatedCluster, deliver: Callable[[EngineEvent], None]) -> None:
        self._cluster = cluster
        self.deliver = deliver

    def start(self, epoch: int) -> None:  # noqa: ARG002  # a simulated cluster has one engine at a time
        """Attach, adopting the workers there are."""
        self._cluster.attached = self
        for event in list(self._cluster.adopt()):
            self.deliver(event)

    def perform(self, commands: Sequence[EngineCommand]) -> None:
        """Carry out commands, in order."""
        if self._cluster.attached is self:
            for command in commands:
                self._cluster.perform(command)

    def close(self, *, leave_workers: bool) -> None:
        """Detach."""
        if not leave_workers:
            for name in self._cluster.workers():
                self._cluster.kill(name, LossCause.RETIRED, "the engine closed")
        self._cluster.attached = None
