"""Two servers on one store and one Ray: one leads, and whatever becomes of it, the other goes on."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from searchd.domain.errors import NotLeader
from searchd.domain.study import StudyState
from searchd.engines.ray.local import LocalRay, LocalRaySettings
from tests.acceptance.faults.house import DEFINITION, EPOCHS, House
from tests.acceptance.faults.promises import Log, broken
from tests.acceptance.server import ANNOUNCED, STANDS_BY, Server, eventually


@pytest.fixture
def second(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """The server that stands by."""
    cluster = LocalRay(LocalRaySettings(house.folder)).find()
    assert cluster is not None
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    options = ("--store", f"sqlite:///{house.database}", "--storage", str(house.storage))
    with House(tmp_path, options, ("--ray-address", cluster.address)) as standby:
        standby.launch()
        standby.server.says(STANDS_BY)
        yield standby


def stop_between_commits(server: Server, database: Path) -> None:
    """Stop a server at a moment when it holds no lock of SQLite's, which nobody could take from it."""
    assert server.process is not None
    for _ in range(100):
        os.kill(server.pid, signal.SIGSTOP)
        with closing(sqlite3.connect(database, timeout=0.2, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError:
                os.kill(server.pid, signal.SIGCONT)
                time.sleep(0.03)
            else:
                return
    pytest.fail("the server is never between two commits")


def test_the_leader_is_paused(house: House, second: House) -> None:
    """A leader that stands still for longer than its lease is succeeded and writes nothing afterwards; when the
    successor leaves it leads again, and over all that no epoch is trained twice."""
    with pytest.raises(NotLeader):
        second.recorder.create_once("refused-by-the-second", **DEFINITION)
    name = house.study("paused-leader", 0.5, budget={"trials": 8})
    house.await_epochs(name, 4)
    stop_between_commits(house.server, house.database)
    try:
        second.server.says(ANNOUNCED)
        second.recorder.look(name)
        later = second.recorder.create("by-the-second", **DEFINITION)
        second.recorder.watch(later)
    finally:
        os.kill(house.server.pid, signal.SIGCONT)
    info = house.recorder.client.server_info
    eventually(lambda: info().role == "standby")
    assert info().leader == second.recorder.address
    assert not house.recorder.look(name).state.ended
    assert second.server.terminate() == 0
    eventually(lambda: info().role == "leader")
    assert house.end_of(name).state is StudyState.SUCCEEDED
    assert house.recorder.end_of(later).state is StudyState.SUCCEEDED
    assert len(house.trained(name)) == 2 * EPOCHS
    assert house.broken() == []
    told = broken(second.recorder, Log(house.database), [])
    assert [found for found in told if "the watch ended" not in found.detail] == []
