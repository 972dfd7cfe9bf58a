"""Connections to the database: one that writes, several that read, and whose errors callers may see."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from searchd.domain.errors import InvalidArgument, StoreUnavailable

LOCK_SECONDS: Final = 5.0
"""How long a statement waits for another process's lock before it fails."""

READERS: Final = 8
"""Connections kept open for reading; as many again are opened when needed and closed after use."""


@dataclass(frozen=True, slots=True)
class SqlSettings:
    """Where the database is: ``sqlite:///relative/path`` or ``sqlite:////absolute/path``."""

    url: str


@contextmanager
def errors_translated() -> Iterator[None]:
    """Turn whatever the database, its driver or a damaged record raises into StoreUnavailable."""
    try:
        yield
    except DBAPIError as error:
        raise StoreUnavailable(_one_line(error.orig or error)) from error
    except (SQLAlchemyError, sqlite3.Error, PydanticSerializationError, ValidationError) as error:
        raise StoreUnavailable(_one_line(error)) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class Connections:
    """The connections of one database.

    Writing and reading have separate pools, so that a burst of readers never keeps the writer waiting.

    Raises:
        InvalidArgument: the URL is malformed or names no SQLite file.
        StoreUnavailable: the file cannot be opened.
    """

    def __init__(self, settings: SqlSettings) -> None:
        url = _checked(settings.url)
        with errors_translated():
            _log_ahead(str(url.database))
        self._writer = _sqlite_engine(url, begin="BEGIN IMMEDIATE", connections=1, overflow=0)
        self._readers = _sqlite_engine(url, begin="BEGIN", connections=READERS, overflow=READERS)
        self._open = True

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes: committed durably on leaving, undone if an error leaves it."""
        with errors_translated():
            self._check_open()
            with self._writer.begin() as connection:
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads: all its statements see one state of the database."""
        with errors_translated():
            self._check_open()
            with self._readers.connect() as connection:
                yield connection

    def close(self) -> None:
        """Close all connections; those in use are closed when they are given back."""
        self._open = False
        self._readers.dispose()
        self._writer.dispose()

    def _check_open(self) -> None:
        if not self._open:
            raise StoreUnavailable("it has been closed")


def _checked(text: str) -> URL:
    remedy = "give sqlite:///PATH"
    try:
        url = make_url(text)
    except ArgumentError:
        raise InvalidArgument("store", f"{text!r} is not a database URL", remedy) from None
    if url.get_backend_name() != "sqlite" or url.get_driver_name() != "pysqlite":
        raise InvalidArgument("store", f"databases of kind {url.drivername!r} are not supported", remedy)
    if url.database in (None, "", ":memory:"):
        raise InvalidArgument("store", "names no file, so nothing would be kept", remedy)
    if Path(str(url.database)).is_dir():
        raise InvalidArgument("store", f"{url.database} is a directory", "give the path of a file in it")
    return url


def _log_ahead(path: str) -> None:
    """Switch a database to write-ahead logging, which stays with the file; nothing is done if it is so already.

    SQLite does not wait for another process that is switching or closing the same file, so this does.
    """
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


def _sqlite_engine(url: URL, *, begin: str, connections: int, overflow: int) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=overflow,
        connect_args={"timeout": LOCK_SECONDS, "check_same_thread": False},
    )
    read_only = begin != "BEGIN IMMEDIATE"

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        # The driver would begin transactions by itself, too late and without IMMEDIATE.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin_explicitly(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
