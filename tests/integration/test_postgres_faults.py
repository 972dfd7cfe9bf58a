"""What the store in PostgreSQL does when the connection or the server breaks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from searchd.domain.errors import LeaseLost, StoreFull, StoreUnavailable
from searchd.domain.facts import Fact, StudyPut, TrialPut
from searchd.domain.trial import TrialNumber
from searchd.stores import postgres as dialect
from searchd.stores import sql
from searchd.stores.connections import Connections, SqlSettings
from searchd.stores.sql import SqlStore, open_sql_store
from tests.contracts.makers import AT, STUDY, study, trial
from tests.cutting_proxy import Cut, CuttingProxy
from tests.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
FACTS: list[Fact] = [TrialPut(trial(1)), TrialPut(trial(2))]

STOPPING = """
import sys
from searchd.domain.errors import LeaseLost, StoreUnavailable
from searchd.domain.facts import StudyPut
from searchd.stores import postgres
from searchd.stores.sql import open_sql_store
from tests.contracts.makers import AT, study

postgres.IDLE_SECONDS = 1
store = open_sql_store(sys.argv[1])
store.begin_epoch("sleeper")
try:
    store.commit([StudyPut(study())], AT)
except StoreUnavailable as error:
    print(error)
try:
    store.commit([StudyPut(study())], AT)
except LeaseLost as error:
    print(error.current)
"""


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[CuttingProxy]:
    """Between the store and the server."""
    proxy = CuttingProxy(postgres.socket)
    yield proxy
    proxy.close()


@pytest.fixture
def database(postgres_url: str) -> str:
    """Name of a new database."""
    return str(make_url(postgres_url).database)


@pytest.fixture
def opened(postgres_url: str) -> Iterator[SqlStore]:
    """A store whose connections never break, with a study."""
    store = open_sql_store(postgres_url)
    store.commit([StudyPut(study())], AT)
    yield store
    store.close()


@pytest.fixture
def cut_off(opened: SqlStore, proxy: CuttingProxy, database: str) -> Iterator[SqlStore]:
    """The same contents, reached through the proxy, with the lease."""
    store = open_sql_store(f"postgresql://postgres@127.0.0.1:{proxy.port}/{database}")
    store.begin_epoch("one")
    yield store
    store.close()


def test_commit_whose_answer_is_lost_took_place(cut_off: SqlStore, opened: SqlStore, proxy: CuttingProxy) -> None:
    """When the connection breaks after the server has committed, commit returns as if nothing had happened."""
    proxy.cut(b"COMMIT", Cut.AFTER)
    assert cut_off.commit(FACTS, AT) == 3
    assert proxy.cuts == [Cut.AFTER]
    assert [e.fact for e in opened.events(1, None, 10)] == FACTS
    assert cut_off.commit([TrialPut(trial(3))], AT) == 4


def test_commit_that_never_arrived_did_not_take_place(cut_off: SqlStore, opened: SqlStore, proxy: CuttingProxy) -> None:
    """When the connection breaks before the server has heard of the commit, commit raises and nothing is written."""
    proxy.cut(b"COMMIT", Cut.BEFORE)
    with pytest.raises(StoreUnavailable, match="before a write took place"):
        cut_off.commit(FACTS, AT)
    assert proxy.cuts == [Cut.BEFORE]
    assert opened.revision() == 1
    assert cut_off.commit(FACTS, AT) == 3
    assert [e.fact for e in opened.events(1, None, 10)] == FACTS


def test_transaction_that_hangs_in_the_server_is_waited_for(
    postgres_url: str, opened: SqlStore, proxy: CuttingProxy, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the server does not hear that its client is gone, commit waits until it has given the transaction up."""
    monkeypatch.setattr(dialect, "IDLE_SECONDS", 1)
    store = open_sql_store(f"postgresql://postgres@127.0.0.1:{proxy.port}/{database}")
    proxy.cut(b"COMMIT", Cut.HALF_BEFORE)
    with pytest.raises(StoreUnavailable, match="before a write took place"):
        store.commit(FACTS, AT)
    assert proxy.cuts == [Cut.HALF_BEFORE]
    assert opened.revision() == 1
    assert store.commit(FACTS, AT) == 3
    store.close()


