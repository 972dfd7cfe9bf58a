"""Keeping a sink up with the store's log."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from searchd.domain.errors import StoreUnavailable
from searchd.domain.facts import Event, Fact, MeasurementAdded, StudyDeleted, StudyPut, TrialPut
from searchd.domain.study import Study, StudyName
from searchd.domain.trial import TrialNumber, TrialState
from searchd.stores.memory import MemoryStore
from searchd.tracking.ledger import Cursor, Ledger, born
from searchd.tracking.recorder import PAGE, Recorder
from searchd.tracking.sink import History, News, Sink
from tests.contracts.makers import AT, STUDY, measurement, spec, study, trial

TRACKED = study(spec=spec(track=("album",)))


@dataclass
class Album:
    """A place that keeps all it was shown, across sinks; ``broken`` is what its sinks raise."""

    shown: list[News] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    broken: Exception | None = None
    history: History | None = None

    def open(self, name: str, study: Study, history: History) -> Sink:
        assert name == "album"
        self.opened += 1
        self.history = history
        return AlbumSink(self)

    @property
    def points(self) -> list[tuple[int, int]]:
        """(trial, epoch) of all measurements, as they came."""
        return [(m.trial, m.epoch) for news in self.shown for m in news.measurements]


class AlbumSink:
    """Writes to an album."""

    place = "an album"

    def __init__(self, album: Album) -> None:
        self._album = album

    def write(self, news: News) -> None:
        """Keep the news, or raise."""
        if self._album.broken is not None:
            raise self._album.broken
        self._album.shown.append(news)

    def close(self) -> None:
        """Count."""
        self._album.closed += 1


class World:
    """A store, an album, and recorders that keep the one up with the other."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.store.begin_epoch()
        self.ledger = Ledger(folder)
        self.album = Album()
        self.seconds = 0.0
        self.recorder = self.restarted()

    def restarted(self) -> Recorder:
        """Another process."""
        self.recorder = Recorder("album", self.store, self.ledger, self.album.open, lambda: self.seconds)
        return self.recorder

    def commit(self, *facts: Fact) -> None:
        """Have something happen."""
        self.store.commit(facts, AT)

    def measured(self, *epochs: int) -> None:
        """Have the first trial report."""
        self.commit(*(MeasurementAdded(STUDY, measurement(epoch=epoch)) for epoch in epochs))

    def keep_up(self) -> None:
        """Show all there is to show."""
        while self.recorder.step():
            pass

    @property
    def followed(self) -> bool:
        return list(self.ledger.followed("album")) == [STUDY]

    @property
    def problem(self) -> str:
        cursor = self.ledger.cursor("album", STUDY)
        assert cursor is not None
        return cursor.problem


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A study with one trial is followed, and nothing is shown yet."""
    made = World(tmp_path)
    made.commit(StudyPut(TRACKED), TrialPut(trial()))
    made.ledger.follow("album", STUDY)
    return made


def test_everything_is_shown_once(world: World) -> None:
    """What happened before a study was looked at and what happens afterwards is shown, each once and in order."""
    world.measured(1, 2)
    world.keep_up()
    world.measured(3)
    world.commit(TrialPut(trial(2)))
    world.keep_up()
    assert world.album.points == [(1, 1), (1, 2), (1, 3)]
    assert [t.number for news in world.album.shown for t in news.trials] == [1, 2]
    assert world.album.opened == 1


def test_many_events_come_in_pages(world: World) -> None:
    """A log that is longer than a page is shown page by page, without gaps."""
    world.keep_up()
    world.measured(*range(1, 2 * PAGE + 8))
    world.keep_up()
    assert world.album.points == [(1, epoch) for epoch in range(1, 2 * PAGE + 8)]
    assert max(len(news.measurements) for news in world.album.shown) == PAGE


def test_only_the_newest_of_a_trial_is_shown(world: World) -> None:
    """Of several changes of a trial in one page a sink sees the last."""
    world.keep_up()
    world.commit(TrialPut(trial(2)), TrialPut(replace(trial(2), scores=(0.5,))))
    world.keep_up()
    assert [t.scores for t in world.album.shown[-1].trials] == [(0.5,)]


def test_a_restart_goes_on(world: World) -> None:
    """Another process goes on after what was shown: nothing is missing, nothing there twice."""
    world.measured(1, 2)
    world.keep_up()
    world.measured(3)
    world.restarted()
    world.keep_up()
    assert world.album.points == [(1, 1), (1, 2), (1, 3)]


def test_the_end_is_shown_and_then_nothing(world: World) -> None:
    """A study that has ended is shown as it ended, its sink is closed, and it is followed no more."""
    world.keep_up()
    world.commit(TrialPut(trial().ended(TrialState.COMPLETED, AT)), StudyPut(TRACKED.succeeded(AT, "")))
    world.keep_up()
    assert world.album.shown[-1].study.state.ended
    assert world.album.closed == 1
    assert not world.followed
    assert not world.recorder.step()


def test_an_end_during_a_restart(world: World) -> None:
    """A study that ended while nobody was looking is shown to its end afterwards."""
    world.keep_up()
    world.measured(1)
    world.commit(StudyPut(TRACKED.succeeded(AT, "")))
    world.restarted()
    world.keep_up()
    assert world.album.points == [(1, 1)]
    assert world.album.shown[-1].study.state.ended


def test_a_study_that_goes_on_is_followed_on(world: World) -> None:
    """A study that is extended after its end is shown from where it was left."""
    world.commit(StudyPut(TRACKED.succeeded(AT, "")))
    world.keep_up()
    world.commit(StudyPut(TRACKED))
    world.measured(7)
    world.ledger.follow("album", STUDY)
    world.keep_up()
    assert world.album.points == [(1, 7)]
    assert world.followed


def test_a_sink_that_raises_is_tried_again(world: World) -> None:
    """A sink that raised is closed, its trouble noted, and after a growing pause another is given the same news."""
    world.keep_up()
    world.album.broken = ConnectionError("no route to host\nor so")
    world.measured(1)
    assert not world.recorder.step()
    assert world.problem == "no route to host"
    assert world.album.closed == 1
    assert not world.recorder.step()
    assert world.album.opened == 1
    world.seconds = 1.0
    world.recorder.step()
    assert world.album.opened == 2
    world.album.broken = None
    world.seconds = 2.9
    assert not world.recorder.step()
    world.seconds = 3.0
    world.keep_up()
    assert world.album.points == [(1, 1)]
    assert world.problem == ""


def test_the_pause_has_a_bound(world: World) -> None:
    """However often a sink has failed, it is tried again after a minute."""
    world.album.broken = OSError("full")
    for _ in range(50):
        world.recorder.step()
        world.seconds += 60.0
    assert world.album.opened == 50


def test_a_broken_study_holds_up_no_other(world: World) -> None:
    """While a sink fails for one study, others that name it are shown."""
    other = replace(TRACKED, name=StudyName("projects/default/studies/other"))
    world.commit(StudyPut(other))
    world.ledger.follow("album", other.name)

    def opened(name: str, study: Study, history: History) -> Sink:
        if study.name == STUDY:
            raise ImportError("no such vendor")
        return world.album.open(name, study, history)

    world.recorder = Recorder("album", world.store, world.ledger, opened, lambda: world.seconds)
    world.keep_up()
    assert {news.study.name for news in world.album.shown} == {other.name}
    assert world.problem == "no such vendor"


def test_a_log_that_is_not_kept_that_far(world: World) -> None:
    """Where the log no longer reaches back to what was shown, everything is shown from the store's state."""
    world.keep_up()
    world.measured(1, 2, 3)
    world.store.trim_events(1)
    world.keep_up()
    assert world.album.points == [(1, 1), (1, 2), (1, 3)]


