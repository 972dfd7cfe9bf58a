"""``searchd try`` on study files that users are shown."""

import os
import re
import subprocess
import sys
from pathlib import Path


def assert_trains(study: Path, *options: str) -> None:
    """A study file trains an epoch of a trial, from the folder that it lies in."""
    done = subprocess.run(
        [sys.executable, "-m", "searchd", "try", study.name, *options],
        cwd=study.parent,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"fold 1 epoch 1: \w+=[0-9.e+-]+", done.stdout)
