"""The examples: each study file starts."""

from pathlib import Path

import pytest

from tests.trying import assert_trains

EXAMPLES = Path(__file__).parents[2] / "examples"
STUDIES = sorted(EXAMPLES.rglob("*.yaml"))


@pytest.mark.parametrize("study", STUDIES, ids=[str(study.relative_to(EXAMPLES)) for study in STUDIES])
def test_examples_train(study: Path) -> None:
    """Each study file is valid and trains an epoch."""
    assert_trains(study)
