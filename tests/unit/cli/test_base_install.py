"""What the client and the command line load."""

import subprocess
import sys

import pytest

HEAVY = ("ray", "sqlalchemy", "alembic", "optuna", "hyperopt", "torch", "sklearn", "scipy", "numpy", "pandas", "psutil")


@pytest.mark.parametrize("statement", ["import searchd; searchd.Client", "import searchd.cli.main"])
def test_neither_needs_what_only_a_server_has(statement: str) -> None:
    """No engine, store, searcher or model library is imported, so that the base install works and starts fast."""
    program = f"{statement}\nimport sys\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []
