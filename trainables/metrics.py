"""What trainables report, by scikit-learn where it has it, so that the same predictions give anyone the same numbers.

A metric that the rows do not define is left out of the answer, never NaN, and the trial's log says why.
"""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

CLASSIFICATION = {
    "accuracy": "maximize",
    "balanced_accuracy": "maximize",
    "precision": "maximize",
    "recall": "maximize",
    "f1": "maximize",
    "f1_weighted": "maximize",
    "mcc": "maximize",
}
"""The metrics that ``classification`` returns, each with its better direction."""

PROBABILISTIC = {"roc_auc": "maximize", "log_loss": "minimize", "calibration_error": "minimize"}
"""The metrics that ``probabilistic`` returns, each with its better direction."""

REGRESSION = {"rmse": "minimize", "mae": "minimize", "r2": "maximize"}
"""The metrics that ``regression`` returns, each with its better direction."""

CALIBRATION_BINS = 15
"""As in Guo et al. (2017)."""

Codes = NDArray[np.int64]
Numbers = NDArray[np.float64]


def classification(truth: Codes, predicted: Codes) -> dict[str, float]:
    """What predicted classes alone tell; all but ``mcc`` in [0, 1].

    ``precision``, ``recall`` and ``f1`` are unweighted (macro) means over the classes that are true or predicted,
    ``f1_weighted`` is the mean weighted by rows, ``balanced_accuracy`` the mean recall of the classes that are true,
    and ``mcc`` Matthews' correlation in [-1, 1], 0 where only one class occurs.

    Args:
        truth: True class codes, shape (n,), n at least 1.
        predicted: Predicted class codes, shape (n,). A class that is never predicted has precision 0.
    """
    precision, recall, f1, _ = sk.precision_recall_fscore_support(truth, predicted, average="macro", zero_division=0)
    with warnings.catch_warnings():
        # Rows of one class, and predictions of classes that no row has, are defined above.
        warnings.simplefilter("ignore", UserWarning)
        balanced = sk.balanced_accuracy_score(truth, predicted)
        mcc = sk.matthews_corrcoef(truth, predicted)
    return {
        "accuracy": float(sk.accuracy_score(truth, predicted)),
        "balanced_accuracy": float(balanced),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "f1_weighted": float(sk.f1_score(truth, predicted, average="weighted", zero_division=0)),
        "mcc": float(mcc),
    }


def probabilistic(truth: Codes, probabilities: Numbers, classes: Sequence[Any]) -> dict[str, float]:
    """What predicted probabilities tell: ``roc_auc`` (see there), ``log_loss`` and ``calibration_error``.

    Args:
        truth: True class codes, shape (n,), n at least 1.
        probabilities: Shape (n, k), rows that sum to 1.
        classes: What each class code stands for, length k.
    """
    return {
        **roc_auc(truth, probabilities, classes),
        "log_loss": float(sk.log_loss(truth, probabilities, labels=range(len(classes)))),
        "calibration_error": calibration_error(truth, probabilities),
    }


def roc_auc(truth: Codes, scores: Numbers, classes: Sequence[Any]) -> dict[str, float]:
    """``{"roc_auc": ...}``: the area under the ROC curve in [0, 1]; the mean of each class against the rest.

    Empty unless every class has a row.

    Args:
        truth: True class codes, shape (n,).
        scores: Probabilities or other scores, higher for more likely, shape (n, k).
        classes: What each class code stands for, length k.
    """
    counts = np.bincount(truth, minlength=len(classes))
    if not counts.all():
        absent = classes[int(counts.argmin())]
        print(f"roc_auc is left out: no row that validates is of class {absent!r}")  # noqa: T201  (the trial's log)
        return {}
    if len(classes) == 2:
        return {"roc_auc": float(sk.roc_auc_score(truth, scores[:, 1]))}
    return {"roc_auc": float(sk.roc_auc_score(np.eye(len(classes))[truth], scores, average="macro"))}


