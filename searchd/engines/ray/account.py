"""What a worker's process holds, as its actor sees it: from the calls and answers that pass."""

import threading

from searchd.domain.trial import FoldRunKey
from searchd.engines.ray.calls import Call, Exchange, Taken
from searchd.worker.messages import Reply, StaleEpoch


class Account:
    """Keeps account of a process that may be too busy to say itself, and lets no superseded server speak to it.

    A segment is held from the exchange that brings it until one acknowledges the message with its end. What the process
    refuses stays in the account; it is found out when the process says itself what it holds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._epoch = 0
        self._held: dict[tuple[FoldRunKey, int], None] = {}
        self._ends: dict[int, tuple[FoldRunKey, int]] = {}

    @property
    def epoch(self) -> int:
        """The newest epoch of a server that has spoken."""
        return self._epoch

    @property
    def holding(self) -> tuple[tuple[FoldRunKey, int], ...]:
        """What is held, as (key, attempt), in the order in which it came."""
        with self._lock:
            return tuple(self._held)

    def begin(self, epoch: int) -> None:
        """A server of that epoch speaks from now on.

        Raises:
            StaleEpoch: a newer one has spoken before.
        """
        with self._lock:
            if epoch < self._epoch:
                raise StaleEpoch(epoch, self._epoch)
            self._epoch = epoch

    def passes(self, call: Call) -> None:
        """A call is about to be passed on.

        Raises:
            StaleEpoch: a newer server has spoken before; nothing of the call counts.
        """
        self.begin(call.epoch)
        if not isinstance(call, Exchange):
            return
        with self._lock:
            for sequence in [sequence for sequence in self._ends if sequence <= call.acknowledged]:
                self._held.pop(self._ends.pop(sequence), None)
            self._held.update(dict.fromkeys((segment.key, segment.attempt) for segment in call.segments))

    def answered(self, answer: object) -> None:
        """An answer is about to be passed back."""
        reply = answer.outbox if isinstance(answer, Taken) else answer
        if not isinstance(reply, Reply):
            return
        with self._lock:
            for message in reply.messages:
                held = (message.key, message.attempt)
                if message.ended is not None and held in self._held:
                    self._ends[message.sequence] = held
