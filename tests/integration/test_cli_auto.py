"""The auto command as far as it needs no server."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from searchd.cli.main import app
from searchd.wire.drafts import decode_draft
from searchd.wire.study_file import read_study

ROWS = 60


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["auto", *arguments])


@pytest.fixture
def flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file with a counter, a constant and a class of text."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"row": range(ROWS), "unit": "cm", "length": rng.normal(size=ROWS), "kind": ["a", "b"] * 30})
    frame["price"] = rng.normal(size=ROWS)
    frame.to_csv(tmp_path / "flowers.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "flowers.csv"


def test_a_dry_run_prints_a_study_file_with_reasons(flowers: Path) -> None:
    """What is printed can be submitted; every decision is a comment, and nothing is started."""
    result = run("flowers.csv", "--target", "kind", "--time", "1h30m", "--study-id", "flowers", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert [line for line in result.stdout.splitlines() if line.startswith("#")] == [
        "# classification: 'kind' holds text, 2 different",
        "# without column 'row', which counts the rows (otherwise: --keep row)",
        "# without column 'unit', which is 'cm' in every row (otherwise: --keep unit)",
        "# metric accuracy: classes are about equally frequent "
        "(always guessing the commonest class is right in 50% of the rows)",
        "# 5 folds, stratified by class: 60 rows of 2 features",
        "# no test rows: 60 rows are few, and confirmation on fresh splits has to do",
    ]
    file = read_study(result.stdout)
    draft, found = decode_draft(file.study)
    assert (file.violations, found, file.study_id) == ((), (), "flowers")
    assert draft.dataset is not None
    assert (draft.dataset.uri, draft.dataset.target) == (str(flowers), "kind")
    assert draft.dataset.drop == ("row", "unit")


def test_options_decide(flowers: Path) -> None:
    """What is said on the command line is in the study, and named as asked for."""
    options = ["--metric", "mae", "--folds", "0", "--test", "0.25", "--drop", "kind", "--keep", "row", "--trials", "7"]
    result = run("flowers.csv", "--target", "price", *options, "--seed", "5", "--dry-run")
    assert result.exit_code == 0, result.stderr
    draft, _ = decode_draft(read_study(result.stdout).study)
    assert draft.dataset is not None
    assert (draft.dataset.drop, draft.dataset.test, draft.seed) == (("kind", "unit"), 0.25, 5)
    assert (draft.objectives[0].metric, draft.evaluation.folds, draft.budget.trials) == ("mae", 0, 7)
    assert result.stdout.count("as asked") == 3


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--target", "knid"], "dataset.target: there is no column 'knid'; did you mean 'kind'?"),
        (["--target", "kind", "--drop", "lenght"], "dataset.drop: there is no column 'lenght'; did you mean 'length'?"),
        (["--target", "kind", "--keep", "rows"], "--keep: there is no column 'rows'; did you mean 'row'?"),
        (["--target", "kind", "--task", "guess"], "--task: 'guess' is not known; use classification or regression"),
        (
            ["--target", "kind", "--time", "soon"],
            "--time: is the text 'soon', not a duration; write it as 90s, 15m, 12h or",
        ),
        (["--target", "kind", "--time", "0s"], "--time: is nothing; give a time such as 90s, 10m or 2h"),
        (["--target", "unit"], "dataset.target: column 'unit' has only the class 'cm'; name a column with two or more"),
        (["--target", "kind", "--folds", "99"], "--folds: 99 folds of 60 rows; use 2 to 60, or 0 for one hold-out"),
    ],
)
def test_mistakes_are_named(flowers: Path, arguments: list[str], line: str) -> None:
    """A column or option that cannot be used is one line with the remedy, exit code 2, and nothing is printed."""
    result = run("flowers.csv", *arguments, "--dry-run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[0].startswith(line)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("rows.csv", None, "dataset.uri: there is no file"),
        ("rows.txt", "a\n1\n", "dataset.uri: the extension '.txt' is not known; use a file that ends in .csv"),
        ("rows.parquet", "a\n1\n", "dataset.uri: cannot be read as PARQUET"),
        ("rows.csv", "", "dataset.uri: cannot be read as CSV: No columns to parse from file"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: str | None, reason: str) -> None:
    """A file that is missing, of another kind or damaged is refused with the reason."""
    if content is not None:
        (tmp_path / name).write_text(content)
    result = run(str(tmp_path / name), "--target", "a", "--dry-run")
    assert result.exit_code == 2
    assert result.stderr.startswith(reason)
