"""PostgreSQL: how a server is reached so that a commit is on its disk when it returns, and nothing waits for ever."""

import json
from typing import Any, Final

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from searchd.domain.errors import StoreUnavailable

LOCK_SECONDS: Final = 5
"""How long a statement waits for another transaction's lock before it fails."""

IDLE_SECONDS: Final = 10
"""How long a transaction that writes may wait for its next statement before the server ends it: a writer that has been
stopped, or whose machine is gone, keeps no other from writing for longer."""

STATEMENT_SECONDS: Final = 60
"""How long a statement may take, and the same for a transaction, where the server can end those (from version 17):
between statements that are sent together nothing else does."""

_CONNECTING: Final = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    # Of several hosts, the one that takes writes. Readers too must see what has just been committed.
    "target_session_attrs": "primary",
    "application_name": "searchd",
}
"""Where the URL does not say otherwise. Times are in seconds, but milliseconds for tcp_user_timeout."""

# Waiting until standbys have applied a commit is more than being on their disks; whoever asks for it keeps it.
_CONFIGURE: Final = """
    SELECT set_config(key, value, false) FROM json_each_text(%s::json) JOIN pg_settings ON name = key
    WHERE NOT (key = 'synchronous_commit' AND setting = 'remote_apply')
"""


def checked(url: URL) -> URL:
    """The URL with the driver that is used here."""
    return url.set(drivername="postgresql+psycopg")


def prepare(url: URL) -> None:
    """Nothing: a database is created by whoever runs the server."""


def engine(url: URL, *, writes: bool, connections: int, overflow: int) -> Engine:
    """Connections that write, or that can only read and see one state of the database in each transaction.

    Each is tried before it is used and replaced if it has broken.
    """
    made = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=overflow,
        pool_pre_ping=True,
        connect_args={key: value for key, value in _CONNECTING.items() if key not in url.query},
    )
    session = json.dumps(_session(writes=writes))

    # Before SQLAlchemy's own, which cannot understand a server of another encoding.
    @event.listens_for(made, "connect", insert=True)
    def configure(connection: psycopg.Connection[Any], _entry: ConnectionPoolEntry) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StoreUnavailable(f"the database has the encoding {encoding}, and UTF8 is needed")
        connection.execute(_CONFIGURE, (session,))
        connection.commit()

    return made


def wait_for_alone(connection: Connection, lock: int) -> None:
    """Wait until no other transaction has this lock, and hold it; for a transaction that takes as long as it takes."""
    for name in ("statement_timeout", "transaction_timeout", "lock_timeout"):
        connection.exec_driver_sql("SELECT set_config(name, '0', true) FROM pg_settings WHERE name = %s", (name,))
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (lock,))


def _session(*, writes: bool) -> dict[str, str]:
    return {
        "synchronous_commit": "on",
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "transaction_timeout": f"{STATEMENT_SECONDS}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s" if writes else "60s",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "3",
        "tcp_keepalives_count": "3",
        "default_transaction_isolation": "read committed" if writes else "repeatable read",
        "default_transaction_read_only": "off" if writes else "on",
    }
