"""A store that keeps everything in this process: for simulations and tests, gone when the process ends."""

import heapq
import secrets
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import assert_never

from searchd.domain.errors import LeaseLost, RevisionExpired, StoreUnavailable, StudyNotFound, TrialNotFound
from searchd.domain.facts import (
    Event,
    Fact,
    MeasurementAdded,
    ProgressPut,
    RequestAnswered,
    StudyDeleted,
    StudyPut,
    TrialPut,
    study_of,
)
from searchd.domain.measurement import Measurement
from searchd.domain.study import Study, StudyName, StudyState
from searchd.domain.trial import FoldRunState, Trial, TrialNumber, TrialState
from searchd.ports.store import Answered, DamagedStudy, Lease, LiveStudy
from searchd.stores.ranking import worth

MeasurementKey = tuple[int, int, int, int]


@dataclass(slots=True)
class _Shelf:
    """What there is of one study."""

    study: Study
    trials: dict[TrialNumber, Trial] = field(default_factory=dict)
    measurements: dict[MeasurementKey, Measurement] = field(default_factory=dict)


@dataclass(slots=True)
class _Contents:
    """What the store holds, whoever has it open."""

    identity: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    lease: Lease = field(default_factory=lambda: Lease(0, "", "", 0))
    revision: int = 0
    trimmed: int = 0
    events: list[Event] = field(default_factory=list)
    shelves: dict[StudyName, _Shelf] = field(default_factory=dict)
    answers: dict[str, Answered] = field(default_factory=dict)


