"""Bringing a database to the schema that this searchd knows."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from searchd.domain.errors import StoreTooNew
from searchd.failpoints import reach
from searchd.stores import postgres

# Any number that nobody else locks in the same database.
_LOCK = 0x5EA5C4D


def upgrade(connection: Connection, to: str | None = None) -> None:
    """Apply the migrations that are missing, in the transaction of ``connection``; only one process does so at a time.

    Args:
        connection: Where to apply them.
        to: The schema to stop at, one that ``known`` has; None means the newest.

    Raises:
        StoreTooNew: the database has a schema that this searchd does not know.
    """
    if connection.dialect.name == "postgresql":
        # A transaction that writes to SQLite is alone anyway.
        postgres.wait_for_alone(connection, _LOCK)
    schemas = known()
    found = version(connection)
    if found is not None and found not in schemas:
        raise StoreTooNew(found, schemas[-1])
    if found != (to or schemas[-1]):
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, to or "head")
        reach("migration.step")


def version(connection: Connection) -> str | None:
    """The schema of a database; None if it has none yet."""
    return MigrationContext.configure(connection).get_current_revision()


def known() -> list[str]:
    """Every schema that this searchd knows, oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def _config() -> Config:
    config = Config()
    # Alembic reads % as the start of an interpolation.
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config
