"""The classifiers for tables, run as a worker runs them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.failure import Failure
from searchd.domain.study import Dataset
from searchd.ports.engine import Outcome
from searchd.trainable import registered
from tests.unit.trainables.fold_runs import FoldRuns, space_at
from trainables import metrics, tabular
from trainables.sklearn_classifier import DEFAULT
from trainables.tabular_models import CLASSIFIERS, LIBRARIES

ALL = [*CLASSIFIERS, *LIBRARIES]
METRICS = {*metrics.CLASSIFICATION, *metrics.PROBABILISTIC, "train_accuracy", "gap"}
SMALL = {"forest_trees": 50, "boosting_iterations": 20}
"""Bounds what the far end of the space costs."""


def fold_runs(tmp_path: Path, dataset: Dataset, epochs: int = 1) -> FoldRuns:
    evaluation = Evaluation(folds=3, split=Split.STRATIFIED, epochs=epochs)
    return FoldRuns(tmp_path, "sklearn_classifier", dataset, evaluation)


def failed(
    tmp_path: Path, rows: Sequence[str], params: dict[str, Any], split: Split = Split.STRATIFIED
) -> tuple[Failure | None, str]:
    """How the first fold run on a CSV of these lines fails, and why; a column ``fold`` says which rows it is of."""
    (tmp_path / "t.csv").write_text("\n".join(rows))
    column = "fold" if split is Split.FOLD_COLUMN else None
    dataset = Dataset(uri="t.csv", target="y", fold_column=column)
    runs = FoldRuns(tmp_path, "sklearn_classifier", dataset, Evaluation(folds=2, split=split))
    scores, ended = runs.advance(params)
    assert scores == []
    return ended.failure, ended.reason


def test_card_tells_what_it_takes() -> None:
    """It is registered with conditional parameters for each classifier, a default and folds."""
    card = registered()["sklearn_classifier"]
    owners = {name for p in card.space.parameters for c in p.when if c.parameter == "classifier" for name in c.values}
    assert owners == set(ALL)
    assert (card.default, card.folds, card.checkpoints) == (DEFAULT, True, True)
    assert set(card.metrics) == {*METRICS, "worst_group_accuracy", "group_gap"}


@pytest.mark.parametrize("classifier", ALL)
@pytest.mark.parametrize("u", [0.0, 0.5, 0.999])
def test_every_model_can_be_trained(tmp_path: Path, classifier: str, u: float) -> None:
    """Every classifier trains at the edges and in the middle of its space, without a warning, each time the same."""
    params = space_at("sklearn_classifier", u, {**tabular.DEFAULT, **SMALL, "classifier": classifier})
    runs = fold_runs(tmp_path, Dataset(builtin="iris"), epochs=4)
    (scores,) = runs.scores(params)
    assert set(scores) == METRICS - ({"log_loss", "calibration_error"} if classifier == "svm" else set())
    assert scores["gap"] == pytest.approx(scores["train_accuracy"] - scores["accuracy"])
    assert runs.scores(params) == [scores]


@pytest.mark.parametrize("impute", ["median", "mean", "most_frequent"])
@pytest.mark.parametrize("scaler", ["standard", "minmax", "robust", "none"])
def test_every_preprocessing_can_be_fitted(tmp_path: Path, impute: str, scaler: str) -> None:
    """Every imputing and scaling copes with gaps, empty and constant columns."""
    rows = [f"{i % 7 if i % 5 else ''},,4,{i % 2 + 0.1 * (i % 3)},{i % 2}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["p,q,r,s,y", *rows]))
    runs = fold_runs(tmp_path, Dataset(uri="t.csv", target="y"))
    (scores,) = runs.scores({"impute": impute, "scaler": scaler, "linear_c": 100.0})
    assert scores["accuracy"] == 1.0


@pytest.mark.parametrize("u", [0.0, 0.999])
@pytest.mark.parametrize("selection", ["none", "filter", "model"])
@pytest.mark.parametrize("extraction", ["none", "pca", "kernel_pca", "polynomial"])
def test_every_selection_and_extraction_can_be_fitted(
    tmp_path: Path, u: float, selection: str, extraction: str
) -> None:
    """Every way to select and extract columns trains at the edges of its space."""
    params = space_at("sklearn_classifier", u, {**DEFAULT, "selection": selection, "extraction": extraction})
    (scores,) = fold_runs(tmp_path, Dataset(builtin="iris")).scores(params)
    assert set(scores) == METRICS


@pytest.mark.parametrize("classifier", ALL)
def test_missing_values_are_imputed(tmp_path: Path, classifier: str) -> None:
    """Missing values, whole empty columns included, stop no classifier."""
    rows = [f"{i % 7 if i % 5 else ''},,{'ab'[i % 2]},{i % 2}" for i in range(90)]
    (tmp_path / "t.csv").write_text("\n".join(["p,q,r,y", *rows]))
    runs = fold_runs(tmp_path, Dataset(uri="t.csv", target="y"))
    (scores,) = runs.scores({**SMALL, "classifier": classifier})
    assert scores["accuracy"] == 1.0


def test_default_is_sensible(tmp_path: Path) -> None:
    """The default configuration classifies wine well, and its artifacts hold the fold's rows."""
    runs = fold_runs(tmp_path, Dataset(builtin="wine"))
    (scores,) = runs.scores(DEFAULT)
    confusion, report = runs.artifact("confusion_matrix.json"), runs.artifact("class_report.json")
    matrix = np.array(confusion["matrix"])
    assert scores["accuracy"] > 0.95
    assert matrix.sum() == len(runs.rows()[1])
    assert np.trace(matrix) / matrix.sum() == pytest.approx(scores["accuracy"], abs=1e-12)
    assert confusion["classes"] == report["classes"] == ["class_0", "class_1", "class_2"]
    assert report["rows"] == matrix.sum(axis=1).tolist()
    assert np.mean(report["f1"]) == pytest.approx(scores["f1"])


