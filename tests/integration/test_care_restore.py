"""Restoring backups: what the new store is, what is refused, and what an interruption leaves."""

import fcntl
import hashlib
import io
import json
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from searchd.care.archive import DATABASE, MANIFEST, verified
from searchd.care.backup import back_up
from searchd.care.claim import UNFINISHED, check_complete
from searchd.care.errors import CareRefused, DamagedBackup
from searchd.care.restore import EPOCHS_AHEAD, restore
from searchd.config import ServerSettings
from searchd.domain.errors import InvalidArgument, LeaseLost, StoreTooNew, StoreUnavailable
from searchd.domain.facts import TrialPut
from searchd.ports.store import Lease
from searchd.stores.sql import SqlStore, open_sql_store
from tests.contracts.makers import AT, trial
from tests.unit.care.care_house import ROOT, contents, files, furnished, killed_at, searchd, settings

PLACES = ("restore.noted", "restore.unpacked", "restore.filled", "restore.placed", "restore.done")


@pytest.fixture
def source(tmp_path: Path) -> ServerSettings:
    """A store that has been backed up to ``b.tar.gz``."""
    place = furnished(tmp_path / "a")
    back_up(tmp_path / "b.tar.gz", place.store, place.storage, AT)
    return place


def restored(file: Path, place: ServerSettings) -> str:
    """Restore to a place; the new identity."""
    return restore(file, place.data_dir, place.store, place.storage).identity


def rewritten(file: Path, change: Callable[[sqlite3.Connection], Any]) -> None:
    """Change the database in a backup as somebody might who also puts its digest right."""
    with tarfile.open(file) as tar:
        found = [(header, reader.read()) for header in tar if (reader := tar.extractfile(header))]
    path = file.with_name("changed.db")
    path.write_bytes(found[0][1])
    with sqlite3.connect(path) as database:
        change(database)
    database.close()
    content = path.read_bytes()
    path.unlink()
    replace_database(file, found, content)


def replace_database(file: Path, found: list[tuple[tarfile.TarInfo, bytes]], content: bytes, schema: str = "") -> None:
    """Write a backup with another database."""
    manifest = json.loads(found[-1][1])
    manifest["members"][DATABASE] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest["contents"]["schema"] = schema or manifest["contents"]["schema"]
    with tarfile.open(file, "w:gz") as tar:
        for header, old in found:
            new = {DATABASE: content, MANIFEST: json.dumps(manifest).encode()}.get(header.name, old)
            header.size = len(new)
            tar.addfile(header, io.BytesIO(new))


# What it is


def test_it_is_a_store_of_its_own(tmp_path: Path, source: ServerSettings) -> None:
    """It has a new identity each time, nobody holds its lease, and its epoch is far ahead of the backup's."""
    identities = [restored(tmp_path / "b.tar.gz", settings(tmp_path / name)) for name in ("c", "d")]
    stores = [SqlStore(place.store) for place in (source, settings(tmp_path / "c"), settings(tmp_path / "d"))]
    assert [store.identity() for store in stores[1:]] == identities
    assert len({store.identity() for store in stores}) == 3
    before, after = stores[0].lease(), stores[1].lease()
    assert after == Lease(before.epoch + EPOCHS_AHEAD, "", "", before.beats)
    assert stores[1].begin_epoch() == before.epoch + EPOCHS_AHEAD + 1
    for store in stores:
        store.close()


def test_a_writer_of_the_old_timeline_is_refused(tmp_path: Path, postgres_url: str) -> None:
    """A server that still has the database open, in which its store has been replaced by a backup, may not write."""
    place = furnished(tmp_path / "a", postgres_url)
    back_up(tmp_path / "b.tar.gz", place.store, place.storage, AT)
    old = SqlStore(place.store)
    for _ in range(3):
        old.begin_epoch("old")
    emptied(postgres_url)
    restored(tmp_path / "b.tar.gz", settings(tmp_path / "c", postgres_url))
    with pytest.raises(LeaseLost):
        old.commit([TrialPut(trial(1))], AT)
    new = SqlStore(place.store)
    for _ in range(3):
        new.begin_epoch("new")
    with pytest.raises(LeaseLost):
        old.commit([TrialPut(trial(1))], AT)
    new.close()
    old.close()


