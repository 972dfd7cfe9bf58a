"""The examples: each study file starts, those that build on another after it."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from searchd.domain.draft import StudyDraft
from searchd.domain.evaluation import Split
from searchd.wire.drafts import decode_draft
from searchd.wire.study_file import read_study
from searchd.worker.loading import load_trainable
from tests.trying import assert_trains
from tests.unit.trainables.fold_runs import FoldRuns

EXAMPLES = Path(__file__).parents[2] / "examples"


def draft_of(study: Path) -> StudyDraft:
    """What a study file says, in which nothing is wrong."""
    file = read_study(study.read_text(encoding="utf-8"))
    draft, found = decode_draft(file.study)
    assert not (*file.violations, *found)
    return draft


def studies(*, parent: bool) -> Iterator[Any]:
    """The study files that build on another, or that do not."""
    for study in sorted(EXAMPLES.rglob("*.yaml")):
        if (draft_of(study).parent is not None) is parent:
            yield pytest.param(study, id=str(study.relative_to(EXAMPLES)))


@pytest.mark.parametrize("study", list(studies(parent=False)))
def test_examples_train(study: Path) -> None:
    """Each study file is valid and trains an epoch."""
    assert_trains(study)


@pytest.mark.parametrize("study", list(studies(parent=True)))
def test_children_train(study: Path, tmp_path: Path) -> None:
    """Each study file that builds on another one names one beside it, and trains an epoch on top of one of that."""
    shutil.copytree(study.parent, tmp_path, dirs_exist_ok=True)
    trained(study, tmp_path, folds=1)


def trained(study: Path, folder: Path, folds: int | None = None) -> tuple[StudyDraft, FoldRuns]:
    """An epoch of the middle of a study's space on so many folds (None: all), after the same of its parent's."""
    draft, heritage, generation = draft_of(study), None, 1
    if draft.parent is not None:
        files = {read_study(file.read_text(encoding="utf-8")).study_id: file for file in study.parent.glob("*.yaml")}
        parent, theirs = trained(files[draft.parent.study], folder)
        same_rows = draft.dataset is None
        if same_rows:
            evaluation = replace(draft.evaluation, folds=parent.evaluation.folds)
            draft = replace(draft, dataset=parent.dataset, evaluation=evaluation, split=parent.split)
        heritage, generation = theirs.heritage(params={}, same_rows=same_rows), theirs.number + 1
    runs = runs_of(draft, folder, heritage=heritage, trial=generation)
    for fold in range(max(draft.evaluation.folds, 1) if folds is None else folds):
        runs.scores(middle(draft), fold=fold)
    return draft, runs


def runs_of(draft: StudyDraft, folder: Path, **options: Any) -> FoldRuns:
    """Fold runs of one epoch of a study."""
    load_trainable(draft.trainable, (f"trainables.{draft.trainable}",), installed=True)
    assert draft.dataset is not None
    evaluation = replace(draft.evaluation, epochs=1, split=draft.split or Split.KFOLD)
    metric = draft.objectives[0].metric if draft.objectives else "loss"
    return FoldRuns(folder, draft.trainable, draft.dataset, evaluation, metric=metric, **options)


def middle(draft: StudyDraft) -> dict[str, Any]:
    """The middle of the study's space, with what it fixes."""
    chosen: dict[str, Any] = {**draft.fixed}
    for parameter in draft.space.active(chosen):
        chosen[parameter.name] = parameter.domain.at(0.5)
    return chosen
