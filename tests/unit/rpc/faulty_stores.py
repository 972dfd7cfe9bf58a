"""Stores whose commits of what callers asked for fail when a test says so, before or after they were written."""

from collections.abc import Sequence
from datetime import datetime

from searchd.domain.errors import StoreFull, StoreUnavailable
from searchd.domain.facts import Fact, RequestAnswered, StudyDeleted, StudyPut
from searchd.domain.study import StudyState
from searchd.ports.store import Lease
from searchd.stores.memory import MemoryStore
from searchd.stores.sql import SqlStore


class Faults:
    """What is to go wrong, and what went wrong.

    Attributes:
        next: ``before`` or ``after``: whether the next commit of a caller's mutation fails unwritten or written.
        fired: How often one did.
        full: While it is set, nothing is written.
    """

    def __init__(self) -> None:
        self.next = ""
        self.fired = 0
        self.full = False

    def check_room(self) -> None:
        """Refuse a write while the store is full."""
        if self.full:
            raise StoreFull("no space left")

    def strike(self, when: str, facts: Sequence[Fact]) -> None:
        """Fail if it is the time to."""
        if self.next == when and any(map(_by_a_caller, facts)):
            self.next = ""
            self.fired += 1
            raise StoreUnavailable(f"the connection broke {when} the write")


def _by_a_caller(fact: Fact) -> bool:
    match fact:
        case RequestAnswered() | StudyDeleted():
            return True
        case StudyPut(study):
            return study.state in (StudyState.PENDING, StudyState.STOPPING)
        case _:
            return False


class FaultyMemoryStore(MemoryStore):
    """In memory."""

    def __init__(self) -> None:
        super().__init__()
        self.faults = Faults()

    def opened_again(self) -> "FaultyMemoryStore":
        """Another store of the same contents, with the same faults."""
        other = super().opened_again()
        assert isinstance(other, FaultyMemoryStore)
        return other

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:
        """Write, or fail."""
        self.faults.check_room()
        self.faults.strike("before", facts)
        revision = super().commit(facts, at)
        self.faults.strike("after", facts)
        return revision

    def begin_epoch(self, holder: str = "", address: str = "", seen: Lease | None = None) -> int:
        """Take the lease if there is room."""
        self.faults.check_room()
        return super().begin_epoch(holder, address, seen)


class FaultySqlStore(SqlStore):
    """In a database."""

    faults: Faults

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:
        """Write, or fail."""
        self.faults.check_room()
        self.faults.strike("before", facts)
        revision = super().commit(facts, at)
        self.faults.strike("after", facts)
        return revision

    def begin_epoch(self, holder: str = "", address: str = "", seen: Lease | None = None) -> int:
        """Take the lease if there is room."""
        self.faults.check_room()
        return super().begin_epoch(holder, address, seen)


FaultyStore = FaultyMemoryStore | FaultySqlStore
