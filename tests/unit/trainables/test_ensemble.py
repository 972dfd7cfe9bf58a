"""Ensembles of the trials of a study, through the worker's own code."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from searchd.domain.evaluation import TEST_FOLD, Evaluation, Split
from searchd.domain.study import Dataset
from searchd.ports.engine import Outcome
from tests.unit.trainables.fold_runs import FoldRuns
from trainables import combining, ensemble, sklearn_classifier, sklearn_regressor

REGISTERED = (ensemble, sklearn_classifier, sklearn_regressor)
WINE = Dataset(builtin="wine", test=0.25)
FOLDS = Evaluation(folds=3, split=Split.STRATIFIED)
TREE = {"classifier": "tree", "tree_depth": 2}


def parents(folder: Path, *configurations: dict[str, Any], evaluation: Evaluation = FOLDS) -> list[FoldRuns]:
    """Trials of one study on wine, evaluated in full."""
    made = []
    for number, params in enumerate(configurations, start=1):
        runs = FoldRuns(folder, "sklearn_classifier", WINE, evaluation, trial=number)
        for fold in range(max(evaluation.folds, 1)):
            runs.scores(params, fold=fold)
        made.append(runs)
    return made


def child(folder: Path, members: list[FoldRuns], evaluation: Evaluation = FOLDS) -> FoldRuns:
    """A study of ensembles of them."""
    heritage = members[0].heritage(*members[1:], params={})
    return FoldRuns(folder, "ensemble", WINE, evaluation, metric="loss", heritage=heritage)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the parent has left its predictions."""
    return tmp_path_factory.mktemp("ensemble")


@pytest.fixture(scope="module")
def ensembles(folder: Path) -> FoldRuns:
    """Of a tree, naive Bayes and logistic regression."""
    members = parents(folder, TREE, {"classifier": "naive_bayes"}, {"classifier": "linear"})
    return child(folder, members)


@pytest.mark.parametrize("method", ["voting", "averaging", "greedy", "stacking"])
def test_every_method_combines(ensembles: FoldRuns, method: str) -> None:
    """Each method scores on every fold and on the rows set aside, at least as well as the worst member, here a tree."""
    for fold in (0, 1, 2, TEST_FOLD):
        [scores] = ensembles.scores({"method": method, "members": 3}, fold=fold)
        assert scores["gain"] >= 0
        assert scores["loss"] <= scores["parent_loss"]
        assert scores["accuracy"] > 0.8


def test_an_ensemble_of_one_is_its_member(ensembles: FoldRuns) -> None:
    """With one member the mean and the greedy choice say what the member says."""
    for method in ("averaging", "greedy"):
        [scores] = ensembles.scores({"method": method, "members": 1})
        assert scores["gain"] == 0
        assert scores["loss"] == pytest.approx(scores["parent_loss"])


def test_ensembles_keep_predictions_too(ensembles: FoldRuns, folder: Path) -> None:
    """What an ensemble says is kept like that of any trial, so that it can be a parent itself."""
    ensembles.scores({"method": "averaging", "members": 3}, fold=1)
    grandchild = FoldRuns(
        folder, "ensemble", WINE, FOLDS, metric="loss", heritage=ensembles.heritage(params={}), trial=2
    )
    ended = grandchild.advance({"method": "averaging", "members": 1}, fold=1)[1]
    assert ended.outcome is Outcome.REACHED, ended


