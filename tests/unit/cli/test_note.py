"""The note that says which process serves from a data directory."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from searchd.cli import note
from searchd.cli.note import Note


def test_a_note_names_this_process_until_it_is_erased(tmp_path: Path) -> None:
    """Written, read back, recognised as running, and gone."""
    mine = note.write(tmp_path)
    assert note.read(tmp_path) == mine
    process = mine.process()
    assert process is not None
    assert process.pid == os.getpid()
    note.erase(tmp_path, mine)
    assert note.read(tmp_path) is None


def test_another_process_with_the_same_id_is_not_taken_for_the_server(tmp_path: Path) -> None:
    """Ids are used again; the start time tells."""
    mine = note.write(tmp_path)
    assert Note(mine.pid, mine.started - 60).process() is None


def test_a_process_that_has_ended_is_not_running() -> None:
    """Neither as a zombie nor after it was waited for."""
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    noted = Note(child.pid, psutil.Process(child.pid).create_time())
    assert child.stdout is not None
    child.stdout.read()  # ends when the child does
    while psutil.pid_exists(child.pid) and psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert noted.process() is None
    child.communicate()
    assert noted.process() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x", "started": 1}', '{"pid": 1}'])
def test_a_damaged_note_is_none(content: str, tmp_path: Path) -> None:
    """A directory with one can still be used."""
    (tmp_path / note.FILE).write_text(content)
    assert note.read(tmp_path) is None


def test_the_note_of_another_server_is_left_alone(tmp_path: Path) -> None:
    """Erasing takes only one's own."""
    note.write(tmp_path)
    note.erase(tmp_path, Note(1, 1.0))
    assert note.read(tmp_path) is not None
