"""What becomes of studies when the store takes no writes, or gives back nonsense."""

import resource
import sqlite3
from contextlib import closing

import psutil
import pytest

from searchd.domain.errors import StoreDamaged, StoreUnavailable
from searchd.domain.study import StudyState
from searchd.stores.sqlite import LOCK_SECONDS
from tests.acceptance.faults.house import DEFINITION, EPOCHS, House
from tests.acceptance.server import eventually

SMALL = 4096

IN_FLIGHT = EPOCHS // 2
"""Epochs that two workers train of what they were handed before."""


def refusing(house: House, study_id: str) -> bool:
    """Whether a creation is refused because the store cannot be written to."""
    try:
        house.recorder.client.create_study(study_id=study_id, **DEFINITION)
    except StoreUnavailable:
        return True
    return False


def test_files_that_may_not_grow(house: House) -> None:
    """While the store's files may not grow changes are refused and reads go on; then it goes on, nothing lost."""
    name = house.study("small-disk")
    house.await_epochs(name, 4)
    server = psutil.Process(house.server.pid)
    usual = server.rlimit(psutil.RLIMIT_FSIZE)
    server.rlimit(psutil.RLIMIT_FSIZE, (SMALL, usual[1]))
    try:
        eventually(lambda: refusing(house, "too-large"))
        shown = house.recorder.look(name)
        assert not shown.state.ended
        house.await_epochs(name, IN_FLIGHT)
        assert house.recorder.look(name).state is shown.state
    finally:
        server.rlimit(psutil.RLIMIT_FSIZE, usual)
    assert house.end_of(name).state is StudyState.SUCCEEDED
    assert house.broken() == []
    assert len(house.trained(name)) == EPOCHS
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == usual


def test_locked_database(house: House) -> None:
    """While another process holds the database changes are refused; when it lets go nothing has been lost."""
    name = house.study("locked")
    house.await_epochs(name, 4)
    with closing(sqlite3.connect(house.database, timeout=10.0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        house.await_epochs(name, IN_FLIGHT)
        eventually(lambda: refusing(house, "locked-out"), 4 * LOCK_SECONDS)
        assert not house.recorder.look(name).state.ended
        other.execute("ROLLBACK")
    assert house.end_of(name).state is StudyState.SUCCEEDED
    assert house.broken() == []
    assert len(house.trained(name)) == EPOCHS


def test_row_that_cannot_be_read(house: House) -> None:
    """A running study whose row is damaged is set aside with the reason; others go on, and so does it once mended."""
    name, other = house.study("damaged", 0.2, watched=False), house.study("undamaged", 0.2)
    house.await_epochs(name, 2)
    house.server.kill()
    with closing(sqlite3.connect(house.database, isolation_level=None)) as connection:
        (whole,) = connection.execute("SELECT spec FROM studies WHERE name = ?", (name,)).fetchone()
        connection.execute("UPDATE studies SET spec = ? WHERE name = ?", (whole[: len(whole) // 2], name))
    house.start()
    assert house.end_of(other).state is StudyState.SUCCEEDED
    with pytest.raises(StoreDamaged, match="damaged"):
        house.recorder.client.study(name).get()
    house.server.kill()
    with closing(sqlite3.connect(house.database, isolation_level=None)) as connection:
        connection.execute("UPDATE studies SET spec = ? WHERE name = ?", (whole, name))
    house.start()
    house.excused.add(name)
    assert house.end_of(name).state is StudyState.SUCCEEDED
    assert house.broken() == []
