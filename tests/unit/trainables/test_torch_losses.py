"""Losses, compared with their formulas."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainables.torch_losses import Loss, of_classes, of_numbers, own
from trainables.torch_parameters import TRAINING

SCORES = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.3, -0.2]], dtype=torch.float64)
CODES = torch.tensor([0, 2])


def classes(**change: Any) -> Loss:
    return of_classes({**TRAINING, **change})


def test_focal_without_focus_is_cross_entropy() -> None:
    """At gamma 0 the focal loss is the cross-entropy, smoothed or not; above it what is right counts less."""
    for smoothing in (0.0, 0.2):
        plain = classes(loss="cross_entropy", label_smoothing=smoothing)(SCORES, CODES)
        assert torch.isclose(classes(loss="focal", focal_gamma=0.0, label_smoothing=smoothing)(SCORES, CODES), plain)
    right = functional.softmax(SCORES, 1)[torch.arange(2), CODES]
    expected = (-((1 - right) ** 2) * right.log()).mean()
    assert torch.isclose(classes(loss="focal")(SCORES, CODES), expected)


def test_mse_of_classes_is_the_brier_score() -> None:
    """Squared error compares probabilities with 0 and 1, and Huber's loss is half of it while errors are small."""
    wrong = functional.softmax(SCORES, 1) - functional.one_hot(CODES, 3)
    brier = (wrong**2).sum(1).mean()
    assert torch.isclose(classes(loss="mse")(SCORES, CODES), brier)
    assert torch.isclose(classes(loss="huber")(SCORES, CODES), brier / 2)


def test_losses_of_numbers() -> None:
    """Squared error squares all errors, Huber's loss only the small ones."""
    predicted, truth = torch.tensor([0.5, 4.0]), torch.tensor([0.0, 0.0])
    assert of_numbers(TRAINING)(predicted, truth) == (0.25 + 16) / 2
    assert of_numbers({**TRAINING, "loss": "huber"})(predicted, truth) == (0.125 + 3.5) / 2


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "mse", "huber"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_of_classes(loss: str, smoothing: float) -> None:
    """Every loss for classes has the gradient of its values."""
    chosen = classes(loss=loss, label_smoothing=smoothing, huber_delta=0.4)
    assert torch.autograd.gradcheck(lambda scores: chosen(scores, CODES), SCORES.clone().requires_grad_())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_gradient_is_finite_where_all_is_right(gamma: float) -> None:
    """A row that is recognised beyond all doubt leaves the gradient finite, whatever the power."""
    scores = torch.tensor([[1000.0, 0.0]], requires_grad=True)
    classes(loss="focal", focal_gamma=gamma)(scores, torch.tensor([0])).backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


def row_by_row(outputs: Tensor, target: Tensor) -> Tensor:
    return (outputs - target).abs()


def a_list(outputs: Tensor, target: Tensor) -> list[float]:
    return [0.0]


def too_many(outputs: Tensor, target: Tensor) -> Tensor:
    return torch.zeros(7)


def test_own_loss_is_averaged() -> None:
    """The author's loss by import path may give a number for each row, whose mean counts."""
    predicted, truth = torch.tensor([1.0, 5.0]), torch.tensor([0.0, 2.0])
    assert of_numbers({**TRAINING, "loss": f"{__name__}:row_by_row"})(predicted, truth) == 2.0


@pytest.mark.parametrize(("name", "reason"), [("a_list", "returned a list"), ("too_many", r"returned shape \(7,\)")])
def test_own_loss_must_return_a_loss(name: str, reason: str) -> None:
    """What is no loss is refused with what it is and what it should be."""
    with pytest.raises(ValueError, match=f"{reason}; return a tensor of one number, or of one for each row"):
        own(f"{__name__}:{name}")(torch.zeros(2), torch.zeros(2))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no_such_module:loss", "cannot be imported: No module named 'no_such_module'; put the module beside"),
        (f"{__name__}:nothing", "has no attribute 'nothing'"),
        (":loss", "cannot be imported"),
        (f"{__name__}:CODES", "is not a function but Tensor"),
    ],
)
def test_own_loss_must_exist(path: str, reason: str) -> None:
    """A path that leads nowhere, or to no function, is refused with the reason."""
    with pytest.raises(ValueError, match=reason):
        classes(loss=path)


def test_own_loss_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is not valid Python is refused as one that cannot be imported."""
    (tmp_path / "half_a_loss.py").write_text("def loss(")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="cannot be imported: "):
        own("half_a_loss:loss")


def test_unknown_losses_are_refused() -> None:
    """A loss that there is not is refused with those there are, for classes and for numbers."""
    with pytest.raises(ValueError, match="'l2' is not known; use auto, cross_entropy, focal, mse, huber or your own"):
        classes(loss="l2")
    with pytest.raises(ValueError, match="'focal' is not known; use auto, mse, huber or your own as module:name"):
        of_numbers({**TRAINING, "loss": "focal"})
