"""Databases seen from outside: reading one that a server may be using, and copying one into another."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Select, create_engine, event, inspect, make_url, select
from sqlalchemy import column as column_of
from sqlalchemy import table as table_of
from sqlalchemy.pool import NullPool

from searchd.care.errors import CareRefused
from searchd.domain.errors import StoreDamaged, StoreTooNew
from searchd.stores import schema, tables
from searchd.stores.connections import Connections, SqlSettings
from searchd.stores.errors import errors_translated
from searchd.stores.sqlite import LOCK_SECONDS

CHUNK: Final = 1000
"""Rows that are in memory at a time."""

_VERSIONS = "alembic_version"


def file_of(settings: SqlSettings) -> Path | None:
    """The file of an SQLite database; None if it is one of another kind, or the URL is malformed."""
    try:
        url = make_url(settings.url)
    except ValueError:
        return None
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def shown(settings: SqlSettings) -> str:
    """Where the database is, without a password."""
    return str(file_of(settings) or make_url(settings.url).render_as_string(hide_password=True))


@contextmanager
def reading(settings: SqlSettings) -> Iterator[Connection]:
    """A transaction that sees one state of a database, which is neither made nor changed.

    Text in a damaged SQLite file that is not Unicode comes with lone surrogates in it, which no JSON and no name has.

    Raises:
        CareRefused: there is no such file.
        InvalidArgument: the URL is malformed or not supported.
        StoreDamaged: the database is damaged.
        StoreUnavailable: the database cannot be reached or read.
    """
    file = file_of(settings)
    if file is None:
        with closing(Connections(settings)) as connections, connections.reading() as connection:
            yield connection
        return
    if not file.is_file():
        raise CareRefused(f"there is no store at {file}", "name its directory with --data-dir, or --store URL")
    with errors_translated(), _engine(lambda: _opened(file)) as engine, engine.connect() as connection:
        yield connection


def _opened(file: Path) -> sqlite3.Connection:
    # Where there is a log, of a server that runs or was killed, a connection that may write would move it into the file
    # when it is closed; where there is none, only one that may write removes again what SQLite needs for reading.
    mode = "ro" if file.with_name(f"{file.name}-wal").exists() else "rw"
    address = f"{file.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    connection.text_factory = lambda text: text.decode(errors="surrogateescape")
    return connection


@contextmanager
def scratch(file: Path) -> Iterator[Connection]:
    """A transaction on an SQLite file of one's own, which is made if it is not there. No crash is survived."""

    def opened() -> sqlite3.Connection:
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    with _engine(opened) as engine, engine.begin() as connection:
        yield connection


@contextmanager
def _engine(opened: Callable[[], sqlite3.Connection]) -> Iterator[Engine]:
    engine = create_engine("sqlite://", creator=opened, poolclass=NullPool)
    # The driver would begin transactions by itself, and only when something is written.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    try:
        yield engine
    finally:
        engine.dispose()


def schema_of(connection: Connection) -> str:
    """The schema of a database with a store in it.

    Raises:
        CareRefused: there is no store in it.
        StoreTooNew: it has a schema that this searchd does not know.
    """
    found = schema.version(connection)
    if found is None:
        raise CareRefused("there is no store in the database", "name the right one with --data-dir or --store URL")
    known = schema.known()
    if found not in known:
        raise StoreTooNew(found, known[-1])
    return found


def holds_tables(connection: Connection) -> bool:
    """Whether there is anything in a database."""
    return bool(inspect(connection).get_table_names())


def copy(source: Connection, target: Connection) -> None:
    """Copy all rows of a store into another of the same schema, which has none yet, in chunks.

    Raises:
        StoreDamaged: the source holds what no database takes.
        StoreUnavailable: the source cannot be read.
        SQLAlchemyError: the target cannot be written.
    """
    found = inspect(target)
    for name, _ in found.get_sorted_table_and_fkc_names():  # owners before what they own
        if name is not None and name != _VERSIONS:
            known = tables.metadata.tables.get(name)
            columns = [column["name"] for column in found.get_columns(name)]
            # Types turn what one kind of database does not take into what it does, and back.
            types = {column.name: column.type for column in known.columns} if known is not None else {}
            table = table_of(name, *(column_of(column, types.get(column)) for column in columns))
            for rows in _chunks(source, select(table)):
                try:
                    target.execute(table.insert(), rows)
                except UnicodeEncodeError as error:
                    raise StoreDamaged(f"the table {name}", "it holds text that is not Unicode") from error


def _chunks(source: Connection, query: Select[Any]) -> Iterator[list[dict[str, Any]]]:
    with errors_translated():
        result = source.execute(query, execution_options={"yield_per": CHUNK})
        partitions = result.mappings().partitions()
    while True:
        with errors_translated():
            rows = next(partitions, None)
        if rows is None:
            return
        yield [dict(row) for row in rows]
