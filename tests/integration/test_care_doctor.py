"""What doctor finds in stores that are damaged in every way that can be thought of, and that it changes nothing."""

import errno
import json
import os
import sqlite3
from collections import namedtuple
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from searchd.care.claim import UNFINISHED
from searchd.care.doctor import examine
from searchd.care.finding import Finding
from searchd.cli.main import app
from searchd.config import ServerSettings
from searchd.domain.errors import InvalidArgument
from searchd.domain.facts import MeasurementAdded, StudyDeleted, StudyPut, TrialPut
from searchd.domain.study import study_name
from searchd.engines.ray.processes import ProcessRecord
from searchd.service.loop import LoopSettings
from searchd.stores.sql import SqlStore
from tests.contracts.makers import AT, STUDY, fold_run, measurement, study, trial
from tests.unit.care.care_house import (
    ENDED,
    LATER,
    ROOT,
    checkpoint,
    files,
    furnished,
    put,
    settings,
)

CHECKS = [
    *("directory", "secrets", "disk", "server", "ray", "database", "schema", "structure"),
    *("records", "log", "state", "counts", "attempts", "checkpoints", "leftovers", "lease"),
]


@pytest.fixture
def place(tmp_path: Path) -> ServerSettings:
    """A store and its folder in which nothing is wrong."""
    made = furnished(tmp_path / "a")
    return replace(made, loop=LoopSettings(lease=timedelta(seconds=0.2)))


def found(place: ServerSettings, noted: ProcessRecord | None = None) -> dict[str, Finding]:
    """The findings by check."""
    return {finding.check: finding for finding in examine(place, noted, LATER)}


def wrong(place: ServerSettings, noted: ProcessRecord | None = None) -> dict[str, str]:
    """The verdicts of the checks that are not ok; what is found twice is alike."""
    return {check: str(finding.verdict) for check, finding in found(place, noted).items() if finding.verdict != "ok"}


def changed(place: ServerSettings, *statements: str) -> None:
    """Change a database by hand, foreign keys or not."""
    with closing(sqlite3.connect(place.data_dir / "searchd.db", isolation_level=None)) as database:
        for statement in statements:
            assert database.execute(statement).rowcount != 0


# Sound


def test_a_sound_store_is_sound(place: ServerSettings) -> None:
    """Every check is ok, and there is one line for each."""
    findings = examine(place, None, LATER)
    assert [finding.check for finding in findings] == CHECKS
    assert wrong(place) == {}


def test_it_changes_nothing(place: ServerSettings) -> None:
    """No file is made, changed or removed, whether the database was closed, is in use, or was left by a crash."""
    before = files(place.data_dir)
    found(place)
    assert files(place.data_dir) == before
    store = SqlStore(place.store)
    store.commit([TrialPut(trial(6))], AT)
    crashed = settings(place.data_dir.parent / "crashed")
    for name, content in files(place.data_dir).items():  # as kill -9 leaves it, the log of its last commits included
        put(crashed.data_dir / name, content)
    left = files(crashed.data_dir)
    assert left["searchd.db-wal"]
    assert found(crashed)["log"].message == found(place)["log"].message
    after = files(crashed.data_dir)
    assert {n: c for n, c in after.items() if n != "searchd.db-shm"} == {
        n: c for n, c in left.items() if "shm" not in n
    }
    store.close()


def test_postgres_is_checked_too(tmp_path: Path, postgres_url: str) -> None:
    """A store in PostgreSQL gets the same checks; its password is shown to nobody."""
    sound = furnished(tmp_path / "a", postgres_url)
    assert wrong(sound) == {}
    secret = replace(sound, store_url=postgres_url.replace("postgres@", "postgres:hidden@"))
    assert "hidden" not in str(examine(secret, None, LATER))


