"""Two servers on one SQLite file; whichever leads is stopped for longer than its lease, and must write nothing after.

Each is a process with the real loop and store and a lease of a fifth of a second, which has studies created and stopped
one after the other and writes down the epoch and the revision of every commit that it believes in, and every answer.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.arms import ROOT
from searchd.conductor.messages import CreateStudy, StopStudy
from searchd.domain.errors import SearchdError
from searchd.domain.facts import Fact
from searchd.domain.objective import Goal, Objective
from searchd.domain.search import Algorithm, Search
from searchd.domain.study import Study, StudySpec, study_name
from searchd.engines.simulated import SimulatedCluster, SimulatedEngine, VirtualClock
from searchd.schedulers.factory import make_scheduler
from searchd.searchers.local import LocalSearchers
from searchd.service.loop import Loop, LoopSettings
from searchd.stores.connections import SqlSettings
from searchd.stores.sql import SqlStore, open_sql_store
from searchd.wiring import SteadyClock

LEASE = timedelta(milliseconds=200)
SETTINGS = LoopSettings(retry=timedelta(milliseconds=20), lease=LEASE)
PATIENCE_SECONDS = 10.0
REST_SECONDS = 0.01
"""Between requests, so that a leader is not nearly always stopped in a transaction, which keeps the other out."""

NAMES = ("one", "two")


@dataclass(frozen=True, slots=True)
class Leaders:
    """What came of it.

    Attributes:
        pauses: Pauses of a leader that were long enough for the other to take over.
        commits: Commits over all.
        stale_writes: Commits under an epoch that was over.
        lost: Answers that the store does not bear out.
    """

    pauses: int
    commits: int
    stale_writes: int
    lost: int


def pause_leaders(wanted: int, seed: int = 0) -> Leaders:
    """Stop leaders until it has happened so often that the other took over meanwhile."""
    chance = random.Random(seed)
    pauses = 0
    with TemporaryDirectory(prefix="searchd-benchmark-") as name:
        folder = Path(name)
        store = open_sql_store(f"sqlite:///{folder / 'store.db'}")
        try:
            with _servers(folder) as processes:
                while pauses < wanted:
                    _await(lambda: store.lease().holder in processes)
                    time.sleep(chance.uniform(0.0, 0.1))
                    epoch, leader = store.lease().epoch, store.lease().holder
                    if leader in processes:
                        pauses += _paused(processes[leader], store, epoch)
        finally:
            store.close()
        return judged(folder, pauses)


def _paused(process: "subprocess.Popen[bytes]", store: SqlStore, epoch: int) -> bool:
    """Stop a leader until another leads or that takes too long; whether another does."""
    process.send_signal(signal.SIGSTOP)
    try:
        until = time.monotonic() + 5 * LEASE.total_seconds()
        while time.monotonic() < until:
            if store.lease().epoch > epoch:
                return True
            time.sleep(0.005)
        return False
    finally:
        process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def _servers(folder: Path) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    processes = {}
    try:
        for name in NAMES:
            command = [sys.executable, "-m", "benchmarks.leaders", str(folder), name]
            with (folder / f"{name}.log").open("wb") as log:
                processes[name] = subprocess.Popen(command, cwd=ROOT, stderr=log)
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def _await(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("nobody leads")
        time.sleep(0.005)


def judged(folder: Path, pauses: int) -> Leaders:
    """Every commit has its revisions to itself, and epochs grow with them; every answer is in the store."""
    said = [json.loads(line) for name in NAMES for line in (folder / name).read_text().splitlines() if line[-1] == "}"]
    commits = sorted((line["last"], line["first"], line["epoch"]) for line in said if "epoch" in line)
    stale, newest, end = 0, 0, 0
    for last, first, epoch in commits:
        stale += epoch < newest or first <= end
        newest, end = max(newest, epoch), last
    store = open_sql_store(f"sqlite:///{folder / 'store.db'}")
    try:
        lost = sum(store.answered(line["answered"]) is None for line in said if "answered" in line)
    finally:
        store.close()
    return Leaders(pauses, len(commits), stale, lost)


# A server


class _Book:
    """A file with a line for everything that a server believes."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def enter(self, **what: object) -> None:
        """Add a line, whole."""
        os.write(self._descriptor, json.dumps(what).encode() + b"\n")


class _Booked(SqlStore):
    """A store that writes down what it has committed."""

    def __init__(self, database: Path, book: _Book) -> None:
        super().__init__(SqlSettings(f"sqlite:///{database}"))
        self._book = book
        self._led = 0

    def begin_epoch(self, *lease: object) -> int:
        self._led = super().begin_epoch(*lease)  # type: ignore[arg-type]
        return self._led

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:
        last = super().commit(facts, at)
        if facts:
            self._book.enter(epoch=self._led, first=last - len(facts) + 1, last=last)
        return last


async def _serve(folder: Path, name: str) -> None:
    book = _Book(folder / name)
    store = _Booked(folder / "store.db", book)
    loop = Loop(store, make_scheduler, SteadyClock(), SETTINGS, name)
    cluster = SimulatedCluster(VirtualClock(), [], lambda *_: iter(()), timedelta(0))
    loop.bind(SimulatedEngine(cluster, loop.post), LocalSearchers(loop.post), name)
    running = asyncio.create_task(loop.run())
    number = 0
    while not running.done():
        number += 1
        study = study_name("default", f"{name}-{os.getpid()}-{number}")
        for what, body in (("create", CreateStudy(_study(study))), ("stop", StopStudy(study))):
            request_id = f"{what} {study}"
            try:
                await loop.request(body, request_id, request_id)
            except SearchdError:
                await asyncio.sleep(0.01)
                break
            book.enter(answered=request_id)
            await asyncio.sleep(REST_SECONDS)


def _study(name: str) -> Study:
    spec = StudySpec("simulated", (Objective("loss", Goal.MINIMIZE),), search=Search(Algorithm.RANDOM))
    return Study(name, spec, "code", "", datetime.now(UTC))  # type: ignore[arg-type]


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2]))
