"""The tables. Whole values are JSON in ``body`` columns; what is searched or sorted by has a column of its own."""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)


class Kind(StrEnum):
    """What an event says; one per type of fact."""

    STUDY = "study"
    DELETED = "deleted"
    PROGRESS = "progress"
    TRIAL = "trial"
    MEASUREMENT = "measurement"
    REQUEST = "request"


metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("identity", String(32), primary_key=True),
    Column("writer_epoch", BigInteger, nullable=False),
    # Events up to this revision have been forgotten.
    Column("trimmed", BigInteger, nullable=False),
)

events = Table(
    "events",
    metadata,
    # SQLite stores a table in the order of a key only if its type is exactly INTEGER.
    Column("revision", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    # No foreign key: the event that tells of a deletion outlives its study. Null for answered requests.
    Column("study", Text),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("body", Text, nullable=False),
    Index("events_by_study", "study", "revision"),
)

studies = Table(
    "studies",
    metadata,
    Column("name", Text, primary_key=True),
    Column("project", Text, nullable=False),
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
    Column("study", Text, ForeignKey("studies.name"), primary_key=True),
    Column("label", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Index("study_labels_by_value", "label", "value", "study"),
)

trials = Table(
    "trials",
    metadata,
    Column("study", Text, ForeignKey("studies.name"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    # Number of completed rungs, and the mean score at the highest, signed so that larger is better.
    Column("rung", Integer, nullable=False),
    Column("score", Float(53)),
    Column("body", Text, nullable=False),
    Index("trials_by_rank", "study", "rung", "score", "number"),
)

measurements = Table(
    "measurements",
    metadata,
    Column("study", Text, primary_key=True),
    Column("trial", Integer, primary_key=True, autoincrement=False),
    Column("repeat", Integer, primary_key=True, autoincrement=False),
    Column("fold", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    Column("body", Text, nullable=False),
    ForeignKeyConstraint(["study", "trial"], ["trials.study", "trials.number"]),
)

requests = Table(
    "requests",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("study", Text, nullable=False),
)
