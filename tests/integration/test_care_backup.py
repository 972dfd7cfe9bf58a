"""Backups of stores, also while they are written to, and what is restored from them."""

import os
import re
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from searchd.care import doctor
from searchd.care.backup import back_up
from searchd.care.errors import CareRefused, NotWritten
from searchd.care.folder import workshop
from searchd.care.restore import restore
from searchd.cli.main import app
from searchd.config import ServerSettings
from searchd.domain.errors import InvalidArgument, StoreDamaged, StoreTooNew, StoreUnavailable
from searchd.domain.facts import Event, Fact, MeasurementAdded, ProgressPut, StudyDeleted, StudyPut, TrialPut, study_of
from searchd.domain.study import Progress, StudyName, study_name
from searchd.domain.trial import Trial
from searchd.stores.connections import SqlSettings
from searchd.stores.sql import SqlStore
from tests.contracts.makers import AT, STUDY, measurement, study, trial
from tests.unit.care.care_house import (
    LATER,
    NOTE,
    ROOT,
    checkpoint,
    contents,
    files,
    furnished,
    killed_at,
    left_beside,
    settings,
)

V0001 = ROOT / "tests" / "data" / "databases" / "v0001.sql"


def saved(place: ServerSettings, file: Path, **options: bool) -> Path:
    """Back a place up."""
    back_up(file, place.store, place.storage, AT, **options)
    return file


def restored(file: Path, data_dir: Path, url: str | None = None) -> ServerSettings:
    """Restore to a new place."""
    place = settings(data_dir, url)
    restore(file, place.data_dir, place.store, place.storage)
    return place


def all_of(place: ServerSettings) -> dict[str, Any]:
    """All that a place holds."""
    return {**contents(place.store), "files": files(place.storage)}


# What comes back


def test_everything_comes_back(tmp_path: Path) -> None:
    """Studies, trials, measurements, events, answers and every file are what they were; the backup is owner's only."""
    place = furnished(tmp_path / "a")
    before = all_of(place)
    file = saved(place, tmp_path / "b.tar.gz")
    assert file.stat().st_mode & 0o777 == 0o600
    assert left_beside(file) == ["a"]
    assert all_of(restored(file, tmp_path / "c")) == before
    assert all_of(place) == before


def test_a_store_moves_to_postgres_and_back(tmp_path: Path, postgres_url: str) -> None:
    """From SQLite to PostgreSQL to SQLite nothing changes: not a value, not text that PostgreSQL does not take."""
    place = furnished(tmp_path / "a")
    before = all_of(place)
    assert NOTE in [value for s in before["studies"] for value in s.spec.labels.values()]
    there = restored(saved(place, tmp_path / "1.tar.gz"), tmp_path / "b", postgres_url)
    assert not (there.data_dir / "searchd.db").exists()
    assert all_of(there) == before
    assert all_of(restored(saved(there, tmp_path / "2.tar.gz"), tmp_path / "c")) == before


def test_a_backup_of_an_older_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    """A store of an older searchd is saved as it is, and restored to what an upgrade would make of it."""
    for name in ("old", "upgraded"):
        with sqlite3.connect(tmp_path / f"{name}.db") as database:
            database.executescript(V0001.read_text())
        database.close()
    place = settings(tmp_path, f"sqlite:///{tmp_path}/old.db")
    untouched = (tmp_path / "old.db").read_bytes()
    assert back_up(tmp_path / "b.tar.gz", place.store, place.storage, AT).manifest.contents.schema == "0001"
    assert (tmp_path / "old.db").read_bytes() == untouched
    upgraded = contents(SqlSettings(f"sqlite:///{tmp_path}/upgraded.db"))
    assert upgraded["trials"]
    again = contents(restored(tmp_path / "b.tar.gz", tmp_path / "c").store)
    assert repr(again) == repr(upgraded)  # there are NaNs in it


