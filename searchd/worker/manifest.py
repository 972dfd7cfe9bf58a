"""The manifest of a checkpoint: what it is, and what its other files must be. Without a valid one there is none."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import IO, Any

from searchd.ports.engine import Report

MANIFEST = "manifest.json"

_FORMAT = 1
_CHUNK = 1 << 20


class DamagedCheckpoint(Exception):  # noqa: N818  # named for what went wrong
    """It cannot be used; the message, or its cause, says why."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file must hold: its size in bytes and the SHA-256 of all of them, 64 hex digits."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``manifest.json`` says.

    Attributes:
        identity: What the checkpoint belongs to; see searchd.worker.checkpoint.identity.
        report: The report of its epoch.
        files: Its other files by name.
    """

    identity: str
    report: Report
    files: Mapping[str, Content]

    def encoded(self) -> bytes:
        """The file's bytes: one JSON object, with a digest of its own."""
        # JSON knows neither NaN nor infinity.
        metrics = {name: value if math.isfinite(value) else str(value) for name, value in self.report.metrics.items()}
        content: dict[str, Any] = {
            "format": _FORMAT,
            "identity": self.identity,
            "epoch": self.report.epoch,
            "report": {"metrics": metrics, "seconds": self.report.seconds, "at": self.report.at.isoformat()},
            "files": {name: asdict(file) for name, file in self.files.items()},
        }
        return json.dumps({**content, "sha256": _digest(content)}, indent=1).encode()


def decoded(encoded: bytes) -> Manifest:
    """The manifest that ``encoded`` wrote.

    Raises:
        DamagedCheckpoint: it is cut off, changed, or of another format.
    """
    try:
        content = json.loads(encoded)
        if content.pop("sha256") != _digest(content):
            raise DamagedCheckpoint(f"{MANIFEST} has been changed")
        if content["format"] != _FORMAT:
            raise DamagedCheckpoint(f"{MANIFEST} has format {content['format']}, not {_FORMAT}")
        told = content["report"]
        metrics = {name: float(value) for name, value in told["metrics"].items()}
        report = Report(content["epoch"], metrics, told["seconds"], datetime.fromisoformat(told["at"]))
        files = {name: Content(**file) for name, file in content["files"].items()}
        return Manifest(content["identity"], report, files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpoint(f"{MANIFEST} cannot be read: {type(error).__name__}: {error}") from error


class Measured:
    """A stream that passes on what is written and takes its measure.

    Attributes:
        refused: What the stream behind it raised, or None.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.refused: OSError | None = None
        self._stream = stream
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: Any) -> int:
        """Write bytes or any buffer, as streams do."""
        try:
            self._stream.write(data)
        except OSError as error:
            self.refused = error
            raise
        self._digest.update(data)
        size = memoryview(data).nbytes
        self._size += size
        return size

    def flush(self) -> None:
        """Flush, as streams do."""
        self._stream.flush()

    @property
    def content(self) -> Content:
        """The measure of what was written so far."""
        return Content(self._size, self._digest.hexdigest())


def verify(file: IO[bytes], name: str, expected: Content) -> None:
    """Read the whole file and go back to its beginning.

    Raises:
        DamagedCheckpoint: it does not hold what it must.
    """
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    if size != expected.size:
        raise DamagedCheckpoint(f"{name} has {size} bytes, not {expected.size}")
    if digest.hexdigest() != expected.sha256:
        raise DamagedCheckpoint(f"{name} has been changed: its SHA-256 is not that in {MANIFEST}")
    file.seek(0)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
