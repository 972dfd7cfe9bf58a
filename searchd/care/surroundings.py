"""Checks of what is around a store: its data directory, the disk, the server's process, the local Ray."""

import json
import logging
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from searchd.care.claim import UNFINISHED
from searchd.care.finding import Finding, ok, problem, warning
from searchd.engines.ray.local import LocalRay, LocalRaySettings
from searchd.engines.ray.processes import ProcessRecord

FULL: Final = 100 * 10**6
SCARCE: Final = 2 * 10**9
"""Free bytes below which commits will soon fail, and below which somebody should know."""

_PRIVATE = ("ray.token", "ray.json")
_DOWN = "clear it away with `searchd down`, or go on from it with `searchd up`"


def directory(data_dir: Path) -> Finding:
    """Whether the data directory can be used."""
    check = "directory"
    if not data_dir.is_dir():
        return problem(check, f"{data_dir} is not there", "name the right one with --data-dir")
    if (data_dir / UNFINISHED).exists():
        remedy = "run the same `searchd restore` again, which finishes it or starts over"
        return problem(check, "a restore into it was interrupted", remedy)
    entries = [data_dir, *(path for path in data_dir.iterdir() if not path.is_symlink())]
    refused = [str(path) for path in entries if not os.access(path, os.R_OK | os.W_OK)]
    if refused:
        remedy = f"give them to the user who runs the server: chown -R USER {data_dir}"
        return problem(check, "not all of it may be read and written", remedy, refused)
    return ok(check, "there, readable and writable")


def privacy(data_dir: Path) -> list[Finding]:
    """Whether others may read what lets one into the local Ray."""
    open_to_others = [
        path for path in (data_dir / name for name in _PRIVATE) if path.exists() and path.stat().st_mode & 0o077
    ]
    return [
        problem(
            "secrets",
            f"{path.name} has mode {stat.S_IMODE(path.stat().st_mode):o}: others may let themselves into the local Ray",
            f"chmod 600 {path}",
        )
        for path in open_to_others
    ] or [ok("secrets", "nobody else may read them")]


def disks(data_dir: Path, storage: Path) -> list[Finding]:
    """How much room there is, on both disks if there are two."""
    folders = [data_dir, *([storage] if storage.exists() else [])]
    by_device = {folder.stat().st_dev: folder for folder in reversed(folders)}
    named = len(by_device) > 1
    return [_disk(folder, f" at {folder}" if named else "") for folder in reversed(by_device.values())]


def _disk(folder: Path, where: str) -> Finding:
    usage = shutil.disk_usage(folder)
    message = f"{usage.free / 1e9:,.1f} GB of {usage.total / 1e9:,.1f} GB free{where}"
    if usage.free < FULL:
        return problem("disk", message, "make room now: without it no commit succeeds")
    if usage.free < SCARCE:
        return warning("disk", message, "make room before it is full: without it no commit succeeds")
    return ok("disk", message)


def server(noted: ProcessRecord | None) -> Finding:
    """Whether the process that is noted in the data directory runs."""
    if noted is None:
        return ok("server", "none runs from here")
    if noted.find() is not None:
        return ok("server", f"runs as process {noted.pid}")
    message = f"process {noted.pid} ended without taking leave: it crashed or was killed"
    return warning("server", message, "`searchd up` goes on where it was")


def ray(data_dir: Path, *, served: bool) -> Finding:
    """Whether a local Ray lives, and with the server."""
    note = data_dir / "ray.json"
    try:
        daemons = [ProcessRecord(**record) for record in json.loads(note.read_text())["daemons"]]
    except FileNotFoundError:
        return ok("ray", "no local Ray is noted")
    except (OSError, ValueError, KeyError, TypeError):
        return problem("ray", f"{note.name} cannot be read", f"end what runs by hand, then remove {note}")
    pids = _numbers([daemon.pid for daemon in daemons if daemon.find() is not None])
    if _lives(data_dir):
        if served:
            return ok("ray", f"the local Ray lives ({pids})")
        return warning("ray", f"the local Ray lives without a server ({pids})", _DOWN)
    if served and not daemons:
        return warning("ray", "the local Ray is being started", "look again in a few seconds")
    message = f"the local Ray does not answer ({pids})" if pids else "the local Ray that is noted has ended"
    return problem("ray", message, "`searchd down`, then `searchd up`") if served else warning("ray", message, _DOWN)


def _lives(data_dir: Path) -> bool:
    logging.disable()  # it would log what is found here anyway
    try:
        return LocalRay(LocalRaySettings(data_dir)).find() is not None
    finally:
        logging.disable(logging.NOTSET)


def _numbers(pids: Sequence[int]) -> str:
    return f"process{'es' if len(pids) > 1 else ''} {', '.join(map(str, pids))}" if pids else ""
