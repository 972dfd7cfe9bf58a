"""What a model goes by: how much worse it gets when a column no longer tells anything."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.inspection import permutation_importance

FILE = "permutation_importance.json"
"""The artifact of a fold run."""

REPEATS = 5
"""Times each column is shuffled."""


def write_importance(
    path: Path,
    metric: str,
    score: Callable[[NDArray[Any]], float],
    rows: NDArray[Any],
    columns: Sequence[str],
    seed: int,
) -> None:
    """Write the permutation importance of each column as JSON, the most important one first.

    ``{"metric": …, "score": …, "rows": n, "repeats": 5, "columns": [...], "importance": [...], "deviation": [...]}``:
    by how much the score falls when the column is shuffled among the rows (Breiman, "Random Forests", 2001), mean and
    standard deviation over the shuffles. About 0 is a column that the model does without; of columns that tell the
    same each alone may look so.

    Args:
        path: Where to.
        metric: What the score is, for reading.
        score: The score of a model on rows of that form, higher for better.
        rows: Rows that the model was not trained on, shape (n, d).
        columns: Their names, length d; empty if they have none.
        seed: Of the shuffles.
    """
    found = permutation_importance(
        _Fitted(), rows, None, scoring=lambda _, x, __: score(x), n_repeats=REPEATS, random_state=seed
    )
    names = list(columns) or [str(place) for place in range(rows.shape[1])]
    order = np.argsort(-found.importances_mean, kind="stable")
    document = {
        "metric": metric,
        "score": score(rows),
        "rows": len(rows),
        "repeats": REPEATS,
        "columns": [names[place] for place in order],
        "importance": found.importances_mean[order].tolist(),
        "deviation": found.importances_std[order].tolist(),
    }
    path.write_text(json.dumps(document), encoding="utf-8")


class _Fitted:
    """Stands where scikit-learn wants an estimator; the score knows the model."""

    def fit(self) -> None:
        """It is fitted."""
