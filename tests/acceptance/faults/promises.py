"""The promises, and how what was told is compared with what is stored and with what was trained."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from searchd.client import Study, Trial
from searchd.domain.facts import Event, MeasurementAdded, StudyPut, TrialPut
from searchd.domain.measurement import Measurement
from searchd.domain.study import StudyName, StudyState, study_name
from searchd.stores.sql import open_sql_store
from tests.acceptance.faults.recorder import Recorder, Watched, measured_as
from tests.data.trainables_for_faults import LEDGER

PAGE = 1000


class Promise(StrEnum):
    """What is promised."""

    ACKNOWLEDGED = "what is acknowledged is durable"
    SHOWN = "what was shown stays"
    COMPLETED_ONCE = "a trial's end is recorded exactly once"
    CONTIGUOUS = "revisions are contiguous"
    ATTEMPTS_GROW = "attempts only grow"
    EVERYTHING_ENDS = "a study goes on until every trial has ended"
    WATCH_GAP = "a watch misses nothing"
    WATCH_DUPLICATE = "a watch shows nothing twice"
    WATCH_ORDER = "a watch shows what happens in order"
    WATCH_TRUE = "a watch shows what is in the log"
    MEASURED_TRUE = "what is measured was trained"
    TRAINED_ONCE = "no epoch is trained twice"


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that was not kept, and where."""

    promise: Promise
    detail: str


class Epoch(NamedTuple):
    """A line of a ledger: an epoch that was trained, by which process, and when that had been done."""

    study: str
    trial: int
    place: str
    pid: int
    number: int
    seconds: float


class Log:
    """What a store holds, read while nobody need be serving."""

    def __init__(self, database: Path) -> None:
        with closing(sqlite3.connect(database, timeout=10.0)) as connection:
            self.revisions = [row[0] for row in connection.execute("SELECT revision FROM events ORDER BY revision")]
        self.events: list[Event] = []
        store = open_sql_store(f"sqlite:///{database}")
        try:
            while page := store.events(self.events[-1].revision if self.events else 0, None, PAGE):
                self.events += page
            self.answered = {id_: store.answered(id_) for id_ in self._requests(database)}
        finally:
            store.close()

    @staticmethod
    def _requests(database: Path) -> list[str]:
        with closing(sqlite3.connect(database, timeout=10.0)) as connection:
            return [row[0] for row in connection.execute("SELECT request_id FROM requests")]

    def states(self) -> Mapping[StudyName, Sequence[StudyState]]:
        """The states that studies passed through, in order, by name."""
        states: dict[StudyName, list[StudyState]] = defaultdict(list)
        for event in self.events:
            if isinstance(event.fact, StudyPut):
                states[event.fact.study.name].append(event.fact.study.state)
        return states


def ledger(storage: Path) -> list[Epoch]:
    """Every epoch that was trained under a storage root."""
    epochs = []
    for path in sorted((storage / "artifacts").rglob(LEDGER)):
        study, trial, place = path.parts[-4:-1]
        for line in path.read_text().splitlines():
            pid, number, seconds = line.split()
            epochs.append(Epoch(study, int(trial), place, int(pid), int(number), float(seconds)))
    return epochs


def broken(recorder: Recorder, log: Log, trained: Sequence[Epoch], excused: Collection[StudyName] = ()) -> list[Broken]:
    """The promises that were not kept.

    Args:
        recorder: What was told.
        log: What is stored.
        trained: What was trained.
        excused: Studies to whose workers something happened that may cost an epoch of training.
    """
    found = [*_log(log), *_acknowledged(recorder, log), *_shown(recorder, log), *_measured(log, trained)]
    for watched in recorder.watches:
        found += _watched(watched, log)
    for epoch, count in Counter(map(fold_epoch, trained)).items():
        if count > 1 and study_name("default", epoch[0]) not in excused:
            found.append(Broken(Promise.TRAINED_ONCE, f"{epoch}: {count} times"))
    return found


def fold_epoch(epoch: Epoch) -> tuple[str, int, str, int]:
    """Which epoch of what it is, whoever trained it."""
    return epoch.study, epoch.trial, epoch.place, epoch.number


