"""What all networks share: every choice learns, resumes to the same numbers, and says what it cannot do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from searchd.domain.errors import InvalidStudy
from searchd.domain.evaluation import Evaluation
from searchd.domain.study import Dataset
from searchd.ports.engine import Outcome
from tests.unit.trainables.digits import on_digits, paused_everywhere
from tests.unit.trainables.fold_runs import FoldRuns
from trainables.torch_cnn import DEFAULT, torch_cnn
from trainables.torch_mlp import torch_mlp
from trainables.torch_optimisers import OPTIMISERS, SCHEDULES
from trainables.torch_parameters import completed
from trainables.torch_sequence import torch_sequence

CNN = {"channels": 8, "layers": 1, "lr": 1e-2, "batch_size": 40, "dropout": 0.2}
SMALL: dict[str, dict[str, Any]] = {
    torch_cnn.__name__: CNN,
    torch_mlp.__name__: {"width": 16, "layers": 1, "lr": 1e-2, "batch_size": 40},
    torch_sequence.__name__: {"width": 16, "lr": 1e-2, "batch_size": 40},
}
COMBINED = [*(("sgd", name) for name in SCHEDULES), *((name, "cosine") for name in OPTIMISERS if name != "sgd")]
"""Every optimiser and every schedule; the rate is all that they have in common."""


def always_nan(scores: Tensor, codes: Tensor) -> Tensor:
    return scores.sum() * torch.nan


def hinge(scores: Tensor, codes: Tensor) -> Tensor:
    right = scores.gather(1, codes[:, None])
    return (1 + scores - right).clamp_min(0).sum(1)


@pytest.mark.parametrize(("name", "schedule"), COMBINED)
def test_pausing_changes_nothing(tmp_path: Path, name: str, schedule: str) -> None:
    """Whoever pauses after every epoch gets exactly the numbers of training straight through, mixup on."""
    p = {**CNN, "optimizer": name, "schedule": schedule, "warmup": 1.5, "mixup": 0.4, "cutmix": 0.5, "l1": 1e-4}
    whole = on_digits(tmp_path / "whole", "torch_cnn", epochs=3, rows=120).scores(p)
    assert paused_everywhere(on_digits(tmp_path / "parted", "torch_cnn", epochs=3, rows=120), p, 3) == whole


@pytest.mark.parametrize(
    ("trainable", "change"),
    [
        ("torch_mlp", {"residual": True, "mixup": 0.2}),
        ("torch_sequence", {"block": "gru", "layers": 2}),
        ("torch_sequence", {"block": "attention"}),
    ],
)
def test_pausing_changes_no_other_network(tmp_path: Path, trainable: str, change: dict[str, Any]) -> None:
    """The other networks resume to the same numbers too."""
    p = {**SMALL[trainable], **change}
    whole = on_digits(tmp_path / "whole", trainable, epochs=3, rows=120).scores(p)
    assert paused_everywhere(on_digits(tmp_path / "parted", trainable, epochs=3, rows=120), p, 3) == whole


@pytest.mark.parametrize(
    ("trainable", "change"),
    [
        *[("torch_cnn", {"loss": loss}) for loss in ("focal", "mse", "huber", f"{__name__}:hinge")],
        ("torch_cnn", {"label_smoothing": 0.1, "mixup": 0.2}),
        ("torch_cnn", {"cutmix": 1.0, "l1": 1e-4}),
        *[("torch_cnn", {"norm": norm, "residual": True, "layers": 2}) for norm in ("batch", "group", "layer", "none")],
        *[("torch_cnn", {"optimizer": name, "lr": lr}) for name, lr in (("nesterov", 0.05), ("adamw", 1e-2))],
        *[("torch_cnn", {"schedule": schedule}) for schedule in SCHEDULES],
        ("torch_cnn", {"mixed_precision": True}),
        ("torch_mlp", {"activation": "gelu", "norm": "layer", "residual": True, "layers": 2}),
        ("torch_mlp", {"norm": "none", "mixup": 0.2}),
        ("torch_sequence", {"block": "gru"}),
        ("torch_sequence", {"block": "attention"}),
    ],
)
def test_every_choice_learns(tmp_path: Path, trainable: str, change: dict[str, Any]) -> None:
    """Whatever is chosen, the validation loss falls on digits, below that of guessing."""
    scores = on_digits(tmp_path, trainable, epochs=5).scores({**SMALL[trainable], **change})
    assert scores[-1]["loss"] < min(scores[0]["loss"], np.log(10))
    assert scores[-1]["gap"] == pytest.approx(scores[-1]["train_accuracy"] - scores[-1]["accuracy"])


def test_choices_change_the_numbers(tmp_path: Path) -> None:
    """No choice is ignored: each gives numbers of its own."""
    runs = on_digits(tmp_path, "torch_cnn", epochs=2, rows=120)
    changes: list[dict[str, Any]] = [
        {},
        {"loss": "focal"},
        {"loss": "focal", "focal_gamma": 1.0},
        {"loss": "huber"},
        {"loss": "huber", "huber_delta": 0.1},
        {"label_smoothing": 0.2},
        {"l1": 1e-3},
        {"weight_decay": 0.1},
        {"optimizer": "adamw"},
        {"schedule": "one_cycle"},
        {"schedule": "constant"},
        {"schedule": "step"},
        {"schedule": "step", "step_factor": 0.3},
        {"warmup": 1.0},
        {"mixup": 0.4},
        {"cutmix": 1.0},
        {"residual": True},
        {"norm": "layer"},
        {"activation": "tanh"},
    ]
    losses = [runs.scores({**CNN, **change})[-1]["loss"] for change in changes]
    assert len(set(losses)) == len(changes)


# What PyTorch compiles with uses what PyTorch itself has deprecated.
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_compiling_trains_the_same_network(tmp_path: Path) -> None:
    """The compiled network is the one that is trained and kept: run without its kernels, it gives the same numbers."""
    p = SMALL["torch_mlp"]
    plain = on_digits(tmp_path / "plain", "torch_mlp", epochs=2, rows=60).scores(p)
    with torch.compiler.set_stance("force_eager"):
        runs = on_digits(tmp_path / "compiled", "torch_mlp", epochs=2, rows=60)
        assert paused_everywhere(runs, {**p, "compile": True}, 2) == plain


@pytest.mark.parametrize("paused", [False, True])
def test_patience_ends_the_training(tmp_path: Path, paused: bool) -> None:
    """Training ends after as many epochs without a better loss as it has patience, with a confusion matrix."""
    runs = on_digits(tmp_path, "torch_cnn", epochs=8, rows=120)
    p = {**CNN, "lr": 0.0, "patience": 2}
    if paused:
        for epoch in (1, 2, 3):
            runs.advance(p, target=epoch, attempt=epoch)
            assert (runs.confusion() is None) is (epoch < 3)
    scores, ended = runs.advance(p, attempt=4 if paused else 1)
    assert (ended.outcome, ended.epoch) == (Outcome.FINISHED, 3)
    assert len(scores) == (1 if paused else 3)
    assert runs.confusion() is not None


def test_patience_outlasts_what_falls(tmp_path: Path) -> None:
    """A loss that falls every epoch is never stopped."""
    _, ended = on_digits(tmp_path, "torch_cnn", epochs=4).advance({**CNN, "patience": 1, "lr": 3e-3})
    assert (ended.outcome, ended.epoch) == (Outcome.REACHED, 4)


@pytest.mark.parametrize("trainable", sorted(SMALL))
def test_nan_is_infeasible(tmp_path: Path, trainable: str) -> None:
    """A loss that is NaN makes the trial infeasible, with the epoch."""
    p = {**SMALL[trainable], "loss": f"{__name__}:always_nan"}
    _, ended = on_digits(tmp_path, trainable, rows=60).advance(p)
    assert ended.outcome is Outcome.INFEASIBLE
    assert "the training loss is nan at epoch 1" in ended.reason


def test_batch_may_be_larger_than_the_data(tmp_path: Path) -> None:
    """A batch larger than the data is all of it."""
    runs = on_digits(tmp_path, "torch_cnn", epochs=1, rows=60)
    assert runs.scores({**CNN, "batch_size": 10**6}) == runs.scores({**CNN, "batch_size": 40})


def test_single_rows_cannot_be_normalised(tmp_path: Path) -> None:
    """Batches of one row fail with what to change, and train with a normalisation that needs one row only."""
    runs = on_digits(tmp_path, "torch_mlp", epochs=1, rows=60)
    _, ended = runs.advance({**SMALL["torch_mlp"], "batch_size": 1})
    assert "norm 'batch' needs at least 2 rows in a batch, but one has 1; raise batch_size" in ended.reason
    assert runs.scores({**SMALL["torch_mlp"], "batch_size": 1, "norm": "layer"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"loss": "no_such_module:loss"}, "loss 'no_such_module:loss' cannot be imported"),
        ({"loss": "triplet"}, "loss 'triplet' is not known"),
        ({"schedule": "wave"}, "schedule 'wave' is not known"),
        ({"batch_size": 0}, "batch_size is 0; give a whole number of at least 1"),
        ({"layers": 1.5}, "layers is 1.5; give a whole number"),
        ({"dropout": 1.0}, "dropout is 1.0; give a number from 0 to below 1"),
        ({"lr": "fast"}, "lr is 'fast'; give a number"),
        ({"lr": float("nan")}, "lr is nan; give a number of at least 0"),
        ({"residual": 1}, "residual is 1; give true or false"),
        ({"mixup": True}, "mixup is True; give a number"),
    ],
)
def test_bad_parameters_say_why(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    """A value that a parameter cannot have fails with its name and what it can be."""
    _, ended = on_digits(tmp_path, "torch_cnn", rows=60).advance({**CNN, **change})
    assert ended.outcome is Outcome.FAILED
    assert reason in ended.reason


def test_whole_numbers_are_numbers() -> None:
    """What is a number by default may be written as a whole one."""
    assert completed(DEFAULT, {"dropout": 0, "lr": 1})["lr"] == 1


def test_missing_pixels_say_where(tmp_path: Path) -> None:
    """An image with a missing pixel fails with its row."""
    pixels = np.zeros((30, 4, 4))
    pixels[[17, 19], 1, 2] = np.nan
    np.savez(tmp_path / "t.npz", X=pixels, y=np.arange(30) % 2)
    _, ended = FoldRuns(tmp_path, "torch_cnn", Dataset(uri="t.npz"), Evaluation()).advance(CNN)
    assert ended.outcome is Outcome.FAILED
    assert "image 17 has missing pixels (NaN), as have 2 in all; fill them" in ended.reason


def test_images_of_mixed_size_are_refused(tmp_path: Path) -> None:
    """Images that differ in size are no dataset, which is found when it is read, not by a trial."""
    ragged = np.empty(4, dtype=object)
    ragged[:] = [np.zeros((n, 3)) for n in (3, 4, 3, 5)]
    np.savez(tmp_path / "t.npz", X=ragged, y=np.arange(4) % 2)
    runs = FoldRuns(tmp_path, "torch_cnn", Dataset(uri="t.npz"), Evaluation())
    with pytest.raises(InvalidStudy, match="array 'X' holds Python objects, such as images that differ in size"):
        runs.rows()
