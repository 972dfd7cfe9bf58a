"""How segments of trainables of every kind end."""

import gc
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from searchd.datasets import DatasetCache
from searchd.domain.evaluation import Evaluation
from searchd.domain.failure import Failure
from searchd.domain.study import Dataset
from searchd.ports.engine import Outcome
from tests.unit.worker.worker_harness import (
    AT,
    FAULTY,
    Rows,
    a_segment,
    a_task,
    again,
    losses,
    running,
    saved,
    settings,
)

FAILED = Outcome.FAILED


def test_a_segment_that_reaches_its_target_reports_every_epoch(tmp_path: Path) -> None:
    """Each epoch is reported once, in order, with metrics as floats, and the end is REACHED."""
    with running(tmp_path) as server:
        [(reports, ended)] = server.run(a_segment(a_task("quadratic", epochs=3), target=3, x=1.0, rate=0.25))
    assert losses(reports) == {1: 0.25, 2: 0.0625, 3: 0.015625}
    assert all(r.at == AT and r.seconds >= 0 for r in reports)
    assert (ended.outcome, ended.epoch, ended.reason) == (Outcome.REACHED, 3, "")


@pytest.mark.parametrize(
    ("trainable", "fixed", "outcome", "failure", "epoch", "reason"),
    [
        ("raises", {}, FAILED, Failure.ERROR, 0, "ValueError: the numbers do not add up (trainables_for_tests.py:"),
        ("raises", {"at": 3}, FAILED, Failure.ERROR, 2, "ValueError: the numbers do not add up (trainables_for_"),
        ("silent", {}, FAILED, Failure.METRIC_MISSING, 0, "never reported"),
        ("wrong_metric", {}, FAILED, Failure.METRIC_MISSING, 1, "metric 'loss' is missing at epoch 1; reported: lost"),
        ("nan", {"at": 2}, Outcome.INFEASIBLE, Failure.NOT_FINITE, 2, "loss is nan at epoch 2"),
        ("unspeakable", {}, FAILED, Failure.ERROR, 0, "Unspeakable: its message cannot be had: RuntimeError in __st"),
        ("gives_up", {}, Outcome.INFEASIBLE, Failure.NOT_FINITE, 1, "diverged"),
        ("returns_early", {}, Outcome.FINISHED, None, 2, ""),
        ("quadratic", {}, Outcome.REACHED, None, 9, ""),
        ("unheard_of", {}, FAILED, Failure.ERROR, 0, "TrainableNotFound: no trainable 'unheard_of'"),
    ],
)
def test_a_segment_that_ends_otherwise_says_why(
    tmp_path: Path,
    trainable: str,
    fixed: dict[str, Any],
    outcome: Outcome,
    failure: Failure | None,
    epoch: int,
    reason: str,
) -> None:
    """Whatever a trainable does, its segment ends with an outcome, what went wrong, the epoch and a one-line reason."""
    with running(tmp_path) as server:
        [(_, ended)] = server.run(a_segment(a_task(trainable, epochs=9, **fixed), target=9))
    assert (ended.outcome, ended.failure, ended.epoch) == (outcome, failure, epoch)
    assert reason in ended.reason
    assert "\n" not in ended.reason


@pytest.mark.parametrize(
    ("trainable", "failure", "reason"),
    [
        ("leaves", Failure.ERROR, "SystemExit: enough of this (faulty_trainables.py:"),
        ("bare", Failure.METRIC_MISSING, "a bare yield reports nothing"),
        ("wordy", Failure.ERROR, "metric 'loss' is 'much' (str) at epoch 1, not a number"),
    ],
)
def test_a_trainable_that_misbehaves_fails(tmp_path: Path, trainable: str, failure: Failure, reason: str) -> None:
    """Leaving, reporting nothing and reporting nonsense are told apart, and the worker goes on."""
    with running(tmp_path, told=settings(tmp_path, module=FAULTY)) as server:
        [(_, ended), (_, after)] = server.run(a_segment(a_task(trainable)), a_segment(a_task("infeasible"), trial=2))
    assert (ended.outcome, ended.failure) == (FAILED, failure)
    assert reason in ended.reason
    assert (after.outcome, after.failure) == (Outcome.INFEASIBLE, Failure.NOT_FINITE)


@pytest.mark.parametrize("how", ["host", "refused", "torch", "cuda", "old cuda", "cublas", "hidden"])
def test_a_lack_of_memory_is_told_and_what_was_held_is_let_go_of(tmp_path: Path, how: str) -> None:
    """However it shows itself, the failure is OUT_OF_MEMORY, and nothing of the trainable's is held afterwards."""
    if how == "torch":
        pytest.importorskip("torch")
    gc.disable()  # only the worker collects
    try:
        with running(tmp_path, told=settings(tmp_path, module=FAULTY)) as server:
            [(_, ended)] = server.run(a_segment(a_task("hungry", how=how)))
            server.run(a_segment(a_task("infeasible"), trial=2))
            assert (ended.outcome, ended.failure) == (FAILED, Failure.OUT_OF_MEMORY)
            burdens = sys.modules["faulty_trainables"].burdens
            assert len(burdens) == 0
            gc.freeze()
            server.run(a_segment(a_task("hungry", how="nothing"), trial=3), a_segment(a_task("infeasible"), trial=4))
            assert len(burdens) > 0, "nothing is ever held"
            server.run(a_segment(a_task("hungry", how=how), trial=5), a_segment(a_task("infeasible"), trial=6))
            assert len(burdens) == 0
    finally:
        gc.unfreeze()
        gc.enable()


