"""The models that the trainables hand over to be used elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import trainables.sklearn_classifier
import trainables.sklearn_regressor
import trainables.torch_cnn
import trainables.torch_hypergradient
import trainables.torch_mlp
import trainables.torch_sequence  # noqa: F401  (registers it)
from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.study import Dataset
from searchd.worker.model_files import outputs, usual_format, write_model
from searchd.worker.model_formats import ModelFormat
from tests.unit.trainables.fold_runs import FoldRuns

SMALL = {"channels": 2, "layers": 1, "width": 8}
TWO_EPOCHS = Evaluation(folds=2, epochs=2, split=Split.STRATIFIED)
CASES: list[tuple[str, Dataset, str, dict[str, Any]]] = [
    ("sklearn_classifier", Dataset(builtin="wine"), "accuracy", {}),
    ("sklearn_regressor", Dataset(builtin="diabetes"), "rmse", {"regressor": "tree"}),
    ("torch_cnn", Dataset(builtin="digits"), "accuracy", SMALL),
    ("torch_mlp", Dataset(builtin="wine"), "accuracy", SMALL),
    ("torch_mlp", Dataset(builtin="diabetes"), "rmse", SMALL),
    ("torch_sequence", Dataset(builtin="wine"), "accuracy", {**SMALL, "block": "attention", "heads": 2}),
]


@pytest.mark.parametrize(("trainable", "dataset", "metric", "params"), CASES, ids=lambda case: str(case)[:30])
def test_models_predict_what_the_study_kept(
    tmp_path: Path, trainable: str, dataset: Dataset, metric: str, params: dict[str, Any]
) -> None:
    """Given rows as the data has them, a model says what its fold run predicted, also of rows that it trained on."""
    evaluation = Evaluation(folds=2, epochs=2)
    made, rows, kept = FoldRuns(tmp_path, trainable, dataset, evaluation, metric=metric).model(params)
    found = outputs(made.model, made.handed.rows(rows))
    assert found == pytest.approx(kept, rel=1e-5, abs=1e-5)
    assert len(made.handed.classes) == (kept.shape[1] if kept.ndim == 2 else 0)


def test_a_model_knows_the_classes_it_has_seen(tmp_path: Path) -> None:
    """A class that no row of the fold has is not among the model's, and its outputs are in the order of those."""
    frame = pd.DataFrame({"x": np.arange(40.0), "y": ["a"] * 18 + ["b"] * 20 + ["c"] * 2, "f": [0, 1] * 19 + [1, 1]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    dataset = Dataset(uri="rows.csv", target="y", fold_column="f")
    evaluation = Evaluation(folds=2, split=Split.FOLD_COLUMN)
    fold_runs = FoldRuns(tmp_path, "sklearn_classifier", dataset, evaluation)
    made, rows, _ = fold_runs.model({"classifier": "linear"})
    assert made.handed.classes == ("a", "b", "c")
    flipped = frame.assign(f=1 - frame.f)
    flipped.to_csv(tmp_path / "rows.csv", index=False)
    made, rows, kept = fold_runs.model({"classifier": "linear"})
    assert made.handed.classes == ("a", "b")
    assert outputs(made.model, made.handed.rows(rows)) == pytest.approx(kept[:, :2], abs=1e-6)


def test_missing_values_mean_the_same_to_a_network(tmp_path: Path) -> None:
    """A missing or infinite value of a table is the column's mean, inside the model as in training."""
    frame = pd.DataFrame({"x": [1.0, np.nan, 3.0, 4.0] * 10, "z": np.arange(40.0), "y": ["a", "b"] * 20})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    dataset = Dataset(uri="rows.csv", target="y")
    made, rows, kept = FoldRuns(tmp_path, "torch_mlp", dataset, TWO_EPOCHS).model(SMALL)
    assert outputs(made.model, made.handed.rows(rows)) == pytest.approx(kept, abs=1e-6)
    assert np.isfinite(outputs(made.model, np.array([[np.inf, np.nan]]))).all()


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_the_network_with_gradients(tmp_path: Path) -> None:
    """Its model is the one whose accuracy was reported last."""
    fold_runs = FoldRuns(tmp_path, "torch_hypergradient", Dataset(builtin="wine"), TWO_EPOCHS)
    reported = fold_runs.scores({"width": 4})[-1]["accuracy"]
    made = fold_runs.trained_model({"width": 4})
    _, valid = fold_runs.rows()
    said = outputs(made.model, made.handed.rows(valid)).argmax(1)
    truth = fold_runs.cache.load(Dataset(builtin="wine")).y[valid]
    assert float(np.mean(said == truth)) == reported


@pytest.mark.parametrize("form", [ModelFormat.TORCH, ModelFormat.ONNX, ModelFormat.SAFETENSORS])
@pytest.mark.parametrize(
    ("trainable", "params"),
    [("torch_cnn", SMALL), ("torch_sequence", {**SMALL, "block": "gru"})],
)
def test_networks_as_files(tmp_path: Path, trainable: str, params: dict[str, Any], form: ModelFormat) -> None:
    """A network can be written in each format for networks, with what comes before and after it."""
    evaluation = Evaluation(folds=2, epochs=1)
    made, rows, _ = FoldRuns(tmp_path, trainable, Dataset(builtin="digits"), evaluation).model(params)
    file = write_model(made.model, form, made.handed.rows(rows[:20]), tmp_path)
    assert (tmp_path / file.name).exists()
    assert file.difference < 1e-5


@pytest.mark.parametrize("params", [{"classifier": "svm", "scaler": "robust"}, {"selection": "model"}])
def test_pipelines_as_files(tmp_path: Path, params: dict[str, Any]) -> None:
    """A pipeline is written for skops, and the types that a reader has to trust are told."""
    evaluation = Evaluation(folds=2)
    fold_runs = FoldRuns(tmp_path, "sklearn_classifier", Dataset(builtin="wine"), evaluation)
    made, rows, _ = fold_runs.model(params)
    assert usual_format(made.model) is ModelFormat.SKOPS
    file = write_model(made.model, ModelFormat.SKOPS, made.handed.rows(rows), tmp_path)
    assert file.name == "model.skops"
    assert all("." in name for name in file.trusted)
