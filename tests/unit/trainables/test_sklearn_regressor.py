"""The regressors for tables, run as a worker runs them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import ElasticNet
from sklearn.preprocessing import StandardScaler

from searchd.domain.evaluation import Evaluation
from searchd.domain.failure import Failure
from searchd.domain.study import Dataset
from searchd.trainable import registered
from searchd.worker.randomness import fold_run_seed
from tests.unit.trainables.fold_runs import FoldRuns, space_at
from trainables import metrics, tabular
from trainables.sklearn_regressor import DEFAULT
from trainables.tabular_models import LIBRARIES, REGRESSORS

ALL = [*REGRESSORS, *LIBRARIES]
METRICS = {*metrics.REGRESSION, "train_rmse", "gap"}
SMALL = {"forest_trees": 50, "boosting_iterations": 20}
"""Bounds what the far end of the space costs."""


def fold_runs(tmp_path: Path, dataset: Dataset) -> FoldRuns:
    return FoldRuns(tmp_path, "sklearn_regressor", dataset, Evaluation(folds=3), metric="rmse")


def lines(tmp_path: Path, target: list[Any]) -> Dataset:
    """A CSV whose column ``x`` counts the rows."""
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *(f"{i},{value}" for i, value in enumerate(target))]))
    return Dataset(uri="t.csv", target="y")


def test_card_tells_what_it_takes() -> None:
    """It is registered with conditional parameters for each regressor, a default and folds."""
    card = registered()["sklearn_regressor"]
    owners = {name for p in card.space.parameters for c in p.when if c.parameter == "regressor" for name in c.values}
    assert owners == set(ALL)
    assert (card.default, card.folds, card.checkpoints) == (DEFAULT, True, True)
    assert set(card.metrics) == {*METRICS, "worst_group_rmse", "group_gap"}


@pytest.mark.parametrize("regressor", ALL)
@pytest.mark.parametrize("u", [0.0, 0.5, 0.999])
def test_every_model_can_be_trained(tmp_path: Path, regressor: str, u: float) -> None:
    """Every regressor trains at the edges and in the middle of its space, without a warning, each time the same."""
    params = space_at("sklearn_regressor", u, {**tabular.DEFAULT, **SMALL, "regressor": regressor})
    runs = fold_runs(tmp_path, Dataset(builtin="diabetes"))
    (scores,) = runs.scores(params)
    assert set(scores) == METRICS
    assert all(np.isfinite(value) for value in scores.values())
    assert scores["gap"] == pytest.approx(scores["rmse"] - scores["train_rmse"])
    assert runs.scores(params) == [scores]


@pytest.mark.parametrize("regressor", ALL)
def test_unsearched_values_suit_any_unit(tmp_path: Path, regressor: str) -> None:
    """Every regressor learns a line with the values that nobody chose, whatever the target's unit."""
    slope = 1e6
    target = [slope * (i % 60) + 0.5 for i in range(180)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *(f"{i % 60},{y}" for i, y in enumerate(target))]))
    (scores,) = fold_runs(tmp_path, Dataset(uri="t.csv", target="y")).scores({"regressor": regressor})
    assert scores["r2"] > 0.95
    assert slope / 1e9 < scores["rmse"] < 5 * slope


@pytest.mark.parametrize("selection", ["none", "filter", "model"])
@pytest.mark.parametrize("extraction", ["none", "pca", "kernel_pca", "polynomial"])
def test_every_selection_and_extraction_can_be_fitted(tmp_path: Path, selection: str, extraction: str) -> None:
    """Every way to select and extract columns trains with the values that nobody chose."""
    params = {**DEFAULT, "selection": selection, "extraction": extraction}
    (scores,) = fold_runs(tmp_path, Dataset(builtin="diabetes")).scores(params)
    assert scores["r2"] > 0.2


