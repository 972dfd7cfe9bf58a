"""Processes that outlive the one that started them: told apart from others that got the same pid, and ended."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import psutil

_CLOCK_STEP_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process, surely: pids are used again, a pid with its start time is not.

    Attributes:
        pid: Its number.
        started: When it started, in seconds since 1970 as psutil gives it.
    """

    pid: int
    started: float

    def find(self) -> psutil.Process | None:
        """The process, or None if it has ended (one that only waits for its parent to take notice has)."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _CLOCK_STEP_SECONDS
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


def marked(name: str, value: str) -> list[psutil.Process]:
    """This user's living processes that were started with an environment variable of that value."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if (
                process.uids().real == os.getuid()
                and process.environ().get(name) == value
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
    return found


def records(processes: Iterable[psutil.Process]) -> list[ProcessRecord]:
    """What to note of processes; those that ended meanwhile are left out."""
    noted = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            noted.append(ProcessRecord(process.pid, process.create_time()))
    return noted


def end(processes: Sequence[psutil.Process], patience: timedelta) -> None:
    """End processes and all their descendants: asked first, and after ``patience`` made to; returns when they ended."""
    everyone = {process.pid: process for process in processes}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            everyone.update((child.pid, child) for child in process.children(recursive=True))
    for process in everyone.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    stubborn = _alive_after(list(everyone.values()), patience)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _alive_after(stubborn, timedelta(seconds=5))


def _alive_after(processes: list[psutil.Process], patience: timedelta) -> list[psutil.Process]:
    """Those that live on after that time, which is waited only while there are any."""
    step = 0.02
    for _ in range(int(patience.total_seconds() / step)):
        processes = [process for process in processes if _lives(process)]
        if not processes:
            break
        psutil.wait_procs(processes, timeout=step)
    return processes


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
