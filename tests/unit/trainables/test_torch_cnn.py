"""The convolutional network, run as a worker runs it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.study import Dataset
from searchd.ports.engine import Outcome
from searchd.trainable import registered
from tests.unit.trainables.fold_runs import FoldRuns
from trainables.torch_cnn import DEFAULT
from trainables.torch_networks import convolutional
from trainables.torch_training import batches

SMALL = {**DEFAULT, "channels": 8, "layers": 1, "batch_size": 128, "lr": 1e-2}
MOMENTUM = [{"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "rmsprop", "momentum": 0.5, "lr": 1e-3}]
DIGITS = Dataset(builtin="digits")


def fold_runs(tmp_path: Path, epochs: int, dataset: Dataset = DIGITS, seed: int = 7) -> FoldRuns:
    evaluation = Evaluation(folds=5, split=Split.STRATIFIED, epochs=epochs)
    return FoldRuns(tmp_path, "torch_cnn", dataset, evaluation, seed=seed)


def test_card_tells_what_it_takes() -> None:
    """It is registered with its parameters and metrics, a default inside the space, checkpoints and folds."""
    card = registered()["torch_cnn"]
    searched = {"lr", "optimizer", "channels", "layers", "kernel_size", "dropout", "weight_decay", "batch_size"}
    assert searched < set(card.space.names())
    assert {"accuracy", "precision", "recall", "f1", "loss"} <= set(card.metrics)
    assert (card.checkpoints, card.folds, card.default) == (True, True, DEFAULT)


@pytest.mark.parametrize("change", [{}, *MOMENTUM, {"optimizer": "adagrad"}])
def test_continuing_changes_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    """Two epochs, a checkpoint, and three more by another worker give exactly the numbers of five at once."""
    params = {**SMALL, "dropout": 0.3, **change}
    whole = fold_runs(tmp_path / "whole", 5).scores(params)
    parted = fold_runs(tmp_path / "parted", 5)
    first, paused = parted.advance(params, target=2)
    torch.manual_seed(999)
    second, ended = parted.advance(params, attempt=2)
    assert [paused.outcome, ended.outcome] == [Outcome.REACHED] * 2
    assert (len(first), len(second)) == (2, 3)
    assert [*first, *second] == whole
    assert [set(scores) for scores in whole] == [set(registered()["torch_cnn"].metrics)] * 5


def test_seed_decides_everything(tmp_path: Path) -> None:
    """The same seed gives the same numbers, another one others."""
    one, same, other = (fold_runs(tmp_path, 1, seed=seed).scores(SMALL) for seed in (1, 1, 2))
    assert one == same != other


def test_confusion_matrix_agrees_with_the_metrics(tmp_path: Path) -> None:
    """The artifact holds all validation rows by true and predicted class; its diagonal is the accuracy."""
    runs = fold_runs(tmp_path, 2)
    scores = runs.scores(SMALL, fold=3)
    confusion = runs.confusion(fold=3)
    assert confusion is not None
    matrix = np.array(confusion["matrix"])
    truth = runs.cache.load(DIGITS).y[runs.rows(fold=3)[1]]
    assert confusion["classes"] == [str(digit) for digit in range(10)]
    assert matrix.sum(axis=1).tolist() == np.bincount(truth).tolist()
    assert np.trace(matrix) / matrix.sum() == pytest.approx(scores[-1]["accuracy"], abs=1e-12)
    assert scores[-1]["accuracy"] > 0.5


def test_no_matrix_before_the_last_epoch(tmp_path: Path) -> None:
    """The confusion matrix is written when the fold run is complete, not at each epoch."""
    runs = fold_runs(tmp_path, 2)
    runs.advance(SMALL, target=1)
    assert runs.confusion() is None
    runs.advance(SMALL, attempt=2)
    assert runs.confusion() is not None


def test_validation_rows_do_not_scale_the_inputs(tmp_path: Path) -> None:
    """Inputs are standardised by the training rows alone: other validation rows leave training as it was."""
    pixels = np.random.default_rng(0).normal(size=(40, 4, 4))
    labels = np.arange(40) % 2
    np.savez(tmp_path / "one.npz", X=pixels, y=labels)
    pixels[fold_runs(tmp_path, 1, Dataset(uri="one.npz")).rows()[1]] *= 1000
    np.savez(tmp_path / "two.npz", X=pixels, y=labels)
    one, two = (fold_runs(tmp_path, 1, Dataset(uri=name)).scores(SMALL)[0] for name in ("one.npz", "two.npz"))
    assert one["train_accuracy"] == two["train_accuracy"]
    assert one["loss"] != two["loss"]


@pytest.mark.parametrize("shape", [(30, 3, 5), (30, 9, 12, 3), (30, 2, 2, 1)])
@pytest.mark.parametrize("layers", [1, 3])
def test_images_of_any_size(tmp_path: Path, shape: tuple[int, ...], layers: int) -> None:
    """Grey and colour images of any size train, whole-numbered pixels included."""
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    np.savez(tmp_path / "t.npz", X=pixels, y=np.arange(30) % 3)
    (scores,) = fold_runs(tmp_path, 1, Dataset(uri="t.npz")).scores({**SMALL, "layers": layers})
    assert 0 <= scores["accuracy"] <= 1


def test_unsearched_parameters_have_a_value(tmp_path: Path) -> None:
    """A study that searches the learning rate alone trains with the default's other parameters."""
    runs = fold_runs(tmp_path, 1)
    assert runs.scores({"lr": 1e-3}) == runs.scores(DEFAULT)


