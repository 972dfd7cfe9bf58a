"""The store in SQLite, over real files."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from searchd.domain.errors import InvalidArgument, StoreUnavailable
from searchd.domain.facts import MeasurementAdded, ProgressPut, RequestAnswered, StudyPut, TrialPut
from searchd.domain.study import Progress
from searchd.domain.trial import TrialNumber
from searchd.stores.connections import Connections, SqlSettings
from searchd.stores.sql import SqlStore, open_sql_store
from tests.contracts.makers import AT, STUDY, measurement, study, trial
from tests.contracts.store import StoreContract


class TestSqliteStore(StoreContract):
    """The store in SQLite keeps the contract."""

    @pytest.fixture
    def store(self, url: str) -> Iterator[SqlStore]:
        """A new store."""
        store = open_sql_store(url)
        yield store
        store.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of a database that does not exist yet."""
    return f"sqlite:///{tmp_path}/100%.db"


def test_reopening_keeps_everything(url: str) -> None:
    """What was committed is there after closing and opening again: state, log, numbering, identity and epoch."""
    first = open_sql_store(url)
    first.begin_epoch()
    answer = RequestAnswered("r", "d", study())
    first.commit([StudyPut(study()), TrialPut(trial()), MeasurementAdded(STUDY, measurement()), answer], AT)
    first.trim_events(3)
    live, events, identity = first.live(), first.events(1, None, 10), first.identity()
    first.close()
    again = open_sql_store(url)
    assert again.live() == live
    assert again.events(1, None, 10) == events
    assert again.answered("r") is not None
    assert again.identity() == identity
    assert again.begin_epoch() == 2
    assert again.commit([TrialPut(trial(2, scores=(0.5,)))], AT) == 5
    assert again.ranked(STUDY, 1)[0].number == 2
    again.close()


def test_stores_differ_in_identity(url: str) -> None:
    """Two databases have different ids."""
    stores = [open_sql_store(url), open_sql_store(url.replace("100", "200"))]
    assert stores[0].identity() != stores[1].identity()
    for store in stores:
        store.close()


def test_older_writer_is_refused(url: str) -> None:
    """Once another store has begun an epoch, the one before can read but neither commit nor trim."""
    older, newer = open_sql_store(url), open_sql_store(url)
    older.begin_epoch()
    older.commit([StudyPut(study())], AT)
    newer.begin_epoch()
    with pytest.raises(StoreUnavailable, match="another server"):
        older.commit([TrialPut(trial())], AT)
    with pytest.raises(StoreUnavailable, match="another server"):
        older.trim_events(0)
    assert newer.commit([TrialPut(trial(2))], AT) == 2
    assert [t.number for t in older.trials(STUDY, None, 0, 10)] == [2]
    older.close()
    newer.close()


def test_readers_on_other_threads_see_whole_batches(url: str) -> None:
    """Threads that read while another writes see each batch whole or not at all, and are never refused."""
    store = open_sql_store(url)
    store.commit([StudyPut(study())], AT)
    done = threading.Event()
    reads: list[int] = []
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                (live,) = store.live()
                assert live.study.progress.epochs == len(live.trials) == len(live.measurements)
                assert store.revision() >= 1 + 3 * len(live.trials)
                reads.append(len(live.trials))
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    for number in range(1, 201):
        progress = ProgressPut(STUDY, Progress(epochs=number))
        store.commit([progress, TrialPut(trial(number)), MeasurementAdded(STUDY, measurement(number))], AT)
    done.set()
    for thread in readers:
        thread.join()
    store.close()
    assert failures == []
    assert len(set(reads)) > 1


def test_more_readers_than_connections(url: str) -> None:
    """Many threads may read at once while the writer commits; none waits so long that it fails."""
    store = open_sql_store(url)
    store.commit([StudyPut(study()), TrialPut(trial())], AT)
    found: list[int] = []

    def read() -> None:
        found.extend(store.trial(STUDY, TrialNumber(1)).number for _ in range(5))

    threads = [threading.Thread(target=read) for _ in range(40)]
    for thread in threads:
        thread.start()
    store.commit([TrialPut(trial(2))], AT)
    for thread in threads:
        thread.join()
    store.close()
    assert found == [1] * 200


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


def test_unstorable_text_is_refused_whole(url: str) -> None:
    """Text that is no Unicode cannot be stored: the batch is refused, and the store goes on."""
    store = open_sql_store(url)
    with pytest.raises(StoreUnavailable):
        store.commit([StudyPut(study()), TrialPut(trial(log_tail="\ud800"))], AT)
    assert store.revision() == 0
    assert store.commit([StudyPut(study()), TrialPut(trial())], AT) == 2
    store.close()


@pytest.mark.parametrize("path", ["missing/s.db", "/proc/self/s.db", "file/s.db", "file"])
def test_database_that_cannot_be_opened(path: str, tmp_path: Path) -> None:
    """A directory that is missing or read-only, or a file that is no database, gives StoreUnavailable."""
    (tmp_path / "file").write_text("not a database, but long enough to look like one: " * 50)
    with pytest.raises(StoreUnavailable):
        open_sql_store(f"sqlite:///{tmp_path / path}")


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "sqlite:////tmp"])
def test_url_that_names_no_database_file(url: str) -> None:
    """A URL that is malformed, of another database, or names no file is refused with a remedy."""
    with pytest.raises(InvalidArgument) as raised:
        open_sql_store(url)
    assert raised.value.field == "store"
    assert raised.value.remedy
