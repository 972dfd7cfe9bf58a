"""The lease and the mark of the last commit in ``meta``; fold runs say what ended their attempts, not only how often.

Until now only workers that were killed were counted, as ``"losses": 2``; that is ``"failures": ["worker_killed", …]``.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from searchd.failpoints import reach
from searchd.stores.migrations.rewriting import column, rewrite

revision = "0002"
down_revision = "0001"

_COUNTED = '"losses"'
_PLAIN = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns, then rewrite trials where they are kept: as they stand, and in the log."""
    # First, for on PostgreSQL it also keeps a server that still runs from writing.
    op.add_column("meta", sa.Column("holder", _PLAIN, nullable=False, server_default=sa.text("''")))
    op.add_column("meta", sa.Column("address", _PLAIN, nullable=False, server_default=sa.text("''")))
    op.add_column("meta", sa.Column("beats", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("meta", sa.Column("mark", sa.String(32), nullable=False, server_default=sa.text("''")))
    reach("migration.step")
    trials = sa.table("trials", column("study"), column("number", sa.BigInteger), column("body"))
    rewrite(trials, ["study", "number"], "body", trials.c.body.contains(_COUNTED), _rewritten)
    events = sa.table("events", column("revision", sa.BigInteger), column("kind"), column("body"))
    counted = (events.c.kind == "trial") & events.c.body.contains(_COUNTED)
    rewrite(events, ["revision"], "body", counted, _rewritten)


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
