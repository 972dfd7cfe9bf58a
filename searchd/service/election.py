"""Which of several servers on one store may write: the one that holds the lease, as long as it gives signs of life."""

from collections.abc import Callable
from datetime import timedelta

from searchd.domain.errors import LeaseLost
from searchd.ports.store import Lease, Store


class Election:
    """One server's part in it. Used by one thread at a time.

    A lease is taken at once if nobody holds it or it is this server's own. Another's is taken when its beats have stood
    still for long enough by this server's own steady clock; that the other may only be slow or asleep does no harm,
    for the store refuses writes of an epoch that is over.

    Args:
        store: Where the lease is.
        holder: Id of this server, the same after a restart; no two servers that may run at once share one, except
            that those without an id (empty) do not wait for each other.
        patience: How long beats must have stood still.

    Attributes:
        address: Where this server takes requests, for others to be told.
    """

    def __init__(self, store: Store, holder: str, patience: timedelta) -> None:
        self.address = ""
        self._store = store
        self._holder = holder
        self._patience = patience.total_seconds()
        self._seen: Lease | None = None
        self._since = 0.0

    @property
    def leader(self) -> str:
        """Where the server that writes takes requests, as last seen; empty if nobody does."""
        return "" if self._seen is None else self._seen.address

    def stand(self, clock: Callable[[], float]) -> int | None:
        """Take the lease if that is allowed.

        Args:
            clock: A steady clock, in seconds.

        Returns:
            The new epoch; None if another server has the lease.

        Raises:
            StoreUnavailable: the store cannot be reached or refuses.
        """
        seconds = clock()
        lease = self._store.lease()
        if lease != self._seen:
            self._seen, self._since = lease, clock()  # the look may have taken long
        if lease.holder not in ("", self._holder) and seconds - self._since < self._patience:
            return None
        try:
            epoch = self._store.begin_epoch(self._holder, self.address, lease)
        except LeaseLost:
            return None
        self._seen = Lease(epoch, self._holder, self.address, lease.beats + 1)
        return epoch
