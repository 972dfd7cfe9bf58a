"""Searches over pipelines for a table: searchd's, scikit-learn's and Optuna's, on the same space, folds and rows."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from sklearn.model_selection import RandomizedSearchCV, cross_val_score

from benchmarks.recipes.tabular_tasks import FOLDS, Configured, Rows, Task
from benchmarks.search.fold_service import NAME, simulated
from searchd.domain.card import Card, Form
from searchd.domain.draft import StudyDraft
from searchd.domain.evaluation import Evaluation
from searchd.domain.objective import Goal, Objective
from searchd.domain.search import Search
from searchd.domain.space import Choice, Float, Integer, SearchSpace
from searchd.domain.study import Budget
from searchd.domain.trial import TrialNumber
from searchd.engines.simulated import Epoch
from searchd.ports.engine import Node, Segment
from searchd.service.definition import Surroundings, define
from searchd.trainable import Context, Infeasible, registered


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to.

    Attributes:
        configuration: The one that it chose.
        score: Its mean over the folds, in points.
        fits: Folds that were fitted for any configuration.
        seconds: Of one processor, fits and all else.
    """

    configuration: Mapping[str, Any]
    score: float
    fits: int
    seconds: float


class FoldHost:
    """The rows of a fold run, handed to the trainable in this very process; nothing is kept."""

    def __init__(self, task: Task, fold: int, folder: Path) -> None:
        self._task = task
        self._fold = fold
        self._folder = folder

    def dataset(self) -> Any:
        """The rows that searches see."""
        return self._task.data

    def load(self, load: Callable[[str | None], Any]) -> Any:
        """What it makes of no source."""
        return load(None)

    def split(self) -> tuple[Rows, Rows]:
        """Of the fold."""
        return self._task.splits[self._fold]

    def keep(self, objects: Mapping[str, Any]) -> Mapping[str, Any]:
        """Nothing is restored."""
        return objects

    def begin(self) -> int:
        """From the first epoch."""
        return 0

    def artifact(self, name: str) -> Path:
        """In a folder that all share."""
        return self._folder / name

    def predict(self, predictions: object) -> None:
        """No study builds on this one."""

    def model(self, model: object) -> None:
        """Nobody wants it."""

    def parents(self) -> Sequence[Any]:
        """There is none."""
        return ()


def searchd(task: Task, trials: int) -> Found:
    """A study that says ``folds: 5`` and nothing else, on one slot, by the real service in virtual time."""
    began, fits = time.process_time(), 0
    found = registered()[task.trainable]
    with TemporaryDirectory(prefix="recipes-") as folder:

        def trained(segment: Segment, epoch: int) -> Iterator[Epoch]:  # noqa: ARG001  # there is one
            nonlocal fits
            fits += 1
            seed = 1000 * task.seed + 10 * segment.trial + segment.fold
            host = FoldHost(task, segment.fold, Path(folder))
            context = Context(segment.parameters, 0, segment.fold, seed, "cpu", 1, host)
            start = time.process_time()
            with redirect_stdout(StringIO()):  # a trial's log
                try:
                    metrics: Mapping[str, float] = next(found.target(context))
                except Infeasible:
                    metrics = {task.metric: float("nan")}
            yield Epoch(metrics, timedelta(seconds=time.process_time() - start))

        card = Card(found.name, "", Form.GENERATOR, found.metrics, found.space, found.default, True, True, "code")
        draft = StudyDraft(
            card.name,
            (Objective(task.metric, Goal.MAXIMIZE),),
            seed=task.seed,
            search=Search(),
            evaluation=Evaluation(folds=FOLDS),
            budget=Budget(trials=trials),
        )
        spec = define(draft, (), Surroundings({card.name: card}, None, (Node("node", 1, 0),)))
        study, store = simulated(spec, trained, 1, found.default)
    best = study.progress.best
    if best is None:
        raise RuntimeError(f"{task.name}, seed {task.seed}: the study is {study.state}: {study.reason}")
    chosen = store.trial(NAME, TrialNumber(best.trial)).parameters
    return Found(chosen, 100 * best.score, fits, time.process_time() - began)


class Drawn:
    """A distribution of whole configurations, as scikit-learn's searches want one."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space

    def rvs(self, random_state: np.random.RandomState) -> Mapping[str, Any]:
        """The next configuration."""
        return self._space.draw(list(random_state.random_sample(len(self._space.parameters))))


def randomized(task: Task, trials: int) -> Found:
    """scikit-learn's RandomizedSearchCV. A configuration that cannot be fitted has no score."""
    began = time.process_time()
    search = RandomizedSearchCV(
        _estimator(task, {}),
        {"configuration": Drawn(registered()[task.trainable].space)},
        n_iter=trials,
        scoring=task.metric,
        cv=task.splits,
        refit=False,
        random_state=task.seed,
        error_score=np.nan,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about fits that failed, which have no score
        search.fit(task.data.table, task.data.y)
    means: NDArray[np.float64] = search.cv_results_["mean_test_score"]
    best = int(np.nanargmax(means))
    chosen = search.cv_results_["params"][best]["configuration"]
    return Found(chosen, 100 * float(means[best]), trials * FOLDS, time.process_time() - began)


def optuna_search(task: Task, trials: int) -> Found:
    """Optuna's default sampler and cross_val_score in a loop, as OptunaSearchCV has them."""
    began = time.process_time()
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: optuna.Trial) -> float:
        configuration = suggested(trial, registered()[task.trainable].space)
        trial.set_user_attr("configuration", configuration)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = cross_val_score(
                _estimator(task, configuration),
                task.data.table,
                task.data.y,
                scoring=task.metric,
                cv=task.splits,
                error_score=np.nan,
            )
        return float(np.mean(scores))

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=task.seed))
    study.optimize(objective, n_trials=trials)
    best = study.best_trial
    seconds = time.process_time() - began
    return Found(best.user_attrs["configuration"], 100 * float(best.value or 0.0), trials * FOLDS, seconds)


def suggested(trial: optuna.Trial, space: SearchSpace) -> dict[str, Any]:
    """A configuration of the space by Optuna's sampler: parameters that others rule out are not asked for."""
    chosen: dict[str, Any] = {}
    for parameter in space.active(chosen):
        match parameter.domain:
            case Choice() as choice:
                chosen[parameter.name] = trial.suggest_categorical(parameter.name, list(choice.options))
            case Integer() as integer:
                chosen[parameter.name] = trial.suggest_int(parameter.name, integer.low, integer.high, log=integer.log)
            case Float() as real:
                chosen[parameter.name] = trial.suggest_float(parameter.name, real.low, real.high, log=real.log)
    return chosen


def _estimator(task: Task, configuration: Mapping[str, Any]) -> Configured:
    return Configured(configuration, task.trainable, task.data, task.seed)
