"""Making a store of a backup, as a store of its own."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import SQLAlchemyError

from searchd.care import database
from searchd.care.archive import DATABASE, STORAGE, Manifest, unpack, verified
from searchd.care.claim import LOCK, UNFINISHED, claimed
from searchd.care.errors import CareRefused, DamagedBackup, not_written
from searchd.care.folder import sync
from searchd.domain.errors import SearchdError, StoreTooNew
from searchd.failpoints import reach
from searchd.stores import schema
from searchd.stores.connections import Connections, SqlSettings
from searchd.stores.errors import CommitUnknown
from searchd.stores.tables import meta

EPOCHS_AHEAD: Final = 1000
"""How far a restored store's epoch is ahead of its backup's: further than servers of the old timeline can have come, so
that one that was asleep and wakes up is refused."""

_STAGE = "restoring"
_STAGED = ".restoring"


@dataclass(frozen=True, slots=True)
class Restored:
    """A store made of a backup: what the backup says, and the store's own identity."""

    manifest: Manifest
    identity: str


@dataclass(frozen=True, slots=True)
class _Begun:
    """What is noted of a restore before it changes anything: the identity that the store will have, and the digest of
    the database in the backup."""

    identity: str
    sha256: str


def restore(file: Path, data_dir: Path, store: SqlSettings, storage: Path) -> Restored:
    """Make a store of a backup, in an empty data directory and an empty database.

    The database is filled in one transaction, last. Interrupted before, nothing serves from the directory, and the next
    call starts over; interrupted after it, the next call of the same backup finds that it was complete.

    Args:
        file: The backup.
        data_dir: Where the new store's server is to keep everything; made if it is not there.
        store: The database to fill.
        storage: Root of checkpoints, logs and artifacts.

    Raises:
        CareRefused: a directory or the database is not empty.
        DamagedBackup: the file is no backup, or a damaged one; nothing was touched.
        InvalidArgument: another server uses the directory, or the store's URL is malformed or not supported.
        NotWritten: the disk refused; nothing is left there.
        OSError: the file cannot be read.
        StoreTooNew: a newer searchd made the backup.
        StoreUnavailable: the database cannot be filled; nothing of it was, unless it says that this is unknown. The
            next call finds out.
    """
    manifest = verified(file)
    known = schema.known()
    if manifest.contents.schema not in known:
        raise StoreTooNew(manifest.contents.schema, known[-1])
    data_dir.mkdir(parents=True, exist_ok=True)
    with claimed(data_dir):
        begun = _completed(data_dir, store, storage, manifest)
        if begun is None:
            _check_empty(data_dir, store, storage)
            begun = _Begun(secrets.token_hex(16), manifest.members[DATABASE].sha256)
            with not_written(str(data_dir)), _cleared_on_failure(begun, data_dir, store, storage):
                _note(data_dir, begun)
                reach("restore.noted")
                _unpacked(file, manifest, data_dir, storage)
                reach("restore.unpacked")
                _renewed(file, data_dir / _STAGE / DATABASE, begun.identity)
                _filled(data_dir / _STAGE / DATABASE, store, storage)
        reach("restore.done")
        _finished(data_dir, storage)
        return Restored(manifest, begun.identity)