def test_a_checkpoint_that_finds_no_memory_is_not_given_up(tmp_path: Path) -> None:
    """Out of memory while it is read, the attempt fails as such and the checkpoint stays for the next one."""
    first = a_segment(a_task("unreadable", epochs=4), target=2)
    with running(tmp_path, told=settings(tmp_path, module=FAULTY)) as server:
        [(_, reached)] = server.run(first)
    with running(tmp_path, told=settings(tmp_path, module=FAULTY)) as server:
        [(_, ended)] = server.run(again(first, 4))
    assert reached.outcome is Outcome.REACHED
    assert (ended.outcome, ended.failure) == (FAILED, Failure.OUT_OF_MEMORY)
    assert [folder.name for folder in saved(tmp_path / "checkpoints")] == ["2-1"]


def test_the_others_go_on_after_a_failure(tmp_path: Path) -> None:
    """A segment queued behind a failing one runs as if nothing had happened."""
    with running(tmp_path) as server:
        bad, good = a_segment(a_task("raises"), trial=1), a_segment(a_task("trivial"), trial=2, x=3.0)
        [(_, failed), (reports, ended)] = server.run(bad, good)
    assert failed.outcome is Outcome.FAILED
    assert (losses(reports), ended.outcome) == ({1: 9.0}, Outcome.REACHED)


def test_a_failure_carries_its_last_log_lines(tmp_path: Path) -> None:
    """The tail holds the traceback down to the trainable's line, without the worker's own frames, as does the log."""
    with running(tmp_path) as server:
        [(_, ended)] = server.run(a_segment(a_task("raises")))
    assert 'raise ValueError("the numbers do not add up")' in ended.log_tail
    assert "searchd/worker" not in ended.log_tail
    assert ended.log_tail in (tmp_path / "logs/projects/default/studies/digits/1/0-0.log").read_text()


def test_the_report_of_a_nan_is_kept(tmp_path: Path) -> None:
    """A NaN is reported as it is, beside the INFEASIBLE end."""
    with running(tmp_path) as server:
        [(reports, ended)] = server.run(a_segment(a_task("nan", epochs=2), target=2))
    assert [str(r.metrics["loss"]) for r in reports] == ["nan"]
    assert ended.log_tail == ""


def test_what_is_printed_goes_to_the_log_of_the_fold_run(tmp_path: Path) -> None:
    """Both streams reach the fold run's own log, in order."""
    with running(tmp_path) as server:
        task = a_task("prints", epochs=2)
        server.run(a_segment(task, target=2, fold=0), a_segment(task, target=2, fold=1))
    folder = tmp_path / "logs/projects/default/studies/digits/1"
    assert (folder / "0-0.log").read_text() == "epoch 1 of fold 0\nwarning 1\nepoch 2 of fold 0\nwarning 2\n"
    assert (folder / "0-1.log").read_text() == "epoch 1 of fold 1\nwarning 1\nepoch 2 of fold 1\nwarning 2\n"


def test_a_fold_run_sees_its_own_rows(tmp_path: Path) -> None:
    """The splits come from the provider, by fold."""
    with running(tmp_path) as server:
        task = a_task("folded", metrics=("accuracy",))
        both = server.run(a_segment(task, fold=0), a_segment(task, fold=1))
    assert [reports[0].metrics for reports, _ in both] == [
        {"accuracy": 0.030, "rows": 16.0},
        {"accuracy": 0.034, "rows": 16.0},
    ]


def test_data_that_has_changed_fails_the_segment(tmp_path: Path) -> None:
    """A study never trains on other data than it was created with: the reason names both fingerprints."""
    file = tmp_path / "t.csv"
    file.write_text("a,y\n1,u\n2,v\n3,u\n4,v\n")
    cache, dataset = DatasetCache(tmp_path / "cache", (tmp_path,)), Dataset(uri="t.csv", target="y")
    task = a_task("folded", metrics=("accuracy",))
    task = replace(
        task, dataset=dataset, data=cache.load(dataset).fingerprint, evaluation=Evaluation(folds=2, epochs=1)
    )
    with running(tmp_path / "storage", datasets=cache) as server:
        [(_, before)] = server.run(a_segment(task, trial=1))
        file.write_text("a,y\n1,u\n2,v\n3,u\n4,v\n5,u\n6,v\n")
        [(reports, after)] = server.run(a_segment(task, trial=2))
    assert before.outcome is Outcome.REACHED
    assert reports == []
    assert (after.outcome, after.failure) == (FAILED, Failure.ERROR)
    assert task.data in after.reason
    assert cache.load(dataset).fingerprint in after.reason


def test_a_trainable_without_state_touches_no_files(tmp_path: Path) -> None:
    """A quiet trainable without checkpoints leaves the storage untouched, so that brief trials stay brief."""
    with running(tmp_path, datasets=Rows()) as server:
        server.run(*(a_segment(a_task("trivial"), trial=n) for n in range(1, 6)))
    assert list(tmp_path.iterdir()) == []
