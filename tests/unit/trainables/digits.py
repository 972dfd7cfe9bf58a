"""A few of scikit-learn's digits in a file, so that networks learn something in a moment."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.study import Dataset
from tests.unit.trainables.fold_runs import FoldRuns, Scores


def some_digits(folder: Path, rows: int = 240) -> Dataset:
    """The first digits as images of 8 x 8 pixels, in a file of this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels, labels = load_digits(return_X_y=True)
    np.savez(folder / "some.npz", X=pixels[:rows].reshape(-1, 8, 8), y=labels[:rows].astype(np.int64))
    return Dataset(uri="some.npz")


def on_digits(folder: Path, trainable: str, *, epochs: int = 4, rows: int = 240) -> FoldRuns:
    """Fold runs on some digits, three folds."""
    dataset = some_digits(folder, rows)
    return FoldRuns(folder, trainable, dataset, Evaluation(folds=3, split=Split.STRATIFIED, epochs=epochs))


def paused_everywhere(runs: FoldRuns, params: dict[str, object], epochs: int) -> Scores:
    """The metrics of a fold run whose every epoch another worker trains."""
    found: Scores = []
    for epoch in range(1, epochs + 1):
        scores, _ = runs.advance(params, target=epoch, attempt=epoch)
        found += scores
    return found
