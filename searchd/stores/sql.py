"""The durable store: SQLAlchemy Core over SQLite or PostgreSQL, one code for both."""

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, select, update

from searchd.domain.errors import LeaseLost, StoreDamaged, StoreUnavailable, StudyNotFound
from searchd.domain.facts import Event, Fact
from searchd.domain.measurement import Measurement
from searchd.domain.study import Study, StudyName, StudyState
from searchd.domain.trial import Trial, TrialNumber, TrialState
from searchd.failpoints import reach
from searchd.ports.store import Answered, DamagedStudy, Lease, LiveStudy
from searchd.stores import reading, records, schema
from searchd.stores.connections import Connections, SqlSettings
from searchd.stores.errors import CommitUnknown
from searchd.stores.tables import events, meta
from searchd.stores.writing import Writer

OUTCOME_SECONDS: Final = 20.0
"""For how long the outcome of a commit is asked for when the connection broke: longer than the database holds on to a
transaction whose client is gone."""

_META = select(meta)
_LOCK_META = _META.with_for_update()
_MARK = update(meta).values(mark=bindparam("new"), beats=meta.c.beats + 1)


class _Held(NamedTuple):
    """What ``meta`` says: the lease, and the mark of the last commit."""

    lease: Lease
    mark: str


class SqlStore:
    """A store in a database. Methods that write belong to one thread, reads to any.

    Once it has begun an epoch, its writes are refused as soon as another store has begun a later one.

    Raises:
        InvalidArgument: the URL is malformed or not supported.
        StoreDamaged: the file is not a database, or a damaged one.
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

    def lease(self) -> Lease:
        """Who may write, as of now."""
        with self._connections.reading() as connection:
            return _held(connection, lock=False).lease

    def begin_epoch(self, holder: str = "", address: str = "", seen: Lease | None = None) -> int:
        """Take the lease: count the writer's epoch up by one, durably, and return it (from 1).

        Raises:
            LeaseLost: the lease is not what was seen any more.
            StoreUnavailable: the database refused; if the connection broke, the lease may have been taken.
        """
        with self._connections.writing() as connection:
            lease = _held(connection).lease
            if seen is not None and seen != lease:
                raise LeaseLost(seen.epoch, lease.epoch)
            epoch = lease.epoch + 1
            taken = {"writer_epoch": epoch, "holder": holder, "address": address, "beats": lease.beats + 1}
            connection.execute(update(meta).values(taken))
        self._epoch = epoch
        self._writer.forget()  # others may have written meanwhile
        return epoch

    def beat(self) -> None:
        """Give a sign of life.

        Raises:
            LeaseLost: another writer has begun a later epoch.
        """
        with self._connections.writing() as connection:
            self._check_writer(_held(connection))
            connection.execute(update(meta).values(beats=meta.c.beats + 1))

    def give_up(self) -> None:
        """Leave the lease to whoever wants it; nothing happens if another writer has begun a later epoch."""
        with self._connections.writing() as connection:
            if _held(connection).lease.epoch == self._epoch:
                connection.execute(update(meta).values(holder="", address="", beats=meta.c.beats + 1))

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:
        """Write all facts in one durable transaction, numbering them contiguously; all or nothing.

        If the connection breaks so that nobody knows whether the transaction took place, that is found out by reading
        back before this returns or raises.

        Returns:
            The revision of the last fact (of the log's end if there are none).

        Raises:
            LeaseLost: another writer has begun a later epoch.
            StoreFull: there is no room.
            StoreDamaged: a study that a fact is about cannot be understood, or the database is damaged.
            StoreUnavailable: the database refused, or a fact is about a study or trial that does not exist; or the
                database cannot be reached to find out whether the transaction took place, which it then says.
        """
        if not facts:
            with self._connections.reading() as connection:
                self._check_writer(_held(connection, lock=False))
                return reading.revision(connection)
        if self._epoch is None:
            self._writer.forget()  # without a lease others may write at any time
        try:
            revision = self._write(facts, at)
        except BaseException:
            self._writer.forget()
            raise
        reach("commit.done")
        return revision

    def _write(self, facts: Sequence[Fact], at: datetime) -> int:
        mark, before = secrets.token_hex(16), ""
        try:
            with self._connections.writing() as connection:
                held = _held(connection)
                self._check_writer(held)
                before, revision = held.mark, reading.revision(connection)
                reach("commit.begun")
                self._writer.write(connection, facts, revision, records.microseconds(at))
                connection.execute(_MARK, {"new": mark})
                reach("commit.written")
        except CommitUnknown as unknown:
            if not self._took_place(mark, before, unknown):
                raise StoreUnavailable("the connection broke before a write took place") from unknown
        return revision + len(facts)

    def _took_place(self, mark: str, before: str, unknown: CommitUnknown) -> bool:
        """Whether the transaction that leaves ``mark`` in place of ``before`` did.

        The lock is what makes it certain: as long as the transaction may yet take place, it holds that lock.
        """
        patience_ends = time.monotonic() + OUTCOME_SECONDS
        while time.monotonic() < patience_ends:
            with suppress(StoreUnavailable), self._connections.writing() as connection:
                found = _held(connection).mark
                if found not in (mark, before):
                    # Another writer has taken over and written since.
                    break
                return found == mark
            time.sleep(0.1)
        raise unknown

    def revision(self) -> int:
        """The revision of the newest event, 0 if there is none."""
        with self._connections.reading() as connection:
            return reading.revision(connection)

    def events(self, after: int, study: StudyName | None, limit: int) -> Sequence[Event]:
        """Up to ``limit`` events with a revision above ``after``, in order; of one study if given.

        Raises:
            RevisionExpired: events right after ``after`` are no longer kept.
            StoreDamaged: one of them cannot be understood.
        """
        with self._connections.reading() as connection:
            return reading.events_after(connection, after, study, limit)

    def trim_events(self, keep: int) -> None:
        """Forget the oldest events so that those of the last ``keep`` revisions remain; state is untouched.

        Raises:
            LeaseLost: another writer has begun a later epoch.
        """
        with self._connections.writing() as connection:
            self._check_writer(_held(connection))
            upto = reading.revision(connection) - keep
            if upto > 0:
                connection.execute(delete(events).where(events.c.revision <= upto))
                connection.execute(update(meta).values(trimmed=upto).where(meta.c.trimmed < upto))

    def study(self, name: StudyName) -> Study:
        """The study with its current progress.

        Raises:
            StudyNotFound: there is none of that name.
            StoreDamaged: it cannot be understood.
        """
        with self._connections.reading() as connection:
            found = reading.studies_in_order(connection, [reading.study_named(name)], None, 1)
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
        (None: all) and bearing all ``labels``. Those that cannot be understood are left out."""
        filters = reading.study_filters(project, states, labels)
        try:
            with self._connections.reading() as connection:
                return reading.studies_in_order(connection, filters, after, limit)
        except StoreDamaged:
            return self._undamaged(filters, after, limit)

    def _undamaged(
        self, filters: Sequence[ColumnElement[bool]], after: StudyName | None, limit: int
    ) -> Sequence[Study]:
        found: list[Study] = []
        while len(found) < limit:
            with self._connections.reading() as connection:
                names = reading.study_names_in_order(connection, filters, after, limit)
            if not names:
                break
            after = names[-1]
            for name in names:
                only = [*filters, reading.study_named(name)]
                with suppress(StoreDamaged), self._connections.reading() as connection:
                    found += reading.studies_in_order(connection, only, None, 1)
        return found[:limit]

    def uses_code(self, code_id: str) -> bool:
        """Whether there is a study whose definition names the uploaded code of that id, damaged or not."""
        with self._connections.reading() as connection:
            return reading.code_is_named(connection, code_id)

    def trial(self, study: StudyName, number: TrialNumber) -> Trial:
        """One trial.

        Raises:
            StudyNotFound: there is no such study.
            TrialNotFound: the study has no trial of that number.
            StoreDamaged: it cannot be understood.
        """
        with self._connections.reading() as connection:
            return reading.trial_numbered(connection, study, number)

    def trials(self, study: StudyName, states: frozenset[TrialState] | None, after: int, limit: int) -> Sequence[Trial]:
        """Up to ``limit`` trials with numbers above ``after``, in number order; in any of ``states`` (None: all).

        Raises:
            StudyNotFound: there is no such study.
            StoreDamaged: one of them cannot be understood.
        """
        with self._connections.reading() as connection:
            return reading.trials_in_order(connection, study, states, after, limit)

    def ranked(self, study: StudyName, limit: int) -> Sequence[Trial]:
        """Up to ``limit`` trials that completed a rung, best first: more completed rungs, then those that keep all
        limits, then the better mean of the highest rung (in the study's direction), then the lower number.
        Confirmations and tests are not among them.

        Raises:
            StudyNotFound: there is no such study.
            StoreDamaged: one of them cannot be understood.
        """
        with self._connections.reading() as connection:
            return reading.trials_ranked(connection, study, limit)

    def measurements(
        self, study: StudyName, trial: TrialNumber | None, after: tuple[int, int, int, int] | None, limit: int
    ) -> Sequence[Measurement]:
        """Up to ``limit`` measurements of a trial (None: of all), ordered by (trial, repeat, fold, epoch), after
        that key; of each only the newest attempt's.

        Raises:
            StudyNotFound: there is no such study.
            StoreDamaged: one of them cannot be understood; it names the trial.
        """
        with self._connections.reading() as connection:
            return reading.measurements_in_order(connection, study, trial, after, limit)

    def answered(self, request_id: str) -> Answered | None:
        """What was answered to that request_id, or None.

        Raises:
            StoreDamaged: the answer cannot be understood.
        """
        with self._connections.reading() as connection:
            return reading.answer(connection, request_id)

    def live(self) -> Sequence[LiveStudy | DamagedStudy]:
        """All studies that have not ended, in creation order; one that cannot be read keeps no other from it."""
        with self._connections.reading() as connection:
            names = reading.unended_names(connection)
        return [live for live in map(self._live, names) if live is not None]

    def _live(self, name: StudyName) -> LiveStudy | DamagedStudy | None:
        try:
            # A transaction of its own, for PostgreSQL's ends with the first error.
            with self._connections.reading() as connection:
                return reading.live_study(connection, name)
        except StoreDamaged as error:
            return DamagedStudy(name, error.reason if error.what == name else f"{error.what}: {error.reason}")

    def close(self) -> None:
        """Release everything; the store cannot be used afterwards."""
        self._connections.close()

    def _check_writer(self, held: _Held) -> None:
        if self._epoch is not None and self._epoch != held.lease.epoch:
            raise LeaseLost(self._epoch, held.lease.epoch)


def open_sql_store(url: str) -> SqlStore:
    """Open the store at a database URL, creating it or bringing its schema up to date.

    Raises:
        InvalidArgument: the URL is malformed or not supported.
        StoreDamaged: the file is not a database, or a damaged one.
        StoreTooNew: a newer searchd wrote the database.
        StoreUnavailable: the database cannot be opened.
    """
    return SqlStore(SqlSettings(url))


def _held(connection: Connection, *, lock: bool = True) -> _Held:
    """What ``meta`` says. The lock keeps others from writing until the transaction ends; SQLite does so anyway."""
    row = connection.execute(_LOCK_META if lock else _META).one()
    return _Held(Lease(row.writer_epoch, row.holder, row.address, row.beats), row.mark)
