"""The tracking process: a thread for each sink, so that one that is slow or hangs keeps no other waiting.

It reads the store itself and talks to nobody: settings come on its standard input, whose end tells it to leave.
"""

import contextlib
import fcntl
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from searchd.domain.errors import SearchdError
from searchd.domain.study import Study
from searchd.domain.trial import Trial
from searchd.stores.connections import SqlSettings
from searchd.stores.sql import SqlStore
from searchd.tracking.ledger import FOLDER, Ledger
from searchd.tracking.recorder import Recorder
from searchd.tracking.sink import History, Sink, Surroundings
from searchd.tracking.vendors import SINKS, open_sink
from searchd.worker.files import Storage

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How often the store and the ledger are looked at."""

HANGS_SECONDS: Final = 60.0
"""After so long in one write a sink is said to hang."""

IDLE_SECONDS: Final = 60.0
"""After so long without a study to follow the process leaves."""

LEAVING_SECONDS: Final = 2.0
"""How long leaving waits for what is being written."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What the process is told.

    Attributes:
        store: The store's URL.
        storage: Root of the storage, in which tracking has a folder.
        checkpoints: Root of the checkpoints in an object store; None means in the storage.
        holder: Id of the server in the store's lease: while another one has it, nothing is written.
    """

    store: str
    storage: str
    checkpoints: str | None
    holder: str

    @property
    def tracking(self) -> Path:
        """Where sinks keep their files."""
        return Path(self.storage) / FOLDER

    def dump(self) -> str:
        """As one line of text."""
        return json.dumps(asdict(self))


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other tracking process, such as that of a server that was killed, writes to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Host:
    """Threads that keep sinks up with the store, until told to leave."""

    def __init__(self, settings: HostSettings) -> None:
        self._settings = settings
        self._storage = Storage(Path(settings.storage), settings.checkpoints)
        self._store = SqlStore(SqlSettings(settings.store))
        self._ledger = Ledger(settings.tracking)
        self._leaving = threading.Event()
        self._recorders = [
            Recorder(name, self._store, self._ledger, self._opened, time.monotonic) for name in sorted(SINKS)
        ]

    def run(self) -> None:
        """Work until standard input ends, or there has been nothing to do for long; and a moment longer."""
        threads = [threading.Thread(target=self._keep_up, args=(r,), daemon=True) for r in self._recorders]
        threads.append(threading.Thread(target=self._look_after, daemon=True))
        for thread in threads:
            thread.start()
        threading.Thread(target=self._hear, daemon=True).start()
        self._leaving.wait()
        deadline = time.monotonic() + LEAVING_SECONDS
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))

    def _opened(self, name: str, study: Study, history: History) -> Sink:
        return open_sink(name, study, Surroundings(self._ledger.folder(name), history, self._links))

    def _links(self, trial: Trial) -> Mapping[str, str]:
        return self._storage.places(trial.study, trial.number, ended=trial.state.ended)

    def _keep_up(self, recorder: Recorder) -> None:
        last = False
        while not last:
            last = self._leaving.is_set()  # one more look, since the end of a study may have just been written
            busy = False
            try:
                if self._ledger.any_followed(recorder.name) and self._leads():
                    busy = recorder.step()
            except (SearchdError, OSError) as error:
                log.warning("%s cannot be kept up: %s", recorder.name, error)
            except Exception:
                log.exception("%s cannot be kept up", recorder.name)
            if not busy and not last:
                self._leaving.wait(LOOK_SECONDS)

    def _leads(self) -> bool:
        return self._store.lease().holder == self._settings.holder

    def _hear(self) -> None:
        while sys.stdin.readline():
            pass
        self._leaving.set()

    def _look_after(self) -> None:
        """Say of sinks that hang that they do; leave if nobody is followed, since what vendors load is large."""
        idle_since = time.monotonic()
        while not self._leaving.wait(LOOK_SECONDS):
            try:
                if any(self._ledger.any_followed(recorder.name) for recorder in self._recorders):
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since > IDLE_SECONDS:
                    self._leaving.set()
                for recorder in self._recorders:
                    recorder.complain(HANGS_SECONDS)
            except OSError as error:
                log.warning("what tracking remembers cannot be reached: %s", error)


def main() -> None:
    """Run the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server says when to leave
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = HostSettings(**json.loads(sys.stdin.readline()))
    with alone(settings.tracking):
        Host(settings).run()
        os._exit(0)  # a sink that hangs, or a vendor's thread, must not keep the process


if __name__ == "__main__":
    main()