def _log(log: Log) -> Iterator[Broken]:
    if log.revisions != list(range(1, len(log.revisions) + 1)):
        yield Broken(Promise.CONTIGUOUS, f"{len(log.revisions)} revisions up to {log.revisions[-1]}")
    ended: dict[tuple[str, int], str] = {}
    attempts: dict[tuple[str, int, int], int] = defaultdict(int)
    for event in log.events:
        if not isinstance(event.fact, TrialPut):
            continue
        trial = event.fact.trial
        key = (trial.study, trial.number)
        if key in ended:
            yield Broken(Promise.COMPLETED_ONCE, f"{key} {ended[key]}, then {trial.state} at {event.revision}")
        if trial.state.ended:
            ended[key] = trial.state
        for index, run in enumerate(trial.fold_runs):
            if run.attempt < attempts[*key, index]:
                yield Broken(Promise.ATTEMPTS_GROW, f"{key} fold run {index} at {event.revision}")
            attempts[*key, index] = run.attempt
    trials = {(e.fact.trial.study, e.fact.trial.number) for e in log.events if isinstance(e.fact, TrialPut)}
    over = {e.fact.study.name for e in log.events if isinstance(e.fact, StudyPut) and e.fact.study.state.ended}
    for key in trials - ended.keys():
        if key[0] in over:
            yield Broken(Promise.EVERYTHING_ENDS, f"{key} has not ended, though its study has")


def _acknowledged(recorder: Recorder, log: Log) -> Iterator[Broken]:
    passed = log.states()
    for told in recorder.acknowledged:
        states = passed.get(told.study, ())
        stopped = any(state is StudyState.STOPPING or state.ended for state in states)
        if log.answered.get(told.request_id) is None or not states or (told.what == "stop" and not stopped):
            yield Broken(Promise.ACKNOWLEDGED, f"{told.what} of {told.study}")
        if states.count(StudyState.PENDING) > 1:
            yield Broken(Promise.ACKNOWLEDGED, f"{told.study} was created {states.count(StudyState.PENDING)} times")


def _shown(recorder: Recorder, log: Log) -> Iterator[Broken]:
    for study, shown in recorder.measured.items():
        added = (e.fact for e in log.events if isinstance(e.fact, MeasurementAdded))
        stored = {measured_as(fact.measurement) for fact in added if fact.study == study}
        for key in shown - stored:
            yield Broken(Promise.SHOWN, f"{study}: measurement {key}")
    for study, trials in recorder.ended.items():
        puts = (e.fact.trial for e in log.events if isinstance(e.fact, TrialPut))
        stored_trials = {trial.number: trial for trial in puts if trial.study == study}
        for number, trial in trials.items():
            kept = stored_trials.get(number)  # type: ignore[call-overload]
            if kept is None or (kept.state, kept.scores) != (trial.state, trial.rung_scores):
                yield Broken(Promise.SHOWN, f"{study}: trial {number} {trial.state}")


def _measured(log: Log, trained: Sequence[Epoch]) -> Iterator[Broken]:
    kept = {(epoch.study, epoch.trial, epoch.place) for epoch in trained}
    there = {(epoch.study, epoch.trial, epoch.place, epoch.number) for epoch in trained}
    for event in log.events:
        if isinstance(event.fact, MeasurementAdded):
            m = event.fact.measurement
            place = (event.fact.study.rsplit("/", 1)[-1], m.trial, f"{m.repeat}-{m.fold}")
            if place in kept and (*place, m.epoch) not in there:
                yield Broken(Promise.MEASURED_TRUE, f"{place} epoch {m.epoch}")


def _watched(watched: Watched, log: Log) -> Iterator[Broken]:
    mine = {e.revision: e for e in log.events if _about(e, watched.study)}
    seen = [event.revision for event in watched.events]
    if watched.error is not None:
        yield Broken(Promise.WATCH_GAP, f"{watched.study}: the watch ended: {watched.error!r}")
    for revision in sorted(mine.keys() - set(seen)):
        if watched.ended.is_set() or (seen and revision < seen[-1]):
            yield Broken(Promise.WATCH_GAP, f"{watched.study}: {revision}")
    for revision, count in Counter(seen).items():
        if count > 1:
            yield Broken(Promise.WATCH_DUPLICATE, f"{watched.study}: {revision} {count} times")
    for before, after in pairwise(seen):
        if after < before:
            yield Broken(Promise.WATCH_ORDER, f"{watched.study}: {after} after {before}")
    for event in watched.events:
        stored = mine.get(event.revision)
        if stored is None or _said(event.value) != _stored(stored):
            yield Broken(Promise.WATCH_TRUE, f"{watched.study}: {event.revision} {_said(event.value)}")


def _about(event: Event, study: StudyName) -> bool:
    match event.fact:
        case StudyPut(put):
            return put.name == study
        case TrialPut(trial):
            return trial.study == study
        case _:
            return getattr(event.fact, "study", None) == study


def _said(value: object) -> object:
    match value:
        case Study():
            return value.state
        case Trial():
            return value.number, value.state, value.rung_scores
        case Measurement():
            return measured_as(value), value.attempt
        case _:
            return type(value).__name__.removesuffix("Put")


def _stored(event: Event) -> object:
    match event.fact:
        case StudyPut(study):
            return study.state
        case TrialPut(trial):
            return trial.number, trial.state, trial.scores
        case MeasurementAdded(_, measurement):
            return measured_as(measurement), measurement.attempt
        case _:
            return type(event.fact).__name__.removesuffix("Put")
