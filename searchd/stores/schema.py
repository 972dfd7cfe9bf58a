"""Bringing a database to the schema that this searchd knows."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from searchd.domain.errors import StoreTooNew


def upgrade(connection: Connection) -> None:
    """Apply the migrations that are missing, in the transaction of ``connection``.

    Raises:
        StoreTooNew: the database has a schema that this searchd does not know.
    """
    config = Config()
    # Alembic reads % as the start of an interpolation.
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = ScriptDirectory.from_config(config)
    found = MigrationContext.configure(connection).get_current_revision()
    newest = known.get_current_head() or ""
    if found == newest:
        return
    if found is not None and found not in {script.revision for script in known.walk_revisions()}:
        raise StoreTooNew(found, newest)
    command.upgrade(config, "head")
