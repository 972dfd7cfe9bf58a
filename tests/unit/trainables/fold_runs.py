"""Fold runs of one configuration, run by the worker's own code with the real datasets."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchd.datasets import DatasetCache
from searchd.domain.evaluation import Evaluation
from searchd.domain.parent import Heritage, ParentTrial
from searchd.domain.study import Dataset, StudyName
from searchd.domain.trial import TrialNumber
from searchd.ports.engine import Ended, Outcome, Segment, Task
from searchd.trainable import registered
from searchd.trainable.parent import PREDICTIONS
from searchd.worker.files import Storage
from searchd.worker.fold_run import LiveFoldRun, Order
from searchd.worker.host import Loads, Surroundings
from searchd.worker.retraining import MadeModel, train_model

Scores = list[Mapping[str, float]]


def space_at(trainable: str, u: float, given: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration at quantile ``u`` of every parameter of the space but those that are given."""
    chosen: dict[str, Any] = {}
    for parameter in registered()[trainable].space.active(chosen):
        chosen[parameter.name] = given.get(parameter.name, parameter.domain.at(u))
    return chosen


class NoonClock:
    """It is always noon."""

    def now(self) -> datetime:
        """The same time as ever."""
        return datetime(2024, 1, 1, 12, tzinfo=UTC)


class FoldRuns:
    """The fold runs of trial 1 of a study; each call is a worker of its own on the same storage.

    Args:
        folder: For the cache, checkpoints and artifacts; datasets may come from it.
        trainable: Registered name.
        dataset: The dataset.
        evaluation: Folds and epochs.
        seed: The study's seed.
        metric: The study's objective.
        heritage: What the study knows of its parent, such as other fold runs' ``heritage``; None without a parent.
        trial: Number of the trial.
    """

    def __init__(
        self,
        folder: Path,
        trainable: str,
        dataset: Dataset,
        evaluation: Evaluation,
        *,
        seed: int = 7,
        metric: str = "accuracy",
        heritage: Heritage | None = None,
        trial: int = 1,
    ) -> None:
        self.cache = DatasetCache(folder / "cache", (folder,))
        self._storage = Storage(folder / "storage")
        self._registration = registered()[trainable]
        self._study = StudyName("study" if heritage is None else "child")
        self._task = Task(self._study, trainable, {}, dataset, "", evaluation, seed, (metric,), heritage=heritage)
        self._trial = TrialNumber(trial)

    def advance(
        self, params: Mapping[str, Any], *, repeat: int = 0, fold: int = 0, target: int | None = None, attempt: int = 1
    ) -> tuple[Scores, Ended]:
        """The metrics of each epoch up to ``target`` (None: all epochs), and how the segment ended.

        An attempt above 1 continues from the checkpoint, if the attempt before has left one.
        """
        target = target or self._task.evaluation.epochs
        segment = Segment(self._task, self._trial, params, repeat, fold, attempt, target)
        surroundings = Surroundings(self.cache, self._storage, "cpu", Loads())
        run = LiveFoldRun(segment, self._registration, surroundings, NoonClock())
        steps = list(run.advance(segment, lambda: Order.GO_ON))
        run.close()
        ended = steps[-1][1]
        assert ended is not None
        return [report.metrics for report, _ in steps if report is not None], ended

    def scores(self, params: Mapping[str, Any], *, repeat: int = 0, fold: int = 0) -> Scores:
        """The metrics of each epoch of a fold run that must succeed."""
        scores, ended = self.advance(params, repeat=repeat, fold=fold)
        assert ended.outcome in {Outcome.REACHED, Outcome.FINISHED}, ended
        return scores

    def trained_model(self, params: Mapping[str, Any]) -> MadeModel:
        """The model of the first fold run."""
        surroundings = Surroundings(self.cache, self._storage, "cpu", Loads())
        return train_model(self._first(params), self._registration, surroundings, NoonClock())[1]

    def model(self, params: Mapping[str, Any]) -> tuple[MadeModel, NDArray[np.intp], NDArray[Any]]:
        """The model of the first fold run, and rows with what that has kept of its predictions."""
        made = self.trained_model(params)
        with np.load(self._storage.artifacts(self._first(params).key) / PREDICTIONS) as kept:
            return made, kept["rows"], kept["values"]

    def _first(self, params: Mapping[str, Any]) -> Segment:
        return Segment(self._task, self._trial, params, 0, 0, 1, self._task.evaluation.epochs)

    def rows(self, fold: int = 0) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The rows that train and that validate."""
        assert self._task.dataset is not None
        return self.cache.split(self._task.dataset, self._task.evaluation, 0, fold)

    def heritage(self, *others: "FoldRuns", params: Mapping[str, Any]) -> Heritage:
        """What a child knows of this trial, and of others of the study."""
        trials = tuple(ParentTrial(int(runs._trial), params, 0.5) for runs in (self, *others))
        folds = max(self._task.evaluation.folds, 1)
        return Heritage(self._study, "", self._task.trainable, {}, folds, same_rows=True, trials=trials)

    @property
    def number(self) -> int:
        """Number of the trial."""
        return int(self._trial)

    def _folder(self, fold: int) -> Path:
        return self._storage.root / f"artifacts/{self._study}/{self._trial}/0-{fold}"

    def artifact(self, name: str, fold: int = 0) -> dict[str, Any]:
        """A JSON file that a fold run has left."""
        path = self._folder(fold) / name
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def confusion(self, fold: int = 0) -> dict[str, Any] | None:
        """The confusion matrix that a fold run has left, or None."""
        path = self._folder(fold) / "confusion_matrix.json"
        found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
        return found