def calibration_error(truth: Codes, probabilities: Numbers) -> float:
    """How far the probability of the predicted class is from how often it is right, in [0, 1].

    The expected calibration error over 15 equally wide bins (Guo et al., "On Calibration of Modern Neural Networks",
    ICML 2017).

    Args:
        truth: True class codes, shape (n,), n at least 1.
        probabilities: Shape (n, k), rows that sum to 1.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    surplus = np.bincount(bins, weights=confidence - right, minlength=CALIBRATION_BINS)
    return float(np.abs(surplus).sum() / len(truth))


def regression(truth: Numbers, predicted: Numbers) -> dict[str, float]:
    """Root mean squared error and mean absolute error in the target's units, and R², which is at most 1.

    R² is left out for a single row. Where all true values are equal it is 1 if they were predicted exactly, else 0.

    Args:
        truth: True values, shape (n,), n at least 1.
        predicted: Predicted values, shape (n,), finite.
    """
    found = {
        "rmse": float(sk.root_mean_squared_error(truth, predicted)),
        "mae": float(sk.mean_absolute_error(truth, predicted)),
    }
    if len(truth) < 2:
        print("r2 is left out: only one row validates")  # noqa: T201  (the trial's log)
        return found
    return {**found, "r2": float(sk.r2_score(truth, predicted))}


def with_training(metric: str) -> dict[str, str]:
    """The metrics that ``training`` returns for ``metric``, each with its better direction.

    Args:
        metric: A key of ``CLASSIFICATION`` or ``REGRESSION``.
    """
    return {f"train_{metric}": _goal(metric), "gap": "minimize"}


def training(metric: str, train: float, valid: float) -> dict[str, float]:
    """The training score as ``train_METRIC``, and as ``gap`` by how much it is better than the validation score.

    A large gap is overfitting; a small one with poor scores is underfitting.

    Args:
        metric: A key of ``CLASSIFICATION`` or ``REGRESSION``.
        train: Its value on rows that were trained on.
        valid: Its value on rows that were not.
    """
    gap = train - valid if _goal(metric) == "maximize" else valid - train
    return {f"train_{metric}": train, "gap": gap}


def _goal(metric: str) -> str:
    return {**CLASSIFICATION, **REGRESSION}[metric]


def write_confusion_matrix(path: Path, truth: Codes, predicted: Codes, classes: Sequence[Any]) -> None:
    """Write ``{"classes": [...], "matrix": [[...]]}`` as JSON: counts of shape (k, k), rows true, columns predicted."""
    matrix = sk.confusion_matrix(truth, predicted, labels=range(len(classes)))
    path.write_text(json.dumps({"classes": list(classes), "matrix": matrix.tolist()}), encoding="utf-8")


def write_class_report(path: Path, truth: Codes, predicted: Codes, classes: Sequence[Any]) -> None:
    """Write ``{"classes": [...], "precision": [...], "recall": [...], "f1": [...], "rows": [...]}`` as JSON.

    Each list has one entry for each class; ``rows`` counts those that are truly of it. What is undefined is 0.
    """
    labels = range(len(classes))
    found = sk.precision_recall_fscore_support(truth, predicted, labels=labels, average=None, zero_division=0)
    columns = zip(("precision", "recall", "f1", "rows"), (values.tolist() for values in found), strict=True)
    path.write_text(json.dumps({"classes": list(classes), **dict(columns)}), encoding="utf-8")


def require_classes(trainable: str, dataset: Any) -> None:
    """Refuse a dataset that this trainable cannot learn from.

    Raises:
        ValueError: its target holds numbers, not classes.
    """
    if dataset.task != "classification":
        raise ValueError(f"{trainable} predicts classes, but the target holds numbers; set dataset.target to classes")


def required_numbers(trainable: str, dataset: Any) -> Numbers:
    """The target as numbers, shape (n,). Whole numbers that were taken for classes are numbers again.

    Raises:
        ValueError: the target holds text or booleans.
    """
    if dataset.task == "regression":
        return np.asarray(dataset.y, dtype=np.float64)
    odd = [value for value in dataset.classes if isinstance(value, bool) or not isinstance(value, int | float)]
    if odd:
        raise ValueError(
            f"{trainable} predicts numbers, but the target holds classes like {odd[0]!r}; "
            "set dataset.target to a column of numbers"
        )
    values: Numbers = np.asarray(dataset.classes, dtype=np.float64)
    codes: Codes = dataset.y
    return values[codes]
