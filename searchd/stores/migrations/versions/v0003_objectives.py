"""Studies have several objectives, trials that break a limit rank behind others, and requests may be about a trial.

Until now a definition had one, as ``"objective": {…}``; that is ``"objectives": [{…}]``.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from searchd.failpoints import reach
from searchd.stores.migrations.rewriting import column, rewrite

revision = "0003"
down_revision = "0002"

_SINGLE = '"objective":'


def upgrade() -> None:
    """Add the column that trials rank by, then rewrite definitions where they are kept."""
    op.add_column("trials", sa.Column("feasible", sa.Integer, nullable=False, server_default="1"))
    op.add_column("requests", sa.Column("trial", sa.Text))
    op.drop_index("trials_by_rank", "trials")
    op.create_index("trials_by_rank", "trials", ["study", "rung", "feasible", "score", "number"])
    reach("migration.step")
    studies = sa.table("studies", column("name"), column("spec"))
    rewrite(studies, ["name"], "spec", studies.c.spec.contains(_SINGLE), _definition)
    requests = sa.table("requests", column("request_id"), column("study"))
    rewrite(requests, ["request_id"], "study", requests.c.study.contains(_SINGLE), _study)


def _definition(text: str) -> str | None:
    """A definition with a list of objectives; None if it has one, or cannot be read."""
    return _changed(text, lambda spec: spec)


def _study(text: str) -> str | None:
    return _changed(text, lambda study: study["spec"])


def _changed(text: str, definition: Any) -> str | None:
    try:
        value: Any = json.loads(text)
        spec = definition(value)
        spec["objectives"] = [spec.pop("objective")]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
