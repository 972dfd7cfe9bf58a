"""Who gets which worker: fair between studies in a pool, fair between shapes in the cluster.

Work is done per pool and study that something happened to, so its cost does not grow with the cluster.
"""

import math
from collections import deque
from datetime import datetime, timedelta

from searchd.conductor.active import ActiveStudy
from searchd.conductor.cluster import RECLAIM_AFTER, Pool, Worker, WorkerState
from searchd.conductor.handing_out import has_work, next_segment
from searchd.conductor.mind import Mind
from searchd.domain.failure import Failure
from searchd.domain.study import Retry
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
    spec = active.study.spec
    return mind.cluster.pool(PoolKey(active.study.code, spec.resources, spec.code_id))


def line_up(mind: Mind, active: ActiveStudy) -> None:
    """Put the study in its pool's line if it could use one more worker, else take it out."""
    mind.attending = active.study.name
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
        if _reclaimable(mind, worker, active, len(active.serving) + 1, now):
            _retire(mind, worker, now)
            continue
        pool.serve(active)
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
    if depth == 1 or len(worker.held) > depth // 2 or _reclaimable(mind, worker, active, len(active.serving), now):
        return
    rival = worker.pool.neediest()
    if rival is not None and rival is not active and _rank(rival) < _rank(active):
        return
    segments = _segments(mind, active, depth - len(worker.held), now)
    if segments:
        _queue(mind, worker, segments, now)
    line_up(mind, active)


def _segments(mind: Mind, active: ActiveStudy, count: int, now: datetime) -> list[Segment]:
    mind.attending = active.study.name
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
    """Have the segment that the worker runs first watched; it started then or, within slack, later."""
    worker.began, worker.heard = started + slack, None
    wake_at_deadline(mind, worker)


def deadline(worker: Worker) -> tuple[datetime, Failure] | None:
    """When the worker's segment is too late, and what it fails by then: it has reported nothing for too long, or has
    gone on reporting for too long. None if it runs none."""
    if worker.began is None:
        return None
    retry = Retry() if worker.study is None else worker.study.study.spec.retry
    over = worker.began + retry.segment_timeout
    silent = (worker.heard or worker.began) + (retry.report_timeout or retry.segment_timeout)
    return (over, Failure.TIMED_OUT) if over < silent else (silent, Failure.HUNG)


def wake_at_deadline(mind: Mind, worker: Worker) -> None:
    """Set a timer for the worker's deadline; the one that is set suffices while deadlines move away."""
    late = deadline(worker)
    if late is not None and (worker.timer is None or late[0] < worker.timer):
        worker.timer = late[0]
        mind.set_timer(worker.timer, worker)


def _depth(active: ActiveStudy) -> int:
    """Segments to keep with a worker, counting the one that runs. One slot means strictly one after the other."""
    seconds = active.segment_seconds
    if seconds is None or seconds >= BRIEF_SECONDS or active.study.spec.budget.slots == 1:
        return 1
    if active.study.spec.search.algorithm.adaptive:
        return LEARNING_IN_FLIGHT
    return max(2, min(MOST_IN_FLIGHT, math.ceil(IN_FLIGHT_SECONDS / max(seconds, 1e-6))))


def _rank(active: ActiveStudy) -> tuple[int, int]:
    """Studies of a pool get workers in this order."""
    return -active.study.spec.priority, len(active.serving)


def _reclaimable(mind: Mind, worker: Worker, active: ActiveStudy, workers: int, now: datetime) -> bool:
    """Whether a free worker should make room for the shape that claims it, rather than be one of ``workers`` that
    serve the study. Once room is being made for a shape, it is made until one worker fits."""
    claiming = mind.cluster.pools.get(mind.claim) if mind.claim is not None else None
    claimant = claiming.neediest() if claiming is not None else None
    if (
        claiming is None
        or claimant is None
        or claiming is worker.pool
        or now - worker.since_ready < RECLAIM_AFTER
        or mind.cluster.will_fit(claiming.key.resources)
    ):
        return False
    if mind.clearing:
        return active.study.spec.priority <= claimant.study.spec.priority
    mind.clearing = _yields(mind, active, workers, claimant)
    return mind.clearing


