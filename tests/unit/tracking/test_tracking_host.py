"""The tracking process, run in this one."""

import io
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from searchd.domain.facts import StudyPut, TrialPut
from searchd.domain.study import Study
from searchd.stores.connections import SqlSettings
from searchd.stores.sql import SqlStore
from searchd.tracking import host
from searchd.tracking.host import Host, HostSettings
from searchd.tracking.ledger import Cursor, Ledger
from searchd.tracking.sink import News, Sink, Surroundings
from searchd.tracking.vendors import SINKS
from tests.contracts.makers import AT, STUDY, spec, study, trial

PATIENCE_SECONDS = 20.0


class Silent:
    """A standard input that says nothing until it is closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def readline(self) -> str:
        """Wait for the end."""
        self.closed.wait()
        return ""


class Noting:
    """A sink that notes the names under which it was opened."""

    place = "here"

    def __init__(self, name: str, wrote: list[str]) -> None:
        self._name = name
        self._wrote = wrote

    def write(self, news: News) -> None:
        """Note."""
        self._wrote.append(self._name)

    def close(self) -> None:
        """Nothing."""


class World:
    """A host over a store with one study that names all sinks, of which W&B's hangs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, holder: str) -> None:
        self.settings = HostSettings(f"sqlite:///{folder}/s.db", str(folder), None, "server")
        self.store = SqlStore(SqlSettings(self.settings.store))
        self.store.begin_epoch(holder)
        tracked = study(spec=spec(track=tuple(SINKS)))
        self.store.commit([StudyPut(tracked), TrialPut(trial())], AT)
        self.ledger = Ledger(self.settings.tracking)
        for sink in SINKS:
            self.ledger.follow(sink, STUDY)
        self.wrote: list[str] = []
        self.never = threading.Event()
        self.input = Silent()
        monkeypatch.setattr(host, "open_sink", self.open)
        monkeypatch.setattr(host, "LOOK_SECONDS", 0.01)
        monkeypatch.setattr(host, "LEAVING_SECONDS", 0.2)
        monkeypatch.setattr(sys, "stdin", self.input)
        self.running = threading.Thread(target=Host(self.settings).run)

    def open(self, name: str, of: Study, around: Surroundings) -> Sink:
        """Open a sink, or hang."""
        if name == "wandb":
            self.never.wait()
        return Noting(name, self.wrote)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def cursor(self, sink: str) -> Cursor:
        """Where a sink is."""
        found = self.ledger.cursor(sink, STUDY)
        assert found is not None
        return found

    def leave(self) -> None:
        """Have it leave."""
        self.input.closed.set()
        if self.running.is_alive():
            self.running.join(PATIENCE_SECONDS)
        self.never.set()
        self.store.close()


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], World]]:
    """Makes a host whose store is held by somebody."""
    made: list[World] = []

    def make(holder: str) -> World:
        made.append(World(tmp_path, monkeypatch, holder))
        made[-1].running.start()
        return made[-1]

    yield make
    for world in made:
        world.leave()


def test_a_sink_that_hangs_keeps_no_other(make: Callable[[str], World], monkeypatch: pytest.MonkeyPatch) -> None:
    """While one sink hangs for ever the others go on; it is said of it that it hangs, and the process can leave."""
    monkeypatch.setattr(host, "HANGS_SECONDS", 1.0)
    world = make("server")
    world.until(lambda: {"tensorboard", "mlflow"} <= set(world.wrote))
    world.store.commit([TrialPut(trial(2))], AT)
    newest = world.store.revision()
    world.until(lambda: world.cursor("mlflow").revision == newest)
    world.until(lambda: "has not answered" in world.cursor("wandb").problem)
    assert world.cursor("tensorboard").problem == ""
    world.input.closed.set()
    world.running.join(PATIENCE_SECONDS)
    assert not world.running.is_alive()


def test_another_servers_store_is_left_alone(make: Callable[[str], World]) -> None:
    """While another server has the store's lease nothing is written; when this one has it, it is."""
    world = make("another")
    time.sleep(0.1)
    assert world.wrote == []
    world.store.begin_epoch("server")
    world.until(lambda: "tensorboard" in world.wrote)


def test_it_leaves_when_there_is_nothing_to_do(make: Callable[[str], World], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without anybody to follow the process leaves by itself."""
    monkeypatch.setattr(host, "IDLE_SECONDS", 0.05)
    world = make("server")
    world.until(lambda: "tensorboard" in world.wrote)
    assert world.running.is_alive()
    for sink in SINKS:
        world.ledger.leave(sink, STUDY)
    world.until(lambda: not world.running.is_alive())


def test_settings_are_one_line() -> None:
    """What the process is told fits in a line, whatever is in it."""
    settings = HostSettings("postgresql://ann:s\n@db", "/a b", "s3://x", "me")
    assert io.StringIO(settings.dump()).readlines() == [settings.dump()]
