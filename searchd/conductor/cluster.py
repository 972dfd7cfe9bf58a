"""Workers and pools: what runs where, what is free, and who is waiting. Derived from engine events, never stored."""

import heapq
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from searchd.conductor.active import ActiveStudy
from searchd.domain.failure import Failure
from searchd.domain.study import Resources, StudyName
from searchd.domain.trial import FoldRunKey
from searchd.ports.engine import Node, PoolKey, WorkerId

RECLAIM_AFTER = timedelta(seconds=10)
"""A worker whose own pool has work serves at least this long before another shape may take its resources."""

IDLE_AFTER = timedelta(minutes=10)
"""A worker with nothing to do for this long is retired."""


class WorkerState(Enum):
    """A worker's life as the conductor sees it."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    LEAVING = "leaving"


@dataclass(slots=True)
class Worker:
    """One worker; ``held`` is what it runs (first) and has queued, as (key, attempt); it serves one study at a time."""

    id: WorkerId
    pool: "Pool"
    state: WorkerState
    since: datetime
    since_ready: datetime
    study: ActiveStudy | None = None
    held: deque[tuple[FoldRunKey, int]] = field(default_factory=deque)
    began: datetime | None = None
    """When the segment that it runs started, or later; None while it runs none."""
    heard: datetime | None = None
    """When that segment last reported; None if it has not."""
    timer: datetime | None = None
    """When the timer that looks at the deadline is set for; timers set for later than that count for nothing."""
    overdue: tuple[tuple[FoldRunKey, int], Failure] | None = None
    """What it was told to be killed for, and what that counts as."""
    sequence: int = 0
    acknowledged: int = 0


@dataclass(slots=True)
class Pool:
    """Interchangeable workers, and the studies that wait for one, neediest first.

    ``waiting`` holds (-priority, workers in use, when it was served last, order, stamp, study); an entry whose stamp is
    not the study's newest is outdated and skipped.
    """

    key: PoolKey
    idle: dict[WorkerId, Worker] = field(default_factory=dict)
    starting: dict[WorkerId, Worker] = field(default_factory=dict)
    workers: dict[WorkerId, Worker] = field(default_factory=dict)
    waiting: list[tuple[int, int, int, int, int, ActiveStudy]] = field(default_factory=list)
    lined_up: dict[StudyName, ActiveStudy] = field(default_factory=dict)
    served: int = 0
    failed_starts: int = 0
    rests_until: datetime | None = None
    """Until then no worker is started, since the last ones could not."""

    def wait(self, active: ActiveStudy) -> None:
        """Put a study in line, at the place that its use of the pool gives it."""
        active.stamp += 1
        self.lined_up[active.study.name] = active
        if len(self.waiting) > 2 * len(self.lined_up) + 64:
            self.waiting = [entry for entry in self.waiting if entry[4] == entry[5].stamp]
            heapq.heapify(self.waiting)
        rank = (-active.study.spec.priority, len(active.serving), active.served)
        heapq.heappush(self.waiting, (*rank, active.order, active.stamp, active))

    def neediest(self) -> ActiveStudy | None:
        """The study that should get the next worker, or None if nobody waits."""
        while self.waiting:
            entry = self.waiting[0]
            if entry[4] == entry[5].stamp:
                return entry[5]
            heapq.heappop(self.waiting)
        return None

    def serve(self, active: ActiveStudy) -> None:
        """Take a study out of the line because it is its turn; of equally needy ones it is the last from now on."""
        self.served += 1
        active.served = self.served
        self.leave(active)

    def leave(self, active: ActiveStudy) -> None:
        """Take a study out of the line."""
        active.stamp += 1
        self.lined_up.pop(active.study.name, None)


class Cluster:
    """Nodes, pools and workers, with what of the capacity is taken."""

    def __init__(self) -> None:
        self.nodes: tuple[Node, ...] = ()
        self._cpus = self._gpus = 0.0
        self.pools: dict[PoolKey, Pool] = {}
        self.workers: dict[WorkerId, Worker] = {}
        self._cpus_taken = self._gpus_taken = 0.0
        self._cpus_leaving = self._gpus_leaving = 0.0
        self._most_workers: dict[Resources, int] = {}

    def set_nodes(self, nodes: tuple[Node, ...]) -> None:
        """Note what the cluster now consists of."""
        self.nodes = nodes
        self._cpus = sum(node.cpus for node in nodes)
        self._gpus = sum(node.gpus for node in nodes)
        self._most_workers.clear()

    def pool(self, key: PoolKey) -> Pool:
        """The pool of that key, made when first asked for."""
        found = self.pools.get(key)
        if found is None:
            found = self.pools[key] = Pool(key)
        return found

    def add(self, worker: Worker) -> None:
        """Count a worker in."""
        self.workers[worker.id] = worker
        worker.pool.workers[worker.id] = worker
        if worker.state is WorkerState.STARTING:
            worker.pool.starting[worker.id] = worker
        self._cpus_taken += worker.pool.key.resources.cpus
        self._gpus_taken += worker.pool.key.resources.gpus

    def remove(self, worker: Worker) -> None:
        """Count a worker out."""
        del self.workers[worker.id]
        pool = worker.pool
        del pool.workers[worker.id]
        pool.starting.pop(worker.id, None)
        pool.idle.pop(worker.id, None)
        shape = pool.key.resources
        self._cpus_taken -= shape.cpus
        self._gpus_taken -= shape.gpus
        if worker.state is WorkerState.LEAVING:
            self._cpus_leaving -= shape.cpus
            self._gpus_leaving -= shape.gpus
        if not pool.workers and pool.neediest() is None:
            del self.pools[pool.key]

    def move(self, worker: Worker, state: WorkerState, now: datetime) -> None:
        """Change a worker's state."""
        worker.pool.starting.pop(worker.id, None)
        worker.pool.idle.pop(worker.id, None)
        if state is WorkerState.LEAVING and worker.state is not state:
            self._cpus_leaving += worker.pool.key.resources.cpus
            self._gpus_leaving += worker.pool.key.resources.gpus
        worker.state = state
        worker.since = now
        if state is WorkerState.IDLE:
            worker.pool.idle[worker.id] = worker

    def fits(self, shape: Resources) -> bool:
        """Whether the free capacity takes one more worker of that shape."""
        return self._cpus_taken + shape.cpus <= self._cpus + 1e-9 and self._gpus_taken + shape.gpus <= self._gpus + 1e-9

    def will_fit(self, shape: Resources) -> bool:
        """Whether one more worker of that shape fits once the workers that are leaving have gone."""
        cpus, gpus = self._cpus_taken - self._cpus_leaving, self._gpus_taken - self._gpus_leaving
        return cpus + shape.cpus <= self._cpus + 1e-9 and gpus + shape.gpus <= self._gpus + 1e-9

    def share(self, shape: Resources, workers: int) -> float:
        """Dominant share of the cluster that so many workers of a shape take (Ghodsi et al., "Dominant Resource
        Fairness", NSDI 2011)."""
        return workers * max(shape.cpus / (self._cpus or 1.0), shape.gpus / (self._gpus or 1.0))

    def most_workers(self, shape: Resources) -> int:
        """How many workers of a shape the whole cluster could hold."""
        known = self._most_workers.get(shape)
        if known is not None:
            return known
        count = 0
        for node in self.nodes:
            limits = [node.cpus / shape.cpus] if shape.cpus > 0 else []
            limits += [node.gpus / shape.gpus] if shape.gpus > 0 else []
            count += int(min(limits, default=1.0) + 1e-9)
        return self._most_workers.setdefault(shape, count)
