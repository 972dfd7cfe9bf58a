"""What every store promises about who may write; a part of the store's contract."""

import threading
from collections.abc import Callable

import pytest

from searchd.domain.errors import LeaseLost, StoreUnavailable
from searchd.domain.facts import MeasurementAdded, StudyDeleted, StudyPut, TrialPut
from searchd.domain.trial import TrialNumber
from searchd.ports.store import Lease, Store
from tests.contracts.makers import AT, STUDY, measurement, study, trial

OpenedAgain = Callable[[], Store]


class LeaseContract:
    """The promises of the lease, one test each. ``opened_again`` opens the same contents as another server would."""

    def test_epochs_count_from_one(self, store: Store) -> None:
        """Each writer that takes the store gets the next epoch, from 1."""
        assert [store.begin_epoch() for _ in range(3)] == [1, 2, 3]

    def test_nobody_holds_a_new_store(self, store: Store) -> None:
        """A new store has had no writer."""
        assert store.lease() == Lease(0, "", "", 0)

    def test_lease_says_who_writes_and_where(self, store: Store, opened_again: OpenedAgain) -> None:
        """Whoever opens the store sees who took it last, that server's address, and each of its signs of life."""
        other = opened_again()
        store.begin_epoch("one \0\1é", "127.0.0.1:1")
        assert other.lease() == store.lease() == Lease(1, "one \0\1é", "127.0.0.1:1", 1)
        store.beat()
        store.beat()
        assert other.lease() == Lease(1, "one \0\1é", "127.0.0.1:1", 3)
        other.begin_epoch("two", "127.0.0.1:2")
        assert store.lease() == Lease(2, "two", "127.0.0.1:2", 4)

    @pytest.mark.parametrize("leased", [True, False])
    def test_a_writer_that_comes_back_knows_nothing_of_before(
        self, store: Store, opened_again: OpenedAgain, leased: bool
    ) -> None:
        """What another writer has deleted in between can be made anew."""
        other = opened_again()
        for writer, facts in ((store, [StudyPut(study())]), (other, [StudyDeleted(STUDY)])):
            if leased:
                writer.begin_epoch()
            writer.commit(facts, AT)
        if leased:
            store.begin_epoch()
        store.commit([StudyPut(study()), TrialPut(trial(1))], AT)
        assert store.study(STUDY) == study()
        assert [found.number for found in store.trials(STUDY, None, 0, 9)] == [1]

    def test_a_commit_is_a_sign_of_life(self, store: Store) -> None:
        """A writer that is busy with commits lives, however long its next beat has to wait."""
        store.begin_epoch("one", "127.0.0.1:1")
        before = store.lease().beats
        store.commit([StudyPut(study())], AT)
        assert store.lease().beats == before + 1

    def test_lease_that_was_given_up_is_nobodys(self, store: Store, opened_again: OpenedAgain) -> None:
        """Giving up leaves the epoch as it is and the lease without holder, for whoever has seen that to take."""
        store.begin_epoch("one", "127.0.0.1:1")
        store.give_up()
        other = opened_again()
        free = other.lease()
        assert free == Lease(1, "", "", 2)
        assert other.begin_epoch("two", "", free) == 2

    def test_older_writer_is_refused(self, store: Store, opened_again: OpenedAgain) -> None:
        """Once a later epoch has begun, every write of the earlier writer is refused and nothing of it is done."""
        other = opened_again()
        store.begin_epoch("one")
        store.commit([StudyPut(study()), TrialPut(trial())], AT)
        other.begin_epoch("two", "127.0.0.1:2")
        lease = other.lease()
        writes: list[Callable[[], object]] = [
            lambda: store.commit([TrialPut(trial(2))], AT),
            lambda: store.commit([MeasurementAdded(STUDY, measurement(99))], AT),
            lambda: store.commit([], AT),
            lambda: store.trim_events(0),
            store.beat,
        ]
        for write in writes:
            with pytest.raises(LeaseLost) as raised:
                write()
            assert (raised.value.epoch, raised.value.current) == (1, 2)
        store.give_up()
        assert store.lease() == other.lease() == lease
        assert len(other.events(0, None, 10)) == 2
        assert other.commit([TrialPut(trial(3))], AT) == 3

    def test_older_writer_still_reads(self, store: Store, opened_again: OpenedAgain) -> None:
        """A store that has lost the lease goes on reading what the other writes."""
        other = opened_again()
        store.begin_epoch()
        store.commit([StudyPut(study())], AT)
        other.begin_epoch()
        other.commit([TrialPut(trial(2))], AT)
        assert store.trial(STUDY, TrialNumber(2)) == trial(2)
        assert store.revision() == 2

    def test_older_writer_may_take_the_store_back(self, store: Store, opened_again: OpenedAgain) -> None:
        """A store that lost the lease and takes it again writes again, and the other is refused."""
        other = opened_again()
        store.begin_epoch()
        other.begin_epoch()
        assert store.begin_epoch() == 3
        store.commit([StudyPut(study())], AT)
        with pytest.raises(LeaseLost):
            other.beat()

    def test_lease_that_has_changed_is_not_taken(self, store: Store, opened_again: OpenedAgain) -> None:
        """Who has seen a lease that shows a sign of life since does not get it, and nothing changes for its holder."""
        other = opened_again()
        store.begin_epoch("one", "127.0.0.1:1")
        seen = other.lease()
        store.beat()
        with pytest.raises(LeaseLost) as raised:
            other.begin_epoch("two", "127.0.0.1:2", seen)
        assert (raised.value.epoch, raised.value.current) == (1, 1)
        assert store.lease() == Lease(1, "one", "127.0.0.1:1", 2)
        store.commit([StudyPut(study())], AT)
        assert other.begin_epoch("two", "127.0.0.1:2", other.lease()) == 2

    def test_refused_taker_keeps_what_it_has(self, store: Store) -> None:
        """A writer whose attempt to take the lease anew is refused goes on with the epoch that it has."""
        before = store.lease()
        store.begin_epoch("one")
        with pytest.raises(LeaseLost) as raised:
            store.begin_epoch("one", "", before)
        assert (raised.value.epoch, raised.value.current) == (0, 1)
        store.beat()
        assert store.commit([StudyPut(study())], AT) == 1

    def test_only_one_of_many_takes_a_lease(self, store: Store, opened_again: OpenedAgain) -> None:
        """Of several servers that take the lease they have all seen, at the same moment, one gets it."""
        takers = [opened_again() for _ in range(4)]
        seen = store.lease()
        barrier = threading.Barrier(len(takers))
        epochs: list[int] = []
        refused: list[str] = []

        def take(taker: Store, holder: str) -> None:
            barrier.wait()
            try:
                epochs.append(taker.begin_epoch(holder, "", seen))
            except LeaseLost:
                refused.append(holder)

        threads = [threading.Thread(target=take, args=(taker, f"{n}")) for n, taker in enumerate(takers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert epochs == [1]
        assert len(refused) == 3
        assert store.lease().holder not in ("", *refused)

    def test_closed_store_has_no_lease(self, store: Store) -> None:
        """A store that was closed raises StoreUnavailable for all that concerns the lease."""
        store.begin_epoch()
        store.close()
        for use in (store.lease, store.begin_epoch, store.beat, store.give_up):
            with pytest.raises(StoreUnavailable, match="closed"):
                use()
