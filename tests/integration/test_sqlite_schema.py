"""Bringing a database in SQLite up to date that an earlier version has left."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from searchd.domain.errors import StoreDamaged
from searchd.domain.trial import TrialNumber
from searchd.stores.sql import open_sql_store
from tests.contracts.makers import STUDY
from tests.contracts.sql_faults import OPENING, child, opening_slowly
from tests.contracts.upgraded import V0002, expect_v0001, restore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a database with the first schema."""
    path = tmp_path / "s.db"
    restore(path)
    return path


def dumped(path: Path) -> list[str]:
    """All that a database holds, as statements."""
    with closing(sqlite3.connect(path)) as database:
        return list(database.iterdump())


def upgrade(path: Path) -> None:
    """Open the store and see that all is there."""
    store = open_sql_store(f"sqlite:///{path}")
    expect_v0001(store)
    store.close()


def test_upgrade_keeps_everything(path: Path) -> None:
    """After an upgrade everything that was stored is read as what it was, and the lost workers are failures."""
    upgrade(path)


def test_upgrade_of_the_schema_before_keeps_everything(tmp_path: Path) -> None:
    """So it is after an upgrade from the second schema."""
    restore(tmp_path / "s.db", V0002)
    upgrade(tmp_path / "s.db")


def test_upgrade_happens_once(path: Path) -> None:
    """Opening a database that is up to date changes nothing in it."""
    upgrade(path)
    before = dumped(path)
    open_sql_store(f"sqlite:///{path}").close()
    assert dumped(path) == before


def test_upgraded_schema_is_that_of_a_new_database(path: Path, tmp_path: Path) -> None:
    """An upgraded database has the same tables as a new one."""
    upgrade(path)
    open_sql_store(f"sqlite:///{tmp_path}/new.db").close()
    found = []
    for database in (path, tmp_path / "new.db"):
        with closing(sqlite3.connect(database)) as connection:
            found.append(sorted(connection.execute("SELECT name, sql FROM sqlite_master").fetchall()))
    assert found[0] == found[1]


@pytest.mark.parametrize("step", range(1, 8))
def test_kill_at_each_step_of_an_upgrade(path: Path, tmp_path: Path, step: int) -> None:
    """Killed anywhere in an upgrade, the database is as it was before, and the next upgrade is a whole one."""
    before = dumped(path)
    fault = f"migration.step=kill@{step}"
    done = child(OPENING, f"sqlite:///{path}", fault=fault, log=tmp_path / "faults")
    assert done.returncode == -signal.SIGKILL
    assert dumped(path) == before
    upgrade(path)


@pytest.mark.parametrize("step", range(1, 7))
def test_kill_while_a_database_is_made(tmp_path: Path, step: int) -> None:
    """Killed while it makes a database, a server leaves none, and the next one makes it."""
    fault = f"migration.step=kill@{step}"
    done = child(OPENING, f"sqlite:///{tmp_path}/new.db", fault=fault, log=tmp_path / "faults")
    assert done.returncode == -signal.SIGKILL
    assert not any("CREATE TABLE" in line for line in dumped(tmp_path / "new.db"))
    store = open_sql_store(f"sqlite:///{tmp_path}/new.db")
    assert store.begin_epoch() == 1
    store.close()


def test_steps_are_counted_right(path: Path, tmp_path: Path) -> None:
    """The tests above reach every step: there is none after the last of them."""
    for database, last in ((path, 7), (tmp_path / "new.db", 6)):
        with pytest.raises(AssertionError):
            child(
                OPENING,
                f"sqlite:///{database}",
                fault=f"migration.step=kill@{last + 1}",
                log=tmp_path / "faults",
            )


def test_upgrade_of_more_than_is_read_at_a_time(path: Path) -> None:
    """An upgrade of more rows than are read at a time changes all of them."""
    with closing(sqlite3.connect(path)) as database, database:
        for number in range(10, 2510):
            database.execute(
                "INSERT INTO trials SELECT study, ?, state, rung, score, replace(body, '\"number\":1', ?) FROM trials "
                "WHERE study = ? AND number = 1",
                (number, f'"number":{number}', STUDY),
            )
    store = open_sql_store(f"sqlite:///{path}")
    found = store.trials(STUDY, None, 9, 10_000)
    store.close()
    assert [trial.number for trial in found] == list(range(10, 2510))
    assert {len(trial.fold_runs[0].failures) for trial in found} == {2}


@pytest.mark.parametrize(
    "body", ["{", "[]", "null", '{"fold_runs": 1, "losses": 1}', '{"fold_runs": [{"losses": "many"}]}']
)
def test_upgrade_passes_over_what_it_cannot_read(path: Path, body: str) -> None:
    """A trial that cannot be understood is left as it is, and no reason not to upgrade the rest."""
    with closing(sqlite3.connect(path)) as database, database:
        # In the log as in the table, so that the upgrade meets it twice.
        written = f'{body} "losses"'
        for table in ("trials WHERE number = 3", "events WHERE revision = 11"):
            name, _, where = table.partition(" WHERE ")
            assert database.execute(f"UPDATE {name} SET body = ? WHERE {where}", (written,)).rowcount == 1
    store = open_sql_store(f"sqlite:///{path}")
    assert len(store.trial(STUDY, TrialNumber(1)).fold_runs[0].failures) == 2
    with pytest.raises(StoreDamaged):
        store.trial(STUDY, TrialNumber(3))
    store.close()
    assert sum(written in line for line in dumped(path)) == 2


def test_failures_that_are_there_already_are_kept(path: Path) -> None:
    """A trial that was written with failures before the upgrade keeps them."""
    with closing(sqlite3.connect(path)) as database, database:
        for old, new in (('"losses":2', '"losses":2,"failures":["node_lost"]'), ('"losses":0', '"failures":["hung"]')):
            database.execute("UPDATE trials SET body = replace(body, ?, ?)", (old, new))
    store = open_sql_store(f"sqlite:///{path}")
    failures = [store.trial(STUDY, TrialNumber(n)).fold_runs[0].failures for n in (1, 2)]
    store.close()
    assert failures == [("node_lost",), ("hung",)]


def test_two_processes_may_upgrade_at_once(path: Path, tmp_path: Path) -> None:
    """A process that opens the database while another is upgrading it waits, and finds it up to date."""
    with opening_slowly(f"sqlite:///{path}", tmp_path / "faults"):
        upgrade(path)
