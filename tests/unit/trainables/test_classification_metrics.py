"""The classifiers' metrics on rows counted by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from trainables.metrics import classification, write_confusion_matrix

TRUTH = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 1, 1])


def test_metrics_are_macro_means() -> None:
    """Accuracy counts rows; precision, recall and F1 are unweighted means over classes, 0 for one never predicted."""
    found = classification(TRUTH, PREDICTED)
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["precision"] == pytest.approx((1 + 2 / 4 + 0) / 3)
    assert found["recall"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found["f1"] == pytest.approx((0.8 + 2 / 3 + 0) / 3)


def test_confusion_matrix_has_every_class(tmp_path: Path) -> None:
    """The matrix has a row and a column for every class of the dataset, seen in the fold or not."""
    write_confusion_matrix(tmp_path / "m.json", TRUTH, PREDICTED, ("a", "b", "c", "d"))
    found = json.loads((tmp_path / "m.json").read_text())
    assert found == {
        "classes": ["a", "b", "c", "d"],
        "matrix": [[2, 1, 0, 0], [0, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]],
    }
