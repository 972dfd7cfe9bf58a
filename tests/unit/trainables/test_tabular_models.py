"""The models for tables where the boosting libraries are missing."""

import subprocess
import sys

import pytest

from trainables import tabular_models
from trainables.tabular_models import UNSEARCHED, classifier, regressor


def test_libraries_are_choices_only_where_installed() -> None:
    """Without the libraries both trainables can be imported, and their spaces do not offer them."""
    code = """
import sys
sys.modules["lightgbm"] = sys.modules["xgboost"] = None
import trainables.sklearn_classifier, trainables.sklearn_regressor
from searchd.trainable import registered
for name, owner in (("sklearn_classifier", "classifier"), ("sklearn_regressor", "regressor")):
    space = {p.name: p for p in registered()[name].space.parameters}
    print(owner, *space[owner].domain.options, *space["boosting_lr"].when[0].values)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shared = "linear svm forest boosting knn tree extra_trees"
    assert done.stdout.splitlines() == [
        f"classifier {shared} naive_bayes mlp boosting",
        f"regressor {shared} mlp boosting",
    ]


@pytest.mark.parametrize("library", tabular_models.LIBRARIES)
def test_missing_library_says_how_to_install_it(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that names a library which a worker lacks fails with the extra that brings it."""
    monkeypatch.setattr(tabular_models, "INSTALLED", [])
    for make, owner in ((classifier, "classifier"), (regressor, "regressor")):
        with pytest.raises(ValueError, match=rf"{library} is not installed .* pip install 'searchd\[boosting\]'"):
            make({**UNSEARCHED, owner: library}, 0, 10)