def test_divergence_is_infeasible(tmp_path: Path) -> None:
    """A loss that is not finite ends the trial as infeasible, with the epoch."""
    _, ended = fold_runs(tmp_path, 1).advance({**SMALL, "optimizer": "sgd", "lr": 1e30})
    assert ended.outcome is Outcome.INFEASIBLE
    assert "at epoch 1" in ended.reason


@pytest.mark.parametrize(
    ("dataset", "change", "reason"),
    [
        ("wine", {}, "not images"),
        ("diabetes", {}, "predicts classes"),
        ("digits", {"optimizer": "lion"}, "use sgd, nesterov, adam, adamw, rmsprop or adagrad"),
    ],
)
def test_what_cannot_be_trained_says_why(tmp_path: Path, dataset: str, change: dict[str, str], reason: str) -> None:
    """A table, a target of numbers and an unknown optimiser fail with the reason."""
    runs = FoldRuns(tmp_path, "torch_cnn", Dataset(builtin=dataset), Evaluation())
    _, ended = runs.advance({**SMALL, **change})
    assert ended.outcome is Outcome.FAILED
    assert reason in ended.reason


@pytest.mark.parametrize(("rows", "sizes"), [(9, [4, 5]), (8, [4, 4]), (10, [4, 4, 2]), (1, [1])])
def test_batches_hold_every_row_once(rows: int, sizes: list[int]) -> None:
    """Batches hold every row once, and none but a single one has a single row."""
    cut = batches(torch.arange(rows), 4)
    assert [len(batch) for batch in cut] == sizes
    assert sorted(torch.cat(cut).tolist()) == list(range(rows))


def test_network_has_the_layers_asked_for() -> None:
    """Layers and channels are those of the parameters, the later blocks twice as wide."""
    net = convolutional({**DEFAULT, "layers": 3, "channels": 8}, (1, 8, 8), 10)
    widths = [block.out_channels for block in net.modules() if isinstance(block, torch.nn.Conv2d)]
    assert widths == [8, 16, 16]


def test_good_configuration_beats_the_default(tmp_path: Path) -> None:
    """There is something to tune: on one fold of digits a good configuration passes .98, the default does not."""
    good = {**DEFAULT, "channels": 32, "layers": 3, "lr": 3.6e-3, "dropout": 0.2}
    tuned, default = (fold_runs(tmp_path, 6).scores(p)[-1]["accuracy"] for p in (good, DEFAULT))
    assert tuned > 0.98 > default
