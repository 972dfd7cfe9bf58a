"""Checkpoints of fold runs: one file each, replaced atomically."""

import json
import os
import pickle
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from searchd.ports.engine import Report, Segment

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A fold run at the end of an epoch.

    Attributes:
        identity: What it belongs to; see ``identity``.
        epoch: Epochs trained.
        report: The report of that epoch, to be sent again if it never arrived.
        state: What the form of trainable needs to continue.
        random: States of the random generators, as bytes: they must not be moved to a GPU with the rest.
    """

    identity: str
    epoch: int
    report: Report
    state: Any
    random: bytes


class DamagedCheckpoint(Exception):  # noqa: N818  # named for what went wrong
    """The file cannot be used; its cause says why."""


def identity(segment: Segment) -> str:
    """What must be equal for a fold run to continue from a checkpoint: a study of the same name may be another one."""
    task = segment.task
    parts = [task.trainable, task.seed, task.data, task.evaluation, dict(task.fixed), dict(segment.parameters)]
    return json.dumps(parts, sort_keys=True, default=repr)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file; a crash at any moment leaves the old one or the new one.

    Raises:
        OSError: the file cannot be written.
        Exception: whatever pickling the state raises.
    """
    content = {
        "format": _FORMAT,
        "identity": checkpoint.identity,
        "epoch": checkpoint.epoch,
        "report": checkpoint.report,
        "state": checkpoint.state,
        "random": checkpoint.random,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".tmp", delete=False) as file:
        try:
            _dump(content, file)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    _sync_folder(path.parent)


def read_checkpoint(path: Path, device: str) -> Checkpoint | None:
    """The checkpoint, with its tensors on ``device``; None if there is none.

    Raises:
        DamagedCheckpoint: there is a file, but it cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = _load(file, device)
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']} is not {_FORMAT}")
        return Checkpoint(content["identity"], content["epoch"], content["report"], content["state"], content["random"])
    except FileNotFoundError:
        return None
    except Exception as error:
        raise DamagedCheckpoint(f"{path}: {type(error).__name__}: {error}") from error


def _dump(content: dict[str, Any], file: IO[bytes]) -> None:
    torch = sys.modules.get("torch")
    if torch is None:
        pickle.dump(content, file, protocol=pickle.HIGHEST_PROTOCOL)
    else:
        torch.save(content, file)


def _load(file: IO[bytes], device: str) -> dict[str, Any]:
    start = file.read(2)
    file.seek(0)
    if start == b"PK":  # torch's files are zip archives
        import torch  # noqa: PLC0415  # only a trainable that uses torch has left such a file

        content: dict[str, Any] = torch.load(file, map_location=device, weights_only=False)
    else:
        content = pickle.load(file)  # noqa: S301  # written by a worker of this cluster
    return content


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
