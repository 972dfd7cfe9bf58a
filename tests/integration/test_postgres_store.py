"""The store in PostgreSQL, over a real server."""

import pytest

from tests.contracts.sql_faults import SqlFaultsContract
from tests.contracts.sql_store import SqlStoreContract


class TestPostgresStore(SqlStoreContract, SqlFaultsContract):
    """The store in PostgreSQL keeps the contract, and what it has acknowledged."""

    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        """Of a database that is empty."""
        return postgres_url
