"""The try command, in this very process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from searchd.cli.main import app

MODULE = '''
from searchd.trainable import choice, loguniform, trainable


@trainable(metrics={"score": "maximize"}, space={"x": loguniform(1e-3, 1.0), "kind": choice(["a", "b"])},
           default={"x": 0.5, "kind": "a"}, name="tried_%s")
def tried(ctx):
    """Scores x."""
    for epoch in ctx.epochs():
        if ctx.params.kind == "b":
            raise RuntimeError("b does not work")
        yield {"score": ctx.params.x * epoch}
'''


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["try", *arguments])


@pytest.fixture
def study(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments that try a trainable of a module in the current folder."""
    name = "".join(c for c in request.node.name if c.isalnum())
    (tmp_path / f"module_{name}.py").write_text(MODULE % name)
    (tmp_path / "study.yaml").write_text(f"trainable: tried_{name}\nevaluation: {{epochs: 9}}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return ["study.yaml", "--trainables", f"module_{name}"]


def test_one_epoch_of_the_default_configuration(study: list[str]) -> None:
    """It prints the configuration and the metrics of the first epoch."""
    lines = run(*study).stdout.splitlines()
    assert lines[0].endswith(": x=.5  kind=a")
    assert lines[1].startswith("fold 1 epoch 1: score=.5   (")


def test_parameters_can_be_given(study: list[str]) -> None:
    """Values are read as in a study file; a name that the trainable does not know is refused."""
    assert "score=.25" in run(*study, "--params", "x=0.25").stdout
    result = run(*study, "--params", "y=1")
    assert result.exit_code == 2
    assert result.stderr.endswith("has no parameter 'y'; use kind, x\n")
    unread = run(*study, "--params", "x=[")
    assert (unread.exit_code, unread.stderr) == (
        2,
        "error: --params x=[ cannot be read; put quotes around a text\n",
    )


def test_a_study_with_a_parent_needs_a_server(tmp_path: Path, study: list[str]) -> None:
    """What the parent has found is not at hand here: it says so and what to do instead."""
    file = tmp_path / "study.yaml"
    file.write_text(file.read_text() + "parent: old\n")
    result = run(*study)
    assert result.exit_code == 2
    assert "submit the study" in result.stderr


def test_a_trainable_that_raises_shows_where(study: list[str]) -> None:
    """Its own traceback, then one line with the reason, and exit code 1."""
    result = run(*study, "--params", "kind=b")
    assert result.exit_code == 1
    assert 'raise RuntimeError("b does not work")' in result.stderr
    assert result.stderr.splitlines()[-1].endswith("RuntimeError: b does not work")


def test_all_mistakes_of_the_file_are_reported_at_once(tmp_path: Path, study: list[str]) -> None:
    """What the reader finds and what the definition's checks find, one line each, and nothing runs."""
    file = tmp_path / "study.yaml"
    file.write_text(file.read_text() + "nope: 1\nbudget: {trials: 0}\nsearch_space: {z: {uniform: [0, 1]}}\n")
    result = run(*study)
    assert result.exit_code == 2
    assert result.stdout == ""
    paths = {line.partition(":")[0] for line in result.stderr.splitlines()}
    assert paths == {"nope", "budget.trials", "search_space.z"}


def test_a_file_that_cannot_be_read_gets_only_the_reason(tmp_path: Path) -> None:
    """Nothing is called missing in a file of which nothing could be read."""
    file = tmp_path / "study.yaml"
    file.write_text("trainable: [")
    result = run(str(file))
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert result.stderr.startswith("line 1: column 13: ")


def test_an_unknown_trainable_gets_the_nearest_known_one(tmp_path: Path) -> None:
    """Installed trainables are known without naming their module."""
    file = tmp_path / "study.yaml"
    file.write_text("trainable: sklearn_classifer\n")
    result = run(str(file))
    assert result.exit_code == 2
    assert "did you mean 'sklearn_classifier'?" in result.stderr


def test_a_debugger_stops_in_the_trainable(study: list[str], tmp_path: Path) -> None:
    """Python's debugger halts at a line of the trainable, which trains on the main thread of this very process."""
    module = f"{study[-1]}.py"
    line = (tmp_path / module).read_text().splitlines().index('        if ctx.params.kind == "b":') + 1
    commands = (
        f"import {study[-1]}\nbreak {tmp_path / module}:{line}\ncontinue\np ('seen', ctx.params.x, epoch)\nquit\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pdb", "-m", "searchd", "try", *study],
        input=commands,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "('seen', 0.5, 1)" in done.stdout, (done.stdout, done.stderr)
