"""The durable store: SQLAlchemy Core over SQLite."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Select, and_, delete, exists, func, insert, select, tuple_, update

from searchd.domain.errors import RevisionExpired, StoreUnavailable, StudyNotFound, TrialNotFound
from searchd.domain.facts import Event, Fact
from searchd.domain.measurement import Measurement
from searchd.domain.study import Study, StudyName, StudyState
from searchd.domain.trial import FoldRunState, Trial, TrialNumber, TrialState
from searchd.ports.store import Answered, LiveStudy
from searchd.stores import records, schema
from searchd.stores.connections import Connections, SqlSettings
from searchd.stores.tables import Kind, events, measurements, meta, requests, studies, study_labels, trials
from searchd.stores.writing import Writer

_LOG = select(
    meta.c.writer_epoch, meta.c.trimmed, func.coalesce(select(func.max(events.c.revision)).scalar_subquery(), 0)
)
_STUDIES = select(studies.c.rest, studies.c.spec, studies.c.progress)
_TRIALS_PER_QUERY = 500


class _Log(NamedTuple):
    """The writer's epoch, the newest forgotten event (0: none), and the newest event (0: none)."""

    epoch: int
    trimmed: int
    revision: int


class SqlStore:
    """A store in a database. ``commit``, ``begin_epoch`` and ``trim_events`` belong to one thread, reads to any.

    Once it has begun an epoch, its writes are refused as soon as another store has begun a later one.

    Raises:
        InvalidArgument: the URL is malformed or not supported.
        StoreTooNew: a newer searchd wrote the database.
        StoreUnavailable: the database cannot be opened.
    """

    def __init__(self, settings: SqlSettings) -> None:
        self._connections = Connections(settings)
        self._writer = Writer()
        self._epoch: int | None = None
        try:
            with self._connections.writing() as connection:
                schema.upgrade(connection)
                identity = connection.scalar(select(meta.c.identity))
                if identity is None:
                    identity = secrets.token_hex(16)
                    connection.execute(insert(meta).values(identity=identity, writer_epoch=0, trimmed=0))
        except BaseException:
            self._connections.close()
            raise
        self._identity: str = identity

    def identity(self) -> str:
        """A random id (32 hex digits) made when the store was created; never changes."""
        return self._identity

    def begin_epoch(self) -> int:
        """Take the store as its writer: count the writer's epoch up by one, durably, and return it (from 1)."""
        with self._connections.writing() as connection:
            connection.execute(update(meta).values(writer_epoch=meta.c.writer_epoch + 1))
            epoch: int = connection.execute(select(meta.c.writer_epoch)).scalar_one()
        self._epoch = epoch
        return epoch

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:
        """Write all facts in one durable transaction, numbering them contiguously; all or nothing.

        Returns:
            The revision of the last fact (of the log's end if there are none).

        Raises:
            StoreUnavailable: the database refused, a fact is about a study or trial that does not exist, or another
                store has begun a later epoch.
        """
        if not facts:
            return self.revision()
        try:
            with self._connections.writing() as connection:
                after = self._checked_end(connection)
                self._writer.write(connection, facts, after, records.microseconds(at))
        except BaseException:
            self._writer.forget()
            raise
        return after + len(facts)

    def revision(self) -> int:
        """The revision of the newest event, 0 if there is none."""
        with self._connections.reading() as connection:
            return _log(connection).revision

    def events(self, after: int, study: StudyName | None, limit: int) -> Sequence[Event]:
        """Up to ``limit`` events with a revision above ``after``, in order; of one study if given.

        Raises:
            RevisionExpired: events right after ``after`` are no longer kept.
        """
        # A study's definition is kept once, not in each of its events.
        query = (
            select(events, studies.c.spec)
            .join_from(
                events, studies, and_(studies.c.name == events.c.study, events.c.kind == Kind.STUDY), isouter=True
            )
            .where(events.c.revision > after, events.c.kind != Kind.REQUEST)
            .order_by(events.c.revision)
            .limit(limit)
        )
        if study is not None:
            query = query.where(events.c.study == study)
        with self._connections.reading() as connection:
            trimmed = _log(connection).trimmed
            if after < trimmed:
                raise RevisionExpired(after + 1, trimmed + 1)
            rows = connection.execute(query).all()
            return [
                Event(r.revision, records.moment(r.at_us), records.fact(Kind(r.kind), r.study, r.body, r.spec))
                for r in rows
            ]

    def trim_events(self, keep: int) -> None:
        """Forget the oldest events so that those of the last ``keep`` revisions remain; state is untouched."""
        with self._connections.writing() as connection:
            upto = self._checked_end(connection) - keep
            if upto > 0:
                connection.execute(delete(events).where(events.c.revision <= upto))
                connection.execute(update(meta).values(trimmed=upto).where(meta.c.trimmed < upto))

    def study(self, name: StudyName) -> Study:
        """The study with its current progress.

        Raises:
            StudyNotFound: there is none of that name.
        """
        with self._connections.reading() as connection:
            found = _load_studies(connection, _STUDIES.where(studies.c.name == name))
        if not found:
            raise StudyNotFound(name)
        return found[0]

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
        query = _STUDIES.where(studies.c.project == project).order_by(studies.c.name).limit(limit)
        if states is not None:
            query = query.where(studies.c.state.in_(sorted(states)))
        for label, value in labels.items():
            bearing = (study_labels.c.study == studies.c.name, study_labels.c.label == label)
            query = query.where(exists().where(*bearing, study_labels.c.value == value))
        if after is not None:
            query = query.where(studies.c.name > after)
        with self._connections.reading() as connection:
            return _load_studies(connection, query)

    def trial(self, study: StudyName, number: TrialNumber) -> Trial:
        """One trial.

        Raises:
            StudyNotFound: there is no such study.
            TrialNotFound: the study has no trial of that number.
        """
        with self._connections.reading() as connection:
            _check_exists(connection, study)
            body = connection.scalar(select(trials.c.body).where(trials.c.study == study, trials.c.number == number))
            if body is None:
                raise TrialNotFound(study, number)
            return records.TRIAL.load(body)

    def trials(self, study: StudyName, states: frozenset[TrialState] | None, after: int, limit: int) -> Sequence[Trial]:
        """Up to ``limit`` trials with numbers above ``after``, in number order; in any of ``states`` (None: all).

        Raises:
            StudyNotFound: there is no such study.
        """
        query = _trials_of(study).where(trials.c.number > after).order_by(trials.c.number).limit(limit)
        if states is not None:
            query = query.where(trials.c.state.in_(sorted(states)))
        with self._connections.reading() as connection:
            _check_exists(connection, study)
            return records.TRIAL.load_all(connection.scalars(query))

    def ranked(self, study: StudyName, limit: int) -> Sequence[Trial]:
        """Up to ``limit`` trials that completed a rung, best first: more completed rungs, then the better mean of
        the highest one (in the study's direction), then the lower number.

        Raises:
            StudyNotFound: there is no such study.
        """
        best_first = (trials.c.rung.desc(), trials.c.score.desc(), trials.c.number)
        query = _trials_of(study).where(trials.c.rung > 0).order_by(*best_first).limit(limit)
        with self._connections.reading() as connection:
            _check_exists(connection, study)
            return records.TRIAL.load_all(connection.scalars(query))

    def measurements(
        self, study: StudyName, trial: TrialNumber | None, after: tuple[int, int, int, int] | None, limit: int
    ) -> Sequence[Measurement]:
        """Up to ``limit`` measurements of a trial (None: of all), ordered by (trial, repeat, fold, epoch), after
        that key; of each only the newest attempt's.

        Raises:
            StudyNotFound: there is no such study.
        """
        key = (measurements.c.trial, measurements.c.repeat, measurements.c.fold, measurements.c.epoch)
        query = select(measurements.c.body).where(measurements.c.study == study).order_by(*key).limit(limit)
        if trial is not None:
            query = query.where(measurements.c.trial == trial)
        if after is not None:
            query = query.where(tuple_(*key) > after)
        with self._connections.reading() as connection:
            _check_exists(connection, study)
            return records.MEASUREMENT.load_all(connection.scalars(query))

    def answered(self, request_id: str) -> Answered | None:
        """What was answered to that request_id, or None."""
        with self._connections.reading() as connection:
            row = connection.execute(select(requests).where(requests.c.request_id == request_id)).one_or_none()
            return None if row is None else Answered(row.digest, records.STUDY.load(row.study))

    def live(self) -> Sequence[LiveStudy]:
        """All studies that have not ended, in creation order."""
        unended = [state for state in StudyState if not state.ended]
        query = _STUDIES.where(studies.c.state.in_(unended)).order_by(studies.c.created)
        with self._connections.reading() as connection:
            return [_load_live(connection, study) for study in _load_studies(connection, query)]

    def close(self) -> None:
        """Release everything; the store cannot be used afterwards."""
        self._connections.close()

    def _checked_end(self, connection: Connection) -> int:
        log = _log(connection)
        if self._epoch is not None and log.epoch != self._epoch:
            raise StoreUnavailable(f"another server has taken it over (epoch {log.epoch}, ours {self._epoch})")
        return log.revision


