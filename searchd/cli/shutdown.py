"""Ending what runs from a data directory."""

from pathlib import Path

import psutil

from searchd.cli import note
from searchd.engines.ray.local import LocalRay, LocalRaySettings

PATIENCE_SECONDS = 60.0
INSISTENCE_SECONDS = 10.0


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
    ray = LocalRay(LocalRaySettings(data_dir))
    if ray.find() is not None:
        ended.append("ended the local Ray")
    ray.stop()  # clears the remains of one that no longer answers, too
    return ended


def end_process(process: psutil.Process) -> None:
    """Ask a server to end, then to end at once, then make it."""
    for ask, seconds in (
        (process.terminate, PATIENCE_SECONDS),
        (process.terminate, INSISTENCE_SECONDS),
        (process.kill, INSISTENCE_SECONDS),
    ):
        try:
            ask()
            process.wait(seconds)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired:
            continue
        return
