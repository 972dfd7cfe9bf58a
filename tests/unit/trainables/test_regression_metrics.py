"""What regressors report."""

import numpy as np
import pytest

from trainables import metrics


def test_errors_are_in_units_of_the_target() -> None:
    """RMSE and MAE are in the target's units, and R² compares with predicting the mean."""
    found = metrics.regression(np.array([1.0, 2.0, 6.0]), np.array([1.0, 4.0, 5.0]))
    assert found == {
        "rmse": pytest.approx((5 / 3) ** 0.5),
        "mae": pytest.approx(1.0),
        "r2": pytest.approx(1 - 5 / 14),
    }
    assert set(found) == set(metrics.REGRESSION)


def test_equal_values_have_an_r2() -> None:
    """Where all true values are equal R² is a number: 1 if they were predicted, else 0."""
    same = np.full(3, 4.0)
    assert metrics.regression(same, same)["r2"] == 1.0
    assert metrics.regression(same, same + 1)["r2"] == 0.0


def test_one_row_has_no_r2(capsys: pytest.CaptureFixture[str]) -> None:
    """A single row has no R²; the log says so, and the errors are there."""
    assert metrics.regression(np.array([3.0]), np.array([1.0])) == {"rmse": 2.0, "mae": 2.0}
    assert capsys.readouterr().out == "r2 is left out: only one row validates\n"