def _completed(data_dir: Path, store: SqlSettings, storage: Path, manifest: Manifest) -> _Begun | None:
    """An interrupted restore that had been through with the database; the remains of any other are cleared away."""
    try:
        begun = _Begun(**json.loads((data_dir / UNFINISHED).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        begun = None  # cut short while it was noted, before anything else
    if begun is None or not _is_in(store, begun.identity):
        _clear(data_dir, storage)
        return None
    if begun.sha256 != manifest.members[DATABASE].sha256:
        _finished(data_dir, storage)
        raise CareRefused(f"{data_dir} holds the store of another backup", "choose another directory")
    return begun


def _finished(data_dir: Path, storage: Path) -> None:
    _put_in_place(storage)
    shutil.rmtree(data_dir / _STAGE, ignore_errors=True)
    (data_dir / UNFINISHED).unlink()
    sync(data_dir)


def _is_in(store: SqlSettings, identity: str) -> bool:
    """Whether the database is the store of that identity."""
    file = database.file_of(store)
    if file is not None and not file.exists():
        return False
    with database.reading(store) as connection:
        return database.holds_tables(connection) and connection.scalar(select(meta.c.identity)) == identity


def _check_empty(data_dir: Path, store: SqlSettings, storage: Path) -> None:
    for folder, option in ((data_dir, "--data-dir"), (storage, "--storage")):
        found = sorted(path.name for path in folder.iterdir() if path.name != LOCK) if folder.exists() else []
        if found:
            shown = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
            raise CareRefused(f"{folder} is not empty: it has {shown}", f"name a new directory with {option}")
    file = database.file_of(store)
    if file is None or file.exists():
        with database.reading(store) as connection:
            _check_no_tables(connection, store)


def _check_no_tables(connection: Connection, store: SqlSettings) -> None:
    if database.holds_tables(connection):
        raise CareRefused(f"the database {database.shown(store)} is not empty", "name a new one with --store")


@contextlib.contextmanager
def _cleared_on_failure(begun: _Begun, data_dir: Path, store: SqlSettings, storage: Path) -> Iterator[None]:
    try:
        yield
    except CommitUnknown:
        raise  # the next call finds out
    except BaseException:
        with contextlib.suppress(SearchdError):
            if not _is_in(store, begun.identity):
                _clear(data_dir, storage)
        raise


def _clear(data_dir: Path, storage: Path) -> None:
    """Remove what an unfinished restore has left: all of the data directory, which nobody else can have used, and of
    the storage, which others may share, the part that is surely its own. Its note goes last."""
    if (storage / _STAGED).exists():
        shutil.rmtree(storage / _STAGED)
    for path in data_dir.iterdir():
        if path.name not in (LOCK, UNFINISHED):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (data_dir / UNFINISHED).unlink(missing_ok=True)


def _note(data_dir: Path, begun: _Begun) -> None:
    with (data_dir / UNFINISHED).open("x") as note:
        note.write(json.dumps(asdict(begun)))
        note.flush()
        os.fsync(note.fileno())
    sync(data_dir)


def _unpacked(file: Path, manifest: Manifest, data_dir: Path, storage: Path) -> None:
    @contextlib.contextmanager
    def place(name: str, mode: int) -> Iterator[IO[bytes]]:
        stored = storage / _STAGED / PurePosixPath(name).relative_to(STORAGE) if name != DATABASE else None
        path = stored or data_dir / _STAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as out:
            yield out
        path.chmod(mode | 0o600)

    unpack(file, manifest, place)
    os.sync()  # one flush for any number of small files


def _renewed(file: Path, staged: Path, identity: str) -> None:
    """Bring the database of a backup up to date, and make it a store of its own that nobody writes to."""
    try:
        with database.scratch(staged) as connection:
            connection.scalar(select(meta.c.identity))
    except SQLAlchemyError as error:
        raise DamagedBackup(str(file), "its database is none") from error
    with database.scratch(staged) as connection:
        schema.upgrade(connection)
        epoch = meta.c.writer_epoch + EPOCHS_AHEAD
        connection.execute(update(meta).values(identity=identity, writer_epoch=epoch, holder="", address="", mark=""))


def _filled(staged: Path, store: SqlSettings, storage: Path) -> None:
    with (
        database.scratch(staged) as source,
        contextlib.closing(Connections(store)) as connections,
        connections.writing() as target,
    ):
        _check_no_tables(target, store)
        schema.upgrade(target)
        database.copy(source, target)
        reach("restore.filled")
        _put_in_place(storage)
        reach("restore.placed")  # the commit that follows makes it a store


def _put_in_place(storage: Path) -> None:
    """Give what has been unpacked its names; what has them already is left alone."""
    staged = storage / _STAGED
    if staged.exists():
        for path in staged.iterdir():
            path.rename(storage / path.name)
        staged.rmdir()
        sync(storage)
