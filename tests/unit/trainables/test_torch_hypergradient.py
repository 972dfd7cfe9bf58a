"""The network that differentiates its training, run as a worker runs it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.study import Dataset
from searchd.ports.engine import Outcome
from searchd.trainable import registered
from tests.unit.trainables.fold_runs import FoldRuns
from trainables.torch_hypergradient import (
    DEFAULT,
    HYPERPARAMETERS,
    PRECISION,
    Weights,
    network,
    pushed,
    stepped,
    untouched,
    validated,
)
from trainables.torch_inputs import standardised

# PyTorch's forward mode compiles its own rules by what PyTorch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

WINE = Dataset(builtin="wine")
POINT = {**DEFAULT, "lr": 0.3, "weight_decay": 3e-2, "label_smoothing": 0.05, "width": 8, "batch_size": 32}


def fold_runs(tmp_path: Path, epochs: int, dataset: Dataset = WINE, seed: int = 7) -> FoldRuns:
    evaluation = Evaluation(folds=3, split=Split.STRATIFIED, epochs=epochs)
    return FoldRuns(tmp_path, "torch_hypergradient", dataset, evaluation, seed=seed)


def test_card_tells_what_it_takes() -> None:
    """It is registered with its parameters, its gradients, a default inside the space, checkpoints and folds."""
    card = registered()["torch_hypergradient"]
    assert card.space.names() == HYPERPARAMETERS
    assert next(iter(card.metrics)) == "loss"
    assert (card.checkpoints, card.folds, card.gradients, card.default) == (True, True, ("loss",), DEFAULT)


def test_gradient_is_that_of_the_reported_loss(tmp_path: Path) -> None:
    """Each derivative equals the central difference of whole trainings with the same seed, within 1 in 100,000."""
    runs = fold_runs(tmp_path, 3)
    *_, last = runs.scores(POINT, fold=2)
    for name in HYPERPARAMETERS:
        nudge = 1e-5 * POINT[name]
        above, below = (
            runs.scores({**POINT, name: POINT[name] + side * nudge}, fold=2)[-1]["loss"] for side in (1, -1)
        )
        assert last[f"d loss/d {name}"] == pytest.approx((above - below) / (2 * nudge), rel=1e-5)
        assert abs(last[f"d loss/d {name}"]) > 1e-4


def test_forward_mode_agrees_with_reverse_mode() -> None:
    """Carrying derivatives along gives what differentiating the unrolled steps backwards gives."""
    torch.manual_seed(3)
    net = network(5, 4, 3)
    rows, labels = torch.randn(6, 8, 5, dtype=PRECISION), torch.randint(3, (6, 8))
    hyper = torch.tensor([0.2, 0.01, 0.1], dtype=PRECISION)
    initial: Weights = {name: weight.detach() for name, weight in net.named_parameters()}
    weights, tangents = initial, untouched(initial)
    for batch in range(5):
        weights, tangents = pushed(net, weights, tangents, hyper, rows[batch], labels[batch])
    loss, gradient = validated(net, weights, tangents, rows[5], labels[5])

    leaf = hyper.clone().requires_grad_()
    unrolled = initial
    for batch in range(5):
        unrolled = stepped(net, unrolled, leaf, rows[batch], labels[batch])
    scores = torch.func.functional_call(net, dict(unrolled), (rows[5],))
    backwards = functional.cross_entropy(scores, labels[5])
    (slopes,) = torch.autograd.grad(backwards, leaf)
    assert loss == pytest.approx(backwards.item(), rel=1e-12)
    assert gradient == pytest.approx(slopes.tolist(), rel=1e-9)


def test_continuing_changes_nothing(tmp_path: Path) -> None:
    """An epoch, a checkpoint, and two more by another worker give exactly the numbers of three, gradients too."""
    whole = fold_runs(tmp_path / "whole", 3).scores(POINT)
    parted = fold_runs(tmp_path / "parted", 3)
    first, paused = parted.advance(POINT, target=1)
    torch.manual_seed(999)
    second, ended = parted.advance(POINT, attempt=2)
    assert [paused.outcome, ended.outcome] == [Outcome.REACHED] * 2
    assert [*first, *second] == whole


def test_seed_decides_everything(tmp_path: Path) -> None:
    """The same seed gives the same numbers, another one others."""
    one, same, other = (fold_runs(tmp_path, 1, seed=seed).scores(POINT) for seed in (1, 1, 2))
    assert one == same != other


def test_learns(tmp_path: Path) -> None:
    """On wine it is right for nine of ten rows that it has not seen, and its loss falls."""
    first, *_, last = fold_runs(tmp_path, 6).scores(POINT)
    assert last["accuracy"] > 0.9
    assert last["loss"] < first["loss"]


def test_a_study_may_leave_parameters_out(tmp_path: Path) -> None:
    """Parameters that a study neither searches nor fixes take the default's value."""
    runs = fold_runs(tmp_path, 1)
    assert runs.scores({"lr": 0.3}) == runs.scores({**DEFAULT, "lr": 0.3})


def test_divergence_is_infeasible(tmp_path: Path) -> None:
    """When loss or gradient are no longer finite, the configuration is given up, with the epoch."""
    _, ended = fold_runs(tmp_path, 3).advance({**POINT, "lr": 1e300})
    assert ended.outcome is Outcome.INFEASIBLE
    assert "at epoch 1" in ended.reason


def test_numbers_to_predict_are_refused(tmp_path: Path) -> None:
    """A regression dataset gets an error that says what the trainable needs."""
    _, ended = fold_runs(tmp_path, 1, Dataset(builtin="diabetes")).advance(POINT)
    assert ended.outcome is Outcome.FAILED
    assert "predicts classes" in ended.reason


def test_validation_rows_do_not_scale_the_inputs() -> None:
    """Columns are scaled by training rows alone; constant columns and missing values become 0."""
    table: Any = np.array([[1.0, 5.0, np.nan], [3.0, 5.0, 2.0], [99.0, 6.0, 4.0]])
    scaled = standardised(table, np.array([0, 1]))
    assert scaled.tolist() == [[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [97.0, 1.0, 2.0]]
