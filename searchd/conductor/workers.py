"""What becomes of workers and of what they hold: ready, adopted, reporting, late, lost."""

from datetime import datetime, timedelta
from typing import assert_never

from searchd.conductor.active import ActiveStudy, code_of
from searchd.conductor.cluster import IDLE_AFTER, Worker, WorkerState
from searchd.conductor.dispatch import deadline, expect_end, pool_of, wake_at_deadline
from searchd.conductor.ending import stop
from searchd.conductor.evaluation import failed, handed_back, held_run, reported
from searchd.conductor.mind import Mind
from searchd.domain.facts import TrialPut
from searchd.domain.failure import Failure
from searchd.domain.study import Retry
from searchd.domain.trial import FoldRunKey, FoldRunState
from searchd.ports.engine import (
    CancelSegment,
    Drain,
    KillWorker,
    LossCause,
    Outcome,
    RetireWorker,
    SegmentReported,
    WorkerAdopted,
    WorkerId,
    WorkerLost,
)

CRASHES = 8
"""A trainable that crashes so many workers, with no segment of it ending in between, is quarantined."""

REST = timedelta(minutes=1)
"""How long no worker is started for a pool that has failed to start so many, while others of its workers run."""

MISSED = timedelta(seconds=5)
"""A timer that is looked at this much too late was missed."""

FAILED_STARTS = 3
"""A pool whose workers fail to start this often in a row, with none running, fails the studies that need it."""


def ready(mind: Mind, name: WorkerId, now: datetime) -> None:
    """A worker that was asked for has started."""
    worker = mind.cluster.workers.get(name)
    if worker is None or worker.state is not WorkerState.STARTING:
        return
    worker.since_ready = now
    worker.pool.failed_starts = 0
    mind.cluster.move(worker, WorkerState.IDLE, now)
    mind.touched_pools[worker.pool.key] = None


def adopted(mind: Mind, event: WorkerAdopted, now: datetime) -> None:
    """Take over a worker of an earlier server, with what it holds that is still wanted; cancel the rest.

    A worker that is known already was adopted by this server before; its reports have said what changed since.
    """
    if event.worker in mind.cluster.workers:
        return
    pool = mind.cluster.pool(event.pool)
    worker = Worker(event.worker, pool, WorkerState.STARTING, now, since_ready=now)
    mind.cluster.add(worker)
    for key, attempt in event.holding:
        worker.held.append((key, attempt))
        active = mind.studies.get(key.study)
        if active is not None and worker.study in (None, active):
            worker.study = active
            active.serving.add(worker.id)
            active.progress_stale = True
            mind.dirty[key.study] = active
            if held_run(active, key, attempt) is not None and (key, attempt) not in mind.holders:
                mind.holders[key, attempt] = worker
                continue
        mind.command(CancelSegment(worker.id, key, attempt))
    mind.cluster.move(worker, WorkerState.BUSY if worker.held else WorkerState.IDLE, now)
    if worker.held:
        expect_end(mind, worker, now)
    mind.touched_pools[pool.key] = None


def forgotten(mind: Mind) -> None:
    """An engine begins to adopt: what one that was superseded meanwhile told of workers is void."""
    for worker in list(mind.cluster.workers.values()):
        for held in worker.held:
            mind.holders.pop(held, None)
        if worker.study is not None:
            worker.study.serving.discard(worker.id)
        mind.cluster.remove(worker)


def reconciled(mind: Mind) -> None:
    """Hand out again what no worker holds."""
    mind.reconciled = True
    if mind.draining:
        mind.command(Drain())  # those that were adopted since were told to go on
    mind.touched_pools.update(dict.fromkeys(mind.cluster.pools))
    for active in mind.studies.values():
        mind.attending = active.study.name
        mind.dirty[active.study.name] = active
        for trial in list(active.trials.values()):
            changed = trial
            for index, run in enumerate(trial.fold_runs):
                key = active.key(trial, run)
                if run.state is FoldRunState.HANDED_OUT and (key, run.attempt) not in mind.holders:
                    changed = handed_back(active, changed, index, run)
            if changed is not trial:
                mind.emit(TrialPut(changed))


def report_taken(mind: Mind, event: SegmentReported, now: datetime) -> None:
    """Take in what a worker reports of a segment; it is acknowledged once what follows is committed.

    A worker that is not known yet repeats this when it is adopted, after what it reported before.
    """
    worker = mind.cluster.workers.get(event.worker)
    if worker is None:
        return
    held = (event.key, event.attempt)
    if event.reports and worker.held and worker.held[0] == held:
        worker.heard = now
    worker.sequence = max(worker.sequence, event.sequence)
    mind.touched_workers[worker.id] = worker
    of_another = mind.holders.get(held, worker) is not worker  # one of the same name, deleted since
    if event.ended is not None and held in worker.held:
        _released(mind, worker, held, now)
        if event.ended.outcome is Outcome.DRAINED:
            _leave_alone(mind, worker, now)
    active = mind.studies.get(event.key.study)
    if active is None or of_another:
        return
    if event.ended is not None:
        mind.crashes.pop(code_of(active), None)
    mind.attending = active.study.name
    if event.ended is not None and event.ended.outcome in (Outcome.REACHED, Outcome.FINISHED):
        active.took(event.key, event.attempt, sum(report.seconds for report in event.reports))
    reported(mind, active, event, now)


