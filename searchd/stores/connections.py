"""Connections to the database: one that writes, several that read."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from searchd.domain.errors import InvalidArgument, StoreUnavailable
from searchd.stores import postgres, sqlite
from searchd.stores.errors import CommitUnknown, errors_translated, one_line

READERS: Final = 8
"""Connections kept open for reading; as many again are opened when needed and closed after use."""


class _Kind(Protocol):
    """What differs between databases: what a URL must name, what is done to it first, how connections behave."""

    def checked(self, url: URL) -> URL: ...

    def prepare(self, url: URL) -> None: ...

    def engine(self, url: URL, *, writes: bool, connections: int, overflow: int) -> Engine: ...


_KINDS: Final[Mapping[str, _Kind]] = {
    "sqlite": sqlite,
    "sqlite+pysqlite": sqlite,
    "postgresql": postgres,
    "postgresql+psycopg": postgres,
}


@dataclass(frozen=True, slots=True)
class SqlSettings:
    """Where the database is: ``sqlite:///relative/path``, ``sqlite:////absolute/path`` or
    ``postgresql://user@host/database``."""

    url: str


class Connections:
    """The connections of one database.

    Writing and reading have separate pools, so that a burst of readers never keeps the writer waiting.

    Raises:
        InvalidArgument: the URL is malformed or of a database that is not supported.
        StoreDamaged: the file is not a database.
        StoreUnavailable: the file cannot be opened.
    """

    def __init__(self, settings: SqlSettings) -> None:
        url = _parsed(settings.url)
        kind = _KINDS[url.drivername]
        url = kind.checked(url)
        with errors_translated():
            kind.prepare(url)
        self._writer = kind.engine(url, writes=True, connections=1, overflow=0)
        self._readers = kind.engine(url, writes=False, connections=READERS, overflow=READERS)
        self._open = True

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes: committed durably on leaving, undone if an error leaves it.

        Raises:
            CommitUnknown: the connection broke while it was being committed.
            StoreFull: there is no room.
            StoreDamaged: the database is damaged.
            StoreUnavailable: anything else that the database says; nothing was written.
        """
        with errors_translated():
            self._check_open()
            with self._writer.connect() as connection:
                connection.begin()
                yield connection
                try:
                    connection.commit()
                except DBAPIError as error:
                    if not error.connection_invalidated:
                        raise
                    raise CommitUnknown(
                        f"whether a write took place is unknown ({one_line(error.orig or error)})"
                    ) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads: all its statements see one state of the database.

        Raises:
            StoreDamaged: the database is damaged.
            StoreUnavailable: anything else that it says.
        """
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


def _parsed(text: str) -> URL:
    # A malformed URL is not shown: there may be a password in it.
    remedy = "give sqlite:///PATH or postgresql://USER@HOST/DATABASE"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise InvalidArgument("store", "is not a database URL", remedy) from None
    if url.drivername not in _KINDS:
        raise InvalidArgument("store", f"databases of kind {url.drivername!r} are not supported", remedy)
    return url
