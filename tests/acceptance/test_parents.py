"""Studies that build on others, on a real server."""

import json
from pathlib import Path

from tests.acceptance.server import Server, searchd

PARENT = """\
study_id: wines
trainable: sklearn_classifier
dataset: {builtin: wine, test: 0.2}
search_space: {classifier: {choice: [tree, naive_bayes, linear]}}
search: {algorithm: grid}
scheduler: {algorithm: none}
evaluation: {folds: 3}
budget: {trials: 3}
"""
CHILD = """\
study_id: wines-together
trainable: ensemble
parent: wines
search_space: {method: {choice: [voting, averaging, greedy]}}
search: {algorithm: grid}
budget: {trials: 4}
"""


def test_an_ensemble_of_a_study(shared_server: Server, tmp_path: Path) -> None:
    """A study of ensembles has the data and folds of its parent, trains none of its models again, and is tested on the
    rows that were set aside; before the parent has a trial it is refused."""
    (tmp_path / "parent.yaml").write_text(PARENT)
    (tmp_path / "child.yaml").write_text(CHILD)

    def submit(*names: str) -> str:
        files = [str(tmp_path / name) for name in names]
        done = searchd("submit", *files, "--wait", address=shared_server.address)
        return "" if done.returncode == 0 else done.stderr

    assert "parent.study: there is no study" in submit("child.yaml")
    assert submit("parent.yaml", "child.yaml") == ""
    shown = searchd("show", "wines-together", "-o", "json", address=shared_server.address)
    study = json.loads(shown.stdout)
    assert study["evaluation"]["folds"] == 3
    assert study["dataset"]["test"] == 0.2
    assert any(line.startswith("builds on trial") for line in study["progress"]["search_log"])
    [tested, *_] = study["progress"]["confirmed"]
    assert tested["test"] < 0.3
    table = searchd("show", "wines-together", "-o", "table", address=shared_server.address).stdout
    assert "parent: {study: wines}" in table
