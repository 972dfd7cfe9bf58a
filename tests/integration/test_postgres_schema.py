"""Bringing a database in PostgreSQL up to date that an earlier version would have left."""

import signal
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from searchd.stores import schema
from searchd.stores.sql import open_sql_store
from tests.contracts.sql_faults import OPENING, child, opening_slowly
from tests.contracts.upgraded import expect_v0001, restore
from tests.postgres import PostgresServer


@pytest.fixture
def old_postgres(tmp_path: Path, postgres_url: str) -> str:
    """URL of a database in PostgreSQL with the first schema and the same rows."""
    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"))
    restore(tmp_path / "old.db")
    old = create_engine(f"sqlite:///{tmp_path}/old.db")
    with engine.begin() as connection, old.connect() as source:
        schema.upgrade(connection, "0001")
        for table in ("meta", "events", "studies", "study_labels", "trials", "measurements", "requests"):
            rows = source.execute(text(f"SELECT * FROM {table}")).mappings().all()
            columns = [str(name) for name in rows[0]]
            values = ", ".join(f":{name}" for name in columns)
            statement = text(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})")
            connection.execute(statement, [dict(row) for row in rows])
    engine.dispose()
    old.dispose()
    return postgres_url


def test_upgrade_keeps_everything(old_postgres: str) -> None:
    """Everything that was stored is read as what it was after an upgrade."""
    store = open_sql_store(old_postgres)
    expect_v0001(store)
    store.close()


@pytest.mark.parametrize("step", [1, 4])
def test_kill_in_an_upgrade(old_postgres: str, tmp_path: Path, step: int) -> None:
    """Killed in an upgrade, a process leaves the database as it was, and the next upgrade is a whole one."""
    fault = f"migration.step=kill@{step}"
    done = child(OPENING, old_postgres, fault=fault, log=tmp_path / "faults")
    assert done.returncode == -signal.SIGKILL
    store = open_sql_store(old_postgres)
    expect_v0001(store)
    store.close()


def test_two_processes_may_upgrade_at_once(old_postgres: str, tmp_path: Path) -> None:
    """A process that opens the database while another is upgrading it waits, and finds it up to date."""
    with opening_slowly(old_postgres, tmp_path / "faults"):
        store = open_sql_store(old_postgres)
        expect_v0001(store)
        store.close()


def test_upgraded_schema_is_that_of_a_new_database(old_postgres: str, postgres: PostgresServer) -> None:
    """An upgraded database has the same tables as a new one."""
    new = postgres.create()
    for url in (old_postgres, postgres.url(new)):
        open_sql_store(url).close()
    columns = (
        "table_name, column_name, data_type, collation_name, is_nullable, column_default, character_maximum_length"
    )
    question = f"SELECT {columns} FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
    found = [postgres.run(question, name) for name in (str(make_url(old_postgres).database), new)]
    postgres.drop(new)
    assert len(found[0]) > 30
    assert found[0] == found[1]