def _released(mind: Mind, worker: Worker, held: tuple[FoldRunKey, int], now: datetime) -> None:
    """The worker no longer holds that attempt."""
    worker.held.remove(held)
    mind.holders.pop(held, None)
    if worker.held:
        expect_end(mind, worker, now)
        return
    active, worker.study, worker.began = worker.study, None, None
    if active is not None:
        active.serving.discard(worker.id)
        active.progress_stale = True
        mind.dirty[active.study.name] = active
    if worker.state is WorkerState.BUSY:
        mind.cluster.move(worker, WorkerState.IDLE, now)
        mind.touched_pools[worker.pool.key] = None


def _leave_alone(mind: Mind, worker: Worker, now: datetime) -> None:
    """Give nothing more to a worker that sets aside what it holds although nobody told it to: it is about to leave."""
    if not mind.draining and worker.state is not WorkerState.LEAVING:
        mind.cluster.move(worker, WorkerState.LEAVING, now)
        mind.command(RetireWorker(worker.id))


def lost(mind: Mind, event: WorkerLost, now: datetime) -> None:
    """Hand out again what a lost worker held; its end counts against the fold run whose segment it ran."""
    worker = mind.cluster.workers.get(event.worker)
    if worker is None:
        return
    since = worker.since_ready
    for held in list(worker.held):
        _released(mind, worker, held, now)
        _interrupted(mind, held, _blame(worker, event, held), event, since, now)
    pool = worker.pool
    never_ready = worker.state is WorkerState.STARTING and event.cause is LossCause.UNPLACED
    pool.failed_starts += never_ready
    mind.cluster.remove(worker)
    mind.touched_pools.update(dict.fromkeys(mind.cluster.pools))
    pool.rests_until = now + REST if pool.failed_starts >= FAILED_STARTS and pool.workers else None
    if never_ready and pool.failed_starts >= FAILED_STARTS and not pool.workers:
        pool.failed_starts = 0
        for active in list(mind.studies.values()):
            if pool_of(mind, active) is pool:
                stop(mind, active, f"workers cannot start: {event.reason}", now)


def _blame(worker: Worker, event: WorkerLost, held: tuple[FoldRunKey, int]) -> Failure | None:
    """What the end of its worker counts as for a segment; None if that was not for its sake."""
    match event.cause:
        case LossCause.DIED:
            return event.failure if event.running == held else None
        case LossCause.KILLED:
            return worker.overdue[1] if worker.overdue is not None and worker.overdue[0] == held else None
        case LossCause.RETIRED | LossCause.UNPLACED:
            return None
        case _:
            assert_never(event.cause)


def _interrupted(
    mind: Mind, held: tuple[FoldRunKey, int], failure: Failure | None, event: WorkerLost, since: datetime, now: datetime
) -> None:
    key, attempt = held
    active = mind.studies.get(key.study)
    found = None if active is None else held_run(active, key, attempt)
    if active is None or found is None:
        return
    mind.attending = active.study.name
    trial, index, run = found
    if failure is None:
        mind.emit(TrialPut(handed_back(active, trial, index, run)))
        return
    mind.emit(TrialPut(failed(mind, active, trial, index, failure, now, event.reason, event.log_tail)))
    if failure.crash:
        _crashed(mind, active, event.reason, since, now)


def _crashed(mind: Mind, active: ActiveStudy, reason: str, since: datetime, now: datetime) -> None:
    """Count a crash against the trainable; too many without anything else in between, and it gets no more workers."""
    code = code_of(active)
    count, last = mind.crashes.get(code, (0, None))
    if last is not None and since <= last:
        return  # of those that ran at the same time one counts: somebody may have ended them all
    mind.crashes[code] = (count + 1, now)
    if count + 1 < CRASHES:
        return
    mind.quarantined[code] = f"{CRASHES} workers in a row crashed while they ran it, the last one since {reason}"
    for other in list(mind.studies.values()):
        if code_of(other) == code:
            stop(mind, other, f"quarantined: {mind.quarantined[code]}", now)


def check_deadline(mind: Mind, worker: Worker, now: datetime) -> None:
    """A worker's timer has passed: kill the worker if its segment is overdue, and give it nothing more.

    A timer that passed long ago says that this server was stopped meanwhile, and has heard nobody: the segment's time
    begins anew.
    """
    if worker.timer is None or worker.timer > now or mind.cluster.workers.get(worker.id) is not worker:
        return
    missed, worker.timer = now - worker.timer, None
    late = deadline(worker)
    if late is None:
        return
    if late[0] > now or missed > MISSED:
        if missed > MISSED:
            worker.began = worker.heard = now
        wake_at_deadline(mind, worker)
        return
    worker.overdue, worker.began = (worker.held[0], late[1]), None
    mind.cluster.move(worker, WorkerState.LEAVING, now)
    retry = Retry() if worker.study is None else worker.study.study.spec.retry
    if late[1] is Failure.HUNG:
        why = f"hung: nothing was reported for {(retry.report_timeout or retry.segment_timeout).total_seconds():g} s"
    else:
        why = f"timed out: the segment ran longer than {retry.segment_timeout.total_seconds():g} s"
    mind.command(KillWorker(worker.id, why))


def retire_idle(mind: Mind, now: datetime) -> None:
    """Retire workers that have had nothing to do for long."""
    for worker in list(mind.cluster.workers.values()):
        if worker.state is WorkerState.IDLE and now - worker.since >= IDLE_AFTER:
            mind.cluster.move(worker, WorkerState.LEAVING, now)
            mind.command(RetireWorker(worker.id))


def cancel_held(mind: Mind, name: str) -> None:
    """Cancel what workers hold of a study that has been set aside."""
    for (key, attempt), worker in mind.holders.items():
        if key.study == name:
            mind.command(CancelSegment(worker.id, key, attempt))
