"""The repeats table: what configurations score on repeated cross-validation of few rows, and on all the other rows.

``python -m benchmarks.search.confirmation_table`` writes it, in about 8 minutes of one processor. It comes out the same
again.

The learners and datasets are those of the fold table, whose folds know no second repeat. For each of them and each
split seed 100 rows are set aside to search on and all others for test. Each of 128 Sobol configurations, and the
learner as scikit-learn comes with it, is fitted to all folds but one, for 5 stratified folds in three repeats, and once
to all 100 rows. Repeats divide the same rows anew, with the seeds that the service gives them.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from benchmarks.search.fold_table import DATASETS, LEARNERS, Rows
from benchmarks.search.processes import processes

TABLE = Path(__file__).parent / "data" / "repeats.npz"
CONFIGURATIONS = 128
DEFAULT = CONFIGURATIONS
"""The place of the library's default, after all others."""
ROWS = 100
FOLDS = 5
REPEATS = 3
SPLITS = 32

DEFAULTS: dict[str, Callable[[], Any]] = {"svc": SVC, "tree": lambda: DecisionTreeClassifier(random_state=0)}


@dataclass(frozen=True, slots=True)
class Task:
    """One learner on one dataset and split.

    Attributes:
        name: Learner, dataset and split seed.
        scores: Accuracy in points, 0 to 100; shape (n_configurations + 1, n_repeats, n_folds), the default last.
        test: Accuracy in points of a fit to all 100 rows, on the rows for test; shape (n_configurations + 1,).
    """

    name: str
    scores: NDArray[np.float64]
    test: NDArray[np.float64]


def tasks(splits: Sequence[int]) -> Iterator[Task]:
    """The part of the table that is asked for, all learners and datasets of a split before the next split."""
    with np.load(TABLE) as stored:
        for split in splits:
            for learner in LEARNERS:
                for dataset in DATASETS:
                    right, test = (
                        stored[f"{learner}-{dataset}-right"][split],
                        stored[f"{learner}-{dataset}-test"][split],
                    )
                    scores = (100 * FOLDS / ROWS) * right.reshape(-1, REPEATS, FOLDS)
                    yield Task(f"{learner}-{dataset}-{split}", scores, 100 * (test / stored[f"{dataset}-test-rows"]))


def main() -> None:
    """Compute the table and write it."""
    table: dict[str, NDArray[Any]] = {}
    for dataset, (load, _) in DATASETS.items():
        table[f"{dataset}-test-rows"] = np.array(len(load(return_X_y=True)[1]) - ROWS, np.uint16)
        for learner in LEARNERS:
            found = list(processes().map(_split, repeat(learner), repeat(dataset), range(SPLITS)))
            table[f"{learner}-{dataset}-right"] = np.array([right for right, _ in found], np.uint8)
            table[f"{learner}-{dataset}-test"] = np.array([test for _, test in found], np.uint16)
            print(f"{learner} {dataset}", flush=True)
    np.savez_compressed(TABLE, allow_pickle=False, **table)


def _split(learner: str, dataset: str, split: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many rows each configuration gets right: by repeat and fold, shape (n_configurations + 1, n_repeats *
    n_folds), and of those for test, shape (n_configurations + 1,)."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    models = [*map(LEARNERS[learner], qmc.Sobol(5, rng=0).random(CONFIGURATIONS)), DEFAULTS[learner]()]
    x, y = DATASETS[dataset][0](return_X_y=True)
    known, x_test, labels, y_test = train_test_split(x, y, train_size=ROWS, stratify=y, random_state=split)
    columns = []
    for again in range(REPEATS):
        parts = StratifiedKFold(FOLDS, shuffle=True, random_state=split + again).split(known, labels)
        columns += [_right(models, (known[a], labels[a]), (known[b], labels[b])) for a, b in parts]
    return np.stack(columns, axis=1), _right(models, (known, labels), (x_test, y_test))


def _right(models: Sequence[Any], train: Rows, valid: Rows) -> NDArray[np.int64]:
    scaler = StandardScaler().fit(train[0])
    x, x_valid = scaler.transform(train[0]), scaler.transform(valid[0])
    return np.array([np.sum(model.fit(x, train[1]).predict(x_valid) == valid[1]) for model in models])


if __name__ == "__main__":
    main()