def test_balanced_weights_are_scikit_learns(tmp_path: Path) -> None:
    """Weights that balance the classes give what class_weight="balanced" gives."""
    label = np.array([0] * 100 + [1] * 20)
    x = np.random.default_rng(0).normal(label, 1.0)
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *(f"{a},{b}" for a, b in zip(x, label, strict=True))]))
    (scores,) = fold_runs(tmp_path, Dataset(uri="t.csv", target="y")).scores({**DEFAULT, "class_weight": "balanced"})
    train, valid = next(StratifiedKFold(3, shuffle=True, random_state=0).split(x, label))
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    model.fit(x[train, None], label[train])
    assert scores == pytest.approx(
        {
            **metrics.classification(label[valid], model.predict(x[valid, None])),
            **metrics.probabilistic(label[valid], model.predict_proba(x[valid, None]), (0, 1)),
            **metrics.training("accuracy", model.score(x[train, None], label[train]), scores["accuracy"]),
        },
        abs=1e-4,
    )


def test_svm_is_ranked_by_its_decisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ROC AUC of an SVM comes from its decision function; probabilities only if asked for, and the log says how."""
    runs = fold_runs(tmp_path, Dataset(builtin="iris"))
    (scores,) = runs.scores({"classifier": "svm"})
    train, valid = runs.rows()
    x, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), SVC()).fit(x[train], y[train])
    assert scores["roc_auc"] == metrics.roc_auc(y[valid], model.decision_function(x[valid]), range(3))["roc_auc"]
    assert "svm_probabilities" in capsys.readouterr().out
    (scores,) = runs.scores({"classifier": "svm", "svm_probabilities": True})
    assert set(scores) == METRICS


@pytest.mark.parametrize("categories", ["onehot", "codes"])
def test_categories_may_be_new(tmp_path: Path, categories: str) -> None:
    """Text of many values can be used either way, though the rows that validate have values that none trained on."""
    rows = [f"{'odd' if i % 2 else 'even'}{i // 2 % 12},only{i},{'yes' if i % 2 else 'no'}" for i in range(120)]
    (tmp_path / "t.csv").write_text("\n".join(["word,id,y", *rows]))
    runs = fold_runs(tmp_path, Dataset(uri="t.csv", target="y"))
    assert runs.cache.load(Dataset(uri="t.csv", target="y")).coded == ("word", "id")
    (scores,) = runs.scores({"classifier": "forest", "categories": categories})
    assert scores["accuracy"] > 0.9
    assert runs.artifact("confusion_matrix.json")["classes"] == ["no", "yes"]


def test_images_are_flattened(tmp_path: Path) -> None:
    """Images in an NPZ are classified pixel by pixel."""
    pixels = np.random.default_rng(0).integers(0, 9, (30, 3, 3)).astype(np.uint8)
    pixels[:, 1, 1] = np.arange(30) % 2 * 200
    np.savez(tmp_path / "t.npz", X=pixels, y=np.arange(30) % 2)
    (scores,) = fold_runs(tmp_path, Dataset(uri="t.npz")).scores(DEFAULT)
    assert scores["accuracy"] == 1.0


def test_fit_that_does_not_converge_still_counts(tmp_path: Path) -> None:
    """A linear model that runs out of iterations reports its score and no warning."""
    params = {"scaler": "none", "classifier": "linear", "linear_c": 100.0}
    (scores,) = fold_runs(tmp_path, Dataset(builtin="breast_cancer")).scores(params)
    assert scores["accuracy"] > 0.9


def test_many_epochs_are_one_fit(tmp_path: Path) -> None:
    """Asked for more epochs, it finishes after the first, and continuing after a pause gives the same numbers."""
    runs = fold_runs(tmp_path, Dataset(builtin="iris"), epochs=4)
    first, paused = runs.advance(DEFAULT, target=1)
    again, ended = runs.advance(DEFAULT, attempt=2)
    assert (paused.outcome, ended.outcome, ended.epoch) == (Outcome.REACHED, Outcome.FINISHED, 1)
    assert first == again


@pytest.mark.parametrize("classifier", ALL)
def test_class_without_training_rows(tmp_path: Path, classifier: str) -> None:
    """A class that only validates has probability 0 and costs nothing but its rows."""
    rows = [f"{i % 3 + 0.01 * i},{'bca'[i % 3]},{int(i % 3 != 1)}" for i in range(90)]
    rows = [row.replace(",c,0", ",c,-1") for row in rows[:60]] + [f"{i},a,0" for i in range(3)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y,fold", *rows]))
    dataset = Dataset(uri="t.csv", target="y", fold_column="fold")
    evaluation = Evaluation(folds=2, split=Split.FOLD_COLUMN)
    runs = FoldRuns(tmp_path, "sklearn_classifier", dataset, evaluation)
    (scores,) = runs.scores({**SMALL, "classifier": classifier}, fold=1)
    assert all(np.isfinite(value) for value in scores.values())
    assert "roc_auc" not in scores


def test_one_class_to_train_on_is_refused(tmp_path: Path) -> None:
    """A fold whose training rows are of one class fails with the class, the fold and the remedy."""
    rows = ["x,y,fold", *(f"{i},{'no' if i < 20 else 'yes'},{int(i < 20)}" for i in range(40))]
    failure, reason = failed(tmp_path, rows, DEFAULT, Split.FOLD_COLUMN)
    assert failure is Failure.ERROR
    assert "all rows that train in repeat 0, fold 0 are of class 'no'; use evaluation.split stratified" in reason


def test_constant_columns_are_refused(tmp_path: Path) -> None:
    """A table in which no feature varies fails with the names of its columns."""
    failure, reason = failed(tmp_path, ["p,q,y", *(f"3,,{i % 2}" for i in range(20))], DEFAULT)
    assert failure is Failure.ERROR
    assert "no feature varies in the training rows (p, q)" in reason


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"classifier": "knn", "knn_neighbours": 11}, "knn_neighbours is 11, but there are only 10 rows to train on"),
        (
            {"extraction": "kernel_pca", "kernel_pca_components": 11},
            "kernel_pca_components is 11, but there are only 10 rows to train on",
        ),
        ({"classifier": "knn", "class_weight": "balanced"}, "class_weight balanced is not for classifier knn"),
        ({"extraction": "polynomial", "polynomial_degree": 70}, "polynomial_degree 70 makes 2555 columns of 2"),
        (
            {"scaler": "none", "extraction": "polynomial"},
            "extraction polynomial, classifier linear: cannot be fitted to 10 rows and 2 columns: Input X",
        ),
    ],
)
def test_what_rows_do_not_allow_is_infeasible(tmp_path: Path, params: dict[str, Any], reason: str) -> None:
    """A configuration that these rows do not allow is infeasible, and the reason names the parameter."""
    rows = ["p,q,y", *(f"{i}e200,{i * i},{i % 2}" for i in range(20))]
    failure, found = failed(tmp_path, rows, params)
    assert failure is Failure.NOT_FINITE
    assert reason in found


def test_kernel_pca_of_many_rows_is_infeasible(tmp_path: Path) -> None:
    """Kernel PCA of more rows than its matrix has room for is infeasible, whatever the rows hold."""
    np.savez(tmp_path / "t.npz", X=np.arange(24_000.0)[:, None], y=np.arange(24_000) % 2)
    runs = fold_runs(tmp_path, Dataset(uri="t.npz"))
    _, ended = runs.advance({"extraction": "kernel_pca"})
    assert ended.failure is Failure.NOT_FINITE
    assert "extraction kernel_pca takes at most 10000 rows to train on, not 16000" in ended.reason


def test_numbers_are_refused(tmp_path: Path) -> None:
    """A target of numbers fails with the reason."""
    runs = FoldRuns(tmp_path, "sklearn_classifier", Dataset(builtin="diabetes"), Evaluation())
    _, ended = runs.advance(DEFAULT)
    assert ended.outcome is Outcome.FAILED
    assert "predicts classes" in ended.reason


@pytest.mark.parametrize(
    "change",
    [
        {"impute": "zero"},
        {"scaler": "log"},
        {"selection": "all"},
        {"extraction": "tsne"},
        {"categories": "hash"},
        {"classifier": "neural"},
        {"linear_penalty": "l3"},
        {"class_weight": "heavy"},
    ],
)
def test_unknown_names_are_refused(tmp_path: Path, change: dict[str, str]) -> None:
    """A value that a parameter does not have is refused with those that it has."""
    _, ended = fold_runs(tmp_path, Dataset(builtin="iris")).advance({**DEFAULT, **change})
    (name, value), *_ = change.items()
    assert ended.failure is Failure.ERROR
    assert f"{name} {value!r} is not known; use" in ended.reason


def test_impossible_values_are_errors(tmp_path: Path) -> None:
    """A value that no rows would allow is an error of the study, not an infeasible configuration."""
    _, ended = fold_runs(tmp_path, Dataset(builtin="iris")).advance({**DEFAULT, "linear_c": -1.0})
    assert ended.failure is Failure.ERROR
    assert "'C' parameter" in ended.reason
