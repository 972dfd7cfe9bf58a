"""SQLite: how a file is opened so that a commit is on disk when it returns, and readers never wait for the writer."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from searchd.domain.errors import InvalidArgument, StoreUnavailable

LOCK_SECONDS: Final = 5.0
"""How long a statement waits for another process's lock before it fails."""


def checked(url: URL) -> URL:
    """The URL of a file.

    Raises:
        InvalidArgument: it names none.
    """
    if url.database in (None, "", ":memory:"):
        raise InvalidArgument("store", "names no file, so nothing would be kept", "give sqlite:///PATH")
    if Path(str(url.database)).is_dir():
        raise InvalidArgument("store", f"{url.database} is a directory", "give the path of a file in it")
    return url


def prepare(url: URL) -> None:
    """Switch a database to write-ahead logging, which stays with the file; nothing is done if it is so already.

    SQLite does not wait for another process that is switching or closing the same file, so this does.

    Raises:
        StoreUnavailable: the file system does not allow it.
        sqlite3.Error: the file cannot be opened.
    """
    path = str(url.database)
    patience_ends = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as connection:
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreUnavailable(f"the file system of {path} does not allow write-ahead logging")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > patience_ends:
                raise
        time.sleep(0.01)


def engine(url: URL, *, writes: bool, connections: int, overflow: int) -> Engine:
    """Connections that write, or that can only read."""
    made = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=overflow,
        connect_args={"timeout": LOCK_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(made, "connect")
    def configure(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        # The driver would begin transactions by itself, too late and without IMMEDIATE.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL" if writes else "PRAGMA query_only = ON")

    @event.listens_for(made, "begin")
    def begin_explicitly(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return made
