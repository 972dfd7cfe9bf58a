"""A store that keeps everything in this process: for simulations and tests, gone when the process ends."""

import heapq
import secrets
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import assert_never

from searchd.domain.errors import RevisionExpired, StoreUnavailable, StudyNotFound, TrialNotFound
from searchd.domain.facts import (
    Event,
    Fact,
    MeasurementAdded,
    ProgressPut,
    RequestAnswered,
    StudyDeleted,
    StudyPut,
    TrialPut,
)
from searchd.domain.measurement import Measurement
from searchd.domain.study import Study, StudyName, StudyState
from searchd.domain.trial import FoldRunState, Trial, TrialNumber, TrialState
from searchd.ports.store import Answered, LiveStudy

MeasurementKey = tuple[int, int, int, int]


@dataclass(slots=True)
class _Shelf:
    """What there is of one study."""

    study: Study
    trials: dict[TrialNumber, Trial] = field(default_factory=dict)
    measurements: dict[MeasurementKey, Measurement] = field(default_factory=dict)


class MemoryStore:
    """A store in memory, usable from any thread.

    Args:
        identity: The store's id, 32 hex digits; None draws one.
    """

    def __init__(self, identity: str | None = None) -> None:
        self._identity = identity or secrets.token_hex(16)
        self._lock = threading.Lock()
        self._open = True
        self._epoch = 0
        self._revision = 0
        self._trimmed = 0
        self._events: list[Event] = []
        self._shelves: dict[StudyName, _Shelf] = {}
        self._answers: dict[str, Answered] = {}

    def identity(self) -> str:
        """A random id (32 hex digits) made when the store was created; never changes."""
        return self._identity

    def begin_epoch(self) -> int:
        """Count the writer's epoch up by one and return it (from 1)."""
        with self._lock:
            self._check_open()
            self._epoch += 1
            return self._epoch

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:
        """Take in all facts, numbering them contiguously; all or nothing.

        Returns:
            The revision of the last fact (of the log's end if there are none).

        Raises:
            StoreUnavailable: a fact is about a study or trial that does not exist.
        """
        with self._lock:
            self._check_open()
            self._check(facts)
            for fact in facts:
                self._revision += 1
                self._apply(fact)
                if not isinstance(fact, RequestAnswered):
                    self._events.append(Event(self._revision, at, fact))
            return self._revision

    def revision(self) -> int:
        """The revision of the newest event, 0 if there is none."""
        with self._lock:
            self._check_open()
            return self._revision

    def events(self, after: int, study: StudyName | None, limit: int) -> Sequence[Event]:
        """Up to ``limit`` events with a revision above ``after``, in order; of one study if given.

        Raises:
            RevisionExpired: events right after ``after`` are no longer kept.
        """
        with self._lock:
            self._check_open()
            if after < self._trimmed:
                raise RevisionExpired(after + 1, self._trimmed + 1)
            start = bisect_right(self._events, after, key=lambda event: event.revision)
            newer = islice(self._events, start, None)
            return list(islice((e for e in newer if study is None or _study_of(e.fact) == study), limit))

    def trim_events(self, keep: int) -> None:
        """Forget the oldest events so that those of the last ``keep`` revisions remain; state is untouched."""
        with self._lock:
            self._check_open()
            self._trimmed = max(self._trimmed, self._revision - keep)
            del self._events[: bisect_right(self._events, self._trimmed, key=lambda event: event.revision)]

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
                for name, shelf in self._shelves.items()
                if name.startswith(f"projects/{project}/")
                and (after is None or name > after)
                and (states is None or shelf.study.state in states)
                and labels.items() <= shelf.study.spec.labels.items()
            )
            return sorted(found, key=lambda study: study.name)[:limit]

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
        """Up to ``limit`` trials that completed a rung, best first: more completed rungs, then the better mean of
        the highest one (in the study's direction), then the lower number.

        Raises:
            StudyNotFound: there is no such study.
        """
        with self._lock:
            shelf = self._shelf(study)
            goal = shelf.study.spec.objective.goal
            found = [trial for trial in shelf.trials.values() if trial.scores]
        return heapq.nsmallest(limit, found, key=lambda t: (-t.rung, -goal.signed(t.scores[-1]), t.number))

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
            return self._answers.get(request_id)

    def live(self) -> Sequence[LiveStudy]:
        """All studies that have not ended, in creation order."""
        with self._lock:
            self._check_open()
            return [_live(shelf) for shelf in self._shelves.values() if not shelf.study.state.ended]

    def close(self) -> None:
        """Release everything; the store cannot be used afterwards."""
        with self._lock:
            self._open = False
            self._shelves.clear()
            self._events.clear()
            self._answers.clear()

    def _check_open(self) -> None:
        if not self._open:
            raise StoreUnavailable("it has been closed")

    def _shelf(self, study: StudyName) -> _Shelf:
        self._check_open()
        shelf = self._shelves.get(study)
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
                    shelf = None if study in erased else self._shelves.get(study)
                    stored = shelf is not None and measurement.trial in shelf.trials
                    if not stored and (study, measurement.trial) not in made:
                        raise StoreUnavailable(f"{study!r} has no trial {measurement.trial} to write to")
                case RequestAnswered():
                    pass
                case _:
                    assert_never(fact)

    def _check_study(self, study: StudyName, exists: dict[StudyName, bool]) -> None:
        if not exists.get(study, study in self._shelves):
            raise StoreUnavailable(f"there is no study {study!r} to write to")

    def _apply(self, fact: Fact) -> None:
        match fact:
            case StudyPut(study):
                shelf = self._shelves.get(study.name)
                if shelf is None:
                    self._shelves[study.name] = _Shelf(study)
                else:
                    # A definition never changes after creation.
                    shelf.study = replace(study, spec=shelf.study.spec)
            case StudyDeleted(study):
                self._shelves.pop(study, None)
                self._events = [e for e in self._events if _study_of(e.fact) != study]
            case ProgressPut(study, progress):
                shelf = self._shelves[study]
                shelf.study = replace(shelf.study, progress=progress)
            case TrialPut(trial):
                self._shelves[trial.study].trials[trial.number] = trial
            case MeasurementAdded(study, new):
                kept = self._shelves[study].measurements
                key = (new.trial, new.repeat, new.fold, new.epoch)
                if key not in kept or kept[key].attempt <= new.attempt:
                    kept[key] = new
            case RequestAnswered(request_id, digest, study):
                self._answers[request_id] = Answered(digest, study)
            case _:
                assert_never(fact)


def _study_of(fact: Fact) -> StudyName | None:
    match fact:
        case StudyPut(study):
            return study.name
        case TrialPut(trial):
            return trial.study
        case StudyDeleted(study) | ProgressPut(study) | MeasurementAdded(study):
            return study
        case RequestAnswered():
            return None
        case _:
            assert_never(fact)


def _live(shelf: _Shelf) -> LiveStudy:
    trials = sorted(shelf.trials.values(), key=lambda trial: trial.number)
    out = set(_handed_out(trials))
    measurements = [m for _, m in sorted(shelf.measurements.items()) if (m.trial, m.repeat, m.fold) in out]
    return LiveStudy(shelf.study, trials, measurements)


def _handed_out(trials: Sequence[Trial]) -> Iterator[tuple[int, int, int]]:
    for trial in trials:
        for run in trial.fold_runs:
            if run.state is FoldRunState.HANDED_OUT:
                yield trial.number, run.repeat, run.fold
