"""The fold table: what many configurations score on every fold and on rows that no fold sees, computed once.

``python -m benchmarks.search.fold_table`` writes it, in about 12 minutes of one processor. Everything but the seconds
comes out the same again.

For each learner, dataset and split seed: some rows are set aside for test, the others are divided into 5 and into 10
stratified folds; each of 400 Sobol configurations is fitted to all folds but one, for each of them, and once to all.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

TABLE = Path(__file__).parent / "data" / "folds.npz"
CONFIGURATIONS = 400
SPLITS = 6
FOLDS = (5, 10)
DATASETS: dict[str, tuple[Callable[..., Any], int]] = {
    "cancer": (load_breast_cancer, 380),
    "wine": (load_wine, 120),
    "digits": (load_digits, 400),
}
"""How each is loaded, and how many rows the folds share; the others are for test."""

Rows = tuple[NDArray[np.float64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Task:
    """One learner on one dataset and split, cross-validated.

    Attributes:
        name: Learner, dataset, split seed and number of folds, for reading.
        scores: Accuracy in points, 0 to 100; shape (n_configurations, n_folds).
        seconds: Mean processor time of a fit; shape (n_configurations,).
        test: Accuracy in points of a fit to all folds, on the rows for test; shape (n_configurations,).
    """

    name: str
    scores: NDArray[np.float64]
    seconds: NDArray[np.float64]
    test: NDArray[np.float64]


def tasks(learners: Sequence[str], splits: Sequence[int], folds: Sequence[int] = FOLDS) -> Iterator[Task]:
    """The part of the table that is asked for, on all datasets."""
    with np.load(TABLE) as stored:
        for learner in learners:
            for dataset in DATASETS:
                for split in splits:
                    at = f"{learner}-{dataset}-{split}"
                    for k in folds:
                        right, rows = stored[f"{at}-{k}-right"], stored[f"{at}-{k}-rows"]
                        yield Task(
                            f"{at}-{k}",
                            100 * (right / rows),
                            stored[f"{at}-{k}-seconds"].astype(np.float64),
                            100 * (stored[f"{at}-test-right"] / stored[f"{at}-test-rows"]),
                        )


def main() -> None:
    """Compute the table and write it."""
    table: dict[str, NDArray[Any]] = {}
    for learner, make in LEARNERS.items():
        for dataset, (load, rows) in DATASETS.items():
            x, y = load(return_X_y=True)
            for split in range(SPLITS):
                began = time.process_time()
                for key, values in _split(make, x, y, rows, split).items():
                    table[f"{learner}-{dataset}-{split}-{key}"] = values
                print(f"{learner} {dataset} {split}: {time.process_time() - began:.0f} s", flush=True)
    TABLE.parent.mkdir(exist_ok=True)
    np.savez_compressed(TABLE, allow_pickle=False, **table)


def _split(
    make: Callable[[NDArray[np.float64]], Any], x: NDArray[np.float64], y: NDArray[np.int64], rows: int, split: int
) -> dict[str, NDArray[Any]]:
    """All scores of one learner on one split of one dataset, by what they are."""
    known, x_test, labels, y_test = train_test_split(x, y, train_size=rows, stratify=y, random_state=split)
    found: dict[str, NDArray[Any]] = {}
    right, _ = _fitted(make, [((known, labels), (x_test, y_test))])
    found["test-right"], found["test-rows"] = right[:, 0], np.array([len(y_test)], np.uint16)
    for folds in FOLDS:
        parts = StratifiedKFold(folds, shuffle=True, random_state=split).split(known, labels)
        pairs = [((known[a], labels[a]), (known[b], labels[b])) for a, b in parts]
        found[f"{folds}-right"], found[f"{folds}-seconds"] = _fitted(make, pairs)
        found[f"{folds}-rows"] = np.array([len(valid[1]) for _, valid in pairs], np.uint16)
    return found


def _fitted(
    make: Callable[[NDArray[np.float64]], Any], pairs: Sequence[tuple[Rows, Rows]]
) -> tuple[NDArray[np.uint16], NDArray[np.float16]]:
    """How many rows each configuration gets right, shape (n_configurations, n_pairs), and its mean seconds per fit."""
    points = qmc.Sobol(5, rng=0).random_base2(9)[:CONFIGURATIONS]
    right = np.zeros((CONFIGURATIONS, len(pairs)), np.uint16)
    seconds = np.zeros(CONFIGURATIONS)
    for j, ((x, y), (x_valid, y_valid)) in enumerate(pairs):
        scaler = StandardScaler().fit(x)
        scaled, scaled_valid = scaler.transform(x), scaler.transform(x_valid)
        for i, point in enumerate(points):
            began = time.process_time()
            model = make(point).fit(scaled, y)
            right[i, j] = np.sum(model.predict(scaled_valid) == y_valid)
            seconds[i] += time.process_time() - began
    return right, (seconds / len(pairs)).astype(np.float16)


def _support_vectors(point: NDArray[np.float64]) -> Any:
    """A support vector machine for a point of the unit cube; most of them are hopeless."""
    return SVC(
        kernel=("rbf", "linear", "poly", "sigmoid")[int(4 * point[0])],
        C=10 ** (6 * point[1] - 3),
        gamma=10 ** (5 * point[2] - 4),
        degree=2 + int(3 * point[3]),
        coef0=2 * point[4],
        max_iter=5000,
    )


def _tree(point: NDArray[np.float64]) -> Any:
    """A decision tree for a point of the unit cube; most are middling, and folds tell little about them."""
    return DecisionTreeClassifier(
        criterion=("gini", "entropy")[int(2 * point[0])],
        max_depth=1 + int(15 * point[1]),
        min_samples_leaf=int(10 ** (1.5 * point[2])),
        max_features=0.1 + 0.9 * point[3],
        ccp_alpha=10 ** (3 * point[4] - 4),
        random_state=0,
    )


LEARNERS: dict[str, Callable[[NDArray[np.float64]], Any]] = {"svc": _support_vectors, "tree": _tree}


if __name__ == "__main__":
    main()
