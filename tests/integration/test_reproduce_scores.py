"""Anyone can repeat a score with a few lines of scikit-learn: these are the lines."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_validate,
    train_test_split,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

import trainables.sklearn_classifier  # noqa: F401  (registers it)
from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.study import Dataset
from searchd.worker.randomness import fold_run_seed
from tests.unit.trainables.fold_runs import FoldRuns

SVM = {"scaler": "standard", "classifier": "svm", "svm_c": 3.0, "svm_kernel": "rbf", "svm_gamma": 0.01}
KNN = {"scaler": "minmax", "classifier": "knn", "knn_neighbours": 4, "knn_weights": "distance"}
LINEAR = {"scaler": "standard", "classifier": "linear", "linear_c": 0.5}
SCORES = {"accuracy": "accuracy", "precision": "precision_macro", "recall": "recall_macro", "f1": "f1_macro"}


def reported(
    tmp_path: Path, dataset: Dataset, evaluation: Evaluation, params: dict[str, Any]
) -> dict[str, list[float]]:
    """What the trainable reports for every fold run of an evaluation, by metric."""
    fold_runs = FoldRuns(tmp_path, "sklearn_classifier", dataset, evaluation, seed=7)
    places = (evaluation.place(index) for index in range(evaluation.fold_runs))
    runs = [score for repeat, fold in places for score in fold_runs.scores(params, repeat=repeat, fold=fold)]
    return {metric: [run[metric] for run in runs] for metric in SCORES}


@pytest.mark.parametrize(
    ("name", "load"), [("digits", load_digits), ("wine", load_wine), ("breast_cancer", load_breast_cancer)]
)
@pytest.mark.parametrize("folds", [3, 5])
def test_stratified_folds(tmp_path: Path, name: str, load: Any, folds: int) -> None:
    """Every metric of every fold equals cross_validate with StratifiedKFold at the study's split_seed."""
    evaluation = Evaluation(folds=folds, split=Split.STRATIFIED, split_seed=17)
    found = reported(tmp_path, Dataset(builtin=name), evaluation, SVM)

    x, y = load(return_X_y=True)
    model = make_pipeline(StandardScaler(), SVC(C=3.0, gamma=0.01))
    cv = StratifiedKFold(folds, shuffle=True, random_state=17)
    expected = cross_validate(model, x, y, cv=cv, scoring=SCORES)

    for metric in SCORES:
        assert found[metric] == pytest.approx(list(expected[f"test_{metric}"]), abs=1e-9)


def test_repeated_folds(tmp_path: Path) -> None:
    """Repeat r is the splitter at split_seed + r."""
    found = reported(tmp_path, Dataset(builtin="wine"), Evaluation(folds=4, repeats=2, split_seed=3), KNN)

    x, y = load_wine(return_X_y=True)
    model = make_pipeline(MinMaxScaler(), KNeighborsClassifier(4, weights="distance"))
    expected = [
        score
        for repeat in (0, 1)
        for score in cross_validate(model, x, y, cv=KFold(4, shuffle=True, random_state=3 + repeat))["test_score"]
    ]

    assert found["accuracy"] == pytest.approx(expected, abs=1e-9)
    assert expected[:4] != expected[4:]


@pytest.mark.parametrize("stratify", [True, False])
def test_holdout(tmp_path: Path, stratify: bool) -> None:
    """A hold-out is train_test_split; the trial's seed is the model's random_state."""
    split = Split.STRATIFIED if stratify else Split.KFOLD
    params = {
        "scaler": "none",
        "classifier": "forest",
        "forest_trees": 50,
        "forest_max_features": 0.3,
        "forest_min_leaf": 2,
    }
    found = reported(
        tmp_path, Dataset(builtin="breast_cancer"), Evaluation(holdout=0.3, split=split, split_seed=5), params
    )

    x, y = load_breast_cancer(return_X_y=True)
    parts = train_test_split(x, y, test_size=0.3, random_state=5, stratify=y if stratify else None)
    model = RandomForestClassifier(
        50, max_features=0.3, min_samples_leaf=2, random_state=fold_run_seed(7, 1, 0, 0)
    ).fit(parts[0], parts[2])
    predicted = model.predict(parts[1])

    assert found["accuracy"] == pytest.approx([accuracy_score(parts[3], predicted)], abs=1e-9)
    assert found["f1"] == pytest.approx([f1_score(parts[3], predicted, average="macro")], abs=1e-9)


@pytest.fixture
def patients() -> pd.DataFrame:
    """A table of 90 visits by 15 patients, with text among the features and the target."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"age": random.normal(50, 9, 90), "ward": random.choice(["a", "b", "c"], 90)})
    frame["patient"] = [f"p{i}" for i in random.integers(0, 15, 90)]
    frame["visit"] = pd.date_range("2024-01-01", periods=90).to_numpy()[random.permutation(90)]
    frame["outcome"] = np.where(frame.age + 5 * (frame.ward == "b") + random.normal(0, 5, 90) > 50, "ill", "well")
    return frame


def test_groups_of_a_csv(tmp_path: Path, patients: pd.DataFrame) -> None:
    """Group folds of a CSV equal GroupKFold over the same table, text features as dummy columns."""
    patients.to_csv(tmp_path / "visits.csv", index=False)
    dataset = Dataset(uri="visits.csv", target="outcome", groups="patient", drop=("visit",))
    found = reported(tmp_path, dataset, Evaluation(folds=5, split=Split.GROUP, split_seed=2), LINEAR)

    frame = pd.read_csv(tmp_path / "visits.csv")
    x = pd.get_dummies(frame[["age", "ward"]], dtype=float)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=1000))
    cv = GroupKFold(5, shuffle=True, random_state=2)
    expected = cross_validate(model, x, frame.outcome, groups=frame.patient, cv=cv, scoring=SCORES)

    for metric in SCORES:
        assert found[metric] == pytest.approx(list(expected[f"test_{metric}"]), abs=1e-9)


def test_time_series_of_a_parquet(tmp_path: Path, patients: pd.DataFrame) -> None:
    """Time series folds equal TimeSeriesSplit over the table sorted by the column that orders it."""
    patients.to_parquet(tmp_path / "visits.parquet")
    dataset = Dataset(uri="visits.parquet", target="outcome", order_by="visit", drop=("patient", "ward"))
    found = reported(tmp_path, dataset, Evaluation(folds=4, split=Split.TIMESERIES), LINEAR)

    frame = patients.sort_values("visit")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=1000))
    expected = cross_validate(model, frame[["age"]], frame.outcome, cv=TimeSeriesSplit(4))

    assert found["accuracy"] == pytest.approx(list(expected["test_score"]), abs=1e-9)
