"""Facts as rows: one statement for many rows of a kind, each value turned into JSON once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, Final, assert_never

from sqlalchemy import Connection, Executable, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from searchd.domain.errors import StoreDamaged, StoreUnavailable
from searchd.domain.facts import (
    Fact,
    MeasurementAdded,
    ProgressPut,
    RequestAnswered,
    StudyDeleted,
    StudyPut,
    TrialPut,
)
from searchd.domain.measurement import Measurement
from searchd.domain.objective import Goal
from searchd.domain.study import Progress, Study, StudyName
from searchd.domain.trial import Trial
from searchd.stores import records
from searchd.stores.ranking import worth
from searchd.stores.tables import Kind, events, measurements, requests, studies, study_labels, trials

Row = dict[str, Any]

_ADD_EVENTS = insert(events)
_ADD_STUDIES = insert(studies)
_ADD_LABELS = insert(study_labels)
_PUT_STUDIES = (
    update(studies)
    .where(studies.c.name == bindparam("of"))
    .values(state=bindparam("state"), spec=bindparam("spec"), rest=bindparam("rest"), progress=bindparam("progress"))
)
_DROP_LABELS = delete(study_labels).where(study_labels.c.study == bindparam("of"))
_PUT_PROGRESS = update(studies).where(studies.c.name == bindparam("of")).values(progress=bindparam("progress"))
_GOAL = select(studies.c.goal).where(studies.c.name == bindparam("of"))

# The two write the same statement, but SQLAlchemy has it once for each.
_INSERT: Final[Mapping[str, Callable[[Table], sqlite.Insert | postgresql.Insert]]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


@dataclass(frozen=True, slots=True)
class _Upserts:
    """Statements that put a row in the place of one with the same key, in a database's dialect."""

    trials: Executable
    measurements: Executable
    requests: Executable


@cache
def _upserts(dialect: str) -> _Upserts:
    return _Upserts(
        _upsert(dialect, trials, ("state", "rung", "feasible", "score", "body")),
        _upsert(dialect, measurements, ("attempt", "body"), counter="attempt"),
        _upsert(dialect, requests, ("digest", "study", "trial")),
    )


def _upsert(dialect: str, table: Table, columns: Sequence[str], counter: str | None = None) -> Executable:
    """One that replaces these columns; with a counter, of a row whose counter is not above the new one."""
    new = _INSERT[dialect](table)
    return new.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={name: new.excluded[name] for name in columns},
        where=None if counter is None else new.excluded[counter] >= table.c[counter],
    )


class Writer:
    """Writes facts. Used by one thread at a time.

    It remembers the direction of the studies that it has seen: it tells whether a study exists, and which sign of a
    score is better. After a transaction that failed, ``forget`` must be called, for what was remembered may be untrue.
    """

    def __init__(self) -> None:
        self._goals: dict[StudyName, Goal] = {}

    def forget(self) -> None:
        """Forget all that was remembered of the database."""
        self._goals.clear()

    def write(self, connection: Connection, facts: Sequence[Fact], after: int, at_us: int) -> None:
        """Write facts with the revisions from ``after + 1`` on, in the open transaction of ``connection``.

        Raises:
            StoreDamaged: the row of a study that a fact is about cannot be understood.
            StoreUnavailable: a fact is about a study that does not exist.
        """
        batch = _Batch(connection, at_us)
        for revision, fact in enumerate(facts, after + 1):
            match fact:
                case TrialPut(trial):
                    batch.put_trial(revision, trial, self._goal(connection, trial.study))
                case MeasurementAdded(study, measurement):
                    batch.add_measurement(revision, study, measurement)
                case ProgressPut(study, progress):
                    self._goal(connection, study)
                    batch.put_progress(revision, study, progress)
                case StudyPut(study):
                    batch.put_study(revision, study, new=self._known_goal(connection, study.name) is None)
                    self._goals[study.name] = study.spec.objective.goal
                case RequestAnswered():
                    batch.answer(revision, fact)
                case StudyDeleted(study):
                    batch.flush()
                    _delete(connection, study)
                    self._goals.pop(study, None)
                    batch.log(revision, study, Kind.DELETED, "")
                case _:
                    assert_never(fact)
        batch.flush()

    def _goal(self, connection: Connection, study: StudyName) -> Goal:
        goal = self._known_goal(connection, study)
        if goal is None:
            raise StoreUnavailable(f"there is no study {study!r} to write to")
        return goal

    def _known_goal(self, connection: Connection, study: StudyName) -> Goal | None:
        goal = self._goals.get(study)
        if goal is None:
            found: str | None = connection.scalar(_GOAL, {"of": study})
            if found is not None:
                if found not in set(Goal):
                    raise StoreDamaged(study, f"{found!r} is no goal")
                goal = self._goals[study] = Goal(found)
        return goal


