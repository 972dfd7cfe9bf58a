"""A worker that is killed at any moment loses no more than the epochs since its last checkpoint."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from searchd.ports.engine import Outcome
from tests.unit.worker.doomed import SEGMENT
from tests.unit.worker.worker_harness import a_segment, again, losses, running, saved, settings

REPOSITORY = Path(__file__).parents[3]


def killed(storage: Path, root: str, *arguments: str, faults: str = "") -> None:
    """Run a worker that is killed."""
    log = storage.with_name("failpoints")
    environment = {**os.environ, "SEARCHD_FAILPOINTS": faults, "SEARCHD_FAILPOINTS_LOG": str(log)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.worker.doomed", *arguments, str(storage), root],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    if faults:
        assert log.read_text().startswith(faults.partition("=")[0])


def continued(storage: Path, root: str) -> Mapping[int, float]:
    """The losses of the next attempt, which must reach its target."""
    with running(storage, told=settings(storage, checkpoints=root)) as server:
        [(reports, ended)] = server.run(again(SEGMENT, 9))
    assert ended.outcome is Outcome.REACHED
    return losses(reports)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, float]:
    """The losses of a run that nothing happens to."""
    with running(tmp_path_factory.mktemp("whole")) as server:
        [(reports, _)] = server.run(a_segment(SEGMENT.task, target=9))
    return losses(reports)


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize(
    ("faults", "resumed_at"),
    [
        ("checkpoint.written=kill@1", 1),
        ("checkpoint.written=kill@3", 3),
        ("checkpoint.done=kill@1", 2),
        ("checkpoint.done=kill@3", 4),
        ("report.made=kill@3", 4),  # what it tells has been saved
        ("report.posted=kill@3", 4),
        ("segment.begun=kill", 1),
        ("segment.ended=kill", 9),
    ],
)
def test_a_worker_killed_at_a_failpoint_is_continued(
    tmp_path: Path, whole: Mapping[int, float], scheme: str, faults: str, resumed_at: int
) -> None:
    """The next attempt goes on after the last checkpoint that was whole, and gets the same losses."""
    storage, folder = tmp_path / "storage", tmp_path / "checkpoints"
    root = f"{scheme}{folder}"
    killed(storage, root, faults=faults)
    rest = continued(storage, root)
    assert min(rest) == resumed_at
    assert rest == {epoch: loss for epoch, loss in whole.items() if epoch >= resumed_at}
    assert len(saved(folder)) <= 2
    assert all((checkpoint / "manifest.json").exists() for checkpoint in saved(folder))


@pytest.mark.parametrize("flush", range(1, 16))
def test_a_worker_killed_at_any_flush_is_continued(tmp_path: Path, whole: Mapping[int, float], flush: int) -> None:
    """Between any two writes that reach the disk, what is there is whole or not there at all."""
    storage, root = tmp_path / "storage", str(tmp_path / "checkpoints")
    killed(storage, root, "--sync", str(flush))
    rest = continued(storage, root)
    assert rest.items() <= whole.items()
    assert 9 in rest
    assert not (storage / "logs").exists()  # where damage would be told
