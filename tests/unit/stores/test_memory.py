"""The store in memory."""

from collections.abc import Callable, Iterator

import pytest

from searchd.stores.memory import MemoryStore
from tests.contracts.store import StoreContract


class TestMemoryStore(StoreContract):
    """The store in memory keeps the contract."""

    @pytest.fixture
    def store(self) -> Iterator[MemoryStore]:
        """A new store."""
        store = MemoryStore()
        yield store
        store.close()

    @pytest.fixture
    def opened_again(self, store: MemoryStore) -> Callable[[], MemoryStore]:
        """Opens the same contents once more."""
        return store.opened_again


def test_identity_can_be_given() -> None:
    """A simulation gives the store its id, so that two runs agree."""
    assert MemoryStore("ab" * 16).identity() == "ab" * 16