class MemoryStore:
    """A store in memory, usable from any thread.

    Once it has begun an epoch, its writes are refused as soon as another store of the same contents has begun a later
    one.

    Args:
        identity: The store's id, 32 hex digits; None draws one.
    """

    def __init__(self, identity: str | None = None) -> None:
        self._in = _Contents(identity or secrets.token_hex(16))
        self._lock = self._in.lock
        self._epoch: int | None = None
        self._open = True

    def opened_again(self) -> "MemoryStore":
        """Another store of the same contents, as another server would open it."""
        other = copy(self)
        other._epoch = None
        other._open = True
        return other

    def identity(self) -> str:
        """A random id (32 hex digits) made when the store was created; never changes."""
        return self._in.identity

    def lease(self) -> Lease:
        """Who may write, as of now."""
        with self._lock:
            self._check_open()
            return self._in.lease

    def begin_epoch(self, holder: str = "", address: str = "", seen: Lease | None = None) -> int:
        """Take the lease: count the writer's epoch up by one and return it (from 1).

        Raises:
            LeaseLost: the lease is not what was seen any more.
        """
        with self._lock:
            self._check_open()
            lease = self._in.lease
            if seen is not None and seen != lease:
                raise LeaseLost(seen.epoch, lease.epoch)
            self._epoch = lease.epoch + 1
            self._in.lease = Lease(self._epoch, holder, address, lease.beats + 1)
            return self._epoch

    def beat(self) -> None:
        """Give a sign of life.

        Raises:
            LeaseLost: another writer has begun a later epoch.
        """
        with self._lock:
            self._check_writer()
            self._in.lease = replace(self._in.lease, beats=self._in.lease.beats + 1)

    def give_up(self) -> None:
        """Leave the lease to whoever wants it; nothing happens if another writer has begun a later epoch."""
        with self._lock:
            self._check_open()
            if self._epoch == self._in.lease.epoch:
                self._in.lease = replace(self._in.lease, holder="", address="", beats=self._in.lease.beats + 1)

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:
        """Take in all facts, numbering them contiguously; all or nothing.

        Returns:
            The revision of the last fact (of the log's end if there are none).

        Raises:
            LeaseLost: another writer has begun a later epoch.
            StoreUnavailable: a fact is about a study or trial that does not exist.
        """
        with self._lock:
            self._check_writer()
            self._check(facts)
            if facts:
                self._in.lease = replace(self._in.lease, beats=self._in.lease.beats + 1)
            for fact in facts:
                self._in.revision += 1
                self._apply(fact)
                if not isinstance(fact, RequestAnswered):
                    self._in.events.append(Event(self._in.revision, at, fact))
            return self._in.revision

    def revision(self) -> int:
        """The revision of the newest event, 0 if there is none."""
        with self._lock:
            self._check_open()
            return self._in.revision

    def events(self, after: int, study: StudyName | None, limit: int) -> Sequence[Event]:
        """Up to ``limit`` events with a revision above ``after``, in order; of one study if given.

        Raises:
            RevisionExpired: events right after ``after`` are no longer kept.
        """
        with self._lock:
            self._check_open()
            if after < self._in.trimmed:
                raise RevisionExpired(after + 1, self._in.trimmed + 1)
            start = bisect_right(self._in.events, after, key=lambda event: event.revision)
            newer = islice(self._in.events, start, None)
            return list(islice((e for e in newer if study is None or study_of(e.fact) == study), limit))

    def trim_events(self, keep: int) -> None:
        """Forget the oldest events so that those of the last ``keep`` revisions remain; state is untouched."""
        with self._lock:
            self._check_writer()
            self._in.trimmed = max(self._in.trimmed, self._in.revision - keep)
            del self._in.events[: bisect_right(self._in.events, self._in.trimmed, key=lambda event: event.revision)]

    def study(self, name: StudyName) -> Study:
        """The study with its current progress.

        Raises:
            StudyNotFound: there is none of that name.
        """
        with self._lock:
            return self._shelf(name).study

    def studies(
        self,
        project: str,
        states: frozenset[StudyState] | None,
        labels: dict[str, str],
        after: StudyName | None,
        limit: int,
    ) -> Sequence[Study]:
        """Up to ``limit`` studies of a project in name order, from the one after ``after``; in any of ``states``
        (None: all) and bearing all ``labels``."""
        with self._lock:
            self._check_open()
            found = (
                shelf.study
                for name, shelf in self._in.shelves.items()
                if name.startswith(f"projects/{project}/")
                and (after is None or name > after)
                and (states is None or shelf.study.state in states)
                and labels.items() <= shelf.study.spec.labels.items()
            )
            return sorted(found, key=lambda study: study.name)[:limit]

    def uses_code(self, code_id: str) -> bool:
        """Whether there is a study whose definition names the uploaded code of that id."""
        with self._lock:
            self._check_open()
            return any(shelf.study.spec.code_id == code_id for shelf in self._in.shelves.values())

    def trial(self, study: StudyName, number: TrialNumber) -> Trial:
        """One trial.

        Raises:
            StudyNotFound: there is no such study.
            TrialNotFound: the study has no trial of that number.
        """
        with self._lock:
            trial = self._shelf(study).trials.get(number)
        if trial is None:
            raise TrialNotFound(study, number)
        return trial

    def trials(self, study: StudyName, states: frozenset[TrialState] | None, after: int, limit: int) -> Sequence[Trial]:
        """Up to ``limit`` trials with numbers above ``after``, in number order; in any of ``states`` (None: all).

        Raises:
            StudyNotFound: there is no such study.
        """
        with self._lock:
            found = [
                trial
                for trial in self._shelf(study).trials.values()
                if trial.number > after and (states is None or trial.state in states)
            ]
        return heapq.nsmallest(limit, found, key=lambda trial: trial.number)

    def ranked(self, study: StudyName, limit: int) -> Sequence[Trial]:
        """Up to ``limit`` trials that completed a rung, best first: more completed rungs, then those that keep all
        limits, then the better mean of the highest rung (in the study's direction), then the lower number.
        Confirmations and tests are not among them.

        Raises:
            StudyNotFound: there is no such study.
        """
        with self._lock:
            shelf = self._shelf(study)
            goal = shelf.study.spec.objective.goal
            found = [trial for trial in shelf.trials.values() if trial.scores and not trial.origin.repeats]
        return heapq.nsmallest(
            limit, found, key=lambda t: (-t.rung, not t.feasible, -worth(goal, t.scores[-1]), t.number)
        )

    def measurements(
        self, study: StudyName, trial: TrialNumber | None, after: MeasurementKey | None, limit: int
    ) -> Sequence[Measurement]:
        """Up to ``limit`` measurements of a trial (None: of all), ordered by (trial, repeat, fold, epoch), after
        that key; of each only the newest attempt's.

        Raises:
            StudyNotFound: there is no such study.
        """
        with self._lock:
            kept = self._shelf(study).measurements
            keys = [k for k in kept if trial in (None, k[0]) and (after is None or k > after)]
            return [kept[key] for key in heapq.nsmallest(limit, keys)]

    def answered(self, request_id: str) -> Answered | None:
        """What was answered to that request_id, or None."""
        with self._lock:
            self._check_open()
            return self._in.answers.get(request_id)

    def live(self) -> Sequence[LiveStudy | DamagedStudy]:
        """All studies that have not ended, in creation order; what is in memory can always be read."""
        with self._lock:
            self._check_open()
            return [_live(shelf) for shelf in self._in.shelves.values() if not shelf.study.state.ended]

    def close(self) -> None:
        """Let go of the contents; the store cannot be used afterwards."""
        with self._lock:
            self._open = False

    def _check_open(self) -> None:
        if not self._open:
            raise StoreUnavailable("it has been closed")

    def _check_writer(self) -> None:
        self._check_open()
        if self._epoch is not None and self._epoch != self._in.lease.epoch:
            raise LeaseLost(self._epoch, self._in.lease.epoch)

    def _shelf(self, study: StudyName) -> _Shelf:
        self._check_open()
        shelf = self._in.shelves.get(study)
        if shelf is None:
            raise StudyNotFound(study)
        return shelf

    def _check(self, facts: Sequence[Fact]) -> None:
        """Look for facts without an owner before any is applied, so that a batch is never half applied."""
        exists: dict[StudyName, bool] = {}
        erased: set[StudyName] = set()
        made: set[tuple[StudyName, int]] = set()
        for fact in facts:
            match fact:
                case StudyPut(study):
                    exists[study.name] = True
                case StudyDeleted(study):
                    exists[study] = False
                    erased.add(study)
                    made = {key for key in made if key[0] != study}
                case TrialPut(trial):
                    self._check_study(trial.study, exists)
                    made.add((trial.study, trial.number))
                case ProgressPut(study):
                    self._check_study(study, exists)
                case MeasurementAdded(study, measurement):
                    self._check_study(study, exists)
                    shelf = None if study in erased else self._in.shelves.get(study)
                    stored = shelf is not None and measurement.trial in shelf.trials
                    if not stored and (study, measurement.trial) not in made:
                        raise StoreUnavailable(f"{study!r} has no trial {measurement.trial} to write to")
                case RequestAnswered():
                    pass
                case _:
                    assert_never(fact)

    def _check_study(self, study: StudyName, exists: dict[StudyName, bool]) -> None:
        if not exists.get(study, study in self._in.shelves):
            raise StoreUnavailable(f"there is no study {study!r} to write to")

    def _apply(self, fact: Fact) -> None:
        match fact:
            case StudyPut(study):
                shelf = self._in.shelves.get(study.name)
                if shelf is None:
                    self._in.shelves[study.name] = _Shelf(study)
                else:
                    shelf.study = study
            case StudyDeleted(study):
                self._in.shelves.pop(study, None)
                self._in.events = [e for e in self._in.events if study_of(e.fact) != study]
            case ProgressPut(study, progress):
                shelf = self._in.shelves[study]
                shelf.study = replace(shelf.study, progress=progress)
            case TrialPut(trial):
                self._in.shelves[trial.study].trials[trial.number] = trial
            case MeasurementAdded(study, new):
                kept = self._in.shelves[study].measurements
                key = (new.trial, new.repeat, new.fold, new.epoch)
                if key not in kept or kept[key].attempt <= new.attempt:
                    kept[key] = new
            case RequestAnswered(request_id, digest, study, trial):
                self._in.answers[request_id] = Answered(digest, study, trial)
            case _:
                assert_never(fact)


def _live(shelf: _Shelf) -> LiveStudy:
    trials = sorted(shelf.trials.values(), key=lambda trial: trial.number)
    out = set(_handed_out(trials))
    measurements = tuple(m for _, m in sorted(shelf.measurements.items()) if (m.trial, m.repeat, m.fold) in out)
    return LiveStudy(shelf.study, tuple(trials), measurements)


def _handed_out(trials: Sequence[Trial]) -> Iterator[tuple[int, int, int]]:
    for trial in trials:
        for run in trial.fold_runs:
            if run.state is FoldRunState.HANDED_OUT:
                yield trial.number, run.repeat, run.fold
