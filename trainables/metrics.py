"""What both classifiers report, computed by scikit-learn, so that the same predictions give anyone the same numbers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

CLASSIFICATION = {"accuracy": "maximize", "precision": "maximize", "recall": "maximize", "f1": "maximize"}
"""The metrics that ``classification`` returns, each with its better direction."""

Codes = NDArray[np.int64]


def classification(truth: Codes, predicted: Codes) -> dict[str, float]:
    """Accuracy, and the unweighted (macro) means over classes of precision, recall and F1; all in [0, 1].

    Args:
        truth: True class codes, shape (n,).
        predicted: Predicted class codes, shape (n,). A class that is never predicted has precision 0.
    """
    precision, recall, f1, _ = precision_recall_fscore_support(truth, predicted, average="macro", zero_division=0)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
    }


def write_confusion_matrix(path: Path, truth: Codes, predicted: Codes, classes: Sequence[Any]) -> None:
    """Write ``{"classes": [...], "matrix": [[...]]}`` as JSON: counts of shape (k, k), rows true, columns predicted."""
    matrix = confusion_matrix(truth, predicted, labels=range(len(classes)))
    path.write_text(json.dumps({"classes": list(classes), "matrix": matrix.tolist()}), encoding="utf-8")


def require_classes(trainable: str, dataset: Any) -> None:
    """Refuse a dataset that this trainable cannot learn from.

    Raises:
        ValueError: its target holds numbers, not classes.
    """
    if dataset.task != "classification":
        raise ValueError(f"{trainable} predicts classes, but the target holds numbers; set dataset.target to classes")
