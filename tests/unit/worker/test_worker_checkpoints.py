"""Pausing, continuing and losing fold runs."""

from pathlib import Path

import pytest

from searchd.ports.engine import Outcome
from searchd.worker import fold_run
from tests.unit.worker.worker_harness import a_segment, a_task, again, losses, running

CHECKPOINT = "checkpoints/projects/default/studies/digits/1/0-0.ckpt"
TASK = a_task("quadratic", epochs=9)


def test_a_fold_run_continues_in_memory(tmp_path: Path) -> None:
    """The next segment of the same fold run goes on from the epoch reached, without reading its checkpoint."""
    with running(tmp_path) as server:
        first = a_segment(TASK, target=3)
        [(start, _)] = server.run(first)
        (tmp_path / CHECKPOINT).unlink()
        [(rest, ended)] = server.run(again(first, target=9))
    assert [r.epoch for r in start + rest] == list(range(1, 10))
    assert (ended.outcome, ended.epoch) == (Outcome.REACHED, 9)


def test_a_fold_run_continues_from_its_checkpoint_in_another_worker(tmp_path: Path) -> None:
    """A second worker takes up where the first stopped and gets the losses of an uninterrupted run."""
    first = a_segment(TASK, target=3)
    with running(tmp_path) as server:
        [(start, _)] = server.run(first)
    with running(tmp_path) as server:
        [(rest, _)] = server.run(again(first, target=9))
    with running(tmp_path / "whole") as server:
        [(whole, _)] = server.run(a_segment(TASK, target=9))
    assert {**losses(start), **losses(rest)} == losses(whole)
    assert [r.epoch for r in rest] == [4, 5, 6, 7, 8, 9]


def test_switching_fold_runs_loses_nothing(tmp_path: Path) -> None:
    """Fold runs that take turns on one worker get the losses that they would have got alone."""
    one, two = a_segment(TASK, target=3, trial=1), a_segment(TASK, target=3, trial=2, x=5.0)
    with running(tmp_path) as server:
        turns = server.run(one, two, again(one, 6), again(two, 6))
        alone = server.run(a_segment(TASK, target=6, trial=3), a_segment(TASK, target=6, trial=4, x=5.0))
    assert losses(turns[0][0] + turns[2][0]) == losses(alone[0][0])
    assert losses(turns[1][0] + turns[3][0]) == losses(alone[1][0])


def test_an_epoch_that_was_reached_before_is_reported_again(tmp_path: Path) -> None:
    """A checkpoint at or beyond the target gives its last report without training, so that the score exists."""
    first = a_segment(TASK, target=3)
    with running(tmp_path) as server:
        [(reports, _)] = server.run(first)
        [(in_memory, ended)] = server.run(again(first, 3))
    assert (in_memory, ended.outcome, ended.epoch) == (reports[-1:], Outcome.REACHED, 3)
    with running(tmp_path) as server:
        [(from_disk, ended)] = server.run(again(again(first, 3), 2))
    assert (from_disk, ended.outcome, ended.epoch) == (reports[-1:], Outcome.REACHED, 3)


def test_a_fold_run_without_checkpoints_starts_over(tmp_path: Path) -> None:
    """A lost fold run of a trainable that keeps nothing is trained, and reported, from epoch 1."""
    first = a_segment(a_task("forgetful", epochs=4), target=2)
    with running(tmp_path) as server:
        server.run(first)
    with running(tmp_path) as server:
        [(reports, _)] = server.run(again(first, 4))
    assert [r.epoch for r in reports] == [1, 2, 3, 4]


def test_a_damaged_checkpoint_is_ignored_and_logged(tmp_path: Path) -> None:
    """Half a file is no checkpoint: the fold run starts over and its log says so."""
    first = a_segment(TASK, target=3)
    with running(tmp_path) as server:
        server.run(first)
    content = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(content[: len(content) // 2])
    with running(tmp_path) as server:
        [(reports, _)] = server.run(again(first, 4))
    assert [r.epoch for r in reports] == [1, 2, 3, 4]
    assert "the checkpoint is damaged" in (tmp_path / "logs/projects/default/studies/digits/1/0-0.log").read_text()


def test_a_checkpoint_of_another_configuration_is_ignored(tmp_path: Path) -> None:
    """A study of the same name with other parameters does not inherit a checkpoint."""
    first = a_segment(TASK, target=3)
    with running(tmp_path) as server:
        server.run(first)
    with running(tmp_path) as server:
        [(reports, _)] = server.run(again(a_segment(TASK, target=3, x=7.0), 4))
    assert [r.epoch for r in reports] == [1, 2, 3, 4]


def test_the_top_needs_no_checkpoint(tmp_path: Path) -> None:
    """A fold run at its full length is not saved."""
    with running(tmp_path) as server:
        server.run(a_segment(TASK, target=9))
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_long_segment_is_saved_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between pauses the state is saved every so often, so that a crash costs little."""
    monkeypatch.setattr(fold_run, "SAVE_EVERY_SECONDS", 0.0)
    failing = a_task("quadratic", epochs=9, seconds=0.01)
    with running(tmp_path) as server:
        server.run(a_segment(failing, target=9))
    assert (tmp_path / CHECKPOINT).exists()
    with running(tmp_path) as server:
        [(reports, _)] = server.run(again(a_segment(failing), 9))
    assert [r.epoch for r in reports] == [9]