def _yields(mind: Mind, active: ActiveStudy, workers: int, claimant: ActiveStudy) -> bool:
    """Whether a study with so many workers should give some up: to a higher priority, to one that has none (they
    take turns then), or if the smaller of their shares of the cluster grows by it."""
    mine, theirs = active.study.spec, claimant.study.spec
    if mine.priority != theirs.priority:
        return mine.priority < theirs.priority
    share = mind.cluster.share
    moved = max(share(mine.resources, 1), share(theirs.resources, 1))
    gains = share(theirs.resources, len(claimant.serving)) + moved < share(mine.resources, workers)
    return gains or not claimant.serving


def _retire(mind: Mind, worker: Worker, now: datetime) -> None:
    mind.cluster.move(worker, WorkerState.LEAVING, now)
    mind.command(RetireWorker(worker.id))


def _balance(mind: Mind, now: datetime) -> None:
    """Start workers for pools with work and none idle, in turns, neediest first.

    The first for which there is no room claims it: workers that nobody waits for are retired, and those that come free
    are weighed against the claim. While room is being made, nobody else takes it.
    """
    hungry = deque(_hungry(mind))
    if all(pool.key != mind.claim for pool in hungry):
        mind.claim, mind.clearing = None, False
    claim: PoolKey | None = None
    while hungry:
        pool = hungry.popleft()
        resting = pool.rests_until is not None and now < pool.rests_until
        if resting or len(pool.workers) >= mind.cluster.most_workers(pool.key.resources):
            continue
        if mind.cluster.fits(pool.key.resources):
            if pool.key == mind.claim:
                mind.claim, mind.clearing = None, False
            if _work_units(pool) > len(pool.starting):
                _start_worker(mind, pool, now)
                hungry.append(pool)
        elif claim is None and not pool.starting:
            claim = pool.key
            mind.clearing = mind.clearing and claim == mind.claim
            _retire_unwanted(mind, pool, now)
            if mind.clearing:
                break
    mind.claim = claim


def _hungry(mind: Mind) -> list[Pool]:
    """Pools with work and no idle worker, neediest first; one for which room is being made before its equals."""
    cluster = mind.cluster
    ranked: list[tuple[tuple[int, bool, float, int], Pool]] = []
    for pool in cluster.pools.values():
        active = None if pool.idle else pool.neediest()
        if active is not None:
            unclaimed = not (mind.clearing and pool.key == mind.claim)
            share = cluster.share(pool.key.resources, len(active.serving))
            ranked.append(((-active.study.spec.priority, unclaimed, share, active.order), pool))
    return [pool for _, pool in sorted(ranked, key=lambda entry: entry[0])]


def _start_worker(mind: Mind, pool: Pool, now: datetime) -> None:
    worker = Worker(mind.name_worker(), pool, WorkerState.STARTING, now, since_ready=now)
    mind.cluster.add(worker)
    mind.command(StartWorker(worker.id, pool.key))


def _work_units(pool: Pool) -> int:
    """How many more workers the studies in line could use, counted as far as it matters."""
    units = 0
    for active in pool.lined_up.values():
        wants = max(len(active.ready) + active.startable + len(active.extra), 1)
        slots = active.study.spec.budget.slots
        units += wants if slots is None else min(wants, slots - len(active.serving))
        if units > len(pool.starting):
            break
    return units


def _retire_unwanted(mind: Mind, needy: Pool, now: datetime) -> None:
    """Retire idle workers of pools that nobody waits for, until there is room for the needy pool's shape."""
    for pool in mind.cluster.pools.values():
        if pool.neediest() is None:
            for worker in list(pool.idle.values()):
                if mind.cluster.will_fit(needy.key.resources):
                    return
                _retire(mind, worker, now)
