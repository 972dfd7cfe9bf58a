"""Making a backup of a store, which a server may be using at the same time."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, func, select

from searchd import __version__
from searchd.care import database
from searchd.care.archive import DATABASE, STORAGE, ArchiveWriter, Contents, Manifest
from searchd.care.errors import CareRefused, not_written
from searchd.care.folder import put_in_place, workshop
from searchd.failpoints import reach
from searchd.stores import schema
from searchd.stores.connections import SqlSettings
from searchd.stores.tables import events, meta, studies, trials
from searchd.tracking.ledger import FOLDER

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class Saved:
    """A backup that was made.

    Attributes:
        manifest: What is in it.
        size: Bytes of the file.
        left_out: Links and other things in the storage folder that are no files; they are not saved.
    """

    manifest: Manifest
    size: int
    left_out: int


def back_up(
    file: Path, store: SqlSettings, storage: Path, at: datetime, *, checkpoints: bool = True, replace: bool = False
) -> Saved:
    """Write one state of a store, and the storage folder as it was a little later, to a file.

    Checkpoints are newer than the state, if anything, which does no harm: a fold run continues from where its
    checkpoint is. What vanishes meanwhile is no longer needed.

    Args:
        file: Where to; it is there at the end, whole, or not at all.
        store: What to save.
        storage: Root of checkpoints, logs and artifacts.
        at: The current time, UTC.
        checkpoints: Whether to save checkpoints.
        replace: Whether to replace a file of that name.

    Raises:
        CareRefused: there is no store, there is a file of that name, or something in the storage folder may not be
            read.
        InvalidArgument: the store's URL is malformed or not supported.
        NotWritten: the disk refused; nothing is left there.
        StoreDamaged: the store is damaged so that it cannot be copied whole.
        StoreTooNew: a newer searchd wrote the store.
        StoreUnavailable: the store cannot be reached or read.
    """
    if file.is_dir() or (file.exists() and not replace):
        raise CareRefused(f"{file} exists", "choose another name, or replace it with --force")
    if not file.parent.is_dir():
        raise CareRefused(f"there is no folder {file.parent}", "make it first")
    with not_written(str(file)), workshop(file) as folder:
        copied, archive = folder / DATABASE, folder / "archive"
        contents = _copied(file, store, copied, at, checkpoints)
        reach("backup.copied")
        saved = _packed(archive, copied, storage, contents)
        reach("backup.packed")
        put_in_place(archive, file)
        return saved


def _copied(file: Path, store: SqlSettings, to: Path, at: datetime, checkpoints: bool) -> Contents:
    with database.reading(store) as source:
        found = database.schema_of(source)
        # Within, so that what the copy raises is not taken for the store's.
        with not_written(str(file)), database.scratch(to) as target:
            schema.upgrade(target, found)
            database.copy(source, target)
            return _contents(target, found, at, checkpoints)


def _contents(connection: Connection, found: str, at: datetime, checkpoints: bool) -> Contents:
    newest = func.coalesce(select(func.max(events.c.revision)).scalar_subquery(), meta.c.trimmed)
    identity, revision = connection.execute(select(meta.c.identity, newest)).one()
    return Contents(
        searchd=__version__,
        schema=found,
        store=identity,
        revision=revision,
        studies=connection.scalar(select(func.count()).select_from(studies)) or 0,
        trials=connection.scalar(select(func.count()).select_from(trials)) or 0,
        at=at.isoformat(timespec="seconds"),
        checkpoints=checkpoints,
    )


def _packed(archive: Path, copied: Path, storage: Path, contents: Contents) -> Saved:
    left_out = 0
    with archive.open("xb") as out:
        archive.chmod(0o600)  # logs and configurations are nobody else's business
        writer = ArchiveWriter(out)
        try:
            writer.add(DATABASE, copied)
            for name, path in _files(storage, contents.checkpoints):
                if not writer.add(name, path) and os.path.lexists(path):
                    left_out += 1
            manifest = writer.finish(contents)
        except BaseException:
            writer.abandon()
            raise
    return Saved(manifest, archive.stat().st_size, left_out)


def _files(storage: Path, checkpoints: bool) -> Iterator[tuple[str, Path]]:
    """(name in the backup, path) of everything in the storage folder that is no folder."""
    for folder, below, names in os.walk(storage, onerror=_unless_vanished):
        here = Path(folder)
        inside = here.relative_to(storage)
        if inside == Path() and not checkpoints and CHECKPOINTS in below:
            below.remove(CHECKPOINTS)
        if inside == Path() and FOLDER in below:
            below.remove(FOLDER)  # of what is tracked other databases are the truth, or it can be written again
        below.sort(key=_by_number, reverse=True)  # newest checkpoints first: they are deleted last
        links = [name for name in below if (here / name).is_symlink()]
        for name in sorted([*names, *links]):
            yield str(Path(STORAGE) / inside / name), here / name


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", name)]


def _unless_vanished(error: OSError) -> None:
    if isinstance(error, PermissionError):
        raise CareRefused(f"{error.filename} may not be read", "run this as the user who runs the server") from error
    if not isinstance(error, FileNotFoundError):
        raise error
