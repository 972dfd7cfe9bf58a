"""Study files that build on others, trained at small size with those that they build on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from searchd.domain.checks import draft_violations
from searchd.domain.draft import StudyDraft
from searchd.domain.evaluation import Evaluation
from searchd.domain.study import Dataset
from searchd.wire.drafts import decode_draft
from searchd.wire.study_file import read_study
from searchd.worker.loading import load_trainable
from tests.unit.trainables.fold_runs import FoldRuns


@dataclass(frozen=True, slots=True)
class Trained:
    """The fold runs of a study's first configuration, and what is to be known of them."""

    runs: FoldRuns
    params: dict[str, Any]
    dataset: Dataset
    evaluation: Evaluation


def trained(path: Path, folder: Path, modules: tuple[str, ...]) -> Trained:
    """Train an epoch on fold 0 of a study file's default configuration, or the middle of its space; its parent first.

    Args:
        path: The study file; that of its parent is beside it.
        folder: For what the fold runs leave.
        modules: Where trainables are.
    """
    draft = draft_of(path)
    card = load_trainable(draft.trainable, modules, installed=False)
    params = {**draft.space.draw([0.5] * len(draft.space.parameters)), **(card.default or {}), **draft.fixed}
    metric = draft.objectives[0].metric
    if draft.parent is None:
        assert draft.dataset is not None
        dataset, evaluation, heritage = draft.dataset, replace(draft.evaluation, epochs=1), None
    else:
        wanted = draft.parent.study
        (file,) = [some for some in path.parent.glob("*.yaml") if read_study(some.read_text()).study_id == wanted]
        parent = trained(file, folder, modules)
        dataset, evaluation, heritage = parent.dataset, parent.evaluation, parent.runs.heritage(params=parent.params)
    runs = FoldRuns(folder, draft.trainable, dataset, evaluation, metric=metric, heritage=heritage)
    runs.scores(params)
    return Trained(runs, params, dataset, evaluation)


def draft_of(path: Path) -> StudyDraft:
    """What a study file says, which has no mistake."""
    file = read_study(path.read_text(encoding="utf-8"))
    draft, found = decode_draft(file.study)
    assert [*file.violations, *found, *draft_violations(draft)] == []
    return draft
