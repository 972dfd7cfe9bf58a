"""Pausing, continuing and losing fold runs."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from searchd import failpoints
from searchd.domain.failure import Failure
from searchd.ports.engine import Outcome
from searchd.worker import fold_run
from tests.unit.worker.worker_harness import FAULTY, a_segment, a_task, again, losses, running, saved, settings

LOG = "logs/projects/default/studies/digits/1/0-0.log"
TASK = a_task("quadratic", epochs=9)


def test_a_fold_run_continues_in_memory(tmp_path: Path) -> None:
    """The next segment of the same fold run goes on from the epoch reached, without reading its checkpoint."""
    with running(tmp_path) as server:
        first = a_segment(TASK, target=3)
        [(start, _)] = server.run(first)
        shutil.rmtree(tmp_path / "checkpoints")
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
    """Half a file is no checkpoint: the fold run goes on from the one before, and its log says so."""
    first = a_segment(TASK, target=3)
    second = again(first, 5)
    with running(tmp_path) as server:
        server.run(first, second)
    [_, newest] = saved(tmp_path / "checkpoints")
    [state] = newest.glob("state.*")
    state.write_bytes(state.read_bytes()[:-10])
    with running(tmp_path) as server:
        [(rest, _)] = server.run(again(second, 6))
    with running(tmp_path / "whole") as server:
        [(whole, _)] = server.run(a_segment(TASK, target=6))
    assert [r.epoch for r in rest] == [4, 5, 6]
    assert losses(rest).items() <= losses(whole).items()
    log = (tmp_path / LOG).read_text()
    assert "searchd: the checkpoint of epoch 5 is damaged" in log
    assert "searchd: going on from the checkpoint of epoch 3; 2 epochs are trained again" in log


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
    assert saved(tmp_path / "checkpoints") == []


def test_a_long_segment_is_saved_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between pauses the state is saved every so often, so that a crash costs little."""
    monkeypatch.setattr(fold_run, "SAVE_EVERY_SECONDS", 0.0)
    long = a_task("quadratic", epochs=9, seconds=0.01)
    with running(tmp_path) as server:
        server.run(a_segment(long, target=9))
    assert [folder.name for folder in saved(tmp_path / "checkpoints")] == ["7-1", "8-1"]
    with running(tmp_path) as server:
        [(reports, _)] = server.run(again(a_segment(long), 9))
    assert [r.epoch for r in reports] == [9]


def test_checkpoints_may_lie_elsewhere(tmp_path: Path) -> None:
    """A URI of their own keeps them apart from logs and artifacts, and another worker goes on from there."""
    told = settings(tmp_path / "storage", checkpoints=(tmp_path / "elsewhere").as_uri())
    first = a_segment(TASK, target=3)
    for segment, epochs in ((first, [1, 2, 3]), (again(first, 9), [4, 5, 6, 7, 8, 9])):
        with running(tmp_path, told=told) as server:
            [(reports, _)] = server.run(segment)
        assert [r.epoch for r in reports] == epochs
    assert [folder.name for folder in saved(tmp_path / "elsewhere")] == ["3-1"]
    assert not (tmp_path / "storage").exists()


def test_a_full_disk_costs_a_checkpoint_and_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A periodic checkpoint that finds no room is logged, the one before stays, and training goes on."""
    monkeypatch.setattr(fold_run, "SAVE_EVERY_SECONDS", 0.0)
    happened = failing(tmp_path, monkeypatch, "checkpoint.written=refuse@3")
    with running(tmp_path) as server:
        [(reports, ended)] = server.run(a_segment(TASK, target=4))
    assert happened() == 1
    assert ([r.epoch for r in reports], ended.outcome) == ([1, 2, 3, 4], Outcome.REACHED)
    assert [folder.name for folder in saved(tmp_path / "checkpoints")] == ["2-1", "4-1"]
    log = (tmp_path / LOG).read_text()
    assert log == "searchd: the checkpoint of epoch 3 was not saved: OSError: [Errno 28] No space left on device\n"


def test_a_full_disk_that_takes_no_log_either_costs_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where even the complaint finds no room, training goes on."""
    monkeypatch.setattr(fold_run, "SAVE_EVERY_SECONDS", 0.0)
    (tmp_path / LOG).parent.mkdir(parents=True)
    (tmp_path / LOG).symlink_to("/dev/full")
    happened = failing(tmp_path, monkeypatch, "checkpoint.written=refuse@3")
    with running(tmp_path) as server:
        [(reports, ended)] = server.run(a_segment(TASK, target=4))
    assert happened() == 1
    assert ([r.epoch for r in reports], ended.outcome) == ([1, 2, 3, 4], Outcome.REACHED)


