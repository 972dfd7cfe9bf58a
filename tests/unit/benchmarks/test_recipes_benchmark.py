"""The benchmark of recipes: its arms search the same space on the same rows, and its figures are in pairs."""

import numpy as np
import pytest

from benchmarks import recipes
from benchmarks.recipes.tabular import Outcome, figures, ratios
from benchmarks.recipes.tabular_arms import Drawn, Found, optuna_search, randomized, searchd, suggested
from benchmarks.recipes.tabular_tasks import DATASETS, DEFAULTS, FOLDS, held_out_score, task
from searchd.trainable import registered


def outcome(dataset: str, ours: float, peer: float, seconds: float = 2.0) -> Outcome:
    """Both of ours score the same, and so do both peers, who take twice as long."""
    arms = {"searchd": ours, "searchd_equal_fits": ours, "RandomizedSearchCV": peer, "Optuna": peer}
    found = {arm: Found({}, points, 10, seconds * (1 if "searchd" in arm else 2)) for arm, points in arms.items()}
    return Outcome(dataset, found, {**arms, "default": 50.0})


def test_figures_are_of_pairs() -> None:
    """Differences are ours less the peer's in each pair, ratios the peer's time over ours."""
    outcomes = [outcome("wine", 90, 80), outcome("wine", 80, 82), outcome("cancer", 95, 95)]
    by_name = {figure.name: figure.value for figure in figures(outcomes)}
    assert by_name["tabular_test_points_vs_Optuna_equal_trials"] == pytest.approx(8 / 3)
    better, worse = (by_name[f"tabular_test_points_vs_Optuna_equal_fits_{of}"] for of in ("better", "worse"))
    assert (better, worse) == (1, 1)
    assert by_name["tabular test points/wine/searchd"] == 85
    assert by_name["tabular_test_points_vs_default_equal_trials"] == pytest.approx(115 / 3)
    assert {ratio.value for ratio in ratios(outcomes)} == {2.0}


def test_no_search_sees_the_rows_for_test() -> None:
    """Test rows are a quarter, divided off before the folds, which cover all the others once."""
    for name in DATASETS:
        of = task(name, 0)
        validated = np.concatenate([valid for _, valid in of.splits])
        assert sorted(validated) == list(range(len(of.data)))
        assert len(of.y_test) == pytest.approx(0.25 * (len(of.data) + len(of.y_test)), abs=1)


def test_every_arm_searches() -> None:
    """Each arm chooses a configuration whose score can be had again; searchd with fewer fits."""
    of = task("wine", 0)
    ours = searchd(of, 4)
    assert FOLDS <= ours.fits < 4 * FOLDS
    for found in (ours, randomized(of, 2), optuna_search(of, 2)):
        assert 30 < found.score <= 100
        assert 30 < held_out_score(of, found.configuration) <= 100
    assert held_out_score(of, DEFAULTS[of.trainable]) > 90


def test_peers_draw_from_the_same_space() -> None:
    """What scikit-learn draws, and what Optuna suggests, are configurations of the trainable's space."""
    import optuna

    space = registered()["sklearn_classifier"].space
    drawn = Drawn(space).rvs(np.random.RandomState(0))
    asked = suggested(optuna.create_study().ask(), space)
    for configuration in (drawn, asked):
        active = {parameter.name for parameter in space.active(dict(configuration))}
        assert set(configuration) == active


def test_sections_measure() -> None:
    """Every section of the recipes is a module that measures."""
    import importlib

    for name in recipes.SECTIONS:
        assert callable(importlib.import_module(f"benchmarks.recipes.{name}").measure)
