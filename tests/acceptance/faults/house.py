"""A server on a data directory that survives, somebody who writes down what it says, and the means to harm it."""

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import psutil

from searchd.client import Study
from searchd.domain.study import StudyName, study_name
from tests.acceptance.faults.promises import Broken, Epoch, Log, broken, ledger
from tests.acceptance.faults.recorder import Recorder
from tests.acceptance.server import ANNOUNCED, LOCAL_RAY, Server, eventually, free_port

EPOCHS = 28
"""Of the study that is created unless something else is said."""

DEFINITION: dict[str, Any] = {
    "trainable": "ledgered",
    "search": {"algorithm": "random", "default_first": False},
    "scheduler": {"algorithm": "none"},
    "evaluation": {"epochs": 7},
    "budget": {"trials": EPOCHS // 7},
    "seed": 3,
}

MODULE = ("--trainables", "trainables_for_faults")


class House:
    """A context manager; leaving it ends the server and its Ray, and closes what the recorder has open.

    Attributes:
        server: The server.
        recorder: Who writes down.
        folder: The data directory.
        excused: Studies of which epochs may be trained again, since their workers are harmed.
    """

    def __init__(self, folder: Path, options: Sequence[str] = (), ray: Sequence[str] = LOCAL_RAY) -> None:
        self.folder = folder
        listen = f"127.0.0.1:{free_port()}"
        self.server = Server(folder, (*MODULE, *options), listen, ray)
        self.recorder = Recorder(listen)
        self.excused: set[StudyName] = set()
        self._left = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as entered:
            entered.callback(self.server.down)
            entered.enter_context(self.recorder)
            self._left = entered.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    @property
    def database(self) -> Path:
        """The store's file."""
        return self.folder / "searchd.db"

    @property
    def storage(self) -> Path:
        """Where workers put files."""
        return self.folder / "storage"

    @property
    def alive(self) -> bool:
        """Whether there is a server process."""
        return self.server.process is not None and self.server.process.poll() is None

    @property
    def fault_log(self) -> Path:
        """Where faults are noted before they happen."""
        return self.folder / "faults.log"

    def start(self, faults: str = "") -> None:
        """Start the server anew, to meet faults, and wait until it serves."""
        self.launch(faults)
        self.server.address = self.server.says(ANNOUNCED)

    def launch(self, faults: str = "") -> None:
        """Start the server anew, to meet faults, whether or not it will ever serve."""
        if self.alive:
            self.server.kill()
        self.fault_log.unlink(missing_ok=True)
        self.server.launch({"SEARCHD_FAILPOINTS": faults, "SEARCHD_FAILPOINTS_LOG": str(self.fault_log)})

    def fired(self, study_id: str = "") -> list[tuple[str, str, int]]:
        """The faults that have happened to the newest server, or to workers of a study: place, action, process."""
        log = self._worker_faults(study_id) if study_id else self.fault_log
        lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        return [(place, action, int(pid)) for place, action, pid in lines]

    def await_fault(self, place: str, action: str, study_id: str = "") -> int:
        """Wait until a fault has happened; the process that met it."""
        eventually(lambda: (place, action) in {fault[:2] for fault in self.fired(study_id)})
        return next(pid for at, what, pid in self.fired(study_id) if (at, what) == (place, action))

    def study(
        self, study_id: str, seconds: float = 0.1, fault: str = "", watched: bool = True, **fields: Any
    ) -> StudyName:
        """Have a study created, and watch it.

        Args:
            study_id: Its id.
            seconds: How long its epochs take.
            fault: What the first of its workers meets.
            watched: Whether to watch it.
            fields: Of its definition.
        """
        fixed: dict[str, Any] = {"seconds": seconds}
        if fault:
            fixed |= {"fault": fault, "log": str(self._worker_faults(study_id))}
        if "kill" in fault:
            self.excused.add(study_name("default", study_id))
        name = self.recorder.create(study_id, **{**DEFINITION, **fields, "fixed": fixed})
        if watched:
            self.recorder.watch(name)
        return name

    def unended(self) -> list[StudyName]:
        """The studies that have not ended, as the store has it, without a server."""
        if not self.database.exists():
            return []
        states = Log(self.database).states()
        return [name for name, passed in states.items() if not passed[-1].ended]

    def end_of(self, name: StudyName) -> Study:
        """Wait for the end of a study."""
        return self.recorder.end_of(name)

    def trained(self, name: StudyName | None = None) -> list[Epoch]:
        """The epochs that were trained, of one study or of all."""
        epochs = ledger(self.storage)
        return epochs if name is None else [epoch for epoch in epochs if epoch.study == name.rsplit("/", 1)[-1]]

    def daemon(self, name: str) -> psutil.Process:
        """A daemon of the local Ray: its control service is ``gcs_server``, its node ``raylet``."""
        pids = [record["pid"] for record in json.loads((self.folder / "ray.json").read_text())["daemons"]]
        return next(process for process in map(psutil.Process, pids) if process.name() == name)

    def workers(self, name: StudyName) -> list[int]:
        """The processes that have trained a study and live, the one that did so last at the end."""
        newest = sorted(self.trained(name), key=lambda epoch: epoch.seconds)
        return [pid for pid in dict.fromkeys(epoch.pid for epoch in newest) if psutil.pid_exists(pid)]

    def await_epochs(self, name: StudyName, count: int) -> None:
        """Wait until so many epochs of a study have been trained."""
        eventually(lambda: len(self.trained(name)) >= count)

    def _worker_faults(self, study_id: str) -> Path:
        return self.folder / f"{study_id}.faults"

    def broken(self) -> list[Broken]:
        """The promises that were not kept."""
        return broken(self.recorder, Log(self.database), self.trained(), self.excused)


@contextmanager
def temporary_house() -> Iterator[House]:
    """A house with a server that serves, of which nothing is left afterwards."""
    with (
        TemporaryDirectory(prefix="searchd-house-", ignore_cleanup_errors=True) as folder,
        House(Path(folder)) as house,
    ):
        house.start()
        yield house


def paused(pid: int, seconds: float) -> None:
    """Let a process that stands still do so for a time, then go on."""
    eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, 10)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)
