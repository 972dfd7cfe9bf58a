"""Checks of a database as a database: schema, structure, lease."""

import time
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, select

from searchd.care import database
from searchd.care.finding import RESTORE, Finding, ok, problem, warning
from searchd.ports.store import Lease
from searchd.stores import schema
from searchd.stores.connections import SqlSettings
from searchd.stores.tables import meta

LEASED_FROM: Final = "0002"
"""The first schema that has a lease."""

_LOOK_SECONDS = 0.25
_FINDINGS = 100


def version(connection: Connection) -> Finding:
    """Whether this searchd knows the schema."""
    found, known = schema.version(connection), schema.known()
    if found is None:
        return problem("schema", "there is no store in the database", "name the right one with --store")
    if found not in known:
        return problem("schema", f"{found}, this searchd knows up to {known[-1]}", "upgrade searchd")
    if found != known[-1]:
        remedy = "take a backup, then `searchd up` brings it up to date and `searchd doctor` can look at what it holds"
        return warning("schema", f"{found}, to become {known[-1]}", remedy)
    return ok("schema", found)


def structure(connection: Connection) -> Finding:
    """Whether SQLite finds its file whole; PostgreSQL looks after its own."""
    if connection.dialect.name != "sqlite":
        return ok("structure", "left to PostgreSQL, see pg_amcheck")
    lines = [str(row[0]) for row in connection.exec_driver_sql(f"PRAGMA integrity_check({_FINDINGS})")]
    if lines != ["ok"]:
        return problem(
            "structure", "SQLite finds its file damaged", RESTORE, [part for s in lines for part in s.split("\n")]
        )
    orphans = [
        f"row {row} of {table} belongs to no row of {parent}"
        for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check")
    ]
    if orphans:
        return problem("structure", "rows have lost what they belong to", RESTORE, orphans)
    return ok("structure", "SQLite finds its file whole")


def lease_of(connection: Connection) -> Lease | None:
    """Who may write; None if the schema is from before there was a lease."""
    if (schema.version(connection) or "") < LEASED_FROM:
        return None
    row = connection.execute(select(meta.c.writer_epoch, meta.c.holder, meta.c.address, meta.c.beats)).one()
    return Lease(*row)


def lease(store: SqlSettings, before: Lease, patience: timedelta, *, served: bool) -> Finding:
    """Whether the server that may write gives signs of life.

    Args:
        store: The database.
        before: The lease some time ago.
        patience: How long to wait for a sign.
        served: Whether a server runs from the data directory.
    """
    if not before.holder:
        if served:
            return warning(
                "lease", f"nobody holds it (epoch {before.epoch})", "if that stays so, look at the server's log"
            )
        return ok("lease", f"nobody holds it (epoch {before.epoch})")
    who = f"{before.holder[:8]} at {before.address} (epoch {before.epoch})"
    deadline = time.monotonic() + patience.total_seconds()
    while True:
        with database.reading(store) as connection:
            now = lease_of(connection)
        if now != before:
            return ok("lease", f"held by {who}, which gives signs of life")
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_SECONDS)
    message = f"held by {who}, silent for {patience.total_seconds():.0f} s"
    if served:
        return problem("lease", message, "look at the server's log; end it with `searchd down` if it hangs")
    return warning("lease", message, "`searchd up` takes it over")
