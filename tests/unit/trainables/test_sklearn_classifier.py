"""The scikit-learn pipeline, run as a worker runs it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.study import Dataset
from searchd.ports.engine import Outcome
from searchd.trainable import registered
from tests.unit.trainables.fold_runs import FoldRuns
from trainables.sklearn_classifier import DEFAULT, pipeline


def fold_runs(tmp_path: Path, dataset: Dataset, epochs: int = 1) -> FoldRuns:
    evaluation = Evaluation(folds=3, split=Split.STRATIFIED, epochs=epochs)
    return FoldRuns(tmp_path, "sklearn_classifier", dataset, evaluation)


def space_at(u: float, classifier: str) -> dict[str, Any]:
    """The configuration at quantile ``u`` of every parameter, with that classifier."""
    space = registered()["sklearn_classifier"].space
    chosen: dict[str, Any] = {}
    for parameter in space.active(chosen):
        chosen[parameter.name] = classifier if parameter.name == "classifier" else parameter.domain.at(u)
    return chosen


def test_card_tells_what_it_takes() -> None:
    """It is registered with conditional parameters for each classifier, a default and folds."""
    card = registered()["sklearn_classifier"]
    owners = {c.values for p in card.space.parameters for c in p.when if c.parameter == "classifier"}
    assert owners == {("linear",), ("svm",), ("forest",), ("boosting",), ("knn",)}
    assert (card.default, card.folds, card.checkpoints) == (DEFAULT, True, True)


@pytest.mark.parametrize("classifier", ["linear", "svm", "forest", "boosting", "knn"])
@pytest.mark.parametrize("u", [0.0, 0.2, 0.999])
def test_whole_space_can_be_trained(tmp_path: Path, classifier: str, u: float) -> None:
    """Every classifier trains at the edges and inside of its space, in one epoch, without a warning."""
    (scores,) = fold_runs(tmp_path, Dataset(builtin="iris"), epochs=4).scores(space_at(u, classifier))
    assert set(scores) == {"accuracy", "precision", "recall", "f1"}
    assert 0 <= scores["f1"] <= 1


def test_default_is_sensible(tmp_path: Path) -> None:
    """The default configuration classifies wine well, and its confusion matrix holds the fold's rows."""
    runs = fold_runs(tmp_path, Dataset(builtin="wine"))
    (scores,) = runs.scores(DEFAULT)
    confusion = runs.confusion()
    assert confusion is not None
    matrix = np.array(confusion["matrix"])
    assert scores["accuracy"] > 0.95
    assert matrix.sum() == len(runs.rows()[1])
    assert np.trace(matrix) / matrix.sum() == pytest.approx(scores["accuracy"], abs=1e-12)
    assert confusion["classes"] == ["class_0", "class_1", "class_2"]


@pytest.mark.parametrize("classifier", ["linear", "svm", "forest", "boosting", "knn"])
def test_missing_values_are_imputed(tmp_path: Path, classifier: str) -> None:
    """Missing values, whole empty columns included, stop no classifier."""
    rows = [f"{i % 7 if i % 5 else ''},,{'ab'[i % 2]},{i % 2}" for i in range(90)]
    (tmp_path / "t.csv").write_text("\n".join(["p,q,r,y", *rows]))
    runs = fold_runs(tmp_path, Dataset(uri="t.csv", target="y"))
    (scores,) = runs.scores({"classifier": classifier})
    assert scores["accuracy"] == 1.0


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


def test_numbers_are_refused(tmp_path: Path) -> None:
    """A target of numbers fails with the reason."""
    runs = FoldRuns(tmp_path, "sklearn_classifier", Dataset(builtin="diabetes"), Evaluation())
    _, ended = runs.advance(DEFAULT)
    assert ended.outcome is Outcome.FAILED
    assert "predicts classes" in ended.reason


@pytest.mark.parametrize("change", [{"scaler": "log"}, {"classifier": "tree"}])
def test_unknown_names_are_refused(change: dict[str, str]) -> None:
    """A scaler or classifier that there is not is refused with those there are."""
    with pytest.raises(ValueError, match="is not known; use"):
        pipeline({**DEFAULT, **change}, 0)
