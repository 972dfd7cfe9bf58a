"""Where files lie, and which of them are forgotten."""

from pathlib import Path

from searchd.domain.study import StudyName
from searchd.domain.trial import FoldRunKey, TrialNumber
from searchd.worker.files import Storage

STUDY = StudyName("projects/default/studies/digits")


def test_paths_follow_the_rules(tmp_path: Path) -> None:
    """Kind, study, trial, then repeat and fold; and asking creates nothing."""
    storage, key = Storage(tmp_path), FoldRunKey(STUDY, TrialNumber(7), 1, 3)
    assert storage.checkpoint(key) == tmp_path / "checkpoints/projects/default/studies/digits/7/1-3.ckpt"
    assert storage.log(key) == tmp_path / "logs/projects/default/studies/digits/7/1-3.log"
    assert storage.artifacts(key) == tmp_path / "artifacts/projects/default/studies/digits/7/1-3"
    assert list(tmp_path.iterdir()) == []


def test_forgetting(tmp_path: Path) -> None:
    """Of a trial only the checkpoints go, of a study everything, and another study's files stay."""
    storage = Storage(tmp_path)
    one = FoldRunKey(STUDY, TrialNumber(1), 0, 0)
    two = FoldRunKey(STUDY, TrialNumber(2), 0, 0)
    other = FoldRunKey(StudyName(f"{STUDY}-old"), TrialNumber(1), 0, 0)
    for key in (one, two, other):
        for path in (storage.checkpoint(key), storage.log(key)):
            path.parent.mkdir(parents=True)
            path.touch()
    storage.forget(STUDY, TrialNumber(1))
    assert not storage.checkpoint(one).exists()
    assert storage.log(one).exists()
    assert storage.checkpoint(two).exists()
    storage.forget(STUDY, None)
    storage.forget(STUDY, None)
    assert not storage.checkpoint(two).exists()
    assert not storage.log(one).exists()
    assert storage.checkpoint(other).exists()
    assert storage.log(other).exists()
