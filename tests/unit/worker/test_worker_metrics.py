"""What may be reported."""

import math
from typing import Any

import numpy as np
import pytest

from searchd.worker.metrics import RefusedReport, as_number, checked_metrics, not_finite


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (True, 1.0),
        (3, 3.0),
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(4), 4.0),
        (np.bool_(False), 0.0),
        (np.array(2.0), 2.0),
        (10**400, math.inf),
        ("0.5", None),
        (None, None),
        (np.array([2.0]), None),
        (np.complex64(1j), None),
        ([1.0], None),
    ],
)
def test_scalars_become_floats_and_nothing_else_does(value: Any, number: float | None) -> None:
    """Numbers and scalars of numpy count; text, arrays and complex numbers do not."""
    assert as_number(value) == number


def test_a_tensor_scalar_counts() -> None:
    """A torch tensor without dimensions is as good as a number."""
    torch = pytest.importorskip("torch")
    assert as_number(torch.tensor(0.25, requires_grad=True)) == 0.25
    assert as_number(torch.tensor([0.25])) is None


TWENTY = ", ".join(f"m{n}" for n in range(20))


@pytest.mark.parametrize(
    ("reported", "message"),
    [
        ({"accuracy": "high"}, "metric 'accuracy' is 'high' (str) at epoch 2, not a number"),
        ({"loss": 0.1, "f1": 2}, "metric 'accuracy' is missing at epoch 2; reported: loss, f1"),
        ({}, "metric 'accuracy' is missing at epoch 2; reported: no metric at all"),
        (0.9, "epoch 2 yielded 0.9 (float), not a dict of metrics"),
        ({f"m{n}": n for n in range(1001)}, "epoch 2 yielded 1001 metrics; report at most 1000"),
        ({"m" * 201: 1}, f"the name {'m' * 40 + '…'!r} at epoch 2 has 201 characters; use at most 200"),
        ({f"m{n}": n for n in range(30)}, f"metric 'accuracy' is missing at epoch 2; reported: {TWENTY}, …"),
    ],
)
def test_refused_reports_are_named(reported: Any, message: str) -> None:
    """The message names the metric, the epoch and what there was instead."""
    with pytest.raises(RefusedReport) as refused:
        checked_metrics(reported, ("accuracy",), 2)
    assert str(refused.value) == message


def test_only_required_metrics_must_be_finite() -> None:
    """A NaN elsewhere is no reason to give up on a trial."""
    assert not_finite({"accuracy": 1.0, "extra": math.nan}, ("accuracy",)) is None
    assert not_finite({"accuracy": math.inf}, ("accuracy",)) == "accuracy"
