"""Rewriting of stored JSON by migrations, so many rows at a time that memory holds them."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from searchd.failpoints import reach

_CHUNK = 1000


def column(name: str, kind: type[sa.types.TypeEngine[Any]] = sa.Text) -> sa.ColumnClause[Any]:
    """A column of a table as a migration finds it."""
    return sa.column(name, kind)


def rewrite(
    table: sa.TableClause,
    keys: Sequence[str],
    field: str,
    which: sa.ColumnElement[bool],
    rewritten: Callable[[str], str | None],
) -> None:
    """Rewrite a column of the rows that meet ``which``.

    Args:
        table: With the columns that are named.
        keys: Names of the columns that make up its key.
        field: Name of the column, of text.
        which: What the rows meet.
        rewritten: The new text of an old one; None to leave it as it is.
    """
    connection = op.get_bind()
    columns = [table.c[key] for key in keys]
    query = sa.select(*columns, table.c[field]).where(which).order_by(*columns).limit(_CHUNK)
    put = sa.update(table).where(*(key == sa.bindparam(f"of_{key.name}") for key in columns))
    put = put.values({field: sa.bindparam("new")})
    rows = connection.execute(query).all()
    while rows:
        changed = [
            {f"of_{key}": value for key, value in zip(keys, row, strict=False)} | {"new": new}
            for row in rows
            if (new := rewritten(row[-1])) is not None
        ]
        if changed:
            connection.execute(put, changed)
        reach("migration.step")
        rows = connection.execute(query.where(sa.tuple_(*columns) > tuple(rows[-1])[:-1])).all()
