"""Distillation: what a student learns of its teacher, what it cannot, and why; run as a worker runs it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from searchd.domain.evaluation import TEST_FOLD, Evaluation, Split
from searchd.domain.study import Dataset
from searchd.ports.engine import Outcome
from searchd.trainable import registered
from searchd.trainable.parent import PREDICTIONS
from searchd.worker.model_files import outputs
from tests.unit.trainables.digits import paused_everywhere, some_digits
from tests.unit.trainables.fold_runs import FoldRuns
from trainables import sklearn_classifier, sklearn_regressor, torch_cnn, torch_mlp, torch_sequence
from trainables.distill import DEFAULT
from trainables.torch_architectures import ARCHITECTURES, NETWORK
from trainables.torch_targets import Classes
from trainables.torch_teaching import Taught
from trainables.torch_training import WEIGHTS

REGISTERED = (sklearn_classifier, sklearn_regressor, torch_cnn, torch_mlp, torch_sequence)
FOLDS = Evaluation(folds=3, split=Split.STRATIFIED)
STUDENTS: dict[str, dict[str, Any]] = {
    "cnn": {"channels": 4, "layers": 1},
    "mlp": {"width": 8, "layers": 1},
    "sequence": {"width": 8, "layers": 1},
}
FAST = {"lr": 1e-2, "batch_size": 40}
NUMBERS = Dataset(builtin="diabetes")


def taught(folder: Path, dataset: Dataset, params: dict[str, Any], folds: tuple[int, ...] = (0,)) -> FoldRuns:
    """A teacher that is no network."""
    numbers = dataset == NUMBERS
    evaluation = Evaluation(folds=3) if numbers else FOLDS
    name, metric = ("sklearn_regressor", "rmse") if numbers else ("sklearn_classifier", "accuracy")
    teacher = FoldRuns(folder, name, dataset, evaluation, metric=metric)
    for fold in folds:
        teacher.scores(params, fold=fold)
    return teacher


def pupil(folder: Path, teacher: FoldRuns, dataset: Dataset, *, epochs: int = 3, same_rows: bool = True) -> FoldRuns:
    """A study of its students."""
    evaluation = Evaluation(folds=3, epochs=epochs, split=Split.KFOLD if dataset == NUMBERS else Split.STRATIFIED)
    heritage = teacher.heritage(params={}, same_rows=same_rows)
    return FoldRuns(folder, "distill", dataset, evaluation, metric="loss", heritage=heritage)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the teacher of most tests has left its predictions."""
    return tmp_path_factory.mktemp("distill")


@pytest.fixture(scope="module")
def digits(folder: Path) -> Dataset:
    """Some digits, a part of them set aside."""
    return Dataset(uri=some_digits(folder).uri, test=0.2)


@pytest.fixture(scope="module")
def teacher(folder: Path, digits: Dataset) -> FoldRuns:
    """A forest that has learnt them."""
    return taught(folder, digits, {"classifier": "forest"}, folds=(0, 1, 2))


@pytest.fixture
def runs(folder: Path, teacher: FoldRuns, digits: Dataset) -> FoldRuns:
    """Its students."""
    return pupil(folder, teacher, digits)


def refused(runs: FoldRuns, params: dict[str, Any]) -> str:
    """Why a fold run failed."""
    _, ended = runs.advance(params)
    assert ended.outcome is Outcome.FAILED
    return ended.reason


def with_predictions(teacher: FoldRuns, change: Any) -> None:
    """Change what the teacher has kept."""
    with np.load(teacher.file(PREDICTIONS)) as stored:
        parts = dict(stored)
    parts["values"] = change(parts["values"])
    np.savez(teacher.file(PREDICTIONS), **parts)


def test_card_tells_what_it_takes() -> None:
    """It is registered with a default that holds its space, checkpoints and folds, and needs a parent."""
    card = registered()["distill"]
    assert (card.default, card.checkpoints, card.folds, card.parent) == (DEFAULT, True, True, True)
    assert set(card.space.names()) <= set(DEFAULT)
    assert {name for architecture in ARCHITECTURES.values() for name in architecture.default} <= set(DEFAULT)


@pytest.mark.parametrize("student", sorted(STUDENTS))
def test_without_weight_it_is_plain_training(runs: FoldRuns, folder: Path, digits: Dataset, student: str) -> None:
    """At weight 0 a student has exactly the numbers of its network trained without a teacher; else it has others."""
    p = {**STUDENTS[student], **FAST, "mixup": 0.2, "label_smoothing": 0.1, "dropout": 0.1}
    evaluation = Evaluation(folds=3, epochs=3, split=Split.STRATIFIED)
    plain = FoldRuns(folder / student, f"torch_{student}", digits, evaluation)
    plain.cache = runs.cache
    expected = plain.scores(p)
    assert runs.scores({**p, "student": student, "weight": 0.0, "temperature": 7.0}) == expected
    assert runs.scores({**p, "student": student, "weight": 0.5}) != expected


