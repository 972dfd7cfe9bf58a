"""Logs of fold runs."""

import io
import os
import sys
from pathlib import Path

import pytest

from searchd.worker.logs import TAIL_LINES, FoldRunLog, routed


def test_the_tail_is_bounded_and_knows_the_last_state_of_a_line(tmp_path: Path) -> None:
    """Twenty lines at most, the newest last; a progress bar counts as what it shows now."""
    log = FoldRunLog(tmp_path / "deep/log")
    log.write("".join(f"line {n}\n" for n in range(50)))
    log.write("\r 10%\r 90%")
    lines = log.tail().split("\n")
    assert len(lines) == TAIL_LINES
    assert lines[-2:] == ["line 49", " 90%"]
    log.close()
    assert (tmp_path / "deep/log").read_bytes().endswith(b"line 49\n\r 10%\r 90%")


def test_the_tail_shows_the_end_of_a_long_line(tmp_path: Path) -> None:
    """A line of megabytes, whole or not, is in the file but not in the tail, which travels with the trial."""
    log = FoldRunLog(tmp_path / "log")
    log.write("x" * 5_000_000 + "the end\n" + "y" * 5_000_000)
    whole, partial = log.tail().split("\n")
    log.close()
    assert whole.endswith("xthe end")
    assert len(whole) == len(partial) == 2000
    assert (tmp_path / "log").stat().st_size == 10_000_008


def test_a_log_that_is_never_written_leaves_no_file(tmp_path: Path) -> None:
    """Only the first write creates the file and its folder."""
    log = FoldRunLog(tmp_path / "deep/log")
    log.write("")
    assert log.tail() == ""
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_a_second_attempt_appends(tmp_path: Path) -> None:
    """What an earlier attempt printed stays."""
    for text in ("first\n", "second\n"):
        log = FoldRunLog(tmp_path / "log")
        log.write(text)
        log.close()
    assert (tmp_path / "log").read_text() == "first\nsecond\n"


def test_streams_are_switched_and_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prints reach the log only while it is the target, and the streams are as before afterwards."""
    before = io.StringIO()
    monkeypatch.setattr(sys, "stdout", before)
    log = FoldRunLog(tmp_path / "log")
    with routed() as routers:
        sys.stdout.write("mine\n")
        routers.to(log)
        sys.stdout.write("yours\n")
        sys.stderr.writelines(["and ", "hers\n"])
        assert not sys.stdout.isatty()
        routers.to(None)
        sys.stdout.write("mine again\n")
    assert sys.stdout is before
    assert before.getvalue() == "mine\nmine again\n"
    assert log.tail() == "yours\nand hers"
    log.close()


def test_a_full_disk_costs_the_log_and_nothing_else(tmp_path: Path) -> None:
    """What cannot be written is still in the tail, and nobody who prints is told."""
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left"):
        os.write(full, b"x")
    os.close(full)
    (tmp_path / "blocked").touch()
    for path in (Path("/dev/full"), tmp_path / "blocked/0-0.log"):
        log = FoldRunLog(path)
        for line in range(3):
            log.write(f"line {line}\n")
            log.flush()
        assert log.tail() == "line 0\nline 1\nline 2"
        log.close()
