"""The fully connected and the sequence network on tables: classes, numbers, missing values."""

from pathlib import Path

import numpy as np
import pytest

from searchd.domain.evaluation import Evaluation
from searchd.domain.study import Dataset
from searchd.trainable import registered
from tests.unit.trainables.fold_runs import FoldRuns
from trainables import torch_mlp, torch_sequence
from trainables.torch_targets import CLASSIFICATION, REGRESSION

FAST = {"lr": 1e-2, "width": 32}


def fold_runs(tmp_path: Path, dataset: Dataset, trainable: str = "torch_mlp", epochs: int = 8) -> FoldRuns:
    return FoldRuns(tmp_path, trainable, dataset, Evaluation(folds=4, epochs=epochs), metric="loss")


@pytest.mark.parametrize(
    ("trainable", "default"), [("torch_mlp", torch_mlp.DEFAULT), ("torch_sequence", torch_sequence.DEFAULT)]
)
def test_card_tells_what_it_takes(trainable: str, default: dict[str, object]) -> None:
    """It is registered with a default inside its space, checkpoints and folds, and a loss that every study has."""
    card = registered()[trainable]
    assert (card.default, card.checkpoints, card.folds) == (default, True, True)
    assert next(iter(card.metrics)) == "loss"
    assert set(card.metrics) == {*CLASSIFICATION, *REGRESSION}
    assert set(card.space.names()) <= set(default)


def test_classes_of_a_table(tmp_path: Path) -> None:
    """It classifies wine well, and reports what all classifiers report."""
    scores = fold_runs(tmp_path, Dataset(builtin="wine")).scores(FAST)
    assert set(scores[-1]) == set(CLASSIFICATION)
    assert scores[-1]["accuracy"] > 0.9


@pytest.mark.parametrize("loss", ["auto", "huber"])
def test_numbers_of_a_table(tmp_path: Path, loss: str) -> None:
    """It predicts numbers better than their mean, in their own units."""
    runs = fold_runs(tmp_path, Dataset(builtin="diabetes"))
    found = runs.scores({**FAST, "loss": loss})[-1]
    assert set(found) == set(REGRESSION)
    assert found["r2"] > 0.3
    train, valid = runs.rows()
    numbers = runs.cache.load(Dataset(builtin="diabetes")).y
    assert found["rmse"] == pytest.approx(np.sqrt(found["loss"]) * numbers[train].std())
    assert found["r2"] == pytest.approx(1 - found["rmse"] ** 2 / numbers[valid].var())
    assert found["gap"] == pytest.approx(found["rmse"] - found["train_rmse"])


def test_units_do_not_matter(tmp_path: Path) -> None:
    """Numbers a million times as large, and shifted, are learnt as well."""
    table = np.random.default_rng(0).normal(size=(80, 3))
    numbers = table @ [1.0, -2.0, 0.5]
    np.savez(tmp_path / "one.npz", X=table, y=numbers)
    np.savez(tmp_path / "two.npz", X=table, y=numbers * 1e6 + 1e7)
    one, two = (fold_runs(tmp_path, Dataset(uri=name)).scores(FAST)[-1] for name in ("one.npz", "two.npz"))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-3)
    assert two["mae"] == pytest.approx(one["mae"] * 1e6, rel=1e-3)


@pytest.mark.parametrize("trainable", ["torch_mlp", "torch_sequence"])
def test_missing_and_constant_columns(tmp_path: Path, trainable: str) -> None:
    """Missing values and constant columns stop no network, and a number that is always the same is learnt."""
    table = np.random.default_rng(0).normal(size=(40, 4))
    table[::3, 0], table[:, 1], table[:, 2] = np.nan, 7.0, np.nan
    np.savez(tmp_path / "t.npz", X=table, y=np.full(40, 2.5))
    scores = fold_runs(tmp_path, Dataset(uri="t.npz"), trainable, epochs=2).scores({"width": 16})
    assert np.isfinite([scores[-1]["rmse"], scores[-1]["gap"]]).all()


def test_one_row_validates(tmp_path: Path) -> None:
    """A validation fold of a single number has errors, and no share of a variance that it has not."""
    np.savez(tmp_path / "t.npz", X=np.random.default_rng(0).normal(size=(4, 2)), y=[0.5, 1.25, 2.0, 3.5])
    (scores,) = fold_runs(tmp_path, Dataset(uri="t.npz"), epochs=1).scores({"width": 4})
    assert np.isfinite(scores["rmse"])
    assert "r2" not in scores


def test_sequences_of_a_table(tmp_path: Path) -> None:
    """A table is read column by column."""
    scores = fold_runs(tmp_path, Dataset(builtin="iris"), "torch_sequence").scores(
        {"lr": 1e-2, "width": 16, "batch_size": 16}
    )
    assert scores[-1]["loss"] < scores[0]["loss"]
