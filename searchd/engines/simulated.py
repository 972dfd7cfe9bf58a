"""The simulated engine: the same port in virtual time, for tests, for measuring schedulers, and for trying studies."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

from searchd.domain.failure import Failure
from searchd.engines.simulated_worker import (
    Behaviour,
    Checkpoints,
    Epoch,
    SimulatedWorker,
    Surroundings,
    VirtualClock,
)
from searchd.ports.engine import (
    Acknowledge,
    CancelSegment,
    CapacityChanged,
    Drain,
    EngineCommand,
    EngineEvent,
    Forget,
    KillWorker,
    LossCause,
    Node,
    PoolKey,
    RetireWorker,
    RunSegments,
    Segment,
    StartWorker,
    WorkerAdopted,
    WorkerId,
    WorkerLost,
    WorkerReady,
)

__all__ = ["Behaviour", "Epoch", "SimulatedCluster", "SimulatedEngine", "VirtualClock"]


@dataclass(slots=True)
class _Line:
    """What connects a worker with the engine, and what waits at its ends while it is cut."""

    worker: SimulatedWorker
    adopted: bool
    whole: bool = True
    leaving: bool = False
    unheard: list[EngineEvent] = field(default_factory=list)
    untold: list[EngineCommand] = field(default_factory=list)


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
        self.attached: SimulatedEngine | None = None
        self._start = start
        self._lines: dict[WorkerId, _Line] = {}
        self._checkpoints = Checkpoints()
        self._surroundings = Surroundings(clock, behaviour, self.plan, self._checkpoints, self._say, self._vacated)
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._planned = 0
        self._epoch = 0

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

    # What may happen to it

    def workers(self) -> list[WorkerId]:
        """The workers that live, in order of their start."""
        return list(self._lines)

    def holding(self, name: WorkerId) -> list[Segment]:
        """What a worker runs and has queued, in this order; empty if there is no such worker."""
        line = self._lines.get(name)
        return [] if line is None else line.worker.held

    def running(self, name: WorkerId) -> Segment | None:
        """What a worker runs, or None."""
        line = self._lines.get(name)
        return None if line is None else line.worker.running

    def resize(self, nodes: Sequence[Node]) -> None:
        """Change what the cluster consists of; workers stay until they are killed."""
        self.nodes = tuple(nodes)
        self._deliver(CapacityChanged(self.nodes))

    def kill(
        self,
        name: WorkerId,
        cause: LossCause = LossCause.DIED,
        reason: str = "killed",
        failure: Failure = Failure.WORKER_KILLED,
    ) -> None:
        """End a worker as its process' death would."""
        line = self._lines.pop(name, None)
        if line is None:
            return
        line.worker.alive = False
        if line.adopted:
            running = next(((segment.key, segment.attempt) for segment in line.worker.held), None)
            self._deliver(WorkerLost(name, cause, reason, "", failure, running))

    def preempt(self, name: WorkerId) -> None:
        """Have a worker leave because its node is taken back: it saves at its next epoch, says so, and is gone."""
        line = self._lines.get(name)
        if line is not None:
            line.worker.draining = line.leaving = True
            if not line.worker.held:
                self._vacated(line.worker)

    def lose_node(self, name: str) -> None:
        """End a node with all of its workers."""
        for line in [line for line in self._lines.values() if line.worker.node == name]:
            self.kill(line.worker.id, LossCause.DIED, "its node was lost", Failure.NODE_LOST)
        self.resize([node for node in self.nodes if node.name != name])

    def cut_off(self, name: WorkerId) -> None:
        """Let nothing through to a worker nor from it; it trains on and keeps its messages.

        It answers no adoption meanwhile, and is adopted when it is in reach again."""
        if name in self._lines:
            self._lines[name].whole = False

    def reconnect(self, name: WorkerId) -> None:
        """Let through what there is: a worker that missed an adoption is adopted now, and what it was told before is
        void."""
        line = self._lines.get(name)
        if line is None or line.whole:
            return
        line.whole = True
        unheard, line.unheard = line.unheard, []
        untold, line.untold = line.untold, []
        if line.adopted:
            for event in unheard:
                self._deliver(event)
            for command in untold:
                self.perform(command)
        else:
            for event in self._taken_over(line):
                self._deliver(event)

    # Commands

    def perform(self, command: EngineCommand) -> None:
        """Carry out a command of the attached engine."""
        match command:
            case StartWorker():
                self.start_worker(command, adopted=True)
            case RetireWorker(name):
                self.plan(timedelta(0), lambda: self.kill(name, LossCause.RETIRED, "retired"))
            case KillWorker(name, reason):
                self.plan(timedelta(0), lambda: self.kill(name, LossCause.KILLED, reason))
            case RunSegments() | CancelSegment() | Acknowledge():
                self._tell(command)
            case Drain():
                for line in self._lines.values():
                    line.worker.draining = True
            case Forget(study, trial):
                self._checkpoints.forget(study, trial)
            case _:
                assert_never(command)

    def start_worker(self, command: StartWorker, *, adopted: bool) -> None:
        """Start a worker on the first node with room for it, else on the first of all; without nodes it is lost.

        One that is not ``adopted``, since an engine asked for it that has been superseded, waits for the next adoption.
        """
        name, pool = command.worker, command.pool
        node = self._place(pool)
        if node is None:
            if adopted:
                self._deliver(WorkerLost(name, LossCause.UNPLACED, "there are no nodes"))
            return
        worker = SimulatedWorker(name, pool, node.name, self._surroundings)
        self._lines[name] = _Line(worker, adopted)
        self.plan(self._start, lambda: self._started(worker))

    # Adoption

    def attach(self, engine: "SimulatedEngine", epoch: int) -> None:
        """Have an engine adopt all workers and be the one that they obey. Of an older epoch than another one's, it
        learns of the nodes alone: the workers refuse it."""
        if epoch < self._epoch:
            engine.deliver(CapacityChanged(self.nodes))
            return
        self._epoch = epoch
        self.attached = engine
        for event in list(self.adopt()):
            engine.deliver(event)

    def adopt(self) -> Iterator[EngineEvent]:
        """What an engine that attaches must learn: the nodes, each worker and what it holds, and its outbox."""
        yield CapacityChanged(self.nodes)
        for line in self._lines.values():
            if line.whole:
                yield from self._taken_over(line)
            else:
                line.adopted = False

    def _taken_over(self, line: _Line) -> Iterator[EngineEvent]:
        worker = line.worker
        line.adopted = True
        worker.draining = line.leaving
        yield WorkerAdopted(worker.id, worker.pool, tuple((s.key, s.attempt) for s in worker.held))
        yield from worker.outbox

    # The rest

    def _started(self, worker: SimulatedWorker) -> None:
        if worker.alive:
            self._say(worker, WorkerReady(worker.id))
            worker.become_ready()

    def _tell(self, command: RunSegments | CancelSegment | Acknowledge) -> None:
        line = self._lines.get(command.worker)
        if line is None:
            return
        if not line.whole:
            line.untold.append(command)
            return
        match command:
            case RunSegments(_, segments):
                line.worker.run(segments)
            case CancelSegment(_, key, attempt):
                line.worker.cancel(key, attempt)
            case Acknowledge(_, sequence):
                line.worker.acknowledge(sequence)
            case _:
                assert_never(command)

    def _say(self, worker: SimulatedWorker, event: EngineEvent) -> None:
        """Send what a worker says, now or when it is in reach again."""
        line = self._lines[worker.id]
        if not line.whole:
            line.unheard.append(event)
        elif line.adopted:
            self._deliver(event)

    def _vacated(self, worker: SimulatedWorker) -> None:
        """End a worker that is being preempted and holds nothing any more."""
        if self._lines[worker.id].leaving:
            self.kill(worker.id, LossCause.DIED, "its node was taken back", Failure.PREEMPTED)

    def _deliver(self, event: EngineEvent) -> None:
        if self.attached is not None:
            self.attached.deliver(event)

    def _place(self, pool: PoolKey) -> Node | None:
        for node in self.nodes:
            placed = [line.worker.pool.resources for line in self._lines.values() if line.worker.node == node.name]
            cpus = sum(resources.cpus for resources in placed) + pool.resources.cpus
            gpus = sum(resources.gpus for resources in placed) + pool.resources.gpus
            if cpus <= node.cpus and gpus <= node.gpus:
                return node
        return self.nodes[0] if self.nodes else None


class SimulatedEngine:
    """One server's hold on a simulated cluster."""

    def __init__(self, cluster: SimulatedCluster, deliver: Callable[[EngineEvent], None]) -> None:
        self._cluster = cluster
        self.deliver = deliver

    def start(self, epoch: int) -> None:
        """Attach, adopting the workers there are."""
        self._cluster.attach(self, epoch)

    def perform(self, commands: Sequence[EngineCommand]) -> None:
        """Carry out commands, in order. Workers obey the newest engine only; to start some, or to forget files, any
        can."""
        for command in commands:
            if self._cluster.attached is self or isinstance(command, Forget):
                self._cluster.perform(command)
            elif isinstance(command, StartWorker):
                self._cluster.start_worker(command, adopted=False)

    def close(self, *, leave_workers: bool) -> None:
        """Detach."""
        if self._cluster.attached is not self:
            return
        if not leave_workers:
            for name in self._cluster.workers():
                self._cluster.kill(name, LossCause.RETIRED, "the engine closed")
        self._cluster.attached = None
