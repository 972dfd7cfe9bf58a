"""Who gets which worker: fair between studies in a pool, fair between shapes in the cluster.

Work is done per pool and study that something happened to, so its cost does not grow with the cluster.
"""

import math
from datetime import datetime, timedelta

from searchd.conductor.active import ActiveStudy
from searchd.conductor.cluster import RECLAIM_AFTER, Pool, Worker, WorkerState
from searchd.conductor.evaluation import has_work, next_segment
from searchd.conductor.mind import Mind
from searchd.ports.engine import PoolKey, RetireWorker, RunSegments, Segment, StartWorker

IN_FLIGHT_SECONDS = 0.05
"""Work that is kept queued on a worker whose segments are brief."""

BRIEF_SECONDS = 1.0
"""Segments at least this long need no second one queued behind them."""

MOST_IN_FLIGHT = 32
LEARNING_IN_FLIGHT = 2
"""A searcher that learns should not propose far ahead of what it knows."""

DEADLINE_SLACK = timedelta(seconds=15)
"""Added to the segment timeout where the segment's start is not known exactly."""


def pool_of(mind: Mind, active: ActiveStudy) -> Pool:
    """The pool whose workers can serve a study."""
    return mind.cluster.pool(PoolKey(active.study.code, active.study.spec.resources))


def line_up(mind: Mind, active: ActiveStudy) -> None:
    """Put the study in its pool's line if it could use one more worker, else take it out."""
    pool = pool_of(mind, active)
    mind.touched_pools[pool.key] = None
    if active.slots_left and has_work(active):
        pool.wait(active)
    else:
        pool.leave(active)


def dispatch(mind: Mind, now: datetime) -> None:
    """Hand work to the workers that have become free, and start or retire workers where shapes are short."""
    if mind.draining or not mind.reconciled:
        return
    while mind.touched_pools:
        touched = list(mind.touched_pools)
        mind.touched_pools.clear()
        for key in touched:
            if key in mind.cluster.pools:
                _serve(mind, mind.cluster.pools[key], now)
        _balance(mind, now)
    for worker in mind.touched_workers.values():
        if worker.state is WorkerState.BUSY:
            _top_up(mind, worker, now)


def _serve(mind: Mind, pool: Pool, now: datetime) -> None:
    """Give the pool's idle workers to its neediest studies, or to a shape with a better claim."""
    while pool.idle and (active := pool.neediest()) is not None:
        worker = next(iter(pool.idle.values()))
        if _reclaimable(mind, worker, now):
            _retire(mind, worker, now)
            continue
        pool.leave(active)
        segments = _segments(mind, active, _depth(active), now)
        if segments:
            active.serving.add(worker.id)
            active.progress_stale = True
            mind.cluster.move(worker, WorkerState.BUSY, now)
            worker.study = active
            _queue(mind, worker, segments, now)
        if active.slots_left and has_work(active):
            pool.wait(active)


def _top_up(mind: Mind, worker: Worker, now: datetime) -> None:
    """Keep brief segments queued, unless another study or shape should have the worker next."""
    active = worker.study
    if active is None or not active.hands_out:
        return
    depth = _depth(active)
    if depth == 1 or len(worker.held) > depth // 2 or _reclaimable(mind, worker, now):
        return
    rival = worker.pool.neediest()
    if rival is not None and rival is not active and len(rival.serving) < len(active.serving):
        return
    segments = _segments(mind, active, depth - len(worker.held), now)
    if segments:
        _queue(mind, worker, segments, now)
    line_up(mind, active)


def _segments(mind: Mind, active: ActiveStudy, count: int, now: datetime) -> list[Segment]:
    segments: list[Segment] = []
    while len(segments) < count and active.hands_out:
        segment = next_segment(mind, active, now)
        if segment is None:
            break
        segments.append(segment)
    return segments


def _queue(mind: Mind, worker: Worker, segments: list[Segment], now: datetime) -> None:
    if not worker.held:
        expect_end(mind, worker, now)
    for segment in segments:
        worker.held.append((segment.key, segment.attempt))
        mind.holders[segment.key, segment.attempt] = worker
    mind.command(RunSegments(worker.id, tuple(segments)))


