"""The store in SQLite, over real files."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from searchd.domain.errors import InvalidArgument, SearchdError, StoreDamaged, StoreFull, StoreUnavailable
from searchd.domain.facts import StudyPut, TrialPut
from searchd.domain.study import study_name
from searchd.domain.trial import TrialNumber
from searchd.ports.store import DamagedStudy
from searchd.stores import sqlite
from searchd.stores.connections import Connections, SqlSettings
from searchd.stores.sql import SqlStore, open_sql_store
from tests.contracts.makers import AT, STUDY, study, trial
from tests.contracts.sql_store import SqlStoreContract
from tests.contracts.stored_values import names, whole

OTHER = study_name("default", "other")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a database that does not exist yet."""
    return tmp_path / "100%.db"


@pytest.fixture
def url(path: Path) -> str:
    """The same as a URL."""
    return f"sqlite:///{path}"


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    """A new store."""
    store = open_sql_store(url)
    yield store
    store.close()


class TestSqliteStore(SqlStoreContract):
    """The store in SQLite keeps the contract."""


def test_stores_differ_in_identity(url: str) -> None:
    """Two databases have different ids."""
    stores = [open_sql_store(url), open_sql_store(url.replace("100", "200"))]
    assert stores[0].identity() != stores[1].identity()
    for store in stores:
        store.close()


def test_commits_are_synced_and_readers_cannot_write(url: str) -> None:
    """The writer waits for the disk at each commit, in WAL mode with foreign keys; a reader's write is refused."""
    connections = Connections(SqlSettings(url))
    with connections.writing() as writer:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        found = [writer.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
    assert found == ["wal", 2, 1, 5000]
    with pytest.raises(StoreUnavailable, match="readonly"), connections.reading() as reader:
        reader.exec_driver_sql("CREATE TABLE t (x)")
    connections.close()


def test_locked_database_is_waited_for_and_then_unavailable(
    path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process holds the lock for longer than one waits, writes are refused; afterwards all is well."""
    monkeypatch.setattr(sqlite, "LOCK_SECONDS", 0.05)
    store = open_sql_store(url)
    store.begin_epoch()
    store.commit([StudyPut(study())], AT)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for write in (lambda: store.commit([TrialPut(trial())], AT), store.beat, lambda: store.trim_events(0)):
            with pytest.raises(StoreUnavailable, match="locked") as raised:
                write()
            assert type(raised.value) is StoreUnavailable
        with pytest.raises(StoreUnavailable, match="locked"):
            open_sql_store(url)
        assert store.study(STUDY) == study()
        other.execute("ROLLBACK")
    assert store.commit([TrialPut(trial())], AT) == 2
    store.beat()
    store.close()


def test_full_database_takes_no_writes_until_there_is_room(url: str) -> None:
    """With no page left commits raise StoreFull and leave nothing; reads go on, and with room again so do commits."""
    opened: list[sqlite3.Connection] = []

    def remember(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        opened.append(connection)

    event.listen(Engine, "connect", remember)
    try:
        store = open_sql_store(url)
        (writer,) = opened
        store.begin_epoch("one")
        store.commit([StudyPut(study())], AT)
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone()
        for _ in range(2):
            with pytest.raises(StoreFull, match="full"):
                store.commit([TrialPut(trial(n, log_tail="x" * 2000)) for n in range(1, 20)], AT)
            assert store.revision() == 1
            assert list(store.trials(STUDY, None, 0, 10)) == []
            assert [live.study for live in whole(store.live())] == [study()]
        store.beat()
        writer.execute("PRAGMA max_page_count = 100000").fetchone()
        assert store.commit([TrialPut(trial(n)) for n in range(1, 20)], AT) == 20
        store.close()
    finally:
        event.remove(Engine, "connect", remember)


@pytest.mark.parametrize("table", ["trials", "studies"])
def test_text_that_is_no_unicode(path: Path, store: SqlStore, table: str) -> None:
    """A row whose bytes are no Unicode any more damages its own study only."""
    store.commit([StudyPut(study()), StudyPut(study(OTHER)), TrialPut(trial())], AT)
    column = "body" if table == "trials" else "rest"
    with closing(sqlite3.connect(path)) as database, database:
        changed = database.execute(f"UPDATE {table} SET {column} = CAST(x'7bff7d' AS TEXT) WHERE rowid = 1")
        assert changed.rowcount == 1
    with pytest.raises(StoreDamaged):
        store.trials(STUDY, None, 0, 10) if table == "trials" else store.study(STUDY)
    assert names(store) == (["digits", "other"] if table == "trials" else ["other"])
    damaged, other = store.live()
    assert isinstance(damaged, DamagedStudy)
    assert damaged.name == STUDY
    assert [live.study for live in whole([other])] == [study(OTHER)]


def test_damaged_page(path: Path, url: str) -> None:
    """When a page of the file is overwritten, reading what was in it raises StoreDamaged; the rest is intact."""
    store = open_sql_store(url)
    store.commit([StudyPut(study()), StudyPut(study(OTHER)), TrialPut(trial()), TrialPut(trial(study=OTHER))], AT)
    store.close()
    with closing(sqlite3.connect(path)) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'trials'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    store = open_sql_store(url)
    with pytest.raises(StoreDamaged, match="malformed") as raised:
        store.trial(STUDY, TrialNumber(1))
    assert raised.value.what == "the database"
    assert names(store) == ["digits", "other"]
    assert len(store.events(0, None, 10)) == 4
    assert [type(live) for live in store.live()] == [DamagedStudy, DamagedStudy]
    with pytest.raises(StoreDamaged, match="malformed"):
        store.commit([TrialPut(trial(2))], AT)
    assert store.revision() == 4
    store.close()


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("missing/s.db", StoreUnavailable),
        ("/proc/self/s.db", StoreUnavailable),
        ("file/s.db", StoreUnavailable),
        ("file", StoreDamaged),
    ],
)
def test_database_that_cannot_be_opened(path: str, error: type[SearchdError], tmp_path: Path) -> None:
    """A directory that is missing or read-only gives StoreUnavailable, a file that is no database StoreDamaged."""
    (tmp_path / "file").write_text("not a database, but long enough to look like one: " * 50)
    with pytest.raises(error):
        open_sql_store(f"sqlite:///{tmp_path / path}")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "postgresql//me:s3cret@host/db",
        "postgresql://me:s3cret@host:port/db",
        "mysql://me:s3cret@host/db",
        "postgresql+psycopg2://me:s3cret@host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////tmp",
    ],
)
def test_url_that_names_no_database_file(url: str) -> None:
    """A URL that is malformed, of another database, or of no file is refused with a remedy and without its password."""
    with pytest.raises(InvalidArgument) as raised:
        open_sql_store(url)
    assert raised.value.field == "store"
    assert raised.value.remedy
    assert "s3cret" not in str(raised.value)
