"""The tables that searches are compared on, and how one configuration is fitted to some of their rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from searchd.datasets import LoadedDataset
from trainables import sklearn_classifier, sklearn_regressor, tabular, tabular_models

FOLDS = 5
DATASETS = {"cancer": "breast_cancer", "wine": "wine", "digits": "digits", "diabetes": "diabetes"}
MOST_ROWS = 600
"""Of digits, so that a fit takes as long as one of the others; the others have fewer."""

CLASSIFIER, REGRESSOR = "sklearn_classifier", "sklearn_regressor"
DEFAULTS = {CLASSIFIER: sklearn_classifier.DEFAULT, REGRESSOR: sklearn_regressor.DEFAULT}
UNSEARCHED = {CLASSIFIER: sklearn_classifier.UNSEARCHED, REGRESSOR: sklearn_regressor.UNSEARCHED}

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Task:
    """A table, divided.

    Attributes:
        name: Of the dataset.
        seed: Of the division, and of everything that is drawn in a search on it.
        data: The rows that searches see.
        splits: Of these, for each fold the rows that train and those that validate.
        x_test: Rows that no search sees, shape (n_test, d).
        y_test: Their target.
    """

    name: str
    seed: int
    data: LoadedDataset
    splits: tuple[tuple[Rows, Rows], ...]
    x_test: NDArray[np.float64]
    y_test: NDArray[Any]

    @property
    def trainable(self) -> str:
        """The name of the trainable that predicts its target."""
        return CLASSIFIER if self.data.task == "classification" else REGRESSOR

    @property
    def metric(self) -> str:
        """What is optimised; more is better."""
        return "accuracy" if self.data.task == "classification" else "r2"

    def score(self, truth: NDArray[Any], predicted: NDArray[Any]) -> float:
        """The metric."""
        return float((accuracy_score if self.data.task == "classification" else r2_score)(truth, predicted))


def tasks(seeds: int) -> Iterator[Task]:
    """Every dataset, divided by so many seeds from 0, the seeds of a dataset after each other."""
    for name in DATASETS:
        for seed in range(seeds):
            yield task(name, seed)


def task(name: str, seed: int) -> Task:
    """A quarter of the rows is for test, the others are divided into stratified folds; of numbers into plain ones."""
    x, y = getattr(datasets, f"load_{DATASETS[name]}")(return_X_y=True)
    classes = name != "diabetes"
    if len(x) > MOST_ROWS:
        x, _, y, _ = train_test_split(x, y, train_size=MOST_ROWS, stratify=y, random_state=0)
    known, x_test, target, y_test = train_test_split(
        x, y, test_size=0.25, stratify=y if classes else None, random_state=seed
    )
    folds = (StratifiedKFold if classes else KFold)(FOLDS, shuffle=True, random_state=seed)
    data = LoadedDataset(
        fingerprint="",
        task="classification" if classes else "regression",
        X=known,
        y=target,
        classes=tuple(range(int(y.max()) + 1)) if classes else (),
        feature_names=tuple(f"x{i}" for i in range(x.shape[1])),
    )
    return Task(name, seed, data, tuple(folds.split(known, target)), x_test, y_test)


class Configured(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The pipeline of a configuration as scikit-learn knows estimators, for those who search without searchd.

    Args:
        configuration: As in the space of the trainable.
        trainable: Its name.
        data: The table's columns.
        seed: Of everything that is drawn in a fit.
    """

    def __init__(self, configuration: Mapping[str, Any], trainable: str, data: LoadedDataset, seed: int) -> None:
        self.configuration = configuration
        self.trainable = trainable
        self.data = data
        self.seed = seed

    def fit(self, x: NDArray[np.float64], y: NDArray[Any]) -> "Configured":
        """Fit to rows; what the rows do not allow raises, as in any pipeline of scikit-learn."""
        p = {**UNSEARCHED[self.trainable], **self.configuration}
        weights = None
        if self.trainable == CLASSIFIER:
            weights = sklearn_classifier.row_weights(p, y)
            model = tabular_models.classifier(p, self.seed, len(x))
        else:
            model = tabular_models.regressor(p, self.seed, len(x))
        self.model_ = tabular.fitted(p, self.seed, x, y, self.data, model, weights)
        return self

    def predict(self, x: NDArray[np.float64]) -> NDArray[Any]:
        """The predictions for rows."""
        with tabular.one_quiet_thread():
            predicted: NDArray[Any] = self.model_.predict(x)
        return predicted


def held_out_score(of: Task, configuration: Mapping[str, Any]) -> float:
    """What a configuration, fitted to all rows that searches see, scores on the others, in points."""
    fitted = Configured(configuration, of.trainable, of.data, of.seed).fit(of.data.table, of.data.y)
    return 100 * of.score(of.y_test, fitted.predict(of.x_test))