def test_a_pause_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rung whose checkpoint finds no room at first is saved when there is some: nothing trained is lost."""
    monkeypatch.setattr(fold_run, "SAVE_AGAIN_SECONDS", 0.01)
    happened = failing(tmp_path, monkeypatch, "checkpoint.written=refuse")
    with running(tmp_path) as server:
        [(reports, ended)] = server.run(a_segment(TASK, target=3))
    assert happened() == 1
    assert ([r.epoch for r in reports], ended.outcome) == ([1, 2, 3], Outcome.REACHED)
    assert len(saved(tmp_path / "checkpoints")) == 1


def test_a_pause_without_room_fails_and_names_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rung that cannot be saved in time ends FAILED, with the storage that refused; nothing half-written stays."""
    monkeypatch.setattr(fold_run, "SAVE_PATIENCE_SECONDS", 0.0)
    happened = failing(tmp_path, monkeypatch, "checkpoint.written=refuse")
    with running(tmp_path) as server:
        [(reports, ended)] = server.run(a_segment(TASK, target=3))
    assert happened() == 1
    assert (len(reports), ended.outcome, ended.failure) == (3, Outcome.FAILED, Failure.ERROR)
    where = f"the checkpoint cannot be saved in {tmp_path}/checkpoints: "
    assert ended.reason == f"{where}OSError: [Errno 28] No space left on device"
    assert saved(tmp_path / "checkpoints") == []


def test_a_state_that_cannot_be_saved_fails_at_the_pause(tmp_path: Path) -> None:
    """What cannot be pickled is an error of the trainable's."""
    with running(tmp_path, told=settings(tmp_path, module=FAULTY)) as server:
        [(_, ended)] = server.run(a_segment(a_task("unpicklable", epochs=4), target=2))
    assert (ended.outcome, ended.failure) == (Outcome.FAILED, Failure.ERROR)
    assert "the checkpoint cannot be saved" in ended.reason


def test_a_failed_attempt_is_not_continued_in_memory(tmp_path: Path) -> None:
    """The attempt after a failure goes on from the last checkpoint, whatever the failed one left behind."""
    first = a_segment(a_task("stumbling", epochs=9), target=3)
    second = again(first, 6)
    with running(tmp_path, told=settings(tmp_path, module=FAULTY)) as server:
        [(_, reached), (_, failed)] = server.run(first, second)
        [(rest, ended)] = server.run(again(second, 6))
    assert (reached.outcome, failed.outcome, failed.failure) == (Outcome.REACHED, Outcome.FAILED, Failure.ERROR)
    assert losses(rest) == {4: 10.0, 5: 15.0, 6: 21.0}
    assert ended.outcome is Outcome.REACHED


def failing(folder: Path, monkeypatch: pytest.MonkeyPatch, faults: str) -> Callable[[], int]:
    """Set failpoints in this process; the answer counts how many of them have acted."""
    log = folder / "failpoints"
    monkeypatch.setattr(failpoints, "_faults", failpoints.parsed(faults))
    monkeypatch.setattr(failpoints, "_reached", Counter())
    monkeypatch.setattr(failpoints, "_log", str(log))
    return lambda: len(log.read_text().splitlines())