def test_nothing_is_learnt_from_rows_that_validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is learnt on comes from models that did not train on the row, and no row that validates is among it."""
    members = parents(tmp_path, TREE, {"classifier": "linear"})
    runs = child(tmp_path, members)
    learnt: list[tuple[NDArray[Any], NDArray[Any]]] = []

    def noted(said: NDArray[Any], truth: NDArray[Any], *_: object) -> combining.Combination:
        learnt.append((said, truth))
        return combining.weighted(np.full(len(said), 1 / len(said)))

    monkeypatch.setattr(combining, "greedy", noted)
    runs.scores({"method": "greedy", "members": 2})
    [(said, truth)] = learnt
    train, valid = runs.rows(0)
    assert len(truth) == len(train)
    labels = np.asarray(runs.cache.load(WINE).y)
    assert (truth == labels[train]).all()
    for member, runs_of_member in zip(said, members, strict=True):
        for fold in (1, 2):
            _, others = runs_of_member.rows(fold)
            assert not set(others) & set(valid)
            stored = np.load(tmp_path / f"storage/artifacts/study/{runs_of_member.number}/0-{fold}/predictions.npz")
            unseen = stored["values"][np.searchsorted(stored["rows"], others)]
            assert not stored["trained"][np.searchsorted(stored["rows"], others)].any()
            np.testing.assert_allclose(member[np.isin(train, others)], unseen, atol=1e-6)


def test_labels_of_rows_that_validate_change_nothing_of_what_is_predicted(tmp_path: Path) -> None:
    """With other labels on the rows that validate, parent and ensemble predict the same for them."""
    random = np.random.default_rng(1)
    features, classes = random.normal(size=(90, 4)), random.integers(0, 2, 90)
    fold_of = np.arange(90) % 3
    said = []
    for name, flipped in (("a", classes), ("b", np.where(fold_of == 0, 1 - classes, classes))):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "data.npz", X=features, y=flipped, fold=fold_of)
        dataset = Dataset(uri=str(tmp_path / name / "data.npz"), fold_column="fold")
        evaluation = Evaluation(folds=3, split=Split.FOLD_COLUMN)
        linear = FoldRuns(tmp_path / name, "sklearn_classifier", dataset, evaluation)
        linear.scores({})
        heritage = linear.heritage(params={})
        runs = FoldRuns(tmp_path / name, "ensemble", dataset, evaluation, metric="loss", heritage=heritage)
        runs.scores({"method": "averaging", "members": 1})
        stored = np.load(tmp_path / name / "storage/artifacts/child/1/0-0/predictions.npz")
        said.append(stored["values"][np.isin(stored["rows"], runs.rows(0)[1])])
    np.testing.assert_array_equal(*said)


def test_numbers_are_combined(tmp_path: Path) -> None:
    """Regressors are combined by every method; the loss of a constant prediction would be about 1."""
    dataset = Dataset(builtin="diabetes", test=0.25)
    evaluation = Evaluation(folds=3)
    members = []
    for number, regressor in enumerate(("linear", "forest"), start=1):
        runs = FoldRuns(tmp_path, "sklearn_regressor", dataset, evaluation, trial=number, metric="rmse")
        for fold in range(3):
            runs.scores({"regressor": regressor}, fold=fold)
        members.append(runs)
    heritage = members[0].heritage(members[1], params={})
    both = FoldRuns(tmp_path, "ensemble", dataset, evaluation, metric="loss", heritage=heritage)
    for method in ("voting", "averaging", "greedy", "stacking"):
        for fold in (0, TEST_FOLD):
            [scores] = both.scores({"method": method, "members": 2}, fold=fold)
            assert scores["loss"] < 0.8
            assert "accuracy" not in scores


def test_a_hold_out_has_nothing_to_learn_from(tmp_path: Path) -> None:
    """Of a parent with a hold-out split, means and votes can be made, and learning says why it cannot be done."""
    holdout = Evaluation(split=Split.STRATIFIED)
    runs = child(tmp_path, parents(tmp_path, TREE, {}, evaluation=holdout), holdout)
    assert runs.scores({"method": "voting", "members": 2})
    ended = runs.advance({"method": "greedy", "members": 2})[1]
    assert ended.outcome is Outcome.FAILED
    assert "give the parent folds instead of a hold-out" in ended.reason


def test_a_parent_without_predictions_is_named(tmp_path: Path) -> None:
    """A member that has left no predictions fails the trial with its number and the file."""
    linear = FoldRuns(tmp_path, "sklearn_classifier", WINE, FOLDS, trial=4)
    ended = child(tmp_path, [linear]).advance({"method": "averaging", "members": 1})[1]
    assert "trial 4 of the parent has left no predictions.npz" in ended.reason


def test_an_unknown_method_is_named(ensembles: FoldRuns) -> None:
    """A method that there is not is refused with those that there are."""
    ended = ensembles.advance({"method": "prayer", "members": 2})[1]
    assert "voting, averaging, greedy or stacking" in ended.reason


def test_votes_tie_for_what_is_likelier() -> None:
    """Of two classes with as many votes the one that is likelier on average wins; shares sum to 1."""
    said = np.array([[[0.6, 0.4]], [[0.1, 0.9]]])
    shares = combining.voting(classes=True)(said)
    assert shares.argmax() == 1
    assert shares.sum() == pytest.approx(1.0)


def test_greedy_selection_leaves_out_what_harms() -> None:
    """A member that is always wrong gets no weight, and one that is sure and right gets all."""
    truth = np.array([0, 1, 0, 1])
    right = np.eye(2)[truth] * 0.98 + 0.01
    said = np.stack([1 - right, right, np.full((4, 2), 0.5)])
    p = {"steps": 5, "bags": 1, "bag_share": 1.0}
    combine = combining.greedy(said, truth, p, np.random.default_rng(0))
    np.testing.assert_allclose(combine(said), right)