def test_an_older_schema_is_a_warning(tmp_path: Path) -> None:
    """A store of an older searchd is to be brought up to date; what it holds is not called damaged for its age."""
    old = settings(tmp_path)
    with closing(sqlite3.connect(tmp_path / "searchd.db")) as database:
        database.executescript((ROOT / "tests" / "data" / "databases" / "v0001.sql").read_text())
    findings = found(old)
    assert findings["schema"].verdict == "warning"
    assert "searchd doctor" in findings["schema"].remedy
    assert "lease" not in findings
    assert set(wrong(old)) == {"schema"}
    assert "structure" in findings


# The surroundings


def test_what_is_not_there(tmp_path: Path) -> None:
    """A directory that is not there, or has no store in it, is a problem with the way out of it; nothing is made."""
    (only,) = examine(settings(tmp_path / "no"), None, LATER)
    assert (only.check, only.verdict, "--data-dir" in only.remedy) == ("directory", "problem", True)
    assert wrong(settings(tmp_path)) == {"database": "problem"}
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidArgument):
        examine(settings(tmp_path, "mysql://host/name"), None, LATER)


def test_a_server_that_cannot_be_reached_is_a_problem(tmp_path: Path) -> None:
    """A database server that does not answer is named as the reason."""
    assert wrong(settings(tmp_path, f"postgresql://u:hidden@/x?host={tmp_path}")) == {"database": "problem"}


def test_an_interrupted_restore_is_a_problem(place: ServerSettings) -> None:
    """A directory into which a restore was interrupted is told as such."""
    (place.data_dir / UNFINISHED).write_text("{}")
    assert "restore" in found(place)["directory"].remedy
    assert wrong(place) == {"directory": "problem"}


def test_secrets_that_others_may_read_are_a_problem(place: ServerSettings) -> None:
    """The token of the local Ray must be readable by its owner only."""
    token = place.data_dir / "ray.token"
    token.write_text("secret")
    token.chmod(0o644)
    assert found(place)["secrets"].remedy == f"chmod 600 {token}"
    token.chmod(0o600)
    assert wrong(place) == {}


