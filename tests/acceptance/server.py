"""A real server process on a data directory, to be started, killed and started again."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from searchd.client import Client

START_SECONDS = 90.0
ANNOUNCED = re.compile(r"searchd serves on (\S+?),")
DATA = Path(__file__).parent.parent / "data"


def environment() -> dict[str, str]:
    """The environment of commands: test trainables can be imported, nothing phones home."""
    path = os.pathsep.join(filter(None, [str(DATA), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0", "SEARCHD_ADDRESS": "", "COLUMNS": "80"}


def searchd(*arguments: str, address: str = "", timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "searchd", *arguments],
        env={**environment(), "SEARCHD_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@dataclass
class Server:
    """A server and what it takes to end it."""

    data_dir: Path
    options: Sequence[str] = ()
    address: str = ""
    process: "subprocess.Popen[str] | None" = field(default=None)

    def start(self) -> "Server":
        """Start it and wait until it serves."""
        log = (self.data_dir / "test-server.log").open("a")
        command = [sys.executable, "-m", "searchd", "up", "--listen", "127.0.0.1:0", "--data-dir", str(self.data_dir)]
        command += ["--num-cpus", "2", "--trainables", "trainables_for_tests", *self.options]
        self.process = subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        log.close()
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if (match := ANNOUNCED.search(line)) is not None:
                self.address = match[1]
                return self
        raise AssertionError((self.data_dir / "test-server.log").read_text()[-3000:])

    def client(self) -> Client:
        """A client of it."""
        return Client(self.address)

    def kill(self) -> None:
        """Kill -9."""
        assert self.process is not None
        self.process.kill()
        self._gone()

    def terminate(self, timeout: float = 60.0) -> int:
        """SIGTERM; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        self._gone()
        return code

    def _gone(self) -> None:
        assert self.process is not None
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def down(self) -> None:
        """End whatever is left of it."""
        if self.process is not None and self.process.poll() is None:
            self.terminate()
        searchd("down", "--data-dir", str(self.data_dir))


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """Processes that mention a data directory in their command line or environment: servers, their Ray, workers."""
    found = []
    for process in psutil.process_iter():
        try:
            text = " ".join([*process.cmdline(), *process.environ().values()])
        except psutil.Error:
            continue
        if str(data_dir) in text and process.pid != os.getpid():
            found.append(process)
    return found


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
