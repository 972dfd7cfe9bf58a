"""Ending what runs from a data directory."""

from datetime import timedelta
from pathlib import Path

import psutil

from searchd.cli import note
from searchd.engines.ray.local import LocalRay, LocalRaySettings

PATIENCE = timedelta(seconds=60)
INSISTENCE = timedelta(seconds=10)


def end_everything(data_dir: Path) -> list[str]:
    """End the server that serves from a directory, then the local Ray that is noted there.

    Returns:
        A line for each thing that was ended.
    """
    ended = []
    server = note.read(data_dir)
    process = server.process() if server is not None else None
    if process is not None:
        end_process(process)
        ended.append(f"ended the server (process {process.pid})")
    if server is not None:
        note.erase(data_dir, server)  # of one that was killed it is left
    ray = LocalRay(LocalRaySettings(data_dir))
    if ray.find() is not None:
        ended.append("ended the local Ray")
    ray.stop()  # clears the remains of one that no longer answers, too
    return ended


def end_process(process: psutil.Process, patience: timedelta = PATIENCE, insistence: timedelta = INSISTENCE) -> None:
    """Ask a server to end, after ``patience`` to end at once, and after ``insistence`` make it."""
    for ask, within in ((process.terminate, patience), (process.terminate, insistence), (process.kill, insistence)):
        try:
            ask()
            process.wait(within.total_seconds())
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired:
            continue
        return
