"""Memory that a further running study costs the server and its searcher process.

Studies of TPE and random search in turn run a hundred trials each and are held in the next one, each on a worker of its
own. The slope between few and many of them is what one costs; what the server needs with none at all does not count.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.arms import SLOTS
from benchmarks.ours import Server, definition, server
from benchmarks.report import Aim, Figure, Report
from benchmarks.trainables_for_benchmarks import HELD_FOLDER, MODULE
from searchd.client import StudyHandle

FEW, MANY, QUICK_MANY = 10, 60, 30
BATCH = 10
"""Studies that are started at once; each needs a worker, which takes its time to start."""

TRIALS = 100
SETTLE_SECONDS = 3.0
PATIENCE_SECONDS = 180.0
MEGABYTE = 2**20


def measure(quick: bool) -> Report:
    """Add studies in batches, and weigh the two processes at few and at many."""
    many = QUICK_MANY if quick else MANY
    weighed: dict[int, tuple[float, float]] = {}
    with TemporaryDirectory(prefix="searchd-benchmark-") as folder, _held_in(folder), server(MODULE) as running:
        for first in range(1, many + 1, BATCH):
            _run_until_held([_start(running, number, SLOTS / many) for number in range(first, first + BATCH)])
            weighed[first + BATCH - 1] = _megabytes(running)
        (Path(folder) / "release").touch()
    (server_few, searcher_few), (server_many, searcher_many) = weighed[FEW], weighed[many]
    ours, searchers = (server_many - server_few) / (many - FEW), (searcher_many - searcher_few) / (many - FEW)
    return Report(
        "footprint",
        (),
        (
            Figure("mb_per_study", ours + searchers, "MB", Aim(1.0, at_least=False)),
            Figure("server_mb_per_study", ours, "MB"),
            Figure("searcher_mb_per_study", searchers, "MB"),
            Figure("server_mb", server_many, "MB"),
            Figure("searcher_mb", searcher_many, "MB"),
        ),
        (
            f"unique set size, {FEW} to {many} studies held after {TRIALS} trials, half TPE, half random",
            "both by studies: " + ", ".join(f"{n}: {a + b:.0f} MB" for n, (a, b) in weighed.items()),
        ),
    )


@contextlib.contextmanager
def _held_in(folder: str) -> Iterator[None]:
    os.environ[HELD_FOLDER] = folder
    try:
        yield
    finally:
        del os.environ[HELD_FOLDER]


def _start(running: Server, number: int, cpus: float) -> StudyHandle:
    study = definition(
        "benchmark_held",
        TRIALS + 1,
        study_id=f"held-{number}",
        fixed={"study": number, "free": TRIALS},
        search={"algorithm": "tpe" if number % 2 else "random", "default_first": False},
        budget={"trials": TRIALS + 1, "slots": 1},
        resources={"cpus": cpus},
        retry={"segment_timeout": "1h"},
        seed=number,
    )
    return running.client.create_study(study)


def _run_until_held(handles: Sequence[StudyHandle]) -> None:
    """Wait until every study has completed its free trials and is in the next one.

    Raises:
        TimeoutError: that takes too long.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    for handle in handles:
        while (counts := handle.get().progress.trials) != {"completed": TRIALS, "running": 1}:
            if time.monotonic() > until:
                raise TimeoutError(f"{handle.name} is not held after {PATIENCE_SECONDS:g} s: {dict(counts)}")
            time.sleep(0.1)


def _megabytes(running: Server) -> tuple[float, float]:
    """What the server and its searcher process have to themselves."""
    time.sleep(SETTLE_SECONDS)
    return _unique(running.process), _unique(running.searcher())


def _unique(process: psutil.Process) -> float:
    return float(process.memory_full_info().uss) / MEGABYTE