def test_a_study_that_is_deleted(world: World) -> None:
    """A deleted study is followed no more."""
    world.keep_up()
    world.commit(StudyPut(TRACKED.succeeded(AT, "")), StudyDeleted(STUDY))
    world.keep_up()
    assert not world.followed


def test_another_study_of_the_name(world: World) -> None:
    """A new study of a deleted one's name is shown from its beginning, by a sink of its own."""
    world.measured(1)
    world.keep_up()
    later = replace(TRACKED, created_at=AT + timedelta(seconds=1))
    world.commit(StudyDeleted(STUDY), StudyPut(later), TrialPut(trial()))
    world.measured(5)
    world.keep_up()
    assert world.album.points == [(1, 1), (1, 5)]
    assert (world.album.opened, world.album.closed) == (2, 1)
    assert world.album.shown[-1].study == later


def test_a_store_that_was_put_back(world: World) -> None:
    """If the log ends before what was shown, as after a restore, everything is shown again."""
    world.measured(1)
    world.ledger.save("album", STUDY, Cursor(born(TRACKED), 10_000, "an album"))
    world.keep_up()
    world.measured(2)
    world.keep_up()
    assert world.album.points == [(1, 1), (1, 2)]


def test_a_cursor_that_cannot_be_read(world: World, tmp_path: Path) -> None:
    """A damaged cursor is as good as none: everything is shown."""
    world.keep_up()
    (file,) = tmp_path.glob(".cursors/album/projects/*/studies/*.json")
    file.write_text("{")
    world.measured(1)
    world.restarted()
    world.keep_up()
    assert world.album.points == [(1, 1)]


def test_history_is_the_stores(world: World) -> None:
    """A sink can read all measurements of a trial."""
    world.measured(*range(1, PAGE + 3))
    world.keep_up()
    assert world.album.history is not None
    assert [m.epoch for m in world.album.history(TrialNumber(1))] == list(range(1, PAGE + 3))


class Mute(MemoryStore):
    """A store that cannot be read."""

    def events(self, after: int, study: StudyName | None, limit: int) -> Sequence[Event]:
        """Refuse."""
        raise StoreUnavailable("gone")


def test_a_store_that_cannot_be_read(world: World) -> None:
    """That the store cannot be read is no fault of the sink: it is raised, and nothing is noted of the sink."""
    world.keep_up()
    mute = Mute()
    mute.begin_epoch()
    mute.commit([StudyPut(TRACKED)] * 5, AT)
    recorder = Recorder("album", mute, world.ledger, world.album.open, lambda: 0.0)
    with pytest.raises(StoreUnavailable):
        recorder.step()
    assert world.problem == ""
