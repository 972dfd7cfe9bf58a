"""Where files lie, and which of them are forgotten."""

import logging
from pathlib import Path

import pytest

from searchd.domain.evaluation import TEST_FOLD
from searchd.domain.study import StudyName
from searchd.domain.trial import FoldRunKey, TrialNumber
from searchd.worker.files import Storage

STUDY = StudyName("projects/default/studies/digits")


def test_paths_follow_the_rules(tmp_path: Path) -> None:
    """Kind, study, trial, then repeat and fold; and asking creates nothing."""
    storage, key = Storage(tmp_path), FoldRunKey(STUDY, TrialNumber(7), 1, 3)
    assert storage.log(key) == tmp_path / "logs/projects/default/studies/digits/7/1-3.log"
    assert storage.artifacts(key) == tmp_path / "artifacts/projects/default/studies/digits/7/1-3"
    assert list(tmp_path.iterdir()) == []


def test_the_log_of_a_test_is_found(tmp_path: Path) -> None:
    """What the fold run of a test printed is among a trial's logs."""
    storage, key = Storage(tmp_path), FoldRunKey(STUDY, TrialNumber(7), 0, TEST_FOLD)
    storage.log(key).parent.mkdir(parents=True)
    storage.log(key).touch()
    assert storage.logs(STUDY, TrialNumber(7)) == [(0, TEST_FOLD, storage.log(key))]


@pytest.mark.parametrize("checkpoints", [None, "elsewhere", "file://elsewhere"])
def test_forgetting(tmp_path: Path, checkpoints: str | None) -> None:
    """Of a trial only the checkpoints go, of a study everything, and another study's files stay."""
    storage = Storage(tmp_path, checkpoints and checkpoints.replace("elsewhere", f"{tmp_path}/elsewhere"))
    one = FoldRunKey(STUDY, TrialNumber(1), 0, 0)
    two = FoldRunKey(STUDY, TrialNumber(2), 0, 0)
    other = FoldRunKey(StudyName(f"{STUDY}-old"), TrialNumber(1), 0, 0)

    def saved(key: FoldRunKey) -> list[str]:
        return list(storage.checkpoints.folders(f"{key.study}/{key.trial}/{key.repeat}-{key.fold}"))

    for key in (one, two, other):
        with storage.checkpoints.put(f"{key.study}/{key.trial}/{key.repeat}-{key.fold}/3-1/state.pt") as file:
            file.write(b"state")
        storage.log(key).parent.mkdir(parents=True)
        storage.log(key).touch()
    assert saved(one) == saved(two) == saved(other) == ["3-1"]
    storage.forget(STUDY, TrialNumber(1))
    assert saved(one) == []
    assert storage.log(one).exists()
    assert saved(two) == ["3-1"]
    storage.forget(STUDY, None)
    storage.forget(STUDY, None)
    assert saved(two) == []
    assert not storage.log(one).exists()
    assert saved(other) == ["3-1"]
    assert storage.log(other).exists()


def test_what_cannot_be_forgotten_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Storage that refuses to delete stops nobody: the study's other files go, and the log names what stays."""
    storage = Storage(tmp_path, f"{tmp_path}/a-file")
    (tmp_path / "a-file").touch()
    log = storage.log(FoldRunKey(STUDY, TrialNumber(1), 0, 0))
    log.parent.mkdir(parents=True)
    log.touch()
    with caplog.at_level(logging.WARNING):
        storage.forget(STUDY, None)
    assert f"checkpoints of {STUDY} in {tmp_path}/a-file cannot be deleted" in caplog.text
    assert not log.exists()
