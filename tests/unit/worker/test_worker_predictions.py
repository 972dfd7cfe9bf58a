"""Predictions that fold runs keep, and how a child sees those of its parent."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from searchd.trainable import MissingPart, Params, ParentTrial
from searchd.trainable.parent import PREDICTIONS
from searchd.worker.predictions import MOST_TRAINED, Rows, write_predictions

VALID, TRAIN, ASIDE = np.array([4, 0]), np.array([1, 2, 3]), np.array([6, 5])
EVERY = np.arange(7)


def ten_times(rows: Rows) -> NDArray[Any]:
    """What a model says that knows the row numbers."""
    return rows * 10.0


def parent(*folders: Path, fold: int | None = 0, same_rows: bool = True) -> ParentTrial:
    """A trial whose fold runs have left what there is in the folders."""
    return ParentTrial(3, "net", Params({}), 0.5, folders, fold, same_rows=same_rows)


def test_a_function_predicts_every_row_of_a_small_dataset(tmp_path: Path) -> None:
    """Rows that validate, that are set aside and that trained are kept in order, and it is kept which trained."""
    write_predictions(tmp_path / PREDICTIONS, ten_times, TRAIN, VALID, ASIDE)
    stored = np.load(tmp_path / PREDICTIONS)
    np.testing.assert_array_equal(stored["rows"], EVERY)
    np.testing.assert_array_equal(stored["values"], EVERY * 10.0)
    np.testing.assert_array_equal(stored["rows"][stored["trained"]], TRAIN)
    assert [file.name for file in tmp_path.iterdir()] == [PREDICTIONS]


def test_of_a_large_dataset_rows_that_trained_are_left_out(tmp_path: Path) -> None:
    """Predictions of rows that trained are kept only if all are few."""
    many = np.arange(10, 10 + MOST_TRAINED)
    write_predictions(tmp_path / PREDICTIONS, ten_times, many, VALID, ASIDE)
    assert list(np.load(tmp_path / PREDICTIONS)["rows"]) == [0, 4, 5, 6]
    with pytest.raises(MissingPart, match="of large datasets only those"):
        parent(tmp_path).predictions(many)


def test_values_are_of_the_rows_that_validate(tmp_path: Path) -> None:
    """Given as values instead of a function, predictions are those of the rows that validate, in their order."""
    write_predictions(tmp_path / PREDICTIONS, np.array([[0.4, 0.6], [1.0, 0.0]]), TRAIN, VALID, ASIDE)
    np.testing.assert_allclose(parent(tmp_path).predictions(VALID), [[0.4, 0.6], [1.0, 0.0]])


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((2, 2, 2)), lambda rows: np.zeros(len(rows) + 1)])
def test_predictions_are_one_for_each_row(tmp_path: Path, wrong: object) -> None:
    """Values of another length or shape are refused, and nothing is written."""
    with pytest.raises(ValueError, match="are not one for each of 2 rows"):
        write_predictions(tmp_path / PREDICTIONS, wrong, TRAIN, VALID, ASIDE)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_function_may_know_nothing_of_rows_that_trained(tmp_path: Path) -> None:
    """Where what is built on has nothing to say of rows that trained, these are left out."""

    def partial(rows: Rows) -> NDArray[Any]:
        if set(rows) & set(TRAIN):
            raise MissingPart("not those")
        return rows * 1.0

    write_predictions(tmp_path / PREDICTIONS, partial, TRAIN, VALID, ASIDE)
    assert list(np.load(tmp_path / PREDICTIONS)["rows"]) == [0, 4, 5, 6]


def folds(root: Path) -> list[Path]:
    """Two folds: one says 1 of every row, the other 2; rows 0 and 4 validate in the first, the others in the second."""
    found = []
    for fold, (train, valid) in enumerate(((TRAIN, VALID), (VALID, TRAIN))):
        folder = root / str(fold)
        folder.mkdir()
        constant = float(fold + 1)
        write_predictions(folder / PREDICTIONS, lambda rows, c=constant: np.full(len(rows), c), train, valid, ASIDE)  # type: ignore[misc]
        found.append(folder)
    return found


def test_a_fold_sees_the_model_of_that_fold(tmp_path: Path) -> None:
    """Fold 1 of a child is told what the model of fold 1 says, also of rows that it trained on; a test, the mean."""
    both = folds(tmp_path)
    np.testing.assert_allclose(parent(*both, fold=1).predictions(EVERY), 2.0)
    np.testing.assert_allclose(parent(*both, fold=None).predictions(EVERY), 1.5)


def test_out_of_fold_means_by_models_that_did_not_train_on_the_row(tmp_path: Path) -> None:
    """Each row is predicted by the model that did not train on it, rows set aside by the mean of all."""
    found = parent(*folds(tmp_path), fold=1).out_of_fold(np.array([3, 0, 5]))
    np.testing.assert_allclose(found, [2.0, 1.0, 1.5])


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """No file, a row that only ever trained, and rows of other data: each says what is missing and why."""
    with pytest.raises(MissingPart, match="trial 3 of the parent has left no weights"):
        parent(tmp_path).artifact("weights.pt")
    write_predictions(tmp_path / PREDICTIONS, ten_times, TRAIN, VALID, ASIDE)
    with pytest.raises(MissingPart, match="give the parent folds instead of a hold-out"):
        parent(tmp_path).out_of_fold(TRAIN)
    with pytest.raises(MissingPart, match="are of other data"):
        parent(tmp_path, same_rows=False).predictions(VALID)
    (tmp_path / "weights.pt").touch()
    assert parent(tmp_path, same_rows=False).artifact("weights.pt") == tmp_path / "weights.pt"
