"""The example studies of tables, at small size."""

from pathlib import Path

import pytest

import trainables.sklearn_classifier
import trainables.sklearn_regressor  # noqa: F401  (both are registered)
from searchd.domain.checks import draft_violations
from searchd.domain.evaluation import TEST_FOLD
from searchd.trainable import registered
from searchd.wire.drafts import decode_draft
from searchd.wire.study_file import read_study
from tests.unit.trainables.fold_runs import FoldRuns

FOLDER = Path(__file__).parents[3] / "examples" / "tabular"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_example_can_be_trained(tmp_path: Path, path: Path) -> None:
    """Each example is a study without a mistake, and its default configuration trains on a fold and for the test."""
    file = read_study(path.read_text(encoding="utf-8"))
    draft, found = decode_draft(file.study)
    assert [*file.violations, *found, *draft_violations(draft)] == []
    card = registered()[draft.trainable]
    assert draft.dataset is not None
    assert set(draft.fixed) <= {parameter.name for parameter in card.space.parameters}
    metric = draft.objectives[0].metric
    runs = FoldRuns(tmp_path, draft.trainable, draft.dataset, draft.evaluation, metric=metric)
    for fold in (0, TEST_FOLD):
        (scores,) = runs.scores({**(card.default or {}), **draft.fixed}, fold=fold)
        by_group = {name for name in card.metrics if "group" in name}
        assert set(scores) == set(card.metrics) - by_group


def test_there_are_examples() -> None:
    """There is one for classes and one for numbers."""
    assert {path.stem for path in FOLDER.glob("*.yaml")} >= {"breast-cancer", "diabetes"}
