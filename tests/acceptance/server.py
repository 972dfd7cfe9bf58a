"""A real server process on a data directory, to be started, killed and started again."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from searchd.cli.shutdown import end_everything
from searchd.client import Client

ANNOUNCED = re.compile(r"searchd serves on (\S+?),")
STANDS_BY = re.compile(r"searchd stands by on (\S+) for")
DATA = Path(__file__).parent.parent / "data"
LOCAL_RAY = ("--num-cpus", "2")


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
    """A server and what it takes to end it.

    Attributes:
        data_dir: Its data directory.
        options: More options of ``searchd up``.
        listen: Where it listens.
        ray: The options that say on which Ray.
        address: Where it serves, once it does.
        process: Its newest process.
    """

    data_dir: Path
    options: Sequence[str] = ()
    listen: str = "127.0.0.1:0"
    ray: Sequence[str] = LOCAL_RAY
    address: str = ""
    process: "subprocess.Popen[str] | None" = field(default=None)

    @property
    def pid(self) -> int:
        """Of its newest process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> "Server":
        """Start it and wait until it serves."""
        self.launch()
        self.address = self.says(ANNOUNCED)
        return self

    def launch(self, more: Mapping[str, str] | None = None) -> None:
        """Start it, with ``more`` in its environment."""
        log = (self.data_dir / "test-server.log").open("a")
        command = [sys.executable, "-m", "searchd", "up", "--listen", self.listen, "--data-dir", str(self.data_dir)]
        command += [*self.ray, "--trainables", "trainables_for_tests", *self.options]
        told = {**environment(), **(more or {})}
        self.process = subprocess.Popen(
            command, env=told, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        log.close()

    def says(self, pattern: re.Pattern[str]) -> str:
        """Wait for a line that it prints; the pattern's first group. Fails if it ends before."""
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if (match := pattern.search(line)) is not None:
                return match[1]
        self.gone()
        raise AssertionError((self.data_dir / "test-server.log").read_text()[-3000:])

    def client(self) -> Client:
        """A client of it."""
        return Client(self.address)

    def kill(self) -> None:
        """Kill -9."""
        assert self.process is not None
        self.process.kill()
        self.gone()

    def terminate(self, timeout: float = 60.0) -> int:
        """SIGTERM; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.gone(timeout)

    def gone(self, timeout: float = 60.0) -> int:
        """Wait until it has ended; returns its exit code."""
        assert self.process is not None
        code = self.process.wait(timeout)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def down(self) -> None:
        """End whatever is left of it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.terminate()
        end_everything(self.data_dir)


def free_port() -> int:
    """A port that nobody listens on, among those that no connection is given by itself."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no port is free")


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