def test_checkpoints_may_be_left_out(tmp_path: Path) -> None:
    """Without checkpoints, logs and artifacts are saved, and the manifest says so."""
    place = furnished(tmp_path / "a")
    made = back_up(tmp_path / "b.tar.gz", place.store, place.storage, AT, checkpoints=False)
    assert not made.manifest.contents.checkpoints
    again = restored(tmp_path / "b.tar.gz", tmp_path / "c")
    assert {name.split("/")[0] for name in files(again.storage)} == {"logs", "artifacts", "code"}


def test_the_newest_checkpoint_is_read_first(tmp_path: Path) -> None:
    """Of a fold run's checkpoints the newest is saved first, by number: it is the last that a worker deletes."""
    place = furnished(tmp_path / "a")
    checkpoint(place.storage / "checkpoints" / STUDY / "1" / "0-0" / "10-1", 10)
    with tarfile.open(saved(place, tmp_path / "b.tar.gz")) as tar:
        order = [name.split("/")[-2] for name in tar.getnames() if name.endswith(".pickle")]
    assert order == ["10-1", "2-1", "1-1"]


def test_what_is_no_file_is_counted(tmp_path: Path) -> None:
    """Links, to files and folders, and pipes are left out and counted."""
    place = furnished(tmp_path / "a")
    (place.storage / "artifacts" / "file").symlink_to("/etc/passwd")
    (place.storage / "artifacts" / "folder").symlink_to("/etc")
    os.mkfifo(place.storage / "artifacts" / "pipe")
    assert back_up(tmp_path / "b.tar.gz", place.store, place.storage, AT).left_out == 3


# While a server writes


def batches() -> Iterator[list[Fact]]:
    """What a busy server commits: trials that change, measurements, a study deleted and made anew now and then."""
    other = study_name("default", "other")
    for number in count(1):
        yield [TrialPut(trial(number)), ProgressPut(STUDY, Progress({"running": number}))]
        yield [MeasurementAdded(STUDY, measurement(number)), TrialPut(trial(number, log_tail="x" * 500))]
        yield [StudyPut(study(other))] if number % 10 else [StudyPut(study(other)), StudyDeleted(other)]


def logged(facts: list[Fact]) -> list[Event]:
    """The log that facts make: a deletion takes the events of its study out, and adds one."""
    log: list[Event] = []
    for revision, fact in enumerate(facts, 1):
        if isinstance(fact, StudyDeleted):
            log = [event for event in log if study_of(event.fact) != fact.study]
        log.append(Event(revision, AT, fact))
    return log


