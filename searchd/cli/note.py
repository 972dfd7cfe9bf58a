"""The note in a data directory that says which process serves from it."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

FILE = "server.json"
SAME_START_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Note:
    """A server's process: its id, and when it started (seconds since 1970), since ids are used again."""

    pid: int
    started: float

    def process(self) -> psutil.Process | None:
        """The process, if it is still the one that was noted, and runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < SAME_START_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def read(data_dir: Path) -> Note | None:
    """The note, or None if there is none that can be read."""
    try:
        found = json.loads((data_dir / FILE).read_text())
        return Note(int(found["pid"]), float(found["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(data_dir: Path) -> Note:
    """Note this process, in one step."""
    note = Note(os.getpid(), psutil.Process().create_time())
    fresh = data_dir / f"{FILE}.new"
    fresh.write_text(json.dumps(asdict(note)))
    fresh.replace(data_dir / FILE)
    return note


def erase(data_dir: Path, note: Note) -> None:
    """Remove the note if it is still this one."""
    if read(data_dir) == note:
        (data_dir / FILE).unlink(missing_ok=True)