def test_little_room_is_told(place: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Little free disk is a warning, next to none a problem."""
    usage = namedtuple("usage", "total used free")
    for free, verdict in ((50 * 10**6, "problem"), (10**9, "warning"), (10**10, "ok")):
        monkeypatch.setattr("searchd.care.surroundings.shutil.disk_usage", lambda _, free=free: usage(10**11, 0, free))
        assert found(place)["disk"].verdict == verdict


def test_the_servers_process(place: ServerSettings) -> None:
    """A noted process that runs is ok, one that has ended left without a word."""
    mine = ProcessRecord(os.getpid(), psutil.Process().create_time())
    assert found(place, mine)["server"].message == f"runs as process {os.getpid()}"
    gone = ProcessRecord(os.getpid(), mine.started - 1000)
    assert wrong(place, gone) == {"server": "warning"}


def test_the_local_ray(place: ServerSettings) -> None:
    """A Ray that is noted and has ended is told with its way out; so is a note that cannot be read."""
    note = place.data_dir / "ray.json"
    gone = {"pid": os.getpid(), "started": 1.0}
    put(note, json.dumps({"temp_dir": "/tmp/none", "address": "127.0.0.1:1", "daemons": [gone]}).encode())
    note.chmod(0o600)
    mine = ProcessRecord(os.getpid(), psutil.Process().create_time())
    assert wrong(place) == {"ray": "warning"}
    assert wrong(place, mine)["ray"] == "problem"
    living = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    put(note, json.dumps({"temp_dir": "/tmp/none", "address": "127.0.0.1:1", "daemons": [living]}).encode())
    assert str(os.getpid()) in found(place)["ray"].message
    put(note, b"garbage")
    assert wrong(place) == {"ray": "problem"}


# The database


def test_a_newer_schema_is_a_problem(place: ServerSettings) -> None:
    """A store that a newer searchd wrote is left unread."""
    changed(place, "UPDATE alembic_version SET version_num = '9999'")
    assert found(place)["schema"].remedy == "upgrade searchd"
    assert wrong(place) == {"schema": "problem"}


def test_no_damage_to_the_file_crashes_it(place: ServerSettings) -> None:
    """Whatever bytes of a database file are lost, there are findings, and at least one problem where it matters."""
    path = place.data_dir / "searchd.db"
    whole = path.read_bytes()
    damages = {
        "empty": b"",
        "text": b"not a database, by any means" * 200,
        "first page": bytes(4096) + whole[4096:],
        "cut": whole[: len(whole) // 2],
        "odd cut": whole[:-1000],
        **{
            f"page {n}": whole[: n * 4096] + bytes(4096) + whole[(n + 1) * 4096 :] for n in range(1, len(whole) // 4096)
        },
        **{f"noise {n}": whole[:n] + os.urandom(64) + whole[n + 64 :] for n in range(5000, len(whole), 9001)},
    }
    sound = []
    for name, content in damages.items():
        path.write_bytes(content)
        if "problem" not in wrong(place).values():
            sound.append(name)
    assert all(name.startswith("noise") for name in sound), sound  # which may hit what is unused


@pytest.mark.parametrize(
    ("damage", "verdicts", "named"),
    [
        ("UPDATE trials SET body = 'garbage' WHERE number = 3", {"records", "state"}, f"trial {STUDY}/3"),
        ("UPDATE trials SET body = CAST(x'80ff' AS TEXT) WHERE number = 3", {"records", "state"}, f"trial {STUDY}/3"),
        ("UPDATE trials SET state = 'failed' WHERE number = 3", {"records"}, f"trial {STUDY}/3: its columns"),
        ("UPDATE studies SET rest = '{}' WHERE name LIKE '%digits'", {"records"}, f"study {STUDY}"),
        ("UPDATE studies SET spec = '[' WHERE name LIKE '%digits'", {"records"}, f"study {STUDY}"),
        ("UPDATE studies SET state = 'failed' WHERE name LIKE '%digits'", {"records"}, f"study {STUDY}: its columns"),
        ("UPDATE measurements SET body = '{\"a\":1}' WHERE trial = 2", {"records"}, f"measurement of {STUDY}/2"),
        ("UPDATE requests SET study = ''", {"records"}, "answer to request request"),
        ("UPDATE events SET body = '{' WHERE revision = 12", {"records"}, f"event 12 of {STUDY}"),
        ("UPDATE events SET kind = 'odd' WHERE revision = 12", {"records"}, f"event 12 of {STUDY}"),
    ],
)
def test_a_row_that_cannot_be_understood_is_named(
    place: ServerSettings, damage: str, verdicts: set[str], named: str
) -> None:
    """A damaged row of any table is a problem that names it; what the other checks can still say, they say."""
    changed(place, damage)
    findings = found(place)
    assert wrong(place) == dict.fromkeys(verdicts, "problem")
    assert any(detail.startswith(named) for detail in findings["records"].details), findings["records"]


def test_many_damaged_rows_are_counted(place: ServerSettings) -> None:
    """Of many damaged rows the first are named and the others counted."""
    changed(place, "UPDATE trials SET body = ''", "UPDATE measurements SET body = ''")
    assert found(place)["records"].details[-1] == "and 1 more"


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("DELETE FROM events WHERE revision = 18", "event 18"),
        ("DELETE FROM events WHERE revision BETWEEN 17 AND 18", "events 17 to 18"),
        ("DELETE FROM events WHERE revision = 17", f"event 17, which created {ENDED}"),
        ("UPDATE meta SET trimmed = 3", "event 3 was forgotten and is there"),
        ("UPDATE events SET study = 'projects/default/studies/no' WHERE revision = 12", "event 12 is of a study"),
    ],
)
def test_a_log_that_is_not_whole_is_told(place: ServerSettings, damage: str, named: str) -> None:
    """Events that are missing, or should be, are named."""
    changed(place, damage)
    assert any(detail.startswith(named) for detail in found(place)["log"].details), found(place)["log"]


def test_what_deletions_took_out_of_the_log_is_not_missed(place: ServerSettings) -> None:
    """Studies deleted, made anew and deleted again leave gaps that are as they should be; so does trimming."""
    store = SqlStore(place.store)
    name = study_name("default", "again")
    for _ in range(3):
        store.commit([StudyPut(study(name)), TrialPut(replace(trial(1), study=name))], AT)
        store.commit([TrialPut(trial(1)), StudyDeleted(name)], AT)
    assert wrong(place) == {}
    store.trim_events(3)
    assert wrong(place) == {}
    assert found(place)["log"].message.startswith("whole from revision")
    store.trim_events(0)
    store.close()
    assert wrong(place) == {}
    assert found(place)["log"].message.startswith("empty, the newest revision was")


def test_a_lost_row_is_found(place: ServerSettings) -> None:
    """A trial that is gone from its table is missed by the log, by the counts, and by what belongs to it."""
    changed(place, "DELETE FROM trials WHERE number = 2")
    findings = found(place)
    assert wrong(place) == dict.fromkeys(("structure", "state", "counts"), "problem")
    assert findings["state"].details == (f"trial {STUDY}/2 is only in the log",)
    assert findings["counts"].details == ("digits: trials 5 running, counted 4 running",)
    assert "belongs to no row of trials" in findings["structure"].details[0]


def test_an_older_value_is_found(place: ServerSettings) -> None:
    """A trial whose row is not the last that the log tells is found, and so are a study's counts."""
    changed(
        place,
        "UPDATE trials SET body = json_set(body, '$.log_tail', 'the first value') WHERE number = 5",
        """UPDATE studies SET progress = '{"trials": {"running": 5}, "rungs": [9]}' WHERE name LIKE '%digits'""",
    )
    findings = found(place)
    assert findings["state"].details == (f"counts of study {STUDY}", f"trial {STUDY}/5")
    assert findings["counts"].details == ("digits: rungs [9], counted [0]",)


def test_measurements_of_the_future_are_found(place: ServerSettings) -> None:
    """A measurement of an attempt that its fold run never had is found."""
    store = SqlStore(place.store)
    store.commit([MeasurementAdded(STUDY, measurement(2, epoch=2, attempt=2))], AT)
    assert wrong(place) == {"attempts": "problem"}
    assert found(place)["attempts"].details == (f"measurement of {STUDY}/2, repeat 0 fold 0 epoch 2, attempt 2",)
    store.commit([TrialPut(trial(2, fold_runs=(fold_run(attempt=2),)))], AT)
    store.close()
    assert wrong(place) == {}


# The lease


def test_the_lease(place: ServerSettings) -> None:
    """A leader that beats is ok; one that is silent is a warning, and a problem if its process still runs."""
    mine = ProcessRecord(os.getpid(), psutil.Process().create_time())
    store = SqlStore(place.store)
    store.begin_epoch("b" * 32, "127.0.0.1:5")
    silent = found(place)["lease"]
    assert silent.verdict == "warning"
    assert silent.message.startswith("held by bbbbbbbb at 127.0.0.1:5 (epoch 2), silent for")
    assert wrong(place, mine) == {"lease": "problem"}
    store.close()


def test_a_leader_that_beats(place: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign of life at any time during the examination is enough."""
    store = SqlStore(place.store)
    store.begin_epoch("b" * 32, "127.0.0.1:5")
    monkeypatch.setattr("searchd.care.integrity.time.sleep", lambda _: store.beat())
    assert found(place)["lease"].message == "held by bbbbbbbb at 127.0.0.1:5 (epoch 2), which gives signs of life"
    store.give_up()
    store.close()
    mine = ProcessRecord(os.getpid(), psutil.Process().create_time())
    assert wrong(place, mine) == {"lease": "warning"}


# Files


def test_damaged_checkpoints_are_found(place: ServerSettings) -> None:
    """Of trials that have not ended every checkpoint is read and compared with its manifest."""
    fold = place.storage / "checkpoints" / STUDY / "2" / "0-0"
    states = [checkpoint(fold / f"{epoch}-1", epoch) for epoch in range(1, 5)]
    states[0].write_bytes(states[0].read_bytes()[:-1])
    states[1].write_bytes(b"!" + states[1].read_bytes()[1:])
    states[2].unlink()
    (states[3].parent / "manifest.json").write_bytes(b"{}")
    (fold / "5-1").mkdir()  # never finished: not there
    finding = found(place)["checkpoints"]
    assert finding.message == "4 of 6 are damaged"
    assert ["1-1: state.pickle has 2047 bytes, not 2048" in finding.details[0], len(finding.details)] == [True, 4]
    assert wrong(place) == {"checkpoints": "problem"}


def test_leftovers_are_found(place: ServerSettings) -> None:
    """What belongs to deleted studies and ended trials, and what was never finished, is listed; the rest is not."""
    storage = place.storage
    left = [
        storage / "checkpoints" / study_name("default", "gone"),
        storage / "logs" / study_name("other", "gone"),
        storage / "checkpoints" / ENDED / "1",
        storage / "checkpoints" / STUDY / "1" / "0-0" / "3-1" / ".old.tmp",
        place.data_dir / ".b.tar.gz.partial-backup",
    ]
    for path in (*left[:3], left[4]):
        path.mkdir(parents=True)
    put(left[3], b"half")
    put(left[3].with_name(".new.tmp"), b"half")
    os.utime(left[3], (0, 0))
    os.utime(left[3].with_name(".new.tmp"), (LATER.timestamp(), LATER.timestamp()))
    put(storage / "logs" / ENDED / "1" / "0-0.log", b"kept")
    finding = found(place)["leftovers"]
    assert sorted(finding.details) == sorted(map(str, left))
    assert wrong(place) == {"leftovers": "warning"}


def test_a_disk_that_fails_is_a_finding(place: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read at all is a problem of its check, and the others are made all the same."""

    def failing(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("searchd.care.stored_files.decoded", failing)
    findings = found(place)
    assert "Input/output error" in str(findings["checkpoints"])
    assert list(findings) == CHECKS


# On the terminal


def run(place: ServerSettings, *options: str) -> tuple[int, str]:
    """The command: its exit code and what it printed."""
    arguments = ["doctor", "--data-dir", str(place.data_dir), *options]
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, arguments)
    return done.exit_code, done.output


def test_the_command(place: ServerSettings) -> None:
    """A line a check, at most 80 wide, what is to be done below; exit code 1 for a problem; JSON has the same."""
    assert run(place)[0] == 0
    changed(place, "UPDATE trials SET body = 'garbage' WHERE number = 3")
    code, printed = run(place, "-o", "table")
    assert code == 1
    lines = printed.splitlines()
    assert lines[0] == f"{place.data_dir}: 2 problems, 0 warnings"
    assert [line.split()[1] for line in lines[1:] if line[0] != " "] == CHECKS
    assert all(len(line) <= 80 for line in lines[1:] if str(place.data_dir) not in line)
    (at,) = [n for n, line in enumerate(lines) if line.startswith("problem  records")]
    assert lines[at + 1].strip().startswith("- trial projects/default/studies/digits/3:")
    assert any(line.strip().startswith("-> stop or delete") for line in lines)
    code, printed = run(place)
    told: Any = json.loads(printed)
    assert (code, told["sound"]) == (1, False)
    assert [check["check"] for check in told["checks"]] == CHECKS
    assert {check["verdict"] for check in told["checks"]} == {"ok", "problem"}
