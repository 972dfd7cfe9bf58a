"""Ending what runs from a data directory."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import psutil

from searchd.cli import note, shutdown
from searchd.cli.note import Note

PROGRAM = """
import os, signal, sys, time
def told(*_):
    os.write(1, b"told\\n")  # a signal may come in the middle of a print, which cannot be entered twice
    if sys.argv[1] == "obedient":
        sys.exit()
signal.signal(signal.SIGTERM, told)
os.write(1, b"up\\n")
while True:
    time.sleep(60)
"""


def started(kind: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, kind], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def rest(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.read()


def test_the_noted_server_is_asked_to_end(tmp_path: Path) -> None:
    """It is told once and may end in its own way; what was ended is said; a second time there is nothing."""
    with started("obedient") as process:
        noted = Note(process.pid, psutil.Process(process.pid).create_time())
        (tmp_path / note.FILE).write_text(f'{{"pid": {noted.pid}, "started": {noted.started}}}')
        assert shutdown.end_everything(tmp_path) == [f"ended the server (process {process.pid})"]
        assert rest(process) == "told\n"
    assert shutdown.end_everything(tmp_path) == []


def test_a_server_that_does_not_listen_is_killed() -> None:
    """It is told twice, with some patience in between, and then has no choice."""
    moment = timedelta(seconds=0.5)
    with started("deaf") as process:
        shutdown.end_process(psutil.Process(process.pid), moment, moment)
        assert rest(process) == "told\ntold\n"
        assert not psutil.pid_exists(process.pid)