def emptied(url: str) -> None:
    """Drop everything in a PostgreSQL database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def test_storage_may_lie_elsewhere(tmp_path: Path, source: ServerSettings) -> None:
    """Checkpoints, logs and artifacts go to the storage folder that is named, which need not be there."""
    elsewhere = tmp_path / "share" / "storage"
    place = settings(tmp_path / "c")
    restore(tmp_path / "b.tar.gz", place.data_dir, place.store, elsewhere)
    assert files(elsewhere) == files(source.storage)
    assert sorted(path.name for path in place.data_dir.iterdir()) == ["lock", "searchd.db"]


# What is refused


def test_a_damaged_backup_touches_nothing(tmp_path: Path, source: ServerSettings) -> None:
    """A backup with a flipped byte, or cut short, raises DamagedBackup and makes no data directory."""
    file = tmp_path / "b.tar.gz"
    whole = file.read_bytes()
    for damaged in (whole[:-100], whole[: len(whole) // 2], b"", flipped(whole, len(whole) // 2)):
        file.write_bytes(damaged)
        with pytest.raises(DamagedBackup):
            restored(file, settings(tmp_path / "c"))
        assert not (tmp_path / "c").exists()
    with pytest.raises(FileNotFoundError):
        restored(tmp_path / "none.tar.gz", settings(tmp_path / "c"))


def flipped(whole: bytes, place: int) -> bytes:
    """With a byte changed."""
    return whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]


def test_a_backup_without_a_store_is_refused(tmp_path: Path, source: ServerSettings) -> None:
    """A backup whose database is none, though its digest is right, raises DamagedBackup and leaves nothing."""
    file = tmp_path / "b.tar.gz"
    with tarfile.open(file) as tar:
        found = [(header, reader.read()) for header in tar if (reader := tar.extractfile(header))]
    for content in (b"no database" * 1000, b""):
        replace_database(file, found, content)
        with pytest.raises(DamagedBackup, match="its database is none"):
            restored(file, settings(tmp_path / "c"))
        assert files(tmp_path / "c") == {"lock": b""}


def test_a_newer_backup_is_refused(tmp_path: Path, source: ServerSettings) -> None:
    """A backup of a schema that this searchd does not know raises StoreTooNew and touches nothing."""
    file = tmp_path / "b.tar.gz"
    with tarfile.open(file) as tar:
        found = [(header, reader.read()) for header in tar if (reader := tar.extractfile(header))]
    replace_database(file, found, found[0][1], schema="9999")
    with pytest.raises(StoreTooNew) as raised:
        restored(file, settings(tmp_path / "c"))
    assert raised.value.found == "9999"
    assert not (tmp_path / "c").exists()


def test_a_place_with_something_in_it_is_left_alone(tmp_path: Path, source: ServerSettings) -> None:
    """A data directory or storage folder that is not empty is refused, with what is in it; so is the source itself."""
    file = tmp_path / "b.tar.gz"
    before = files(source.data_dir)
    with pytest.raises(CareRefused, match=r"is not empty: it has searchd\.db, storage; "):
        restored(file, source)
    assert files(source.data_dir) == {**before, "lock": b""}
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "precious").touch()
    with pytest.raises(CareRefused, match="is not empty"):
        restored(file, settings(tmp_path / "c"))
    with pytest.raises(CareRefused, match="--storage"):
        restore(file, tmp_path / "d", settings(tmp_path / "d").store, tmp_path / "c")
    assert (tmp_path / "c" / "precious").exists()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_database_with_something_in_it_is_left_alone(
    tmp_path: Path, source: ServerSettings, kind: str, request: pytest.FixtureRequest
) -> None:
    """A database with any table in it is refused and untouched, and so is a file that is no database."""
    url = f"sqlite:///{tmp_path}/other.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    store = open_sql_store(url)
    with pytest.raises(CareRefused, match="is not empty"):
        restored(tmp_path / "b.tar.gz", settings(tmp_path / "c", url))
    assert (store.revision(), store.lease()) == (0, Lease(0, "", "", 0))
    store.close()
    assert files(tmp_path / "c") == {"lock": b""}


def test_a_directory_in_use_is_left_alone(tmp_path: Path, source: ServerSettings) -> None:
    """While a server, or another restore, has the directory, InvalidArgument is raised."""
    (tmp_path / "c").mkdir()
    with (tmp_path / "c" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InvalidArgument, match="another server uses"):
            restored(tmp_path / "b.tar.gz", settings(tmp_path / "c"))
    assert restored(tmp_path / "b.tar.gz", settings(tmp_path / "c"))


def test_a_database_that_cannot_be_filled_leaves_nothing(tmp_path: Path, source: ServerSettings) -> None:
    """When the database cannot be made, StoreUnavailable is raised and the data directory is empty again."""
    with pytest.raises(StoreUnavailable):
        restored(tmp_path / "b.tar.gz", settings(tmp_path / "c", f"sqlite:///{tmp_path}/no/folder/s.db"))
    assert files(tmp_path / "c") == {"lock": b""}


def test_rows_without_owners_are_refused(tmp_path: Path, source: ServerSettings) -> None:
    """A backup of a store that had lost rows cannot be restored: the database refuses, and nothing is left."""
    rewritten(tmp_path / "b.tar.gz", lambda database: database.execute("DELETE FROM trials WHERE number = 2"))
    with pytest.raises(StoreUnavailable, match="FOREIGN KEY"):
        restored(tmp_path / "b.tar.gz", settings(tmp_path / "c"))
    assert files(tmp_path / "c") == {"lock": b""}


LIMITED = """
import resource, sys
from pathlib import Path
from searchd.care.restore import restore
from searchd.domain.errors import SearchdError
from tests.unit.care.care_house import settings

size = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
place = settings(Path(sys.argv[2]))
try:
    restore(Path(sys.argv[1]), place.data_dir, place.store, place.storage)
except SearchdError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(("room", "raised"), [(-10_000, "NotWritten"), (100, "StoreUnavailable")])
def test_a_full_disk_leaves_nothing(tmp_path: Path, source: ServerSettings, room: int, raised: str) -> None:
    """When the disk takes no more, while unpacking or while the database is filled, nothing is left of it."""
    size = verified(tmp_path / "b.tar.gz").members[DATABASE].size + room  # the log of the new one is a bit larger
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "b.tar.gz", tmp_path / "c", str(size)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split()[:1] == [raised], done.stderr
    assert files(tmp_path / "c") == {"lock": b""}
    assert restored(tmp_path / "b.tar.gz", settings(tmp_path / "c"))


# Interruptions


@pytest.mark.parametrize("place", PLACES)
def test_killed_it_is_finished_by_the_next(tmp_path: Path, source: ServerSettings, place: str) -> None:
    """After kill -9 no server starts there; the next restore finishes it or starts over, and all is there."""
    file, target = tmp_path / "b.tar.gz", settings(tmp_path / "c")
    killed_at(place, tmp_path / "faults", "restore", file, "--data-dir", target.data_dir)
    with pytest.raises(InvalidArgument, match="was interrupted"):
        check_complete(target.data_dir)
    noted = json.loads((target.data_dir / UNFINISHED).read_text())["identity"]
    identity = restored(file, target)
    assert (identity == noted) == (place == "restore.done")
    check_complete(target.data_dir)
    assert sorted(path.name for path in target.data_dir.iterdir()) == ["lock", "searchd.db", "storage"]
    assert contents(target.store) == contents(source.store)
    assert files(target.storage) == files(source.storage)