def expect_end(mind: Mind, worker: Worker, started: datetime, slack: timedelta = DEADLINE_SLACK) -> None:
    """Set the worker's deadline for the segment that it runs first, which started then or, within slack, later."""
    if worker.study is None:
        return
    worker.deadline = started + worker.study.study.spec.retry.segment_timeout + slack
    if worker.timer is None or worker.deadline < worker.timer:
        wake_at_deadline(mind, worker)


def wake_at_deadline(mind: Mind, worker: Worker) -> None:
    """Set a timer for the worker's deadline; the one that is set suffices while deadlines move away."""
    if worker.deadline is not None:
        worker.timer = worker.deadline
        mind.set_timer(worker.deadline, worker)


def _depth(active: ActiveStudy) -> int:
    """Segments to keep with a worker, counting the one that runs. One slot means strictly one after the other."""
    seconds = active.segment_seconds
    if seconds is None or seconds >= BRIEF_SECONDS or active.study.spec.budget.slots == 1:
        return 1
    if active.study.spec.search.algorithm.adaptive:
        return LEARNING_IN_FLIGHT
    return max(2, min(MOST_IN_FLIGHT, math.ceil(IN_FLIGHT_SECONDS / max(seconds, 1e-6))))


def _reclaimable(mind: Mind, worker: Worker, now: datetime) -> bool:
    return mind.claim is not None and mind.claim != worker.pool.key and now - worker.since_ready >= RECLAIM_AFTER


def _retire(mind: Mind, worker: Worker, now: datetime) -> None:
    mind.cluster.move(worker, WorkerState.LEAVING, now)
    mind.command(RetireWorker(worker.id))


def _balance(mind: Mind, now: datetime) -> None:
    """Start workers for pools with work and none idle, neediest first; clear room for the first that finds none."""
    mind.claim = None
    hungry = [
        (-active.study.spec.priority, mind.cluster.share(pool.key.resources, len(active.serving)), active.order, pool)
        for pool in mind.cluster.pools.values()
        if not pool.idle and (active := pool.neediest()) is not None
    ]
    for priority, share, _, pool in sorted(hungry, key=lambda entry: entry[:3]):
        if mind.cluster.fits(pool.key.resources):
            _start_workers(mind, pool, now)
        elif not pool.starting and _clear_room(mind, pool, priority, share, now):
            break


def _start_workers(mind: Mind, pool: Pool, now: datetime) -> None:
    """Start as many workers as there is work for, if they fit."""
    wanted = _work_units(pool) - len(pool.starting)
    while wanted > 0 and mind.cluster.fits(pool.key.resources):
        worker = Worker(mind.name_worker(), pool, WorkerState.STARTING, now, since_ready=now)
        mind.cluster.add(worker)
        mind.command(StartWorker(worker.id, pool.key))
        wanted -= 1


def _work_units(pool: Pool) -> int:
    """How many more workers the studies in line could use, counted as far as it matters."""
    units = 0
    for active in pool.lined_up.values():
        paused = active.scheduler.promotable() is not None or active.scheduler.best_paused() is not None
        wants = max(len(active.ready) + len(active.suggestions) + len(active.extra), int(paused))
        slots = active.study.spec.budget.slots
        units += wants if slots is None else min(wants, slots - len(active.serving))
        if units >= 1024:
            break
    return units


def _clear_room(mind: Mind, needy: Pool, priority: int, share: float, now: datetime) -> bool:
    """Retire idle workers of other shapes; if that is not enough, claim those that come free of studies that use more.

    Returns:
        Whether resources are being cleared, so that nobody else may take them.
    """
    leaving = False
    for pool in list(mind.cluster.pools.values()):
        if pool is needy:
            continue
        leaving = leaving or any(w.state is WorkerState.LEAVING for w in pool.workers.values())
        if pool.neediest() is None:
            for worker in list(pool.idle.values()):
                _retire(mind, worker, now)
                return True
    richer = any(
        worker.study is not None
        and (
            -worker.study.study.spec.priority > priority
            or mind.cluster.share(worker.pool.key.resources, len(worker.study.serving)) > share
        )
        for pool in mind.cluster.pools.values()
        if pool is not needy
        for worker in list(pool.workers.values())[:8]
    )
    if richer:
        mind.claim = needy.key
    return leaving or richer