def open_sql_store(url: str) -> SqlStore:
    """Open the store at a database URL, creating it or bringing its schema up to date.

    Raises:
        InvalidArgument: the URL is malformed or not supported.
        StoreTooNew: a newer searchd wrote the database.
        StoreUnavailable: the database cannot be opened.
    """
    return SqlStore(SqlSettings(url))


def _log(connection: Connection) -> _Log:
    epoch, trimmed, newest = connection.execute(_LOG).one()
    return _Log(epoch, trimmed, max(trimmed, newest))


def _check_exists(connection: Connection, study: StudyName) -> None:
    if connection.scalar(select(studies.c.name).where(studies.c.name == study)) is None:
        raise StudyNotFound(study)


def _load_studies(connection: Connection, query: Select[str, str, str]) -> Sequence[Study]:
    return records.STUDY.load_all(records.whole_study(*row) for row in connection.execute(query))


def _trials_of(study: StudyName) -> Select[str]:
    return select(trials.c.body).where(trials.c.study == study)


def _load_live(connection: Connection, study: Study) -> LiveStudy:
    found = records.TRIAL.load_all(connection.scalars(_trials_of(study.name).order_by(trials.c.number)))
    out = {
        (trial.number, run.repeat, run.fold)
        for trial in found
        for run in trial.fold_runs
        if run.state is FoldRunState.HANDED_OUT
    }
    numbers = sorted({number for number, _, _ in out})
    reported: list[Measurement] = []
    for start in range(0, len(numbers), _TRIALS_PER_QUERY):
        chunk = numbers[start : start + _TRIALS_PER_QUERY]
        query = (
            select(measurements.c.body)
            .where(measurements.c.study == study.name, measurements.c.trial.in_(chunk))
            .order_by(measurements.c.trial, measurements.c.repeat, measurements.c.fold, measurements.c.epoch)
        )
        reported += records.MEASUREMENT.load_all(connection.scalars(query))
    return LiveStudy(study, found, tuple(m for m in reported if (m.trial, m.repeat, m.fold) in out))
