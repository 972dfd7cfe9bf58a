"""What the conductor knows: active studies, the cluster, timers; and the decision that is being made."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from searchd.conductor.active import ActiveStudy, observations
from searchd.conductor.cluster import Cluster, Worker
from searchd.conductor.messages import Command, Decision
from searchd.domain.facts import (
    Fact,
    MeasurementAdded,
    ProgressPut,
    RequestAnswered,
    StudyDeleted,
    StudyPut,
    TrialPut,
)
from searchd.domain.study import Study, StudyName, StudySpec
from searchd.domain.trial import FoldRunKey, Trial
from searchd.ports.engine import PoolKey, WorkerId
from searchd.ports.scheduler import Scheduler
from searchd.ports.searcher import OpenSearch

Timed = Worker | StudyName | None
"""What a timer is for: a worker's deadline, a study's wall time, or a look at idle workers."""


class Mind:
    """The conductor's memory. Facts go in through ``emit``, which applies them and adds them to the decision."""

    def __init__(self, make_scheduler: Callable[[StudySpec], Scheduler], epoch: int) -> None:
        self.make_scheduler = make_scheduler
        self.epoch = epoch
        self.studies: dict[StudyName, ActiveStudy] = {}
        self.cluster = Cluster()
        self.holders: dict[tuple[FoldRunKey, int], Worker] = {}
        """The worker that holds an attempt of a fold run."""
        self.dirty: dict[StudyName, ActiveStudy] = {}
        """Studies that something happened to since the last settling."""
        self.touched_pools: dict[PoolKey, None] = {}
        self.touched_workers: dict[WorkerId, Worker] = {}
        self.claim: PoolKey | None = None
        """The pool with the best claim to workers of other shapes, since there is no room for its own."""
        self.clearing = False
        """Whether room is being made for the claim."""
        self.crashes: dict[tuple[str, str], tuple[int, datetime]] = {}
        """Workers that crashed while they ran a trainable (its name and code) since a segment of it last ended."""
        self.quarantined: dict[tuple[str, str], str] = {}
        """Trainables that get no more workers, and why."""
        self.reconciled = False
        self.draining = False
        self._orders = 0
        self._workers_named = 0
        self._timers: list[tuple[datetime, int, Timed]] = []
        self._timers_set = 0
        self.attending: StudyName | None = None
        """The study that is being decided on, so that a fault can be laid to it."""
        self.decision = Decision()

    def take(self) -> Decision:
        """The decision made since the last call."""
        taken, self.decision = self.decision, Decision()
        return taken

    def command(self, command: Command) -> None:
        """Add a command, to be carried out after the facts are committed."""
        self.decision.commands.append(command)

    def emit(self, fact: Fact) -> None:
        """Apply a fact and add it to the decision."""
        self.apply(fact)
        self.decision.facts.append(fact)

    def apply(self, fact: Fact) -> None:
        """Change state by a fact; the only way it changes."""
        match fact:
            case TrialPut(trial):
                active = self.studies[trial.study]
                active.put(trial)
                self.dirty[trial.study] = active
            case MeasurementAdded(study, measurement):
                active = self.studies[study]
                active.measured(measurement)
                self.dirty[study] = active
            case StudyPut(study):
                known = self.studies.get(study.name)
                if known is None:
                    known = self.studies[study.name] = self.activate(study)
                known.study = study
                known.progress_stale = not study.state.ended
                self.dirty[study.name] = known
                if study.state.ended:
                    del self.studies[study.name]
            case ProgressPut(name, progress):
                if name in self.studies:
                    known = self.studies[name]
                    known.study = replace(known.study, progress=progress)
            case RequestAnswered() | StudyDeleted():
                pass
            case _:
                assert_never(fact)

    def activate(self, study: Study) -> ActiveStudy:
        """A new active study, after those that are there."""
        self._orders += 1
        return ActiveStudy(study, self.make_scheduler(study.spec), self._orders)

    def begin(self, active: ActiveStudy, trials: Sequence[Trial] = ()) -> None:
        """Open a study's searcher and set its timer; ``trials`` are all of the study's, if some have ended."""
        study = active.study
        known = trials or list(active.trials.values())
        self.command(OpenSearch(study.name, study.spec, observations(known)))
        active.search_open = True
        self.watch_time(study)
        self.dirty[study.name] = active

    def watch_time(self, study: Study) -> None:
        """Ask to be told when the study's wall time is over."""
        if study.spec.budget.wall_time is not None:
            self.set_timer(study.created_at + study.spec.budget.wall_time, study.name)

    def name_worker(self) -> WorkerId:
        """A worker id that no other server's worker has."""
        self._workers_named += 1
        return WorkerId(f"{self.epoch}-{self._workers_named}")

    def set_timer(self, at: datetime, what: Timed) -> None:
        """Ask to be told at a time."""
        self._timers_set += 1
        heapq.heappush(self._timers, (at, self._timers_set, what))

    def next_timer(self) -> datetime | None:
        """When the next timer is due, or None."""
        return self._timers[0][0] if self._timers else None

    def due(self, now: datetime) -> list[Timed]:
        """Take out the timers that have passed."""
        passed = []
        while self._timers and self._timers[0][0] <= now:
            passed.append(heapq.heappop(self._timers)[2])
        return passed
