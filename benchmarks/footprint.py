"""Memory that a further running study costs the server and its searcher process.

Studies of TPE and random search in turn are brought to a hundred trials and held there, running. The slope between few
and many of them is what one costs; what the server needs with none at all does not count.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.ours import Server, definition, server
from benchmarks.report import Aim, Figure, Report
from benchmarks.trainables_for_benchmarks import HELD_FOLDER, MODULE
from searchd.client import StudyHandle

FEW, MANY, QUICK_MANY = 10, 60, 30
TRIALS = 100
SPARE_TRIALS = 100
"""Trials of the budget beyond those that run freely, so that a study is never out of work while it is held."""

SETTLE_SECONDS = 2.0
PATIENCE_SECONDS = 60.0
MEGABYTE = 2**20


def measure(quick: bool) -> Report:
    """Add studies one by one, and weigh the two processes at few and at many."""
    many = QUICK_MANY if quick else MANY
    with TemporaryDirectory(prefix="searchd-benchmark-") as folder, _steered_by(folder), server(MODULE) as running:
        handles: list[StudyHandle] = []
        for turn in range(1, FEW + 1):
            handles.append(_held_study(running, Path(folder), turn))
        few = _megabytes(running)
        for turn in range(FEW + 1, many + 1):
            handles.append(_held_study(running, Path(folder), turn))
        weighed = _megabytes(running)
        started = [sum(handle.get().progress.trials.values()) for handle in handles]
        _take_turn(Path(folder), many + 1)
    added = many - FEW
    return Report(
        "footprint",
        (),
        (
            Figure("mb_per_study", (sum(weighed) - sum(few)) / added, "MB", Aim(1.0, at_least=False)),
            Figure("server_mb_per_study", (weighed[0] - few[0]) / added, "MB"),
            Figure("searcher_mb_per_study", (weighed[1] - few[1]) / added, "MB"),
            Figure("server_mb", weighed[0], "MB"),
            Figure("searcher_mb", weighed[1], "MB"),
        ),
        (
            f"unique set size, {FEW} to {many} studies held running after {min(started)} to {max(started)} trials, "
            "half TPE, half random",
        ),
    )


@contextlib.contextmanager
def _steered_by(folder: str) -> Iterator[None]:
    os.environ[HELD_FOLDER] = folder
    try:
        yield
    finally:
        del os.environ[HELD_FOLDER]


def _held_study(running: Server, folder: Path, turn: int) -> StudyHandle:
    """Start a study that comes before all others, end the turn of the one before, and wait for its free trials.

    Raises:
        TimeoutError: they take too long.
    """
    study = definition(
        "benchmark_held",
        TRIALS + SPARE_TRIALS,
        study_id=f"held-{turn}",
        fixed={"turn": turn, "free": TRIALS},
        search={"algorithm": "tpe" if turn % 2 else "random", "default_first": False},
        priority=turn,
        seed=turn,
    )
    handle = running.client.create_study(study)
    _take_turn(folder, turn)
    until = time.monotonic() + PATIENCE_SECONDS
    while sum(n for state, n in handle.get().progress.trials.items() if state == "completed") < TRIALS:
        if time.monotonic() > until:
            raise TimeoutError(f"study {turn} has not completed {TRIALS} trials: {handle.get().progress}")
        time.sleep(0.02)
    return handle


def _take_turn(folder: Path, turn: int) -> None:
    fresh = folder / "turn.new"
    fresh.write_text(str(turn))
    fresh.replace(folder / "turn")


def _megabytes(running: Server) -> tuple[float, float]:
    """What the server and its searcher process have to themselves."""
    time.sleep(SETTLE_SECONDS)
    return _unique(running.process), _unique(running.searcher())


def _unique(process: psutil.Process) -> float:
    return float(process.memory_full_info().uss) / MEGABYTE