def test_penalties_are_weighed_alike(tmp_path: Path) -> None:
    """Ridge is the elastic net without its L1: the same alpha means the same penalty."""
    runs = fold_runs(tmp_path, Dataset(builtin="diabetes"))
    (ridge,) = runs.scores({**DEFAULT, "linear_alpha": 0.3})
    train, valid = runs.rows()
    x, y = load_diabetes(return_X_y=True)
    scaled, unit = StandardScaler().fit(x[train]), StandardScaler().fit(y[train, None])
    net = ElasticNet(alpha=0.3, l1_ratio=1e-6, tol=1e-8, max_iter=10_000)
    net.fit(scaled.transform(x[train]), unit.transform(y[train, None])[:, 0])
    predicted = unit.inverse_transform(net.predict(scaled.transform(x[valid]))[:, None])[:, 0]
    assert {**ridge, **metrics.regression(y[valid], predicted)} == pytest.approx(ridge, rel=1e-4)


def test_scores_are_scikit_learns(tmp_path: Path) -> None:
    """A forest scores what a few lines of scikit-learn give, its seed being the fold run's."""
    params = {**DEFAULT, "scaler": "none", "regressor": "forest", "forest_trees": 50}
    runs = fold_runs(tmp_path, Dataset(builtin="diabetes"))
    (scores,) = runs.scores(params)
    train, valid = runs.rows()
    x, y = load_diabetes(return_X_y=True)
    forest = RandomForestRegressor(50, random_state=fold_run_seed(7, 1, 0, 0))
    model = TransformedTargetRegressor(forest, transformer=StandardScaler()).fit(x[train], y[train])
    assert scores["rmse"] == pytest.approx(metrics.regression(y[valid], model.predict(x[valid]))["rmse"], rel=1e-9)


def test_whole_numbers_are_numbers(tmp_path: Path) -> None:
    """A target of few whole numbers, which passes for classes, is predicted as the numbers that it holds."""
    dataset = lines(tmp_path, [10 * (i // 20) for i in range(100)])
    runs = fold_runs(tmp_path, dataset)
    assert runs.cache.load(dataset).task == "classification"
    (scores,) = runs.scores({"regressor": "tree"})
    assert scores["r2"] > 0.9
    assert scores["rmse"] < 10


@pytest.mark.parametrize("values", [("yes", "no"), ("1", "2x"), ("True", "False")])
def test_text_is_refused(tmp_path: Path, values: tuple[str, str]) -> None:
    """A target of text or booleans fails with one of its values and the remedy."""
    _, ended = fold_runs(tmp_path, lines(tmp_path, [values[i % 2] for i in range(20)])).advance(DEFAULT)
    assert ended.failure is Failure.ERROR
    assert "predicts numbers, but the target holds classes like" in ended.reason
    assert "set dataset.target to a column of numbers" in ended.reason


def test_too_few_rows_are_infeasible(tmp_path: Path) -> None:
    """More neighbours than rows to train on are infeasible, and the reason names the parameter."""
    runs = fold_runs(tmp_path, lines(tmp_path, [i + 0.5 for i in range(9)]))
    _, ended = runs.advance({"regressor": "knn", "knn_neighbours": 7})
    assert ended.failure is Failure.NOT_FINITE
    assert "knn_neighbours is 7, but there are only 6 rows to train on" in ended.reason


def test_predictions_without_end_are_infeasible(tmp_path: Path) -> None:
    """A model that predicts infinite values is infeasible instead of reporting NaN."""
    dataset = lines(tmp_path, [f"{(-1) ** i}.5e308" for i in range(30)])
    scores, ended = fold_runs(tmp_path, dataset).advance({"regressor": "linear"})
    assert scores == []
    assert ended.failure is Failure.NOT_FINITE


def test_unknown_regressor_is_refused(tmp_path: Path) -> None:
    """A regressor that there is not, such as naive Bayes, is refused with those there are."""
    _, ended = fold_runs(tmp_path, Dataset(builtin="diabetes")).advance({**DEFAULT, "regressor": "naive_bayes"})
    assert ended.failure is Failure.ERROR
    assert "regressor 'naive_bayes' is not known; use linear, svm" in ended.reason
