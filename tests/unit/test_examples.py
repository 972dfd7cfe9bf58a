"""The examples: each study file starts."""

from pathlib import Path

import pytest

from searchd.wire.study_file import read_study
from tests.trying import assert_trains
from tests.unit.trainables.lineage import trained

EXAMPLES = Path(__file__).parents[2] / "examples"
STUDIES = sorted(EXAMPLES.rglob("*.yaml"))
CHILDREN = [path for path in STUDIES if read_study(path.read_text(encoding="utf-8")).study.HasField("parent")]


def named(paths: list[Path]) -> pytest.MarkDecorator:
    """A test for each study file, named like it."""
    return pytest.mark.parametrize("study", paths, ids=[str(path.relative_to(EXAMPLES)) for path in paths])


@named([path for path in STUDIES if path not in CHILDREN])
def test_examples_train(study: Path) -> None:
    """Each study file is valid and trains an epoch."""
    assert_trains(study)


@named(CHILDREN)
def test_examples_train_on_their_parent(tmp_path: Path, study: Path) -> None:
    """Each study file that builds on another is valid, and trains an epoch after that other has."""
    trained(study, tmp_path, ("trainables.compress", "trainables.torch_cnn"))
