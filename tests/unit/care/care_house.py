"""A data directory with a bit of everything in it, and all that can be read from a store."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from searchd.config import ServerSettings
from searchd.domain.errors import RevisionExpired
from searchd.domain.facts import (
    Event,
    Fact,
    MeasurementAdded,
    ProgressPut,
    RequestAnswered,
    StudyDeleted,
    StudyPut,
    TrialPut,
)
from searchd.domain.study import Progress, StudyState, study_name
from searchd.domain.trial import TrialState
from searchd.ports.engine import Report
from searchd.stores.connections import SqlSettings
from searchd.stores.sql import SqlStore
from searchd.worker.manifest import MANIFEST, Content, Manifest, Measured
from tests.contracts.makers import AT, STUDY, measurement, spec, study, trial

ROOT = Path(__file__).parents[3]
ENDED = study_name("default", "ended")
GONE = study_name("default", "gone")
NOTE = "any text \0\1\2 Ünïcode"


def facts() -> list[Fact]:
    """A running study of five trials, one that has ended, one that was deleted, and an answered request."""
    ended = study(ENDED, spec=spec(labels={"note": NOTE}), state=StudyState.SUCCEEDED, ended_at=AT)
    done = trial(1, study=ENDED, state=TrialState.COMPLETED, scores=(0.5,), ended_at=AT)
    return [
        StudyPut(study(GONE)),
        TrialPut(replace(trial(1), study=GONE)),
        StudyPut(study()),
        RequestAnswered("request", "digest", study()),
        *(TrialPut(trial(number)) for number in range(1, 6)),
        *(MeasurementAdded(STUDY, measurement(number)) for number in range(1, 6)),
        ProgressPut(STUDY, Progress({"running": 5}, busy=5)),
        StudyDeleted(GONE),
        StudyPut(replace(ended, progress=Progress({"completed": 1}, (1,)))),
        TrialPut(done),
        TrialPut(trial(5, log_tail="a second value")),
    ]


def settings(data_dir: Path, url: str | None = None) -> ServerSettings:
    """Where a server on that directory keeps everything."""
    return ServerSettings(data_dir, store_url=url)


def furnished(data_dir: Path, url: str | None = None) -> ServerSettings:
    """A new data directory with a store, in a database of its own or the one at ``url``, and a storage folder."""
    place = settings(data_dir, url)
    data_dir.mkdir()
    store = SqlStore(place.store)
    store.begin_epoch("a" * 32, "127.0.0.1:1")
    store.commit(facts(), AT)
    store.give_up()
    store.close()
    for kind in ("logs", "artifacts"):
        put(place.storage / kind / STUDY / "1" / "0-0" / "text", kind.encode())
    put(place.storage / "code" / ("c0de" * 16) / "layers" / "net.py", b"from searchd.trainable import trainable")
    for epoch in (1, 2):
        checkpoint(place.storage / "checkpoints" / STUDY / "1" / "0-0" / f"{epoch}-1", epoch)
    return place


def put(path: Path, content: bytes) -> None:
    """Write a file, making the folders on the way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def checkpoint(folder: Path, epoch: int) -> Path:
    """A checkpoint as workers write them; returns its state file."""
    state = folder / "state.pickle"
    put(state, bytes(range(256)) * 8)
    with (folder / "measure").open("wb") as file:
        measured = Measured(file)
        measured.write(state.read_bytes())
    (folder / "measure").unlink()
    files: dict[str, Content] = {state.name: measured.content}
    put(folder / MANIFEST, Manifest("identity", Report(epoch, {"loss": 0.5}, 1.0, AT), files).encoded())
    return state


def contents(store: SqlSettings) -> dict[str, Any]:
    """Every value that a store gives back."""
    opened = SqlStore(store)
    try:
        names = [s.name for s in opened.studies("default", None, {}, None, 1000)]
        return {
            "revision": opened.revision(),
            "events": events(opened),
            "studies": [opened.study(name) for name in names],
            "trials": [opened.trials(name, None, 0, 10**6) for name in names],
            "ranked": [opened.ranked(name, 10**6) for name in names],
            "measurements": [opened.measurements(name, None, None, 10**6) for name in names],
            "live": opened.live(),
            "answered": opened.answered("request"),
        }
    finally:
        opened.close()


def events(store: SqlStore) -> Sequence[Event]:
    """The log as far as it is kept."""
    try:
        return store.events(0, None, 10**6)
    except RevisionExpired as expired:
        return store.events(expired.oldest - 1, None, 10**6)


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def left_beside(file: Path) -> list[str]:
    """What there is beside a file."""
    return sorted(path.name for path in file.parent.iterdir() if path != file)


def searchd(*arguments: str | Path, faults: str = "", log: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command, with faults at failpoints, to its end."""
    environment = {**os.environ, "COLUMNS": "80", "SEARCHD_FAILPOINTS": faults, "RAY_USAGE_STATS_ENABLED": "0"}
    if log is not None:
        environment["SEARCHD_FAILPOINTS_LOG"] = str(log)
    return subprocess.run(
        [sys.executable, "-m", "searchd", *map(str, arguments)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def killed_at(place: str, log: Path, *arguments: str | Path) -> None:
    """Run a command that is killed when it reaches a failpoint, and see that it was."""
    done = searchd(*arguments, faults=f"{place}=kill", log=log)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert log.read_text().split()[:2] == [place, "kill"]


LATER = AT + timedelta(days=1)
"""When things are looked at."""
