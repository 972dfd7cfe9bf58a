"""The lease and the mark of the last commit in ``meta``; fold runs say what ended their attempts, not only how often.

Until now only workers that were killed were counted, as ``"losses": 2``; that is ``"failures": ["worker_killed", …]``.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from searchd.failpoints import reach

revision = "0002"
down_revision = "0001"

_CHUNK = 1000
_PLAIN = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns, then rewrite trials where they are kept: as they stand, and in the log."""
    # First, for on PostgreSQL it also keeps a server that still runs from writing.
    op.add_column("meta", sa.Column("holder", _PLAIN, nullable=False, server_default=sa.text("''")))
    op.add_column("meta", sa.Column("address", _PLAIN, nullable=False, server_default=sa.text("''")))
    op.add_column("meta", sa.Column("beats", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("meta", sa.Column("mark", sa.String(32), nullable=False, server_default=sa.text("''")))
    reach("migration.step")
    trials = sa.table("trials", _column("study"), _column("number", sa.BigInteger), _column("body"))
    _rewrite(trials, ["study", "number"], sa.true())
    events = sa.table("events", _column("revision", sa.BigInteger), _column("kind"), _column("body"))
    _rewrite(events, ["revision"], events.c.kind == "trial")


def _column(name: str, kind: type[sa.types.TypeEngine[Any]] = sa.Text) -> sa.ColumnClause[Any]:
    return sa.column(name, kind)


def _rewrite(table: sa.TableClause, keys: list[str], which: sa.ColumnElement[bool]) -> None:
    """Rewrite the bodies of a table, so many at a time that memory holds them."""
    connection = op.get_bind()
    columns = [table.c[key] for key in keys]
    query = sa.select(*columns, table.c.body).where(which, table.c.body.contains('"losses"'))
    query = query.order_by(*columns).limit(_CHUNK)
    put = sa.update(table).where(*(column == sa.bindparam(f"of_{column.name}") for column in columns))
    put = put.values(body=sa.bindparam("new"))
    rows = connection.execute(query).all()
    while rows:
        changed = [
            {f"of_{key}": value for key, value in zip(keys, row, strict=False)} | {"new": new}
            for row in rows
            if (new := _rewritten(row.body)) is not None
        ]
        if changed:
            connection.execute(put, changed)
        reach("migration.step")
        rows = connection.execute(query.where(sa.tuple_(*columns) > tuple(rows[-1])[:-1])).all()


def _rewritten(body: str) -> str | None:
    """A trial's JSON with failures in place of losses; None if there is nothing to do, or it cannot be read."""
    try:
        trial: Any = json.loads(body)
        counted = [run for run in trial["fold_runs"] if "losses" in run]
        for run in counted:
            failures = ["worker_killed"] * run.pop("losses")
            run.setdefault("failures", failures)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return json.dumps(trial, ensure_ascii=False, separators=(",", ":")) if counted else None
