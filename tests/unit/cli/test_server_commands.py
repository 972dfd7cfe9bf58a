"""Starting and ending a server: what is refused before anything starts."""

from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from searchd.cli import note
from searchd.cli.main import app
from searchd.cli.server import duration_option


def test_a_directory_that_is_served_from_is_refused(tmp_path: Path) -> None:
    """The line names the process and the remedy, and the note of the other server stays."""
    other = note.write(tmp_path)
    result = CliRunner().invoke(app, ["up", "--data-dir", str(tmp_path)])
    assert result.exit_code == 4
    assert result.stderr.startswith(f"error: process {other.pid} already serves from {tmp_path}; ")
    assert note.read(tmp_path) == other


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    """One line that names the option, exit code 2, and nothing is made."""
    wrong = (["--drain-timeout", "soon"], ["--num-cpus", "0"], ["--ray-address", "a:1", "--num-cpus", "2"])
    for options in (*wrong, ["--data-root", str(tmp_path / "missing")]):
        result = CliRunner().invoke(app, ["up", "--data-dir", str(tmp_path / "new"), *options])
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 1
        assert options[0] in result.stderr
    assert not (tmp_path / "new").exists()


def test_nothing_to_end_is_no_error(tmp_path: Path) -> None:
    """Ending what does not run says so."""
    result = CliRunner().invoke(app, ["down", "--data-dir", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (0, f"nothing runs from {tmp_path}\n")


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("2m", 120), ("0.5h", 1800), ("250ms", 0.25), ("7", 7)])
def test_durations_are_written_as_in_study_files(text: str, seconds: float) -> None:
    """Numbers with ms, s, m or h; seconds without."""
    assert duration_option("--drain-timeout", text) == timedelta(seconds=seconds)
