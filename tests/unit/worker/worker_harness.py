"""What the worker's tests share: a small dataset, a clock, tasks, and a worker on a thread of its own."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchd.domain.evaluation import Evaluation
from searchd.domain.study import Dataset, Resources, StudyName
from searchd.domain.trial import FoldRunKey, TrialNumber
from searchd.ports.engine import Ended, PoolKey, Report, Segment, Task, WorkerId
from searchd.worker.messages import SegmentMessage, WorkerSettings
from searchd.worker.provider import DatasetProvider
from searchd.worker.sources import fingerprint
from searchd.worker.worker import Worker

DATA = Path(__file__).parents[2] / "data"
TRAINABLES = DATA / "trainables_for_tests.py"
FAULTY = Path(__file__).with_name("faulty_trainables.py")
STUDY = StudyName("projects/default/studies/digits")
LONG = timedelta(seconds=20)
AT = datetime(2030, 1, 1, tzinfo=UTC)


class StoppedClock:
    """Always the same time."""

    def now(self) -> datetime:
        return AT


class Rows:
    """Twenty rows; fold f of repeat r validates on the rows that leave f + r when divided by 5."""

    def __init__(self) -> None:
        self.loaded = 0

    def load(self, dataset: Dataset, fingerprint: str) -> Any:
        self.loaded += 1
        return list(range(20))

    def split(
        self, dataset: Dataset, evaluation: Evaluation, repeat: int, fold: int, fingerprint: str
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        rows = np.arange(20)
        held_out = rows % 5 == (fold + repeat) % 5
        return rows[~held_out], rows[held_out]


def a_task(trainable: str, epochs: int = 1, metrics: tuple[str, ...] = ("loss",), **fixed: Any) -> Task:
    return Task(STUDY, trainable, fixed, Dataset(builtin="digits"), "abc", Evaluation(epochs=epochs), 7, metrics)


def a_segment(
    task: Task, target: int = 1, attempt: int = 1, trial: int = 1, fold: int = 0, **parameters: Any
) -> Segment:
    return Segment(task, TrialNumber(trial), parameters or {"x": 2.0}, 0, fold, attempt, target)


def settings(
    storage: Path, grace: timedelta = LONG, checkpoints: str | None = None, module: Path = TRAINABLES
) -> WorkerSettings:
    return WorkerSettings(
        WorkerId("w1"),
        PoolKey(fingerprint([module]), Resources()),
        (module.stem,),
        (str(module.parent),),
        storage,
        grace,
        installed=False,
        checkpoints=checkpoints,
    )


def saved(root: Path, trial: int = 1, fold: int = 0) -> list[Path]:
    """The checkpoints of a fold run under that root, oldest first."""
    folders = (root / STUDY / str(trial) / f"0-{fold}").glob("*-*")
    return sorted(folders, key=lambda folder: int(folder.name.split("-")[0]))


class Server:
    """Talks to a worker as an engine does, and remembers what it was told."""

    def __init__(self, worker: Worker, epoch: int = 1) -> None:
        self.worker = worker
        self.epoch = epoch
        self.acknowledged = 0
        self.messages: list[SegmentMessage] = []

    def exchange(
        self,
        *segments: Segment,
        cancels: tuple[tuple[FoldRunKey, int], ...] = (),
        wait: timedelta = timedelta(seconds=5),
    ) -> tuple[SegmentMessage, ...]:
        reply = self.worker.exchange(self.epoch, self.acknowledged, segments, cancels, wait)
        self.messages += reply.messages
        return reply.messages

    def run(self, *segments: Segment) -> list[tuple[list[Report], Ended]]:
        """Run segments to their ends; reports and end of each, in the given order."""
        waiting = {(s.key, s.attempt) for s in segments}
        reports: dict[tuple[FoldRunKey, int], list[Report]] = {key: [] for key in waiting}
        ends: dict[tuple[FoldRunKey, int], Ended] = {}
        batch = segments
        while waiting:
            messages = self.exchange(*batch)
            batch = ()
            assert messages, "the worker went silent"
            for message in messages:
                reports[message.key, message.attempt] += message.reports
                if message.ended is not None:
                    ends[message.key, message.attempt] = message.ended
                    waiting.discard((message.key, message.attempt))
            self.acknowledged = messages[-1].sequence
        return [(reports[s.key, s.attempt], ends[s.key, s.attempt]) for s in segments]


@contextmanager
def running(
    storage: Path,
    grace: timedelta = LONG,
    datasets: DatasetProvider | None = None,
    told: WorkerSettings | None = None,
) -> Iterator[Server]:
    """A worker whose main runs on a thread, retired at the end."""
    worker = Worker(told or settings(storage, grace), datasets or Rows(), StoppedClock())
    thread = threading.Thread(target=worker.main, daemon=True)
    thread.start()
    try:
        yield Server(worker)
    finally:
        worker.retire()
        thread.join(timeout=10)
    assert not thread.is_alive(), "the worker did not end"


def losses(reports: list[Report]) -> Mapping[int, float]:
    return {report.epoch: report.metrics["loss"] for report in reports}


def again(segment: Segment, target: int) -> Segment:
    """The next hand-out of the same fold run."""
    return replace(segment, attempt=segment.attempt + 1, target=target)