@pytest.mark.parametrize("student", sorted(STUDENTS))
def test_every_student_learns_from_the_teacher_alone(runs: FoldRuns, student: str) -> None:
    """At weight 1 no label is learnt, and yet the loss falls below that of guessing."""
    p = {**STUDENTS[student], **FAST, "student": student, "weight": 1.0, "temperature": 2.0}
    scores = runs.scores(p)
    assert scores[-1]["loss"] < min(scores[0]["loss"], np.log(10))
    assert runs.artifact(NETWORK)["network"] == student
    assert runs.file(WEIGHTS).exists()


def test_choices_change_the_numbers(runs: FoldRuns) -> None:
    """No choice is ignored: each gives numbers of its own."""
    changes: list[dict[str, Any]] = [
        {},
        {"weight": 0.9},
        {"weight": 1.0},
        {"temperature": 1.0},
        {"temperature": 20.0},
        {"loss": "focal"},
        {"label_smoothing": 0.2},
        {"mixup": 0.5},
        {"width": 12},
        {"layers": 2},
    ]
    losses = [runs.scores({**FAST, "width": 8, **change})[-1]["loss"] for change in changes]
    assert len(set(losses)) == len(changes)


@pytest.mark.parametrize("student", sorted(STUDENTS))
def test_pausing_changes_nothing(folder: Path, teacher: FoldRuns, digits: Dataset, student: str) -> None:
    """Whoever pauses after every epoch gets exactly the numbers of training straight through, mixup on."""
    p = {**STUDENTS[student], **FAST, "student": student, "mixup": 0.3}
    whole = pupil(folder, teacher, digits).scores(p)
    assert paused_everywhere(pupil(folder, teacher, digits), p, 3) == whole


def test_it_is_tested_and_a_parent_like_others(runs: FoldRuns, folder: Path, digits: Dataset) -> None:
    """It learns from the mean of the teacher's models in the test, and its own predictions can teach."""
    p = {**FAST, "width": 8}
    for fold in (0, TEST_FOLD):
        assert runs.scores(p, fold=fold)
    heritage = runs.heritage(params={})
    evaluation = Evaluation(folds=3, epochs=1, split=Split.STRATIFIED)
    again = FoldRuns(folder, "distill", digits, evaluation, metric="loss", heritage=heritage, trial=2)
    assert again.scores(p)


@pytest.mark.parametrize("student", sorted(STUDENTS))
def test_its_model_predicts_what_it_has_kept(runs: FoldRuns, student: str) -> None:
    """The model that a student hands over says of rows as the data has them what the fold run said."""
    made, rows, kept = runs.model({**STUDENTS[student], **FAST, "student": student})
    assert outputs(made.model, made.handed.rows(rows)) == pytest.approx(kept, abs=1e-5)
    assert made.handed.classes == tuple(range(10))


@pytest.mark.parametrize("student", ["mlp", "sequence"])
def test_numbers_are_taught_too(tmp_path: Path, student: str) -> None:
    """Of numbers a student learns the mean of both squared errors, whatever the temperature is."""
    teacher = taught(tmp_path, NUMBERS, {"regressor": "linear"})
    runs = pupil(tmp_path, teacher, NUMBERS, epochs=4)
    p = {**STUDENTS[student], **FAST, "student": student, "weight": 1.0}
    scores = runs.scores(p)
    assert scores[-1]["loss"] < scores[0]["loss"]
    assert runs.scores({**p, "temperature": 9.0}) == scores
    assert runs.scores({**p, "weight": 0.2}) != scores


def targets() -> Classes:
    """Four rows of three classes."""
    return Classes(SimpleNamespace(y=np.array([0, 1, 2, 1]), classes=(0, 1, 2)), "cpu")


SAID: NDArray[np.float64] = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]])
P = {**ARCHITECTURES["mlp"].default, "temperature": 3.0, "weight": 0.25}


def test_the_loss_is_that_of_the_paper() -> None:
    """Both terms, written out: cross-entropy with the labels, and at the temperature the divergence times its square,
    whose gradient is that of the cross-entropy with the softened probabilities."""
    target = Taught(targets(), SAID, np.array([1, 3]))
    given = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.2, 0.1]], requires_grad=True)
    values = target.values[[1, 3]]
    found = target.loss(P)(given, values)
    (slope,) = torch.autograd.grad(found, given)

    softened = (torch.tensor(SAID).clamp_min(1e-7) ** (1 / 3)).float()
    softened = softened / softened.sum(1, keepdim=True)
    own = (given / 3).softmax(1)
    divergence = (softened * (softened.log() - own.log())).sum(1).mean()
    hard = functional.cross_entropy(given, torch.tensor([1, 1]))
    assert found.item() == pytest.approx((0.75 * hard + 0.25 * 9 * divergence).item(), rel=1e-5)
    soft = functional.cross_entropy(given / 3, softened)
    (expected,) = torch.autograd.grad(0.75 * hard + 0.25 * 9 * soft, given)
    assert torch.allclose(slope, expected, atol=1e-6)


