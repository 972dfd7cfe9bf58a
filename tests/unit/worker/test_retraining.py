"""Fold runs that are trained again, outside of any worker."""

import pickle
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from searchd.datasets import DatasetCache
from searchd.domain.evaluation import TEST_FOLD, Evaluation
from searchd.domain.study import Dataset
from searchd.ports.engine import Segment, Task
from searchd.trainable import Context, Registration, registered, trainable
from searchd.worker.files import Storage
from searchd.worker.host import Loads, Surroundings
from searchd.worker.retraining import AllRows, MadeModel, NoModel, RetrainingFailed, train_again, train_model
from tests.unit.worker.worker_harness import Rows, StoppedClock, a_segment, a_task

MADE: list[str] = []
EPOCHS = 3


@trainable(metrics={"loss": "minimize"}, name="handing_over")
def handing_over(ctx: Context) -> Iterator[dict[str, float]]:
    """Hands a model over at each epoch, unless it is told otherwise."""
    for epoch in ctx.epochs():
        if epoch == ctx.params.get("raise_at"):
            raise ValueError("no more")
        if not ctx.params.get("silent"):
            ctx.model(lambda epoch=epoch: _made(epoch, ctx), lambda rows: rows, ["a", "b"])  # type: ignore[misc]
        yield {"loss": random.random() + epoch}


def _made(epoch: int, ctx: Context) -> str:
    if ctx.params.get("broken"):
        raise KeyError("weights")
    MADE.append(f"model of epoch {epoch}")
    return MADE[-1]


@pytest.fixture(autouse=True)
def nothing_made() -> None:
    MADE.clear()


TASK = a_task("handing_over", epochs=EPOCHS)


def registration() -> Registration:
    return registered()["handing_over"]


def surroundings(folder: Path) -> Surroundings:
    return Surroundings(Rows(), Storage(folder), "cpu", Loads())


def model(folder: Path, task: Task = TASK) -> MadeModel:
    return train_model(a_segment(task, target=EPOCHS), registration(), surroundings(folder), StoppedClock())[1]


def test_the_last_model_counts(tmp_path: Path) -> None:
    """What was handed over last is made, once, with the classes that were named."""
    made = model(tmp_path)
    assert (made.model, made.handed.classes, MADE) == ("model of epoch 3", ("a", "b"), ["model of epoch 3"])


def test_nobody_wants_the_model(tmp_path: Path) -> None:
    """Where scores alone are wanted, no model is made, and each epoch up to the target is reported."""
    reports = train_again(a_segment(TASK, target=2), registration(), surroundings(tmp_path), StoppedClock())
    assert [report.epoch for report in reports] == [1, 2]
    assert MADE == []


def test_the_same_scores_again(tmp_path: Path) -> None:
    """A fold run scores the same again, and the random generators of the process stay as they were."""
    state = random.getstate()
    runs = [
        train_again(a_segment(TASK, target=3), registration(), surroundings(tmp_path / name), StoppedClock())
        for name in ("a", "b")
    ]
    assert [r.metrics for r in runs[0]] == [r.metrics for r in runs[1]]
    assert random.getstate() == state


def test_no_model(tmp_path: Path) -> None:
    """A trainable that hands over none is told how to."""
    with pytest.raises(NoModel, match=r"handing_over hands over no model; have it call ctx\.model\(make, rows\)"):
        model(tmp_path, a_task("handing_over", epochs=EPOCHS, silent=True))


def test_training_fails(tmp_path: Path) -> None:
    """A trainable that raises, or whose model cannot be made, is told with the fold run and the reason."""
    with pytest.raises(RetrainingFailed, match="trial 1 does not train again on repeat 0, fold 0: ValueError: no more"):
        model(tmp_path, a_task("handing_over", epochs=EPOCHS, raise_at=2))
    with pytest.raises(RetrainingFailed, match="what makes its model raises KeyError: 'weights'"):
        model(tmp_path, a_task("handing_over", epochs=EPOCHS, broken=True))
    error = RetrainingFailed(3, 0, TEST_FOLD, "why")
    assert str(error) == "trial 3 does not train again on all rows: why"
    for raised in (error, NoModel("net")):
        assert str(pickle.loads(pickle.dumps(raised))) == str(raised)


def test_all_rows(tmp_path: Path) -> None:
    """All rows train, but those that are set aside, which validate; if there are none, those that train do."""
    datasets = DatasetCache(tmp_path, ())
    wine = Dataset(builtin="wine")
    evaluation = Evaluation(folds=4)
    train, valid = AllRows(datasets).split(wine, evaluation, 0, 2, "")
    assert train.tolist() == valid.tolist() == list(range(178))
    aside = replace(wine, test=0.25)
    train, valid = AllRows(datasets).split(aside, evaluation, 0, 2, "")
    assert sorted([*train, *valid]) == list(range(178))
    assert np.array_equal(valid, datasets.split(aside, evaluation, 0, TEST_FOLD)[1])


def test_segments_name_the_fold(tmp_path: Path) -> None:
    """A fold run on all rows is the fold of a test, with a seed of its own."""
    segment: Segment = replace(a_segment(TASK, target=1), fold=TEST_FOLD)
    [report] = train_again(segment, registration(), surroundings(tmp_path), StoppedClock())
    [other] = train_again(a_segment(TASK, target=1), registration(), surroundings(tmp_path / "b"), StoppedClock())
    assert report.metrics != other.metrics
