"""How segments of trainables of every kind end."""

from pathlib import Path
from typing import Any

import pytest

from searchd.ports.engine import Outcome
from tests.unit.worker.worker_harness import AT, Rows, a_segment, a_task, losses, running


def test_a_segment_that_reaches_its_target_reports_every_epoch(tmp_path: Path) -> None:
    """Each epoch is reported once, in order, with metrics as floats, and the end is REACHED."""
    with running(tmp_path) as server:
        [(reports, ended)] = server.run(a_segment(a_task("quadratic", epochs=3), target=3, x=1.0, rate=0.25))
    assert losses(reports) == {1: 0.25, 2: 0.0625, 3: 0.015625}
    assert all(r.at == AT and r.seconds >= 0 for r in reports)
    assert (ended.outcome, ended.epoch, ended.reason) == (Outcome.REACHED, 3, "")


@pytest.mark.parametrize(
    ("trainable", "fixed", "outcome", "epoch", "reason"),
    [
        ("raises", {}, Outcome.FAILED, 0, "ValueError: the numbers do not add up (trainables_for_tests.py:"),
        ("raises", {"at": 3}, Outcome.FAILED, 2, "ValueError: the numbers do not add up (trainables_for_tests.py:"),
        ("silent", {}, Outcome.FAILED, 0, "never reported"),
        ("wrong_metric", {}, Outcome.FAILED, 1, "metric 'loss' is missing at epoch 1; reported: lost"),
        ("nan", {"at": 2}, Outcome.INFEASIBLE, 2, "loss is nan at epoch 2"),
        (
            "unspeakable",
            {},
            Outcome.FAILED,
            0,
            "Unspeakable: its message cannot be had: RuntimeError in __str__ (train",
        ),
        ("gives_up", {}, Outcome.INFEASIBLE, 1, "diverged"),
        ("returns_early", {}, Outcome.FINISHED, 2, ""),
        ("unheard_of", {}, Outcome.FAILED, 0, "TrainableNotFound: no trainable 'unheard_of'"),
    ],
)
def test_a_segment_that_ends_otherwise_says_why(
    tmp_path: Path, trainable: str, fixed: dict[str, Any], outcome: Outcome, epoch: int, reason: str
) -> None:
    """Whatever a trainable does, its segment ends with the outcome, the epoch and a one-line reason."""
    with running(tmp_path) as server:
        [(_, ended)] = server.run(a_segment(a_task(trainable, epochs=9, **fixed), target=9))
    assert (ended.outcome, ended.epoch) == (outcome, epoch)
    assert reason in ended.reason
    assert "\n" not in ended.reason


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


def test_a_trainable_without_state_touches_no_files(tmp_path: Path) -> None:
    """A quiet trainable without checkpoints leaves the storage untouched, so that brief trials stay brief."""
    with running(tmp_path, datasets=Rows()) as server:
        server.run(*(a_segment(a_task("trivial"), trial=n) for n in range(1, 6)))
    assert list(tmp_path.iterdir()) == []
