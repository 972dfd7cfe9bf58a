"""Fold runs without a server, each on a hold-out, for comparisons over seeds."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from searchd.datasets import DatasetCache
from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.leaderboard import PairedDifference, paired_difference
from searchd.domain.objective import Goal
from searchd.domain.parent import Heritage, ParentTrial
from searchd.domain.study import Dataset, StudyName
from searchd.domain.trial import TrialNumber
from searchd.ports.engine import Ended, Outcome, Segment, Task
from searchd.trainable import registered
from searchd.worker.files import Storage
from searchd.worker.fold_run import LiveFoldRun, Order
from searchd.worker.host import Loads, Surroundings

HELD_OUT = 5
"""One row in so many is held out."""


class _Noon:
    def now(self) -> datetime:
        return datetime(2024, 1, 1, 12, tzinfo=UTC)


class HoldOuts:
    """Trains configurations and scores each on rows that it has not seen.

    Args:
        folder: For caches and artifacts; dataset files are in it.
        epochs: Of every training.
    """

    def __init__(self, folder: Path, epochs: int) -> None:
        cache = DatasetCache(folder / "cache", (folder,))
        self._around = Surroundings(cache, Storage(folder / "storage"), "cpu", Loads())
        self._epochs = epochs
        self._studies = 0

    def accuracy(
        self,
        trainable: str,
        dataset: Dataset,
        params: Mapping[str, Any],
        seed: int,
        heritage: Heritage | None = None,
    ) -> float:
        """The accuracy after the last epoch on the rows that are held out, in points; the seed decides which, and what
        the training draws.

        Raises:
            RuntimeError: it could not be trained.
        """
        self._studies += 1
        evaluation = Evaluation(
            folds=0, holdout=1 / HELD_OUT, split=Split.STRATIFIED, split_seed=seed, epochs=self._epochs
        )
        task = Task(self._name, trainable, {}, dataset, "", evaluation, seed, ("accuracy",), heritage=heritage)
        segment = Segment(task, TrialNumber(1), params, 0, 0, 1, self._epochs)
        run = LiveFoldRun(segment, registered()[trainable], self._around, _Noon())
        steps = list(run.advance(segment, lambda: Order.GO_ON))
        run.close()
        report, ended = steps[-1]
        if report is None or not isinstance(ended, Ended) or ended.outcome is not Outcome.REACHED:
            raise RuntimeError(f"{trainable} with {dict(params)} was not trained: {ended}")
        return 100 * report.metrics["accuracy"]

    def heritage(self, trainable: str, *, same_rows: bool) -> Heritage:
        """What a child knows of what was trained last, with its rows and hold-out or with others."""
        return Heritage(self._name, "", trainable, {}, 1, same_rows, (ParentTrial(1, {}, 0.0),))

    @property
    def _name(self) -> StudyName:
        return StudyName(f"study-{self._studies}")


def gain(ours: Sequence[float], others: Sequence[float]) -> PairedDifference:
    """By how many points accuracies are higher, seed by seed, with the corrected 95% interval of hold-outs, which share
    rows.

    Raises:
        ValueError: there are fewer than two seeds.
    """
    found = paired_difference(ours, others, HELD_OUT, Goal.MAXIMIZE)
    if found is None:
        raise ValueError("a paired interval needs at least two seeds")
    return found