def newest_trials(facts: list[Fact]) -> dict[tuple[StudyName, int], Trial]:
    """What the trials are after facts."""
    return {(fact.trial.study, fact.trial.number): fact.trial for fact in facts if isinstance(fact, TrialPut)}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_backup_under_load_is_a_prefix_of_the_log(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    """Backups taken while a server commits hold the log up to a revision, and exactly the state that it adds up to."""
    url = None if kind == "sqlite" else request.getfixturevalue("postgres_url")
    place = settings(tmp_path / "a", url)
    place.data_dir.mkdir()
    store = SqlStore(place.store)
    store.begin_epoch("server")
    told: list[Fact] = [StudyPut(study())]
    store.commit(told, AT)
    ending = threading.Event()

    def work() -> None:
        for facts in batches():
            store.commit(facts, AT)
            told.extend(facts)
            if ending.is_set():
                return

    worker = threading.Thread(target=work)
    worker.start()
    made = []
    try:
        for n in range(3):
            wait_until_longer(told, len(told) + 50)
            made.append(back_up(tmp_path / f"{n}.tar.gz", place.store, place.storage, AT))
    finally:
        ending.set()
        worker.join()
        store.close()
    revisions = [backup.manifest.contents.revision for backup in made]
    assert 50 < revisions[0] < revisions[1] < revisions[2] < len(told)  # it was written to all the time
    for n, revision in enumerate(revisions):
        copy = restored(tmp_path / f"{n}.tar.gz", tmp_path / f"copy{n}")
        assert_sum_of(copy, told[:revision])


def wait_until_longer(told: list[Fact], than: int) -> None:
    """Wait, for half a minute at most."""
    deadline = time.monotonic() + 30
    while len(told) <= than:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def assert_sum_of(copy: ServerSettings, told: list[Fact]) -> None:
    """A store holds what these facts add up to, and nothing else."""
    found = contents(copy.store)
    assert found["revision"] == len(told)
    assert found["events"] == logged(told)
    assert {(t.study, t.number): t for group in found["trials"] for t in group} == newest_trials(told)
    judged = {finding.check: finding.verdict for finding in doctor.examine(copy, None, LATER)}
    for check in ("structure", "records", "log", "state", "counts", "attempts"):
        assert judged[check] == "ok"


# What is refused, and what is left then


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    """A file of that name is replaced only on demand; a folder never; a folder that is not there is not made."""
    place = furnished(tmp_path / "a")
    file = tmp_path / "b.tar.gz"
    file.write_text("precious")
    with pytest.raises(CareRefused, match=r"exists; .*--force"):
        saved(place, file)
    assert file.read_text() == "precious"
    saved(place, file, replace=True)
    assert tarfile.is_tarfile(file)
    with pytest.raises(CareRefused, match="exists"):
        saved(place, tmp_path / "a", replace=True)
    with pytest.raises(CareRefused, match="there is no folder"):
        saved(place, tmp_path / "no" / "b.tar.gz")


def test_without_a_store_there_is_nothing_to_save(tmp_path: Path, postgres_url: str) -> None:
    """A directory, a file or a database without a store in it is refused, and none is made there."""
    for url in (None, f"sqlite:///{tmp_path}/empty.db", postgres_url):
        (tmp_path / "empty.db").touch()
        with pytest.raises(CareRefused, match="there is no store"):
            saved(settings(tmp_path, url), tmp_path / "b.tar.gz")
    with pytest.raises(InvalidArgument):
        saved(settings(tmp_path, "mysql://host/name"), tmp_path / "b.tar.gz")
    with pytest.raises(StoreUnavailable):
        saved(settings(tmp_path, f"postgresql://postgres@/name?host={tmp_path}"), tmp_path / "b.tar.gz")
    assert left_beside(tmp_path / "b.tar.gz") == ["empty.db"]


def changed(place: ServerSettings, statement: str) -> None:
    """Change a database by hand."""
    with sqlite3.connect(place.data_dir / "searchd.db") as database:
        database.execute(statement)
    database.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A store that a newer searchd wrote raises StoreTooNew."""
    place = furnished(tmp_path / "a")
    changed(place, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreTooNew):
        saved(place, tmp_path / "b.tar.gz")
    assert left_beside(tmp_path / "b.tar.gz") == ["a"]


def zeroed(place: ServerSettings) -> None:
    """Zero the pages in the middle of a database."""
    path = place.data_dir / "searchd.db"
    whole = path.read_bytes()
    middle = len(whole) // 2 & ~4095
    path.write_bytes(whole[: middle - 8192] + bytes(16384) + whole[middle + 8192 :])


@pytest.mark.parametrize("damage", ["zeroed", "not Unicode"])
def test_a_damaged_store_is_not_saved_in_part(tmp_path: Path, damage: str) -> None:
    """A database that cannot be read to its end raises StoreDamaged, and no file is made."""
    place = furnished(tmp_path / "a")
    if damage == "zeroed":
        zeroed(place)
    else:
        changed(place, "UPDATE trials SET body = CAST(x'80ff' AS TEXT) WHERE number = 3")
    with pytest.raises(StoreDamaged):
        saved(place, tmp_path / "b.tar.gz")
    assert left_beside(tmp_path / "b.tar.gz") == ["a"]


LIMITED = """
import resource, sys
from pathlib import Path
from searchd.care.backup import back_up
from searchd.care.errors import NotWritten
from tests.contracts.makers import AT
from tests.unit.care.care_house import settings

size = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
place = settings(Path(sys.argv[1]))
try:
    back_up(Path(sys.argv[2]), place.store, place.storage, AT, replace=True)
except NotWritten as error:
    print(error)
"""


@pytest.mark.parametrize("size", [40_000, 200_000])
def test_a_full_disk_leaves_nothing(tmp_path: Path, size: int) -> None:
    """When the disk takes no more, of the database or of the archive, NotWritten says so and the earlier file stays."""
    place = furnished(tmp_path / "a")
    (place.storage / "artifacts" / "model").write_bytes(os.urandom(300_000))
    file = saved(place, tmp_path / "b.tar.gz")
    before = file.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, place.data_dir, file, str(size)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert re.match(rf"{re.escape(str(file))} could not be written: .+; nothing of it is left", done.stdout), (
        done.stderr
    )
    assert file.read_bytes() == before
    assert left_beside(file) == ["a"]


@pytest.mark.parametrize(("place", "earlier"), [("backup.copied", b""), ("backup.packed", b"an earlier file")])
def test_killed_it_leaves_no_half_backup(tmp_path: Path, place: str, earlier: bytes) -> None:
    """After kill -9 there is no file of that name, or still the earlier one; the next backup clears up."""
    source = furnished(tmp_path / "a")
    file = tmp_path / "b.tar.gz"
    if earlier:
        file.write_bytes(earlier)
    killed_at(place, tmp_path / "faults", "backup", file, "--data-dir", source.data_dir, "--force")
    assert left_beside(file) == [".b.tar.gz.partial-backup", "a", "faults"]
    assert (file.read_bytes() if earlier else file.exists()) == (earlier or False)
    saved(source, tmp_path / "another.tar.gz")
    assert left_beside(file) == ["a", "another.tar.gz", "faults"]


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    """While another process writes a backup of the same name, CareRefused is raised."""
    source = furnished(tmp_path / "a")
    with workshop(tmp_path / "b.tar.gz"), pytest.raises(CareRefused, match="another process is writing"):
        saved(source, tmp_path / "b.tar.gz")


def test_an_unreadable_place_is_not_written(tmp_path: Path) -> None:
    """Where no file can be made, NotWritten says why."""
    source = furnished(tmp_path / "a")
    with pytest.raises(NotWritten):
        saved(source, tmp_path / ("x" * 250))


def test_the_commands(tmp_path: Path) -> None:
    """``backup`` and ``restore`` say what they saved and made, and exit with 4 when they refuse."""
    place = furnished(tmp_path / "a")
    (place.storage / "artifacts" / "link").symlink_to("/etc/passwd")
    file, target = tmp_path / "b.tar.gz", tmp_path / "c"
    arguments = ["backup", str(file), "--data-dir", str(place.data_dir), "--no-checkpoints"]
    done = CliRunner().invoke(app, arguments)
    lines = done.output.splitlines()
    assert done.exit_code == 0
    assert lines[0].startswith("saved 2 studies, 6 trials, revision 19, 3 files (")
    assert lines[1].startswith(f"in {file}, ")
    assert lines[2] == f"left out 1 link or special file below {place.storage}"
    refused = CliRunner().invoke(app, arguments)
    assert (refused.exit_code, "--force" in refused.output) == (4, True)
    done = CliRunner().invoke(app, ["restore", str(file), "--data-dir", str(target)])
    lines = done.output.splitlines()
    assert (done.exit_code, len(lines)) == (0, 5)
    assert lines[0].startswith("restored 2 studies, 6 trials, revision 19, ")
    assert lines[1] == f"to {target}, as it was at {lines[1].rsplit(' ', 1)[1]}"
    assert lines[2].startswith("its identity is a new one, ")
    assert "end its servers" in lines[3]
    assert "start over" in lines[4]
    refused = CliRunner().invoke(app, ["restore", str(file), "--data-dir", str(target)])
    assert (refused.exit_code, "is not empty" in refused.output) == (4, True)
