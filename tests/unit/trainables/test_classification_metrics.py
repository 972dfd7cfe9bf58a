"""What classifiers report."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from trainables import metrics

TRUTH = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 1, 1])
PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.6, 0.2, 0.2], [0.3, 0.4, 0.3], [0.1, 0.7, 0.2], [0.0, 0.9, 0.1], [0.2, 0.5, 0.3]]
)
CLASSES = ("a", "b", "c")


def test_metrics_are_macro_means() -> None:
    """Accuracy counts rows; precision, recall and F1 are unweighted means over classes, 0 for one never predicted."""
    found = metrics.classification(TRUTH, PREDICTED)
    assert set(found) == set(metrics.CLASSIFICATION)
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["balanced_accuracy"] == found["recall"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found["precision"] == pytest.approx((1 + 2 / 4 + 0) / 3)
    assert found["f1"] == pytest.approx((0.8 + 2 / 3 + 0) / 3)
    assert found["f1_weighted"] == pytest.approx((3 * 0.8 + 2 * 2 / 3 + 0) / 6)
    assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(TRUTH, PREDICTED))


def test_one_class_has_finite_metrics() -> None:
    """Rows of one class, rightly or wrongly predicted, give numbers for every metric and no warning."""
    ones = np.ones(4, dtype=np.int64)
    assert metrics.classification(ones, ones)["mcc"] == 0.0
    found = metrics.classification(ones, 2 * ones)
    assert all(np.isfinite(value) for value in found.values())
    assert found["accuracy"] == 0.0


def test_probabilities_are_graded() -> None:
    """ROC AUC is the mean of each class against the rest, log loss scikit-learn's, calibration as defined by bins."""
    found = metrics.probabilistic(TRUTH, PROBABILITIES, CLASSES)
    assert set(found) == set(metrics.PROBABILISTIC)
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(TRUTH, PROBABILITIES, multi_class="ovr"))
    assert found["log_loss"] == pytest.approx(sk.log_loss(TRUTH, PROBABILITIES))
    # Bins of 1/15: each row's confidence lies in one of its own.
    confidence, right = np.array([0.8, 0.6, 0.4, 0.7, 0.9, 0.5]), np.array([1, 1, 0, 1, 1, 0])
    assert found["calibration_error"] == pytest.approx(np.abs(confidence - right).mean())


def test_calibration_compares_bins_not_rows() -> None:
    """Rows with 75% confidence that are right three times in four are perfectly calibrated."""
    probabilities = np.tile([0.75, 0.25], (4, 1))
    assert metrics.calibration_error(np.array([0, 0, 0, 1]), probabilities) == pytest.approx(0)
    assert metrics.calibration_error(np.array([1, 1, 1, 1]), probabilities) == pytest.approx(0.75)
    assert metrics.calibration_error(np.array([0]), np.array([[1.0, 0.0]])) == 0.0


def test_two_classes_have_one_curve() -> None:
    """ROC AUC of two classes is that of the second one, whatever the scale of the scores."""
    truth, scores = np.array([0, 1, 0, 1]), np.array([-3.0, 0.5, 1.0, 2.0])
    found = metrics.roc_auc(truth, np.column_stack([-scores, scores]), ("no", "yes"))
    assert found == {"roc_auc": pytest.approx(sk.roc_auc_score(truth, scores))}


def test_roc_auc_needs_every_class(capsys: pytest.CaptureFixture[str]) -> None:
    """Where a class has no row, ROC AUC is left out, the log names the class, and the other metrics are there."""
    found = metrics.probabilistic(TRUTH[:5], PROBABILITIES[:5], CLASSES)
    assert set(found) == {"log_loss", "calibration_error"}
    assert capsys.readouterr().out == "roc_auc is left out: no row that validates is of class 'c'\n"


def test_confusion_matrix_has_every_class(tmp_path: Path) -> None:
    """The matrix has a row and a column for every class of the dataset, seen in the fold or not."""
    metrics.write_confusion_matrix(tmp_path / "m.json", TRUTH, PREDICTED, ("a", "b", "c", "d"))
    found = json.loads((tmp_path / "m.json").read_text())
    assert found == {
        "classes": ["a", "b", "c", "d"],
        "matrix": [[2, 1, 0, 0], [0, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]],
    }


def test_class_report_has_every_class(tmp_path: Path) -> None:
    """The report has an entry for every class of the dataset, 0 where nothing is defined."""
    metrics.write_class_report(tmp_path / "r.json", TRUTH, PREDICTED, ("a", "b", "c", "d"))
    assert json.loads((tmp_path / "r.json").read_text()) == {
        "classes": ["a", "b", "c", "d"],
        "precision": [1.0, 0.5, 0.0, 0.0],
        "recall": [pytest.approx(2 / 3), 1.0, 0.0, 0.0],
        "f1": [pytest.approx(0.8), pytest.approx(2 / 3), 0.0, 0.0],
        "rows": [3, 2, 1, 0],
    }


def test_gap_is_what_training_scores_better() -> None:
    """A gap above 0 is overfitting, whichever direction of the metric is better."""
    assert metrics.training("accuracy", 1.0, 0.75) == {"train_accuracy": 1.0, "gap": 0.25}
    assert metrics.training("rmse", 1.0, 3.0) == {"train_rmse": 1.0, "gap": 2.0}
    assert metrics.with_training("rmse") == {"train_rmse": "minimize", "gap": "minimize"}
    assert metrics.with_training("accuracy") == {"train_accuracy": "maximize", "gap": "minimize"}
