"""The file that a backup is: a gzipped tar of a database and the storage folder, and at its end a manifest of them.

The manifest comes last because it holds the digests of what was read on the way; a file that was cut short has none.
Any ``tar`` can unpack it.
"""

import contextlib
import gzip
import hashlib
import json
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import IO, Any, Final, Protocol

from searchd.care.errors import CareRefused, DamagedBackup

FORMAT: Final = 1
DATABASE: Final = "database.db"
STORAGE: Final = "storage"
MANIFEST: Final = "manifest.json"

_CHUNK = 1 << 20
_LARGEST_MANIFEST = 1 << 29
_LEVEL = 1
"""How hard gzip tries: weights of networks hardly shrink, and JSON does at any level."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup says of itself.

    Attributes:
        searchd: Version that made it.
        schema: Schema of its database.
        store: Identity of the store that it was made of.
        revision: Newest revision in it.
        studies: Number of studies.
        trials: Number of trials.
        at: When it was begun, UTC, in ISO form.
        checkpoints: Whether checkpoints were to be saved.
    """

    searchd: str
    schema: str
    store: str
    revision: int
    studies: int
    trials: int
    at: str
    checkpoints: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a backup: its size in bytes and SHA-256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds: ``members`` by name, the manifest itself left out."""

    contents: Contents
    members: Mapping[str, Member] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes of all members, unpacked."""
        return sum(member.size for member in self.members.values())


class ArchiveWriter:
    """Writes a backup to an open file.

    Raises:
        CareRefused: from ``add``: the file may not be read.
        OSError: from any method: it cannot be written.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=_LEVEL, mtime=0)
        self._tar = tarfile.open(fileobj=self._zip, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115  # see finish
        self._members: dict[str, Member] = {}

    def add(self, name: str, path: Path) -> bool:
        """Add a file, as long as it is now; False if there is none, or if it is a link or no file."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if isinstance(error, PermissionError):
                remedy = "run this as the user who runs the server"
                raise CareRefused(f"{path} may not be read", remedy) from error
            if path.is_file() and not path.is_symlink():
                raise
            return False
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not S_ISREG(status.st_mode):
                return False
            header = tarfile.TarInfo(name)
            header.size, header.mode, header.mtime = status.st_size, status.st_mode & 0o777, int(status.st_mtime)
            reader = _Steady(file)
            self._tar.addfile(header, reader)
        self._members[name] = Member(status.st_size, reader.digest.hexdigest())
        return True

    def finish(self, contents: Contents) -> Manifest:
        """Add the manifest, which it returns, and end the archive."""
        manifest = Manifest(contents, self._members)
        text = json.dumps(asdict(manifest), indent=1).encode()
        header = tarfile.TarInfo(MANIFEST)
        header.size, header.mode = len(text), 0o600
        self._tar.addfile(header, BytesIO(text))
        self._tar.close()
        self._zip.close()
        return manifest

    def abandon(self) -> None:
        """Give up; what was written is no backup."""
        with contextlib.suppress(OSError, ValueError):
            self._zip.close()


class _Steady:
    """A file that is as long as was said, whatever is being done to it.

    What a trainable is writing anew at this moment may get shorter; its end is then filled up with zeros.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, exactly as many as asked for."""
        data = self._file.read(size).ljust(size, b"\0")
        self.digest.update(data)
        return data


def verified(path: Path) -> Manifest:
    """The manifest of a backup all of whose members are what it says; nothing is unpacked.

    Raises:
        DamagedBackup: it is no backup, is damaged or cut short, or holds what no backup holds.
        OSError: the file cannot be read.
    """
    found: dict[str, Member] = {}
    manifest: Manifest | None = None
    with _damage_explained(path):
        for name, _, reader in _members(path):
            if manifest is not None:
                raise DamagedBackup(str(path), f"{name!r} comes after the manifest")
            if name in found:
                raise DamagedBackup(str(path), f"{name!r} is there twice")
            if name == MANIFEST:
                manifest = _manifest(path, reader)
            else:
                found[name] = _drained(reader)
    if manifest is None:
        raise DamagedBackup(str(path), "it has been cut short")
    _compare(path, manifest, found)
    return manifest


class Place(Protocol):
    """Opens the file, to be written, that a member goes to; ``mode`` is its permissions."""

    def __call__(self, name: str, mode: int) -> contextlib.AbstractContextManager[IO[bytes]]: ...  # noqa: D102


def unpack(path: Path, manifest: Manifest, place: Place) -> None:
    """Write the members of a verified backup.

    Raises:
        DamagedBackup: the file has changed since it was verified.
        OSError: a file cannot be written.
    """
    with _damage_explained(path):
        for name, mode, reader in _members(path):
            if name == MANIFEST:
                continue
            with place(name, mode) as file:
                if manifest.members.get(name) != _drained(reader, file):
                    raise DamagedBackup(str(path), "it changed while it was read")


@contextlib.contextmanager
def _damage_explained(path: Path) -> Iterator[None]:
    """Turn what reading a damaged archive raises into DamagedBackup."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeError, OverflowError) as error:
        raise DamagedBackup(str(path), " ".join(str(error).split()) or "it is damaged") from error


def _members(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """(name, permissions, reader) of each member, checked to be plain files with names that a backup has."""
    # Not tarfile's own gzip stream, which compares no check sums.
    with gzip.open(path) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as tar:
        for header in tar:
            reader = tar.extractfile(header) if header.isreg() else None
            if reader is None or not _ordinary(header.name):
                raise DamagedBackup(str(path), f"it holds {header.name!r}, which no backup does")
            yield header.name, header.mode & 0o777, reader
        while unzipped.read(_CHUNK):  # to the check sum at the end
            pass


def _ordinary(name: str) -> bool:
    """Whether a member of that name may be in a backup: below storage, or one of the two beside it."""
    if name in (DATABASE, MANIFEST):
        return True
    parts = PurePosixPath(name).parts
    return len(parts) > 1 and parts[0] == STORAGE and ".." not in parts and "\0" not in name and "/".join(parts) == name


def _drained(reader: IO[bytes], to: IO[bytes] | None = None) -> Member:
    digest, size = hashlib.sha256(), 0
    while data := reader.read(_CHUNK):
        digest.update(data)
        size += len(data)
        if to is not None:
            to.write(data)
    return Member(size, digest.hexdigest())


def _manifest(path: Path, reader: IO[bytes]) -> Manifest:
    try:
        found: dict[str, Any] = json.loads(reader.read(_LARGEST_MANIFEST))
        if found["format"] != FORMAT:
            raise DamagedBackup(str(path), f"its format is {found['format']!r}, this searchd reads {FORMAT}")
        members = {name: Member(**member) for name, member in found["members"].items()}
        return Manifest(Contents(**found["contents"]), members, found["format"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedBackup(str(path), "its manifest cannot be read") from error


def _compare(path: Path, manifest: Manifest, found: Mapping[str, Member]) -> None:
    for name in sorted(manifest.members.keys() ^ found.keys()):
        state = "is missing" if name in manifest.members else "is not in its manifest"
        raise DamagedBackup(str(path), f"{name!r} {state}")
    for name, member in found.items():
        if manifest.members[name] != member:
            raise DamagedBackup(str(path), f"{name!r} is not what was saved")
    if DATABASE not in found:
        raise DamagedBackup(str(path), "it has no database")
    for name in found:
        above = next((str(parent) for parent in PurePosixPath(name).parents if str(parent) in found), None)
        if above is not None:
            raise DamagedBackup(str(path), f"{above!r} is both a file and a folder")