def test_a_student_that_agrees_has_nothing_to_learn() -> None:
    """The divergence from the teacher's own probabilities is 0 at every temperature."""
    target = Taught(targets(), SAID, np.array([1, 3]))
    for temperature in (0.5, 1.0, 20.0):
        loss = target.loss({**P, "weight": 1.0, "temperature": temperature})
        given = target.taken(SAID) + 5
        assert loss(given, target.values[[1, 3]]).item() == pytest.approx(0, abs=1e-5)


def test_labels_do_not_count_at_weight_1() -> None:
    """At weight 1 the loss is the same whatever the labels are; below it is not."""
    target = Taught(targets(), SAID, np.array([1, 3]))
    given, values = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.2, 0.1]]), target.values[[1, 3]]
    wrong = values.clone()
    wrong[:, 0] = 2
    for weight in (0.9, 1.0):
        loss = target.loss({**P, "weight": weight})
        assert (loss(given, wrong) == loss(given, values)).item() is (weight == 1)


def test_rows_that_do_not_train_teach_nothing() -> None:
    """What the teacher says of other rows is NaN, which no training survives."""
    target = Taught(targets(), SAID, np.array([1, 3]))
    assert target.values[[0, 2], 1:].isnan().all()
    assert target.values[:, 0].tolist() == [0, 1, 2, 1]


def test_a_teacher_of_other_data_is_refused(folder: Path, teacher: FoldRuns, digits: Dataset) -> None:
    """A study with a dataset of its own has no predictions of its rows."""
    runs = pupil(folder, teacher, digits, same_rows=False)
    assert "the parent's predictions are of other data; leave out `dataset`" in refused(runs, FAST)


def test_without_a_parent_it_says_so(folder: Path, digits: Dataset) -> None:
    """Without a parent there is no teacher."""
    runs = FoldRuns(folder, "distill", digits, FOLDS, metric="loss")
    assert "add `parent` to the study" in refused(runs, FAST)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: v[:, :7], "the teacher has kept 7 numbers for each row, and this dataset needs 10 probabilities"),
        (lambda v: v[:, 0], "the teacher has kept one number for each row, and this dataset needs 10 probabilities"),
        (lambda v: np.where(v == v.max(), np.nan, v), "is not finite, as of"),
        (lambda v: v * 2, "are no probabilities: they have the sum 2 and the least is"),
        (lambda v: v - v[:, :1] * 2, "are no probabilities: they have the sum"),
    ],
)
def test_bad_teachers_say_why(tmp_path: Path, change: Any, reason: str) -> None:
    """A teacher with other classes, or whose predictions are no finite probabilities, fails with what it has kept."""
    dataset = some_digits(tmp_path, 120)
    teacher = taught(tmp_path, dataset, {"classifier": "tree"})
    with_predictions(teacher, change)
    assert reason in refused(pupil(tmp_path, teacher, dataset), FAST)


def test_a_teacher_of_classes_for_numbers(tmp_path: Path) -> None:
    """Probabilities cannot teach numbers."""
    teacher = taught(tmp_path, NUMBERS, {"regressor": "linear"})
    with_predictions(teacher, lambda values: np.stack([values, values], 1))
    reason = refused(pupil(tmp_path, teacher, NUMBERS), FAST)
    assert "the teacher has kept 2 numbers for each row, and this dataset needs one number" in reason


def test_missing_predictions_say_why(tmp_path: Path) -> None:
    """A teacher that has kept none, or none of the rows that train, fails with what is missing."""
    dataset = some_digits(tmp_path, 120)
    teacher = taught(tmp_path, dataset, {"classifier": "tree"})
    runs = pupil(tmp_path, teacher, dataset)
    with np.load(teacher.file(PREDICTIONS)) as stored:
        valid = ~stored["trained"]
        parts = {name: stored[name][valid] for name in stored.files}
    np.savez(teacher.file(PREDICTIONS), **parts)
    assert "of large datasets only those of rows that it did not train on are kept" in refused(runs, FAST)
    teacher.file(PREDICTIONS).unlink()
    assert "trial 1 of the parent has left no predictions.npz" in refused(runs, FAST)


def test_images_are_for_images(tmp_path: Path) -> None:
    """A convolutional student of a table is infeasible, so that a search goes on with the others."""
    wine = Dataset(builtin="wine")
    runs = pupil(tmp_path, taught(tmp_path, wine, {"classifier": "tree"}), wine)
    _, ended = runs.advance({**FAST, "student": "cnn"})
    assert ended.outcome is Outcome.INFEASIBLE
    assert "student cnn is for images, and the dataset is a table" in ended.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"student": "forest"}, "student 'forest' is not known; use cnn, mlp or sequence"),
        ({"temperature": 0}, "temperature is 0; give a number of at least 0.001"),
        ({"temperature": float("nan")}, "temperature is nan; give a number"),
        ({"weight": -0.1}, "weight is -0.1; give a number of at least 0"),
        ({"weight": 1.1}, "weight is 1.1; give a number of at most 1"),
        ({"width": 0}, "width is 0; give a whole number of at least 1"),
    ],
)
def test_bad_parameters_say_why(runs: FoldRuns, change: dict[str, Any], reason: str) -> None:
    """A value that a parameter cannot have fails with its name and what it can be."""
    assert reason in refused(runs, change)
