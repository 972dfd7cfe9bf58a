"""Everything that a store holds, read once, with what does not fit together."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, select

from searchd.domain.errors import StoreDamaged
from searchd.domain.facts import ProgressPut, StudyPut, TrialPut
from searchd.domain.measurement import Measurement
from searchd.domain.study import Progress, Study, StudyName, study_id
from searchd.domain.trial import Trial
from searchd.stores import records
from searchd.stores.records import Codec
from searchd.stores.tables import Kind, events, measurements, meta, requests, studies, trials

T = TypeVar("T")

_STREAM: Final = {"yield_per": 1000}


@dataclass(slots=True)
class Survey:
    """What was found; each of the lists names things, one line a thing.

    Attributes:
        unread: Why reading ended early; empty if it did not.
        trimmed: Newest forgotten revision, 0 if none was.
        newest: Newest revision, 0 if there is none.
        rows: Number of rows that were read.
        studies: Studies by name, in order of creation; those that cannot be read are left out.
        names: Names of all studies.
        open_trials: (study, number) of each trial that has not ended.
        ended_at: When each other trial ended, by (study, number).
        damaged: Rows that cannot be understood.
        missing: What the log lacks, or has too much of.
        diverging: What the log and the tables say differently.
        miscounted: Studies whose stored counts are wrong.
        unfenced: Measurements of attempts that were never handed out.
    """

    unread: str = ""
    trimmed: int = 0
    newest: int = 0
    rows: int = 0
    studies: dict[StudyName, Study] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    open_trials: set[tuple[str, int]] = field(default_factory=set)
    ended_at: dict[tuple[str, int], datetime | None] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    diverging: list[str] = field(default_factory=list)
    miscounted: list[str] = field(default_factory=list)
    unfenced: list[str] = field(default_factory=list)


def read_all(connection: Connection, survey: Survey) -> None:
    """Read everything, in one state of the database, into a survey.

    Raises:
        SQLAlchemyError: the database cannot be read any further; the survey has what was read until then.
    """
    Tables(connection, survey, Log(connection, survey)).read()


class Log:
    """The log, and what it says last of each thing."""

    def __init__(self, connection: Connection, survey: Survey) -> None:
        self._survey = survey
        self._specs = {row.name: row.spec for row in connection.execute(select(studies.c.name, studies.c.spec))}
        survey.names.update(self._specs)
        self.trials: dict[tuple[str, int], int] = {}
        """Hash of the newest value of each trial in the log."""
        self.progress: dict[str, Progress] = {}
        self._gaps: list[tuple[int, int]] = []
        self._deleted = 0
        survey.trimmed = survey.newest = connection.execute(select(meta.c.trimmed)).scalar_one()
        for row in connection.execute(select(events).order_by(events.c.revision), execution_options=_STREAM):
            self._read(row)
        self._judge(connection)

    def _read(self, row: Row[Any]) -> None:
        survey = self._survey
        survey.rows += 1
        if row.revision > survey.newest + 1:
            self._gaps.append((survey.newest + 1, row.revision - 1))
        elif row.revision <= survey.newest:
            survey.missing.append(f"event {row.revision} was forgotten and is there")
        survey.newest = max(survey.newest, row.revision)
        if row.kind == Kind.DELETED:
            self._deleted = row.revision
        elif row.kind != Kind.REQUEST:
            if row.study not in survey.names:
                survey.missing.append(f"event {row.revision} is of a study that is not there, {row.study}")
            self._decode(row)

    def _decode(self, row: Row[Any]) -> None:
        spec = self._specs.get(row.study)
        try:
            fact = records.fact(Kind(row.kind), row.study, row.body, spec)
        except (StoreDamaged, ValueError) as error:
            if row.kind != Kind.STUDY or spec is None or _reads(records.SPEC, spec):  # else it is named already
                self._survey.damaged.append(f"event {row.revision} of {row.study}: {_reason(error)}")
            return
        match fact:
            case TrialPut(trial):
                self.trials[trial.study, trial.number] = hash(row.body)
            case StudyPut(study):
                self.progress[study.name] = study.progress
            case ProgressPut(study_name, progress):
                self.progress[study_name] = progress
            case _:
                pass

    def _judge(self, connection: Connection) -> None:
        """A deletion takes a study's events out of the log and adds one, so only gaps before one may be."""
        survey = self._survey
        survey.missing += [_span(first, last) for first, last in self._gaps if first > self._deleted]
        begun = select(studies.c.name, studies.c.created).where(studies.c.created > survey.trimmed)
        there = select(events.c.revision).where(
            events.c.revision == studies.c.created, events.c.study == studies.c.name
        )
        for name, created in connection.execute(begun.where(~there.exists())):
            survey.missing.append(f"event {created}, which created {name}")


