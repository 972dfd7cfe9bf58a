"""The conductor: takes one input at a time and says what follows. Everything it decides is a fact or a command."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import assert_never

from searchd.conductor import workers
from searchd.conductor.active import ActiveStudy
from searchd.conductor.cluster import IDLE_AFTER, Worker
from searchd.conductor.dispatch import dispatch, expect_end, line_up
from searchd.conductor.ending import WALL_TIME_OVER, conclude, keep_budget, out_of_time, stop
from searchd.conductor.evaluation import queued
from searchd.conductor.messages import (
    Decision,
    DrainRequested,
    Input,
    PauseStudy,
    Reconciled,
    ReopenSearch,
    Request,
    SearchReopened,
    Tick,
)
from searchd.conductor.mind import Mind
from searchd.conductor.requests import Requests
from searchd.domain.facts import ProgressPut, StudyPut
from searchd.domain.study import StudyName, StudySpec, StudyState
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.engine import (
    Acknowledge,
    CapacityChanged,
    Drain,
    SegmentReported,
    SegmentStarted,
    WorkerAdopted,
    WorkerLost,
    WorkerReady,
)
from searchd.ports.scheduler import Scheduler
from searchd.ports.searcher import Ask, SearchFailed, Suggested, Tell
from searchd.ports.store import DamagedStudy, LiveStudy

AHEAD = 64
"""Suggestions kept ready of a searcher that does not learn."""

SEARCH_FAILURES = 3
"""A searcher that fails this often pauses its study."""


class Conductor:
    """Decides. ``decide`` for each input of a batch, then ``settle`` once; facts are applied as they are decided."""

    def __init__(
        self,
        live: Sequence[LiveStudy | DamagedStudy],
        make_scheduler: Callable[[StudySpec], Scheduler],
        epoch: int,
        now: datetime,
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
        self._requests = Requests(self._mind)
        self.faults: dict[StudyName, Exception | str] = {}
        """Studies that could not be taken up, and why."""
        for stored in live:
            self._take_up(stored)

    def opening(self) -> Decision:
        """What follows from the rebuilding itself: searchers to open."""
        return self._mind.take()

    def decide(self, event: Input, now: datetime) -> Decision:
        """What follows from one input."""
        mind = self._mind
        mind.attending = None
        match event:
            case SegmentReported():
                workers.report_taken(mind, event, now)
            case Suggested():
                self._suggested(event)
            case Request():
                self._requests.carry_out(event, now)
            case SegmentStarted(worker, key, attempt, elapsed):
                found = mind.cluster.workers.get(worker)
                if found is not None and found.held and found.held[0] == (key, attempt):
                    expect_end(mind, found, now - elapsed, slack=timedelta(0))
            case WorkerReady(worker):
                workers.ready(mind, worker, now)
            case WorkerAdopted():
                workers.adopted(mind, event, now)
            case WorkerLost():
                workers.lost(mind, event, now)
            case CapacityChanged(nodes):
                if not mind.reconciled:
                    workers.forgotten(mind)
                mind.cluster.set_nodes(nodes)
                mind.touched_pools.update(dict.fromkeys(mind.cluster.pools))
            case SearchFailed(study, reason):
                self._search_failed(StudyName(study), reason)
            case SearchReopened(study):
                if study in mind.studies:
                    mind.studies[study].search_open = True
                    mind.dirty[study] = mind.studies[study]
            case Reconciled():
                workers.reconciled(mind)
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
        mind.attending = None
        self._requests.settle()
        while True:
            for active in list(mind.dirty.values()):
                if active.study.name in mind.studies:
                    keep_budget(mind, active, now)
                    line_up(mind, active)
            dispatch(mind, now)
            dirty, mind.dirty = mind.dirty, {}
            for active in dirty.values():
                if active.study.name in mind.studies:
                    self._settle_study(active, now)
            if not mind.dirty:
                break
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
        return bool(self._mind.holders) or bool(self._mind.epoch and not self._mind.reconciled)

    @property
    def attending(self) -> StudyName | None:
        """The study that was being decided on last; after a fault, the one that it is laid to."""
        return self._mind.attending

    @property
    def mind(self) -> Mind:
        """What the conductor knows, for views; not to be changed."""
        return self._mind

    # Searchers

    def _suggested(self, event: Suggested) -> None:
        """Take in suggestions; those for an Ask of an earlier search, or one that was given up, are not expected."""
        active = self._mind.studies.get(StudyName(event.study))
        if active is None or event.numbers not in active.asking:
            return
        active.asking.remove(event.numbers)
        active.search_failures = 0
        active.suggestions.extend(event.suggestions)
        for number, suggestion in zip(event.numbers, event.suggestions, strict=False):
            active.remark(number, suggestion.remark)
        active.exhausted = active.exhausted or event.exhausted
        self._mind.dirty[active.study.name] = active

    def _search_failed(self, name: StudyName, reason: str) -> None:
        """Have the searcher rebuilt. What it suggested and is no trial yet is asked for again, as after a restart: the
        rebuilt one knows of trials alone, and would give the same to others."""
        active = self._mind.studies.get(name)
        if active is None:
            return
        self._mind.attending = name
        active.search_open = False
        active.search_failures += 1
        active.next_number = TrialNumber(active.last_number + 1)
        active.asking.clear()
        active.suggestions.clear()
        active.exhausted = False
        if active.search_failures >= SEARCH_FAILURES:
            self._pause(name, f"the searcher failed {active.search_failures} times: {reason}")
        else:
            self._mind.command(ReopenSearch(name))

    def _pause(self, name: StudyName, reason: str) -> None:
        active = self._mind.studies.get(name)
        if active is not None and active.hands_out:
            self._mind.emit(StudyPut(active.study.paused(reason)))
            workers.cancel_held(self._mind, name)

    # Time

    def _tick(self, now: datetime) -> None:
        mind = self._mind
        for timed in mind.due(now):
            match timed:
                case Worker():
                    workers.check_deadline(mind, timed, now)
                case None:
                    workers.retire_idle(mind, now)
                    mind.touched_pools.update(dict.fromkeys(mind.cluster.pools))
                    mind.set_timer(now + IDLE_AFTER, None)
                case _:
                    active = mind.studies.get(timed)
                    if active is not None and out_of_time(active.study, now):
                        stop(mind, active, WALL_TIME_OVER, now)

    # Settling

    def _settle_study(self, active: ActiveStudy, now: datetime) -> None:
        mind = self._mind
        mind.attending = active.study.name
        if active.told and active.search_open:
            mind.command(Tell(active.study.name, tuple(active.told.values())))
            active.told.clear()
        self._ask(active)
        keep_budget(mind, active, now)
        conclude(mind, active, now)
        if active.progress_stale:
            active.progress_stale = False
            mind.emit(ProgressPut(active.study.name, active.progress()))

    def _ask(self, active: ActiveStudy) -> None:
        spec = active.study.spec
        if not (active.search_open and active.hands_out) or active.exhausted or self._mind.draining:
            return
        if active.search_over:
            return
        ahead = AHEAD
        if spec.search.algorithm.adaptive:
            ahead = max(self._mind.cluster.most_workers(spec.resources), 1)
            ahead = ahead if spec.budget.slots is None else min(ahead, spec.budget.slots)
        missing = ahead - len(active.suggestions) - active.asked
        missing = min(missing, active.trials_left)
        if missing <= 0 or (ahead == AHEAD and missing < AHEAD // 2 and active.suggestions):
            return
        numbers = tuple(TrialNumber(active.next_number + i) for i in range(missing))
        active.next_number = TrialNumber(active.next_number + missing)
        active.asking.append(numbers)
        self._mind.command(Ask(active.study.name, numbers))

    # Recovery

    def _take_up(self, stored: LiveStudy | DamagedStudy) -> None:
        """Go on with a study; one that cannot be gone on with is set aside, and keeps no other from it."""
        if isinstance(stored, DamagedStudy):
            self.faults[stored.name] = stored.reason
            return
        mind = self._mind
        before = len(mind.decision.commands)
        try:
            self._restore(stored)
        except Exception as error:
            self.faults[stored.study.name] = error
            del mind.decision.commands[before:]
            for known in (mind.studies, mind.dirty):
                known.pop(stored.study.name, None)
            if stored.study.state in (StudyState.PENDING, StudyState.RUNNING):
                mind.decision.facts.append(
                    StudyPut(stored.study.paused("it could not be taken up again; see the server's log"))
                )

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
        mind.begin(active, stored.trials)