@pytest.mark.parametrize("place", ["restore.placed", "restore.done"])
def test_killed_with_postgres_it_is_finished_by_the_next(
    tmp_path: Path, source: ServerSettings, place: str, postgres_url: str
) -> None:
    """PostgreSQL is filled in one step, too, and an interrupted restore is finished or begun anew."""
    file, target = tmp_path / "b.tar.gz", settings(tmp_path / "c", postgres_url)
    killed_at(place, tmp_path / "faults", "restore", file, "--data-dir", target.data_dir, "--store", postgres_url)
    restored(file, target)
    assert contents(target.store) == contents(source.store)
    assert files(target.storage) == files(source.storage)


def test_a_commit_of_which_nobody_knows_is_found_out_by_the_next(
    tmp_path: Path, source: ServerSettings, postgres_url: str
) -> None:
    """If the connection breaks at the commit, StoreUnavailable says that the outcome is unknown, everything is kept for
    the next restore, and that one makes it whole."""
    file, target = tmp_path / "b.tar.gz", settings(tmp_path / "c", postgres_url)
    over, broken = threading.Event(), threading.Event()
    log = tmp_path / "faults"

    def cut() -> None:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            while not over.wait(0.02):
                if log.exists():
                    ended = connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                    if ended.fetchall():
                        broken.set()

    cutting = threading.Thread(target=cut)
    cutting.start()
    done = searchd(
        *("restore", file, "--data-dir", target.data_dir, "--store", postgres_url),
        faults="restore.placed=sleep:1",
        log=log,
    )
    over.set()
    cutting.join()
    assert broken.is_set()
    assert (done.returncode, "unknown" in done.stderr) == (5, True), done.stderr
    assert (target.data_dir / UNFINISHED).exists()
    restored(file, target)
    assert contents(target.store) == contents(source.store)
    assert files(target.storage) == files(source.storage)


def test_no_server_starts_after_an_interruption(tmp_path: Path, source: ServerSettings) -> None:
    """``searchd up`` on a directory into which a restore was interrupted says so, with the remedy, and exits with 2."""
    killed_at("restore.filled", tmp_path / "faults", "restore", tmp_path / "b.tar.gz", "--data-dir", tmp_path / "c")
    done = searchd("up", "--data-dir", tmp_path / "c", "--listen", "127.0.0.1:0")
    assert done.returncode == 2
    assert "was interrupted; run the same `searchd restore` again" in done.stderr


def test_a_finished_one_is_not_taken_for_another_backup(tmp_path: Path, source: ServerSettings) -> None:
    """If what was interrupted was complete, the restore of another backup is refused, and the store is whole."""
    file, target = tmp_path / "b.tar.gz", settings(tmp_path / "c")
    other = furnished(tmp_path / "other")
    back_up(tmp_path / "other.tar.gz", other.store, other.storage, AT)
    assert verified(file).members[DATABASE] != verified(tmp_path / "other.tar.gz").members[DATABASE]
    killed_at("restore.done", tmp_path / "faults", "restore", file, "--data-dir", target.data_dir)
    with pytest.raises(CareRefused, match="holds the store of another backup"):
        restored(tmp_path / "other.tar.gz", target)
    check_complete(target.data_dir)
    assert contents(target.store) == contents(source.store)


def test_a_note_cut_short_is_no_obstacle(tmp_path: Path, source: ServerSettings) -> None:
    """A restore that was killed while it noted what it begins has changed nothing, and is begun anew."""
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / UNFINISHED).write_text('{"iden')
    assert restored(tmp_path / "b.tar.gz", settings(tmp_path / "c"))


def test_what_others_keep_in_the_storage_is_not_removed(tmp_path: Path, source: ServerSettings) -> None:
    """Clearing up after an interruption removes from a storage folder elsewhere only what was being unpacked."""
    file, share = tmp_path / "b.tar.gz", tmp_path / "share"
    arguments = ("restore", file, "--data-dir", tmp_path / "c", "--storage", share)
    killed_at("restore.filled", tmp_path / "faults", *arguments)
    assert [path.name for path in share.iterdir()] == [".restoring"]
    (share / "precious").touch()
    with pytest.raises(CareRefused, match="share is not empty: it has precious"):
        restore(file, tmp_path / "c", settings(tmp_path / "c").store, share)
    assert [path.name for path in share.iterdir()] == ["precious"]