class Tables:
    """The newest values, compared with each other and with the log."""

    def __init__(self, connection: Connection, survey: Survey, log: Log) -> None:
        self._connection = connection
        self._survey = survey
        self._log = log

    def read(self) -> None:
        """Read all of them."""
        for row in self._connection.execute(select(studies).order_by(studies.c.created)).all():
            survey = self._survey
            survey.rows += 1
            whole = records.whole_study(row.rest, row.spec, row.progress)
            study = self._loaded(records.STUDY, whole, f"study {row.name}")
            if study is not None:
                survey.studies[study.name] = study
                if (row.name, row.state) != (study.name, study.state):
                    survey.damaged.append(f"study {row.name}: its columns say otherwise than its value")
                if self._log.progress.get(row.name, study.progress) != study.progress:
                    survey.diverging.append(f"counts of study {row.name}")
            self._read_trials(StudyName(row.name), study)
        for row in self._connection.execute(select(requests), execution_options=_STREAM):
            self._survey.rows += 1
            self._loaded(records.STUDY, row.study, f"answer to request {row.request_id}")
        for study_name, number in self._log.trials:
            self._survey.diverging.append(f"trial {study_name}/{number} is only in the log")

    def _read_trials(self, name: StudyName, study: Study | None) -> None:
        states: Counter[str] = Counter()
        rungs: Counter[int] = Counter()
        attempts: dict[tuple[int, int, int], int] = {}
        damaged = len(self._survey.damaged)
        query = select(trials).where(trials.c.study == name).order_by(trials.c.number)
        for row in self._connection.execute(query, execution_options=_STREAM):
            trial = self._trial(row)
            if trial is not None:
                states[trial.state] += 1
                rungs.update(range(trial.rung))
                attempts.update({(trial.number, run.repeat, run.fold): run.attempt for run in trial.fold_runs})
        if study is not None and len(self._survey.damaged) == damaged:
            self._survey.miscounted += _miscounted(study, states, rungs)
        self._read_measurements(name, attempts)

    def _trial(self, row: Row[Any]) -> Trial | None:
        survey = self._survey
        survey.rows += 1
        last = self._log.trials.pop((row.study, row.number), None)
        if last is not None and last != hash(row.body):
            survey.diverging.append(f"trial {row.study}/{row.number}")
        trial = self._loaded(records.TRIAL, row.body, f"trial {row.study}/{row.number}")
        if trial is None:
            return None
        if (row.study, row.number, row.state, row.rung) != (trial.study, trial.number, trial.state, trial.rung):
            survey.damaged.append(f"trial {row.study}/{row.number}: its columns say otherwise than its value")
        if trial.state.ended:
            survey.ended_at[row.study, row.number] = trial.ended_at
        else:
            survey.open_trials.add((row.study, row.number))
        return trial

    def _read_measurements(self, study: StudyName, attempts: dict[tuple[int, int, int], int]) -> None:
        query = select(measurements).where(measurements.c.study == study)
        for row in self._connection.execute(query, execution_options=_STREAM):
            self._survey.rows += 1
            what = f"measurement of {study}/{row.trial}, repeat {row.repeat} fold {row.fold} epoch {row.epoch}"
            found = self._loaded(records.MEASUREMENT, row.body, what)
            if found is not None and _key(found) != (row.trial, row.repeat, row.fold, row.epoch, row.attempt):
                self._survey.damaged.append(f"{what}: its columns say otherwise than its value")
            if row.attempt > attempts.get((row.trial, row.repeat, row.fold), row.attempt):
                self._survey.unfenced.append(f"{what}, attempt {row.attempt}")

    def _loaded(self, codec: Codec[T], text: str, what: str) -> T | None:
        try:
            return codec.load(text, what)
        except StoreDamaged as error:
            self._survey.damaged.append(f"{what}: {error.reason}")
            return None


def _key(found: Measurement) -> tuple[int, int, int, int, int]:
    return found.trial, found.repeat, found.fold, found.epoch, found.attempt


def _miscounted(study: Study, states: Counter[str], rungs: Counter[int]) -> list[str]:
    progress = study.progress
    wrong = []
    if {state: n for state, n in progress.trials.items() if n} != dict(states):
        wrong.append(f"{study_id(study.name)}: trials {_counts(progress.trials)}, counted {_counts(states)}")
    counted = [rungs[rung] for rung in range(max(len(progress.rungs), len(rungs)))]
    if counted != [*progress.rungs, *[0] * (len(counted) - len(progress.rungs))]:
        wrong.append(f"{study_id(study.name)}: rungs {list(progress.rungs)}, counted {counted}")
    return wrong


def _counts(by_state: Any) -> str:
    return ", ".join(f"{n} {state}" for state, n in sorted(by_state.items()) if n) or "none"


def _reads(codec: Codec[Any], text: str) -> bool:
    try:
        codec.load(text, "")
    except StoreDamaged:
        return False
    return True


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, StoreDamaged) else str(error)


def _span(first: int, last: int) -> str:
    return f"event {first}" if first == last else f"events {first} to {last}"
