"""The tables. Whole values are JSON in ``body`` columns; what is searched or sorted by has a column of its own."""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.types import TypeEngine


class Kind(StrEnum):
    """What an event says; one per type of fact."""

    STUDY = "study"
    DELETED = "deleted"
    PROGRESS = "progress"
    TRIAL = "trial"
    MEASUREMENT = "measurement"
    REQUEST = "request"


class Plain(TypeDecorator[str]):
    """Text as it was given, not JSON: any of Unicode, and sorted by code points in every database.

    PostgreSQL takes no NUL; there, and only there, NUL and the character after it are written as two, which keeps the
    order.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """The column's type in a database."""
        return Text(collation="C" if dialect.name == "postgresql" else None)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Text on its way to the database."""
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace("\1", "\1\2").replace("\0", "\1\1")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Text on its way back."""
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace("\1\1", "\0").replace("\1\2", "\1")


# SQLite's INTEGER has 64 bits, and it stores a table in the order of a key only if its type is exactly that.
_WHOLE = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("identity", String(32), primary_key=True),
    Column("writer_epoch", BigInteger, nullable=False),
    # Events up to this revision have been forgotten.
    Column("trimmed", BigInteger, nullable=False),
    # The lease of the writer's epoch.
    Column("holder", Plain, nullable=False, server_default=text("''")),
    Column("address", Plain, nullable=False, server_default=text("''")),
    Column("beats", BigInteger, nullable=False, server_default="0"),
    # What the last commit left, so that its writer can find out whether it took place.
    Column("mark", String(32), nullable=False, server_default=text("''")),
)

events = Table(
    "events",
    metadata,
    Column("revision", _WHOLE, primary_key=True, autoincrement=False),
    # No foreign key: the event that tells of a deletion outlives its study. Null for answered requests.
    Column("study", Plain),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("body", Text, nullable=False),
    Index("events_by_study", "study", "revision"),
)

studies = Table(
    "studies",
    metadata,
    Column("name", Plain, primary_key=True),
    Column("project", Plain, nullable=False),
    # The revision that created it: studies sort by creation.
    Column("created", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("goal", String(16), nullable=False),
    # Three parts of one value, because they change at different paces: never, rarely, with every batch.
    Column("spec", Text, nullable=False),
    Column("rest", Text, nullable=False),
    Column("progress", Text, nullable=False),
    Index("studies_by_project", "project", "name"),
    Index("studies_by_state", "state", "created"),
)

study_labels = Table(
    "study_labels",
    metadata,
    Column("study", Plain, ForeignKey("studies.name"), primary_key=True),
    Column("label", Plain, primary_key=True),
    Column("value", Plain, nullable=False),
    Index("study_labels_by_value", "label", "value", "study"),
)

trials = Table(
    "trials",
    metadata,
    Column("study", Plain, ForeignKey("studies.name"), primary_key=True),
    Column("number", _WHOLE, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    # Number of completed rungs, and the mean score at the highest, signed so that larger is better.
    Column("rung", _WHOLE, nullable=False),
    Column("score", Float(53)),
    # 1 if its means keep all limits of the study, else 0.
    Column("feasible", Integer, nullable=False, server_default="1"),
    Column("body", Text, nullable=False),
    Index("trials_by_rank", "study", "rung", "feasible", "score", "number"),
)

measurements = Table(
    "measurements",
    metadata,
    Column("study", Plain, primary_key=True),
    Column("trial", _WHOLE, primary_key=True, autoincrement=False),
    Column("repeat", _WHOLE, primary_key=True, autoincrement=False),
    Column("fold", _WHOLE, primary_key=True, autoincrement=False),
    Column("epoch", _WHOLE, primary_key=True, autoincrement=False),
    Column("attempt", _WHOLE, nullable=False),
    Column("body", Text, nullable=False),
    ForeignKeyConstraint(["study", "trial"], ["trials.study", "trials.number"]),
)

requests = Table(
    "requests",
    metadata,
    Column("request_id", Plain, primary_key=True),
    Column("digest", Plain, nullable=False),
    Column("study", Text, nullable=False),
    # Null if the answer was the study.
    Column("trial", Text),
)
