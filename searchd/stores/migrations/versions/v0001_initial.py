"""The first schema: the log, studies, trials, measurements and answered requests.

Spelled out rather than taken from the current tables, so that it stays what it was. Only SQLite had it in use; what
concerns PostgreSQL was added later.
"""

import sqlalchemy as sa
from alembic import op

from searchd.failpoints import reach

revision = "0001"
down_revision = None

_PLAIN = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create every table of the first version."""
    op.create_table(
        "meta",
        sa.Column("identity", sa.String(32), primary_key=True),
        sa.Column("writer_epoch", sa.BigInteger, nullable=False),
        sa.Column("trimmed", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("revision", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("study", _PLAIN),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("events_by_study", "events", ["study", "revision"])
    op.create_table(
        "requests",
        sa.Column("request_id", _PLAIN, primary_key=True),
        sa.Column("digest", _PLAIN, nullable=False),
        sa.Column("study", sa.Text, nullable=False),
    )
    reach("migration.step")
    _create_studies()
    reach("migration.step")
    _create_trials()
    reach("migration.step")


def _create_studies() -> None:
    op.create_table(
        "studies",
        sa.Column("name", _PLAIN, primary_key=True),
        sa.Column("project", _PLAIN, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("goal", sa.String(16), nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("rest", sa.Text, nullable=False),
        sa.Column("progress", sa.Text, nullable=False),
    )
    op.create_index("studies_by_project", "studies", ["project", "name"])
    op.create_index("studies_by_state", "studies", ["state", "created"])
    op.create_table(
        "study_labels",
        sa.Column("study", _PLAIN, sa.ForeignKey("studies.name"), primary_key=True),
        sa.Column("label", _PLAIN, primary_key=True),
        sa.Column("value", _PLAIN, nullable=False),
    )
    op.create_index("study_labels_by_value", "study_labels", ["label", "value", "study"])


def _create_trials() -> None:
    op.create_table(
        "trials",
        sa.Column("study", _PLAIN, sa.ForeignKey("studies.name"), primary_key=True),
        sa.Column("number", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("rung", _WHOLE, nullable=False),
        sa.Column("score", sa.Float(53)),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("trials_by_rank", "trials", ["study", "rung", "score", "number"])
    op.create_table(
        "measurements",
        sa.Column("study", _PLAIN, primary_key=True),
        sa.Column("trial", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("repeat", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("fold", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("epoch", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("attempt", _WHOLE, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["study", "trial"], ["trials.study", "trials.number"]),
    )
