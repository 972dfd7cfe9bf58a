"""Metrics by group and permutation importance of the models for tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from searchd.datasets import DatasetCache
from searchd.domain.evaluation import Evaluation
from searchd.domain.failure import Failure
from searchd.domain.study import Dataset
from tests.unit.trainables.fold_runs import FoldRuns
from trainables import sklearn_classifier, sklearn_regressor
from trainables.groups import by_group, groups_of

ROWS = 120
SITE = np.array(["north", "south", "west"])[np.arange(ROWS) % 3]


def table(**more: Any) -> pd.DataFrame:
    """Rows whose target follows the signal, but not in the west."""
    signal, noise, other = np.random.default_rng(0).normal(size=(3, ROWS))
    told = np.where(SITE == "west", other, signal)
    columns = {"signal": signal, "noise": noise, "site": SITE, "year": 2020 + np.arange(ROWS) % 2, **more}
    return pd.DataFrame({**columns, "y": np.where(told > 0, "yes", "no"), "z": told})


def fold_runs(tmp_path: Path, trainable: str, target: str, **more: Any) -> FoldRuns:
    table(**more).to_csv(tmp_path / "rows.csv", index=False)
    other = "z" if target == "y" else "y"
    dataset = Dataset(uri="rows.csv", target=target, drop=(other,))
    metric = "accuracy" if target == "y" else "rmse"
    return FoldRuns(tmp_path, trainable, dataset, Evaluation(folds=2), metric=metric)


def test_accuracy_of_each_group(tmp_path: Path) -> None:
    """Each value of a text column has the accuracy of its rows, recomputable; worst and gap follow from them."""
    runs = fold_runs(tmp_path, "sklearn_classifier", "y")
    (scores,) = runs.scores({**sklearn_classifier.DEFAULT, "by": "site"})
    _, valid = runs.rows()
    groups = {site: scores[f"accuracy[site={site}]"] for site in ("north", "south", "west")}
    counts = [int((SITE[valid] == site).sum()) for site in groups]
    assert sum(v * n for v, n in zip(groups.values(), counts, strict=True)) / len(valid) == pytest.approx(
        scores["accuracy"]
    )
    assert scores["worst_group_accuracy"] == groups["west"] == min(groups.values())
    assert scores["group_gap"] == pytest.approx(max(groups.values()) - groups["west"])
    assert scores["group_gap"] > 0.2


def test_error_of_each_group(tmp_path: Path) -> None:
    """Each value of a column of few numbers has the error of its rows; the largest is the worst."""
    runs = fold_runs(tmp_path, "sklearn_regressor", "z")
    (scores,) = runs.scores({**sklearn_regressor.DEFAULT, "by": "year"})
    groups = [scores["rmse[year=2020]"], scores["rmse[year=2021]"]]
    assert scores["worst_group_rmse"] == max(groups)
    assert scores["group_gap"] == pytest.approx(max(groups) - min(groups))
    assert min(groups) <= scores["rmse"] <= max(groups)


@pytest.mark.parametrize("trainable", ["sklearn_classifier", "sklearn_regressor"])
def test_without_a_column_there_are_no_groups(tmp_path: Path, trainable: str) -> None:
    """Neither group metrics nor an explanation unless they were asked for."""
    classes = trainable == "sklearn_classifier"
    runs = fold_runs(tmp_path, trainable, "y" if classes else "z")
    (scores,) = runs.scores((sklearn_classifier if classes else sklearn_regressor).DEFAULT)
    assert not [name for name in scores if "group" in name or "[" in name]
    assert not list(tmp_path.rglob("permutation_importance.json"))


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        ("sit", "by: 'sit' is no feature of the dataset; use one of signal, noise, site, year"),
        ("signal", "by: column 'signal' has 120 values, more than 20; name one with fewer, such as ranges as text"),
        ("name", "by: column 'name' has 120 values, more than 20"),
        ("same", "by: column 'same' has only one value; name a column with two or more"),
    ],
)
def test_columns_that_make_no_groups(tmp_path: Path, by: str, reason: str) -> None:
    """A column that is no feature, or has too many values or one, is an error that names it."""
    runs = fold_runs(tmp_path, "sklearn_classifier", "y", name=[f"person {i}" for i in range(ROWS)], same=["a"] * ROWS)
    scores, ended = runs.advance({**sklearn_classifier.DEFAULT, "by": by})
    assert (scores, ended.failure) == ([], Failure.ERROR)
    assert reason in ended.reason


def test_rows_without_a_value_are_in_no_group(tmp_path: Path) -> None:
    """Missing text and missing numbers belong to nobody."""
    pd.DataFrame({"t": ["a", None, "b"], "n": [1.0, 2.0, np.nan], "y": [0, 1, 0]}).to_csv(tmp_path / "t.csv")
    data = DatasetCache(tmp_path / "cache", (tmp_path,)).load(Dataset(uri="t.csv", target="y"))
    assert {value: mask.tolist() for value, mask in groups_of(data, "t").items()} == {
        "a": [True, False, False],
        "b": [False, False, True],
    }
    assert {value: mask.tolist() for value, mask in groups_of(data, "n").items()} == {
        "1": [True, False, False],
        "2": [False, True, False],
    }


def test_a_group_that_no_row_validates_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """It has no metric, the log says why, and the gap is of the others."""
    groups = {"a": np.array([True, False]), "b": np.array([False, True]), "c": np.array([False, False])}
    found = by_group("rmse", "minimize", "site", groups, lambda mask: 1.0 if mask[0] else 3.0)
    assert found == {"rmse[site=a]": 1.0, "rmse[site=b]": 3.0, "worst_group_rmse": 3.0, "group_gap": 2.0}
    assert capsys.readouterr().out == "rmse is left out for site c: no row that validates\n"
    assert by_group("rmse", "minimize", "site", {"c": np.array([False])}, lambda _: 0.0) == {}


def test_the_column_that_tells_comes_first(tmp_path: Path) -> None:
    """The importance of the column that the target follows is the greatest, that of noise about nothing."""
    runs = fold_runs(tmp_path, "sklearn_classifier", "y")
    (scores,) = runs.scores({**sklearn_classifier.DEFAULT, "explain": True})
    told = runs.artifact("permutation_importance.json")
    importance = dict(zip(told["columns"], told["importance"], strict=True))
    assert told["columns"][0] == "signal"
    assert told["importance"] == sorted(told["importance"], reverse=True)
    assert importance["signal"] > 0.1
    assert abs(importance["noise"]) < importance["signal"] / 2
    assert set(importance) == {"signal", "noise", "site=north", "site=south", "site=west", "year"}
    assert (told["metric"], told["rows"], told["repeats"]) == ("accuracy", 60, 5)
    assert told["score"] == pytest.approx(scores["accuracy"])


def test_the_importance_of_a_regression(tmp_path: Path) -> None:
    """It is by how much the error rises, and comes out the same each time."""
    runs = fold_runs(tmp_path, "sklearn_regressor", "z")
    (scores,) = runs.scores({**sklearn_regressor.DEFAULT, "explain": True})
    told = runs.artifact("permutation_importance.json")
    assert (told["columns"][0], told["metric"]) == ("signal", "-rmse")
    assert told["score"] == pytest.approx(-scores["rmse"])
    runs.scores({**sklearn_regressor.DEFAULT, "explain": True})
    assert runs.artifact("permutation_importance.json") == told
