"""Migrations of the SQLite store."""

import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from searchd.domain.errors import StoreTooNew
from searchd.stores.sql import open_sql_store
from searchd.stores.tables import metadata


def test_migrations_lead_to_the_tables(tmp_path: Path) -> None:
    """A database made by the migrations has exactly the tables, columns and indexes that the code expects."""
    open_sql_store(f"sqlite:///{tmp_path}/s.db").close()
    engine = create_engine(f"sqlite:///{tmp_path}/s.db")
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    engine.dispose()


def test_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    """A database that a newer searchd wrote raises StoreTooNew with both schemas and is left as it is."""
    path = tmp_path / "s.db"
    open_sql_store(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(StoreTooNew) as raised:
        open_sql_store(f"sqlite:///{path}")
    assert (raised.value.found, raised.value.known) == ("9999", "0001")
    database = sqlite3.connect(path)
    assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    database.close()


def test_two_servers_may_create_at_once(tmp_path: Path) -> None:
    """Stores opened at the same moment on a new file agree on one identity: only one of them creates it."""
    identities: list[str] = []
    barrier = threading.Barrier(4)

    def create() -> None:
        barrier.wait()
        store = open_sql_store(f"sqlite:///{tmp_path}/s.db")
        identities.append(store.identity())
        store.close()

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(identities) == 4
    assert len(set(identities)) == 1