def test_statements_that_hang_in_the_server_are_given_up(
    postgres_url: str, opened: SqlStore, proxy: CuttingProxy, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a client is gone in the middle of statements that are sent together, the server gives up all the same."""
    monkeypatch.setattr(dialect, "STATEMENT_SECONDS", 1)
    store = open_sql_store(f"postgresql://postgres@127.0.0.1:{proxy.port}/{database}")
    proxy.cut(b"INSERT INTO events", Cut.HALF_AFTER)
    with pytest.raises(StoreUnavailable):
        store.commit(FACTS, AT)
    assert proxy.cuts == [Cut.HALF_AFTER]
    assert opened.commit(FACTS, AT) == 3
    store.close()


@pytest.mark.parametrize("how", [Cut.BEFORE, Cut.AFTER])
def test_outcome_that_nobody_can_tell_is_said_to_be_unknown(
    cut_off: SqlStore, opened: SqlStore, proxy: CuttingProxy, how: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the server cannot be asked for long enough either, commit says that it does not know; later all is well."""
    monkeypatch.setattr(sql, "OUTCOME_SECONDS", 0.3)
    proxy.cut(b"COMMIT", how, stay_down=True)
    with pytest.raises(StoreUnavailable, match="unknown"):
        cut_off.commit(FACTS, AT)
    assert proxy.cuts == [how]
    assert opened.revision() == (3 if how is Cut.AFTER else 1)
    with pytest.raises(StoreUnavailable):
        cut_off.revision()
    proxy.up()
    after = cut_off.revision()
    assert cut_off.commit([TrialPut(trial(3))], AT) == after + 1


@pytest.mark.parametrize("how", [Cut.BEFORE, Cut.AFTER])
@pytest.mark.parametrize("writes", [False, True])
def test_outcome_is_told_apart_from_another_writers(
    cut_off: SqlStore, opened: SqlStore, proxy: CuttingProxy, how: Cut, writes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When another has taken the lease before it could be asked, the outcome is exact until that one writes."""
    real = cut_off._took_place

    def taken_over(*args: object) -> bool:
        opened.begin_epoch("two")
        if writes:
            opened.commit([TrialPut(trial(7)), TrialPut(trial(8))], AT)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(cut_off, "_took_place", taken_over)
    proxy.cut(b"COMMIT", how)
    if writes:
        with pytest.raises(StoreUnavailable, match="unknown"):
            cut_off.commit(FACTS, AT)
    elif how is Cut.AFTER:
        assert cut_off.commit(FACTS, AT) == 3
    else:
        with pytest.raises(StoreUnavailable, match="before a write took place"):
            cut_off.commit(FACTS, AT)
    assert proxy.cuts == [how]
    with pytest.raises(LeaseLost):
        cut_off.commit(FACTS, AT)


@pytest.mark.parametrize("statement", [b"FOR UPDATE", b"INSERT INTO trials", b"INSERT INTO events", b"UPDATE meta"])
def test_break_before_the_commit_writes_nothing(
    cut_off: SqlStore, opened: SqlStore, proxy: CuttingProxy, statement: bytes
) -> None:
    """When the connection breaks at any statement of a commit, nothing is written, and the next commit works."""
    proxy.cut(statement, Cut.BEFORE)
    with pytest.raises(StoreUnavailable):
        cut_off.commit(FACTS, AT)
    assert proxy.cuts == [Cut.BEFORE]
    assert opened.revision() == 1
    assert cut_off.commit(FACTS, AT) == 3


def test_lease_whose_answer_is_lost_may_have_been_taken(
    cut_off: SqlStore, opened: SqlStore, proxy: CuttingProxy
) -> None:
    """When the connection breaks while the lease is taken, that is an error, and the lease says who has it."""
    proxy.cut(b"COMMIT", Cut.AFTER)
    with pytest.raises(StoreUnavailable, match="unknown"):
        cut_off.begin_epoch("one", "here")
    assert proxy.cuts == [Cut.AFTER]
    lease = cut_off.lease()
    assert (lease.epoch, lease.holder) == (2, "one")
    assert cut_off.begin_epoch("one", "here", lease) == 3


def uses(store: SqlStore) -> dict[str, Callable[[], object]]:
    """Every way of using a store, each on whatever connection it had."""
    return {
        "read": lambda: store.study(STUDY),
        "live": store.live,
        "lease": store.lease,
        "commit": lambda: store.commit([TrialPut(trial(1))], AT),
        "beat": store.beat,
        "trim": lambda: store.trim_events(100),
    }


@pytest.mark.parametrize("use", ["read", "live", "lease", "commit", "beat", "trim"])
def test_connections_that_were_ended_are_replaced(
    opened: SqlStore, postgres: PostgresServer, database: str, use: str
) -> None:
    """When the server ends idle connections, the next use of the store has a new one and does not fail."""
    opened.study(STUDY)
    ended = postgres.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    assert len(ended) == 2
    uses(opened)[use]()


def test_server_that_restarts_is_found_again(opened: SqlStore, postgres: PostgresServer) -> None:
    """After the server has been restarted every use of the store works, and what was committed is there."""
    opened.commit(FACTS, AT)
    postgres.restart()
    for use in uses(opened).values():
        use()
    assert opened.trial(STUDY, TrialNumber(2)) == trial(2)


def test_database_that_is_locked_is_not_waited_for_for_ever(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that another transaction keeps waiting is refused in the end; reads go on; afterwards all is well."""
    monkeypatch.setattr(dialect, "LOCK_SECONDS", 0.1)
    store = open_sql_store(postgres_url)
    store.commit([StudyPut(study())], AT)
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT * FROM meta FOR UPDATE")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            store.commit(FACTS, AT)
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            store.begin_epoch()
        assert store.study(STUDY) == study()
    assert store.commit(FACTS, AT) == 3
    store.close()


def test_stopped_writer_does_not_keep_others_out(postgres_url: str, tmp_path: Path) -> None:
    """A writer that is stopped in the middle of a commit loses its transaction; when it goes on it is told so."""
    log = tmp_path / "faults"
    faults = {"SEARCHD_FAILPOINTS": "commit.written=stop", "SEARCHD_FAILPOINTS_LOG": str(log)}
    with subprocess.Popen(
        [sys.executable, "-c", STOPPING, postgres_url],
        cwd=ROOT,
        env=os.environ | faults,
        stdout=subprocess.PIPE,
        text=True,
    ) as sleeper:
        os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED)
        assert "commit.written stop" in log.read_text()
        store = open_sql_store(postgres_url)
        assert _taken(store) == 2
        assert store.revision() == 0
        sleeper.send_signal(signal.SIGCONT)
        said, _ = sleeper.communicate(timeout=30)
    assert sleeper.returncode == 0
    refused, current = said.splitlines()
    assert "unavailable" in refused
    assert current == "2"
    assert store.revision() == 0
    store.close()


def _taken(store: SqlStore) -> int:
    """The new epoch, as soon as nobody stands in the way."""
    patience_ends = time.monotonic() + 30
    while True:
        try:
            return store.begin_epoch("waker")
        except StoreUnavailable:
            assert time.monotonic() < patience_ends


def test_full_disk_of_the_server(opened: SqlStore, postgres: PostgresServer, database: str) -> None:
    """When the server has no room left commits raise StoreFull and write nothing; with room again they work."""
    postgres.run(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$",
        database,
    )
    postgres.run("CREATE TRIGGER full_disk BEFORE INSERT ON events EXECUTE FUNCTION full_disk()", database)
    with pytest.raises(StoreFull, match="No space left"):
        opened.commit(FACTS, AT)
    assert opened.revision() == 1
    assert list(opened.trials(STUDY, None, 0, 10)) == []
    postgres.run("DROP TRIGGER full_disk ON events", database)
    assert opened.commit(FACTS, AT) == 3


@pytest.mark.parametrize("server", ["off", "local", "remote_write", "on", "remote_apply"])
def test_commits_are_on_disk_whatever_the_server_prefers(
    postgres: PostgresServer, postgres_url: str, database: str, server: str
) -> None:
    """A commit returns when it is on disk, here and on standbys; more than that is kept where it is asked for."""
    postgres.run(f"ALTER DATABASE {database} SET synchronous_commit = '{server}'")
    connections = Connections(SqlSettings(postgres_url))
    with connections.writing() as writer:
        found = writer.exec_driver_sql("SHOW synchronous_commit").scalar()
    assert found == ("remote_apply" if server == "remote_apply" else "on")
    connections.close()


def test_nothing_waits_for_ever(postgres_url: str) -> None:
    """Statements, locks and idle transactions have an end; readers see one state and cannot write."""
    connections = Connections(SqlSettings(postgres_url))
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_isolation")
    with connections.writing() as writer:
        found = [writer.exec_driver_sql(f"SHOW {name}").scalar() for name in names]
    assert found == ["1min", "5s", "10s", "read committed"]
    with connections.reading() as reader:
        found = [reader.exec_driver_sql(f"SHOW {name}").scalar() for name in names]
    assert found == ["1min", "5s", "1min", "repeatable read"]
    with pytest.raises(StoreUnavailable, match="read-only"), connections.reading() as reader:
        reader.exec_driver_sql("CREATE TABLE t (x int)")
    connections.close()


def test_url_decides_over_what_is_usual(postgres_url: str) -> None:
    """What the URL says about connecting is not overridden."""
    connections = Connections(SqlSettings(f"{postgres_url}&application_name=mine"))
    with connections.reading() as reader:
        assert reader.exec_driver_sql("SHOW application_name").scalar() == "mine"
    connections.close()


def test_server_that_is_not_there() -> None:
    """A server that does not answer gives StoreUnavailable, without the password."""
    with pytest.raises(StoreUnavailable) as raised:
        open_sql_store("postgresql://me:s3cret@127.0.0.1:1/db")
    assert "s3cret" not in str(raised.value)


def test_database_that_is_not_there(postgres: PostgresServer) -> None:
    """A database that nobody has created gives StoreUnavailable that names it."""
    with pytest.raises(StoreUnavailable, match="nowhere"):
        open_sql_store(postgres.url("nowhere"))


def test_database_of_another_encoding_is_refused(postgres: PostgresServer) -> None:
    """A database that cannot hold all of Unicode is not used."""
    database = postgres.create("ENCODING 'SQL_ASCII' TEMPLATE template0")
    with pytest.raises(StoreUnavailable, match="SQL_ASCII"):
        open_sql_store(postgres.url(database))
    postgres.drop(database)


def test_names_are_compared_by_bytes(opened: SqlStore, postgres: PostgresServer, database: str) -> None:
    """Every column that is sorted by text sorts by bytes, whatever the database's own order."""
    keys = postgres.run(
        "SELECT table_name, column_name, collation_name FROM information_schema.key_column_usage k "
        "JOIN information_schema.columns c USING (table_schema, table_name, column_name) "
        "WHERE c.data_type = 'text' AND table_schema = 'public'",
        database,
    )
    assert {(table, column) for table, column, _ in keys} >= {("studies", "name"), ("requests", "request_id")}
    assert {collation for _, _, collation in keys} == {"C"}
