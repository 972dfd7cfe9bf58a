"""The examples: each study file starts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
STUDIES = sorted(EXAMPLES.rglob("*.yaml"))


@pytest.mark.parametrize("study", STUDIES, ids=[str(study.relative_to(EXAMPLES)) for study in STUDIES])
def test_examples_train(study: Path) -> None:
    """Each study file is valid and trains an epoch."""
    done = subprocess.run(
        [sys.executable, "-m", "searchd", "try", study.name],
        cwd=study.parent,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"fold 1 epoch 1: \w+=[0-9.e+-]+", done.stdout)