class _Batch:
    """Rows gathered per table; of a value that is put several times only the last is written."""

    def __init__(self, connection: Connection, at_us: int) -> None:
        self._connection = connection
        self._at_us = at_us
        self._clear()

    def _clear(self) -> None:
        self._events: list[Row] = []
        self._new_studies: dict[StudyName, Row] = {}
        self._labels: dict[StudyName, list[Row]] = {}
        self._studies: dict[StudyName, Row] = {}
        self._progress: dict[StudyName, Row] = {}
        self._trials: dict[tuple[StudyName, int], Row] = {}
        self._measurements: list[Row] = []
        self._requests: list[Row] = []

    def log(self, revision: int, study: StudyName | None, kind: Kind, body: str) -> None:
        self._events.append(
            {"revision": revision, "study": study, "at_us": self._at_us, "kind": kind.value, "body": body}
        )

    def put_study(self, revision: int, study: Study, *, new: bool) -> None:
        rest, progress = records.STUDY_REST.dump(study), records.PROGRESS.dump(study.progress)
        self._progress.pop(study.name, None)
        spec = records.SPEC.dump(study.spec)
        self._studies[study.name] = {
            "of": study.name,
            "state": study.state.value,
            "spec": spec,
            "rest": rest,
            "progress": progress,
        }
        self._labels[study.name] = [{"study": study.name, "label": k, "value": v} for k, v in study.spec.labels.items()]
        if new:
            self._new_studies[study.name] = {
                "name": study.name,
                "project": study.name.split("/")[1],
                "created": revision,
                "state": study.state.value,
                "goal": study.spec.objective.goal.value,
                "spec": spec,
                "rest": rest,
                "progress": progress,
            }
        self.log(revision, study.name, Kind.STUDY, records.with_field(rest, "progress", progress))

    def put_progress(self, revision: int, study: StudyName, progress: Progress) -> None:
        body = records.PROGRESS.dump(progress)
        self._progress[study] = {"of": study, "progress": body}
        self.log(revision, study, Kind.PROGRESS, body)

    def put_trial(self, revision: int, trial: Trial, goal: Goal) -> None:
        body = records.TRIAL.dump(trial)
        self._trials[trial.study, trial.number] = {
            "study": trial.study,
            "number": trial.number,
            "state": trial.state.value,
            # What only repeats another trial's configuration is no candidate.
            "rung": 0 if trial.origin.repeats else trial.rung,
            "feasible": int(trial.feasible),
            "score": worth(goal, trial.scores[-1]) if trial.scores else None,
            "body": body,
        }
        self.log(revision, trial.study, Kind.TRIAL, body)

    def add_measurement(self, revision: int, study: StudyName, measurement: Measurement) -> None:
        body = records.MEASUREMENT.dump(measurement)
        self._measurements.append(
            {
                "study": study,
                "trial": measurement.trial,
                "repeat": measurement.repeat,
                "fold": measurement.fold,
                "epoch": measurement.epoch,
                "attempt": measurement.attempt,
                "body": body,
            }
        )
        self.log(revision, study, Kind.MEASUREMENT, body)

    def answer(self, revision: int, fact: RequestAnswered) -> None:
        self._requests.append(
            {
                "request_id": fact.request_id,
                "digest": fact.digest,
                "study": records.STUDY.dump(fact.study),
                "trial": None if fact.trial is None else records.TRIAL.dump(fact.trial),
            }
        )
        self.log(revision, None, Kind.REQUEST, "")

    def flush(self) -> None:
        """Write what was gathered, owners before what they own."""
        upserts = _upserts(self._connection.dialect.name)
        changed = [row for name, row in self._studies.items() if name not in self._new_studies]
        for name, row in self._new_studies.items():
            row.update({key: value for key, value in self._studies[name].items() if key != "of"})
        for statement, rows in (
            (_ADD_STUDIES, list(self._new_studies.values())),
            (_DROP_LABELS, [{"of": name} for name in self._labels if name not in self._new_studies]),
            (_ADD_LABELS, list(chain.from_iterable(self._labels.values()))),
            (_PUT_STUDIES, changed),
            (_PUT_PROGRESS, list(self._progress.values())),
            (upserts.trials, list(self._trials.values())),
            (upserts.measurements, self._measurements),
            (upserts.requests, self._requests),
            (_ADD_EVENTS, self._events),
        ):
            if rows:
                self._connection.execute(statement, rows)
        self._clear()


def _delete(connection: Connection, study: StudyName) -> None:
    for column in (measurements.c.study, trials.c.study, study_labels.c.study, studies.c.name, events.c.study):
        connection.execute(delete(column.table).where(column == study))
