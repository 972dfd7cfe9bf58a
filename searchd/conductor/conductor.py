"""The conductor: takes one input at a time and says what follows. Everything it decides is a fact or a command."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from searchd.conductor.active import ActiveStudy, observation, opened
from searchd.conductor.cluster import IDLE_AFTER, Worker, WorkerState
from searchd.conductor.dispatch import dispatch, expect_end, line_up, pool_of, wake_at_deadline
from searchd.conductor.evaluation import end_trial, finishing, handed_back, held_run, queued, reported
from searchd.conductor.messages import (
    Answer,
    CreateStudy,
    Decision,
    DeleteStudy,
    DrainRequested,
    Input,
    PauseStudy,
    Reconciled,
    ReopenSearch,
    Request,
    SearchReopened,
    StopStudy,
    Tick,
)
from searchd.conductor.mind import Mind
from searchd.domain.errors import SearchdError, ServerStopping, StudyActive, StudyExists, StudyNotFound
from searchd.domain.facts import ProgressPut, RequestAnswered, StudyDeleted, StudyPut, TrialPut
from searchd.domain.study import Study, StudyName, StudySpec, StudyState
from searchd.domain.trial import FoldRunKey, FoldRunState, Origin, Trial, TrialNumber, TrialState
from searchd.ports.engine import (
    Acknowledge,
    CancelSegment,
    CapacityChanged,
    Drain,
    Forget,
    KillWorker,
    LossCause,
    Outcome,
    RetireWorker,
    SegmentReported,
    SegmentStarted,
    WorkerAdopted,
    WorkerId,
    WorkerLost,
    WorkerReady,
)
from searchd.ports.scheduler import Scheduler
from searchd.ports.searcher import Ask, CloseSearch, OpenSearch, SearchFailed, Suggested, Tell
from searchd.ports.store import LiveStudy

AHEAD = 64
"""Suggestions kept ready of a searcher that does not learn."""

SEARCH_FAILURES = 3
"""A searcher that fails this often pauses its study."""

FAILED_STARTS = 3
"""A pool whose workers fail to start this often in a row, with none running, fails the studies that need it."""


class Conductor:
    """Decides. ``decide`` for each input of a batch, then ``settle`` once; facts are applied as they are decided."""

    def __init__(
        self, live: Sequence[LiveStudy], make_scheduler: Callable[[StudySpec], Scheduler], epoch: int, now: datetime
    ) -> None:
        """Rebuild the mind from the store.

        Args:
            live: What the store has of studies that have not ended.
            make_scheduler: Makes the scheduler of a study.
            epoch: The writer's epoch; worker names contain it, so that no two servers' workers share one.
            now: The current time.
        """
        self._mind = Mind(make_scheduler, epoch)
        self._mind.set_timer(now + IDLE_AFTER, None)
        for stored in live:
            self._restore(stored)

    def opening(self) -> Decision:
        """What follows from the rebuilding itself: searchers to open."""
        return self._mind.take()

    def decide(self, event: Input, now: datetime) -> Decision:
        """What follows from one input."""
        mind = self._mind
        match event:
            case SegmentReported():
                self._reported(event, now)
            case Suggested():
                self._suggested(event)
            case Request():
                self._request(event, now)
            case SegmentStarted(worker, key, attempt, elapsed):
                found = mind.cluster.workers.get(worker)
                if found is not None and found.held and found.held[0] == (key, attempt):
                    expect_end(mind, found, now - elapsed, slack=timedelta(0))
            case WorkerReady(worker):
                self._ready(worker, now)
            case WorkerAdopted():
                self._adopted(event, now)
            case WorkerLost():
                self._lost(event, now)
            case CapacityChanged(nodes):
                mind.cluster.set_nodes(nodes)
                mind.touched_pools.update(dict.fromkeys(mind.cluster.pools))
            case SearchFailed(study, reason):
                self._search_failed(StudyName(study), reason)
            case SearchReopened(study):
                if study in mind.studies:
                    mind.studies[study].search_open = True
                    mind.dirty[study] = mind.studies[study]
            case Reconciled():
                self._reconciled()
            case Tick():
                self._tick(now)
            case DrainRequested():
                mind.draining = True
                mind.command(Drain())
            case PauseStudy(study, reason):
                self._pause(study, reason)
            case _:
                assert_never(event)
        return mind.take()

    def settle(self, now: datetime) -> Decision:
        """What follows from a batch as a whole: work handed out, searchers told and asked, studies ended, counts."""
        mind = self._mind
        for active in list(mind.dirty.values()):
            if active.study.name in mind.studies:
                line_up(mind, active)
        dispatch(mind, now)
        while mind.dirty:
            dirty, mind.dirty = mind.dirty, {}
            for active in dirty.values():
                if active.study.name in mind.studies:
                    self._settle_study(active, now)
        for worker in mind.touched_workers.values():
            if worker.sequence > worker.acknowledged:
                worker.acknowledged = worker.sequence
                mind.command(Acknowledge(worker.id, worker.sequence))
        mind.touched_workers.clear()
        return mind.take()

    @property
    def next_timer(self) -> datetime | None:
        """When the next Tick is wanted, or None."""
        return self._mind.next_timer()

    @property
    def holding(self) -> bool:
        """Whether any worker holds a segment."""
        return bool(self._mind.holders)

    @property
    def mind(self) -> Mind:
        """What the conductor knows, for views; not to be changed."""
        return self._mind

    # Callers

    def _request(self, request: Request, now: datetime) -> None:
        mind = self._mind
        result: Study | SearchdError
        try:
            match request.body:
                case CreateStudy(study, default):
                    result = self._create(study, default, now)
                case StopStudy(name):
                    result = self._stop(name, "stopped by a caller", StudyState.STOPPED, now)
                case DeleteStudy(study):
                    result = self._delete(study)
                case _:
                    assert_never(request.body)
        except SearchdError as error:
            mind.command(Answer(request.token, error))
            return
        if request.request_id:
            mind.emit(RequestAnswered(request.request_id, request.digest, result))
        mind.command(Answer(request.token, result))

    def _create(self, study: Study, default: object, now: datetime) -> Study:
        mind = self._mind
        if mind.draining:
            raise ServerStopping
        known = mind.studies.get(study.name)
        if known is not None:
            differing = known.study.spec.differing(study.spec)
            if differing:
                raise StudyExists(study.name, differing)
            return known.study
        mind.emit(StudyPut(study))
        active = mind.studies[study.name]
        if default is not None:
            trial = Trial(study.name, TrialNumber(1), default, Origin.DEFAULT, created_at=now)  # type: ignore[arg-type]
            mind.emit(TrialPut(queued(active, opened(active, trial))))
        self._start(active, ())
        return study

    def _start(self, active: ActiveStudy, trials: Sequence[Trial]) -> None:
        """Open the study's searcher and set its timer."""
        study = active.study
        known = trials or list(active.trials.values())
        self._mind.command(OpenSearch(study.name, study.spec, tuple(observation(t) for t in known)))
        active.search_open = True
        if study.spec.budget.wall_time is not None:
            self._mind.set_timer(study.created_at + study.spec.budget.wall_time, study.name)
        self._mind.dirty[study.name] = active

    def _stop(self, name: StudyName, reason: str, ends_as: StudyState, now: datetime) -> Study:
        mind = self._mind
        active = mind.studies.get(name)
        if active is None:
            raise StudyNotFound(name)
        if active.study.state is StudyState.STOPPING:
            return active.study
        active.ends_as = ends_as
        mind.emit(StudyPut(active.study.stopping(reason)))
        for trial in list(active.trials.values()):
            mind.emit(TrialPut(end_trial(mind, active, trial, TrialState.CANCELLED, now, reason)))
        return active.study

    def _delete(self, study: Study) -> Study:
        active = self._mind.studies.get(study.name)
        if active is not None:
            raise StudyActive(study.name, active.study.state)
        self._mind.emit(StudyDeleted(study.name))
        self._mind.command(Forget(study.name, None))
        return study

    def _pause(self, name: StudyName, reason: str) -> None:
        active = self._mind.studies.get(name)
        if active is not None and active.hands_out:
            self._mind.emit(StudyPut(active.study.paused(reason)))

    # Workers

    def _ready(self, name: WorkerId, now: datetime) -> None:
        worker = self._mind.cluster.workers.get(name)
        if worker is None or worker.state is not WorkerState.STARTING:
            return
        worker.since_ready = now
        worker.pool.failed_starts = 0
        self._mind.cluster.move(worker, WorkerState.IDLE, now)
        self._mind.touched_pools[worker.pool.key] = None

    def _adopted(self, event: WorkerAdopted, now: datetime) -> None:
        """Take over a worker of an earlier server, with what it holds that is still wanted; cancel the rest."""
        mind = self._mind
        pool = mind.cluster.pool(event.pool)
        worker = Worker(event.worker, pool, WorkerState.STARTING, now, since_ready=now)
        mind.cluster.add(worker)
        for key, attempt in event.holding:
            active = mind.studies.get(key.study)
            wanted = active is not None and held_run(active, key, attempt) is not None
            worker.held.append((key, attempt))
            if wanted and active is not None and worker.study in (None, active):
                worker.study = active
                mind.holders[key, attempt] = worker
                active.serving.add(worker.id)
                active.progress_stale = True
                mind.dirty[key.study] = active
            else:
                mind.command(CancelSegment(worker.id, key, attempt))
        mind.cluster.move(worker, WorkerState.BUSY if worker.held else WorkerState.IDLE, now)
        expect_end(mind, worker, now)
        mind.touched_pools[pool.key] = None

    def _reconciled(self) -> None:
        """Hand out again what no worker holds."""
        mind = self._mind
        mind.reconciled = True
        mind.touched_pools.update(dict.fromkeys(mind.cluster.pools))
        for active in mind.studies.values():
            mind.dirty[active.study.name] = active
            for trial in list(active.trials.values()):
                changed = trial
                for index, run in enumerate(trial.fold_runs):
                    key = FoldRunKey(trial.study, trial.number, run.repeat, run.fold)
                    if run.state is FoldRunState.HANDED_OUT and (key, run.attempt) not in mind.holders:
                        changed = handed_back(active, changed, index, run)
                if changed is not trial:
                    mind.emit(TrialPut(changed))

    def _reported(self, event: SegmentReported, now: datetime) -> None:
        mind = self._mind
        worker = mind.cluster.workers.get(event.worker)
        held = (event.key, event.attempt)
        if worker is not None:
            worker.sequence = max(worker.sequence, event.sequence)
            mind.touched_workers[worker.id] = worker
            if event.ended is not None and held in worker.held:
                self._released(worker, held, now)
        active = mind.studies.get(event.key.study)
        if active is None:
            return
        if event.ended is not None and event.ended.outcome in (Outcome.REACHED, Outcome.FINISHED):
            seconds = sum(report.seconds for report in event.reports)
            known = active.segment_seconds
            active.segment_seconds = seconds if known is None else 0.8 * known + 0.2 * seconds
        reported(mind, active, event, now)

    def _released(self, worker: Worker, held: tuple[FoldRunKey, int], now: datetime) -> None:
        """The worker no longer holds that attempt."""
        mind = self._mind
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

    def _lost(self, event: WorkerLost, now: datetime) -> None:
        """Hand out again what a lost worker held; the segment that it ran counts against the fold run's attempts."""
        mind = self._mind
        worker = mind.cluster.workers.get(event.worker)
        if worker is None:
            return
        held = list(worker.held)
        for position, (key, attempt) in enumerate(held):
            self._released(worker, (key, attempt), now)
            active = mind.studies.get(key.study)
            found = None if active is None else held_run(active, key, attempt)
            if active is None or found is None:
                continue
            trial, index, run = found
            if position == 0 and event.cause is LossCause.KILLED:
                trial = end_trial(mind, active, trial, TrialState.FAILED, now, event.reason, event.log_tail)
            elif position == 0 and run.losses + 1 >= active.study.spec.retry.attempts:
                reason = f"{event.reason} (attempt {run.losses + 1} of {active.study.spec.retry.attempts})"
                trial = end_trial(mind, active, trial, TrialState.FAILED, now, reason, event.log_tail)
            else:
                trial = handed_back(active, trial, index, replace(run, losses=run.losses + (position == 0)))
            mind.emit(TrialPut(trial))
        if worker.state is WorkerState.STARTING and event.cause is not LossCause.RETIRED:
            worker.pool.failed_starts += 1
        mind.cluster.remove(worker)
        mind.touched_pools.update(dict.fromkeys(mind.cluster.pools))
        if worker.pool.failed_starts >= FAILED_STARTS and not worker.pool.workers:
            worker.pool.failed_starts = 0
            for active in list(mind.studies.values()):
                if pool_of(mind, active) is worker.pool:
                    self._stop(active.study.name, f"workers cannot start: {event.reason}", StudyState.FAILED, now)

    # Searchers

    def _suggested(self, event: Suggested) -> None:
        active = self._mind.studies.get(StudyName(event.study))
        if active is None:
            return
        active.asked -= len(event.numbers)
        active.suggestions.extend(zip(event.numbers, event.configurations, strict=False))
        active.exhausted = active.exhausted or event.exhausted
        self._mind.dirty[active.study.name] = active

    def _search_failed(self, name: StudyName, reason: str) -> None:
        """Have the searcher rebuilt; suggestions that were on their way are asked for again."""
        active = self._mind.studies.get(name)
        if active is None:
            return
        active.search_open = False
        active.search_failures += 1
        active.next_number = TrialNumber(active.next_number - active.asked)
        active.asked = 0
        if active.search_failures >= SEARCH_FAILURES:
            self._pause(name, f"the searcher failed {active.search_failures} times: {reason}")
        else:
            self._mind.command(ReopenSearch(name))

    # Time

    def _tick(self, now: datetime) -> None:
        mind = self._mind
        for timed in mind.due(now):
            match timed:
                case Worker():
                    self._deadline(timed, now)
                case None:
                    self._retire_idle(now)
                    mind.set_timer(now + IDLE_AFTER, None)
                case _:
                    active = mind.studies.get(timed)
                    if active is not None and active.study.state is not StudyState.STOPPING:
                        self._stop(timed, "wall_time is over", StudyState.SUCCEEDED, now)

    def _deadline(self, worker: Worker, now: datetime) -> None:
        worker.timer = None
        if worker.deadline is None or worker.study is None or worker.id not in self._mind.cluster.workers:
            return
        if worker.deadline > now:
            wake_at_deadline(self._mind, worker)
            return
        seconds = worker.study.study.spec.retry.segment_timeout.total_seconds()
        self._mind.command(KillWorker(worker.id, f"timed out: the segment ran longer than {seconds:g} s"))

    def _retire_idle(self, now: datetime) -> None:
        for worker in list(self._mind.cluster.workers.values()):
            if worker.state is WorkerState.IDLE and now - worker.since >= IDLE_AFTER:
                self._mind.cluster.move(worker, WorkerState.LEAVING, now)
                self._mind.command(RetireWorker(worker.id))

    # Settling

    def _settle_study(self, active: ActiveStudy, now: datetime) -> None:
        mind = self._mind
        if active.told and active.search_open:
            mind.command(Tell(active.study.name, tuple(active.told.values())))
            active.told.clear()
        self._ask(active)
        self._conclude(active, now)
        if active.progress_stale:
            active.progress_stale = False
            mind.emit(ProgressPut(active.study.name, active.progress()))

    def _ask(self, active: ActiveStudy) -> None:
        spec = active.study.spec
        if not (active.search_open and active.hands_out) or active.exhausted or self._mind.draining:
            return
        ahead = AHEAD
        if spec.search.algorithm.adaptive:
            ahead = self._mind.cluster.most_workers(spec.resources)
            ahead = ahead if spec.budget.slots is None else min(ahead, spec.budget.slots)
        missing = ahead - len(active.suggestions) - active.asked
        missing = min(missing, spec.budget.trials - active.next_number + 1)
        if missing <= 0 or (ahead == AHEAD and missing < AHEAD // 2 and active.suggestions):
            return
        numbers = tuple(TrialNumber(active.next_number + i) for i in range(missing))
        active.next_number = TrialNumber(active.next_number + missing)
        active.asked += missing
        self._mind.command(Ask(active.study.name, numbers))

    def _conclude(self, active: ActiveStudy, now: datetime) -> None:
        """End the study if nothing is left to do."""
        study = active.study
        if study.state is StudyState.STOPPING:
            if not active.serving:
                self._end(active, _ended_early(active, now))
            return
        open_trials = len(active.trials) - active.counts.get(TrialState.PAUSED, 0)
        if not active.hands_out or open_trials or not active.no_more_trials:
            return
        if active.scheduler.promotable() is not None or (finishing(active) and active.scheduler.best_paused()):
            return
        for trial in list(active.trials.values()):
            self._mind.emit(TrialPut(end_trial(self._mind, active, trial, TrialState.STOPPED, now, "not promoted")))
        if active.rungs[-1]:
            why = "the search space is exhausted" if active.exhausted else ""
            self._end(active, study.succeeded(now, why))
        else:
            why = f"no trial completed; {active.last_failure}" if active.last_failure else "no trial completed"
            self._end(active, study.failed(now, why))

    def _end(self, active: ActiveStudy, study: Study) -> None:
        mind = self._mind
        progress = replace(active.progress(), busy=0)
        active.progress_stale = False
        mind.emit(ProgressPut(study.name, progress))
        mind.emit(StudyPut(replace(study, progress=progress)))
        mind.command(CloseSearch(study.name))
        pool_of(mind, active).leave(active)

    # Recovery

    def _restore(self, stored: LiveStudy) -> None:
        mind = self._mind
        active = mind.studies[stored.study.name] = mind.activate(stored.study)
        for trial in stored.trials:
            active.restore(trial)
            if trial.state in (TrialState.PENDING, TrialState.RUNNING):
                queued(active, trial)
        for measurement in stored.measurements:
            active.measured(measurement)
        active.progress_stale = True
        self._start(active, stored.trials)


def _ended_early(active: ActiveStudy, now: datetime) -> Study:
    """The study after its stopping: as intended, but it cannot succeed without a trial at the top rung."""
    study = active.study
    if active.ends_as is StudyState.SUCCEEDED and active.rungs[-1]:
        return study.succeeded(now, study.reason)
    if active.ends_as is StudyState.STOPPED:
        return study.stopped(now)
    return study.failed(now, study.reason)
