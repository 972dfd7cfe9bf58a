"""What becomes of workers and of what they hold: ready, adopted, reporting, late, lost."""

from dataclasses import replace
from datetime import datetime

from searchd.conductor.cluster import IDLE_AFTER, Worker, WorkerState
from searchd.conductor.dispatch import expect_end, pool_of, segment_timeout, wake_at_deadline
from searchd.conductor.ending import stop
from searchd.conductor.evaluation import end_trial, handed_back, held_run, reported
from searchd.conductor.mind import Mind
from searchd.domain.facts import TrialPut
from searchd.domain.trial import FoldRunKey, FoldRunState, TrialState
from searchd.ports.engine import (
    CancelSegment,
    KillWorker,
    LossCause,
    Outcome,
    RetireWorker,
    SegmentReported,
    WorkerAdopted,
    WorkerId,
    WorkerLost,
)

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
            if held_run(active, key, attempt) is not None:
                mind.holders[key, attempt] = worker
                continue
        mind.command(CancelSegment(worker.id, key, attempt))
    mind.cluster.move(worker, WorkerState.BUSY if worker.held else WorkerState.IDLE, now)
    if worker.held:
        expect_end(mind, worker, now)
    mind.touched_pools[pool.key] = None


def reconciled(mind: Mind) -> None:
    """Hand out again what no worker holds."""
    mind.reconciled = True
    mind.touched_pools.update(dict.fromkeys(mind.cluster.pools))
    for active in mind.studies.values():
        mind.attending = active.study.name
        mind.dirty[active.study.name] = active
        for trial in list(active.trials.values()):
            changed = trial
            for index, run in enumerate(trial.fold_runs):
                key = FoldRunKey(trial.study, trial.number, run.repeat, run.fold)
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
    worker.sequence = max(worker.sequence, event.sequence)
    mind.touched_workers[worker.id] = worker
    if event.ended is not None and held in worker.held:
        _released(mind, worker, held, now)
    active = mind.studies.get(event.key.study)
    if active is None:
        return
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
    active, worker.study, worker.deadline = worker.study, None, None
    if active is not None:
        active.serving.discard(worker.id)
        active.progress_stale = True
        mind.dirty[active.study.name] = active
    if worker.state is WorkerState.BUSY:
        mind.cluster.move(worker, WorkerState.IDLE, now)
        mind.touched_pools[worker.pool.key] = None


def lost(mind: Mind, event: WorkerLost, now: datetime) -> None:
    """Hand out again what a lost worker held; the segment that it ran counts against the fold run's attempts."""
    worker = mind.cluster.workers.get(event.worker)
    if worker is None:
        return
    for position, held in enumerate(list(worker.held)):
        _released(mind, worker, held, now)
        _interrupted(mind, worker, event, held, position == 0, now)
    if worker.state is WorkerState.STARTING and event.cause is not LossCause.RETIRED:
        worker.pool.failed_starts += 1
    mind.cluster.remove(worker)
    mind.touched_pools.update(dict.fromkeys(mind.cluster.pools))
    if worker.pool.failed_starts >= FAILED_STARTS and not worker.pool.workers:
        worker.pool.failed_starts = 0
        for active in list(mind.studies.values()):
            if pool_of(mind, active) is worker.pool:
                stop(mind, active, f"workers cannot start: {event.reason}", now)


def _interrupted(
    mind: Mind, worker: Worker, event: WorkerLost, held: tuple[FoldRunKey, int], running: bool, now: datetime
) -> None:
    key, attempt = held
    active = mind.studies.get(key.study)
    found = None if active is None else held_run(active, key, attempt)
    if active is None or found is None:
        return
    mind.attending = active.study.name
    trial, index, run = found
    attempts = active.study.spec.retry.attempts
    if event.cause is LossCause.KILLED:
        blamed = worker.overdue == held
        reason = event.reason
    else:
        blamed = running and run.losses + 1 >= attempts
        run = replace(run, losses=run.losses + running)
        reason = f"{event.reason} (attempt {run.losses} of {attempts})"
    if blamed:
        trial = end_trial(mind, active, trial, TrialState.FAILED, now, reason, event.log_tail)
    else:
        trial = handed_back(active, trial, index, run)
    mind.emit(TrialPut(trial))


def check_deadline(mind: Mind, worker: Worker, now: datetime) -> None:
    """A worker's timer has passed: kill the worker if its segment is overdue, and give it nothing more."""
    if worker.timer is None or worker.timer > now or worker.id not in mind.cluster.workers:
        return
    worker.timer = None
    if worker.deadline is None:
        return
    if worker.deadline > now:
        wake_at_deadline(mind, worker)
        return
    worker.overdue, worker.deadline = worker.held[0], None
    mind.cluster.move(worker, WorkerState.LEAVING, now)
    seconds = segment_timeout(worker).total_seconds()
    mind.command(KillWorker(worker.id, f"timed out: the segment ran longer than {seconds:g} s"))


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
