"""One worker as the engine sees it: what it was told, what it holds, and the calls that are under way."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from searchd.domain.trial import FoldRunKey
from searchd.engines.ray.calls import Drain, Exchange, Retire, packed, unpacked
from searchd.engines.ray.mailbox import Mailbox
from searchd.ports.engine import (
    EngineEvent,
    LossCause,
    Segment,
    SegmentReported,
    SegmentStarted,
    WorkerId,
    WorkerReady,
)
from searchd.worker.messages import Reply, StaleEpoch

_logger = logging.getLogger(__name__)

MOMENT = timedelta(seconds=0.5)
"""A segment that runs for less is never announced as started."""

_SHORT_WAIT = timedelta(seconds=1)
_LONG_WAIT = timedelta(seconds=20)
_SILENCE = timedelta(seconds=2)
"""Longer than a short wait: a worker that has not answered by then is in code that lets no other thread run."""

_LINGER_BUSY = timedelta(milliseconds=5)
_LINGER_IDLE = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all workers of an engine share.

    Attributes:
        epoch: The server's.
        mailbox: The thread on which everything here happens.
        deliver: Takes events.
        lost: Told once when a worker's process is gone, with what Ray raised.
    """

    epoch: int
    mailbox: Mailbox
    deliver: Callable[[EngineEvent], None]
    lost: Callable[["RemoteWorker", BaseException], None]


class RemoteWorker:
    """Keeps one exchange under way with a worker, so that its messages arrive and its death is noticed.

    New commands go out with a new exchange, which makes the waiting one return. After a reply with messages the next
    exchange is held back for a moment: the conductor's commands, when they come within it, travel for free.

    Attributes:
        id: The worker's.
        handle: Its Ray actor.
        ready: Whether it has answered yet.
        leaving: The cause and reason of its coming end, once somebody has decided on it.
    """

    def __init__(self, name: WorkerId, handle: Any, surroundings: Surroundings) -> None:
        self.id = name
        self.handle = handle
        self.ready = False
        self.leaving: tuple[LossCause, str] | None = None
        self._to = surroundings
        self._held: dict[tuple[FoldRunKey, int], None] = {}
        self._announced: tuple[FoldRunKey, int] | None = None
        self._segments: list[Segment] = []
        self._cancels: list[tuple[FoldRunKey, int]] = []
        self._acknowledged = self._told_acknowledged = 0
        self._delivered = 0
        self._sent = self._returned = 0
        self._replies: dict[int, Future[bytes]] = {}
        self._sent_at = 0.0
        self._listening = False
        self._over = False

    @property
    def current(self) -> FoldRunKey | None:
        """The fold run that it works on, as far as is known."""
        return next(iter(self._held), (None, 0))[0]

    def begin(self) -> None:
        """Ask a new worker for a sign of life; WorkerReady follows."""
        self._send(timedelta(0))

    def adopted(self, holding: tuple[tuple[FoldRunKey, int], ...]) -> Any:
        """Take over what it holds, and fetch its outbox: the returned reference is for ``outbox``."""
        self.ready = True
        self._held = dict.fromkeys(holding)
        self._sent = self._returned = 1
        return self.handle.call.remote(packed(Exchange(1, self._to.epoch, 0, (), (), timedelta(0))))

    def outbox(self, reply: Reply) -> None:
        """Deliver what the worker had kept."""
        self._take(reply)

    def run(self, segments: tuple[Segment, ...]) -> None:
        """Note segments to hand over."""
        self._segments += segments
        self._held.update(dict.fromkeys((segment.key, segment.attempt) for segment in segments))

    def cancel(self, key: FoldRunKey, attempt: int) -> None:
        """Note a cancellation to hand over."""
        self._cancels.append((key, attempt))

    def acknowledge(self, sequence: int) -> None:
        """Note an acknowledgement, which goes out with whatever is sent next."""
        self._acknowledged = max(self._acknowledged, sequence)

    def flush(self) -> None:
        """Send what must not wait."""
        if self.ready and not self._over and (self._segments or self._cancels):
            self._send(self._wait())

    def idle(self) -> None:
        """Keep an exchange under way although there is nothing to say."""
        if self._sent == self._returned and not self._over:
            self._send(self._wait())

    def drain(self) -> None:
        """Tell it to save what it holds and set it aside."""
        self.handle.call.remote(packed(Drain()))

    def retire(self) -> None:
        """Tell it to leave."""
        self.handle.call.remote(packed(Retire()))

    def parting(self) -> Any | None:
        """The reference of a last call with what it has not been told yet; None if there is nothing."""
        if not self.ready or self._over:
            return None
        if not (self._segments or self._cancels or self._acknowledged > self._told_acknowledged):
            return None
        return self._call(timedelta(0))

    def forsake(self) -> None:
        """Take no more notice of it."""
        self._over = True

    def _wait(self) -> timedelta:
        """How long an exchange may wait: less until the running segment has been announced."""
        return _SHORT_WAIT if self._held and self._announced not in self._held else _LONG_WAIT

    def _call(self, wait: timedelta) -> Any:
        self._sent += 1
        call = Exchange(
            self._sent, self._to.epoch, self._acknowledged, tuple(self._segments), tuple(self._cancels), wait
        )
        self._sent_at = time.monotonic()
        if wait == _SHORT_WAIT and not self._listening:
            self._listening = True
            self._to.mailbox.later(_SILENCE, self._listen)
        self._told_acknowledged = self._acknowledged
        self._segments.clear()
        self._cancels.clear()
        return self.handle.call.remote(packed(call))

    def _send(self, wait: timedelta) -> None:
        future: Future[bytes] = self._call(wait).future()
        future.add_done_callback(partial(self._arrived, self._sent))

    def _arrived(self, number: int, future: Future[bytes]) -> None:
        """On one of Ray's threads."""
        self._to.mailbox.put(partial(self._returned_from, number, future))

    def _returned_from(self, number: int, future: Future[bytes]) -> None:
        """Replies may overtake each other; they are read in the order in which the worker wrote them."""
        self._replies[number] = future
        spoken = False
        while not self._over and (reply := self._replies.pop(self._returned + 1, None)) is not None:
            self._returned += 1
            try:
                told: Reply = unpacked(reply.result())
            except Exception as error:  # Ray's errors for a worker that is gone are of no one family
                self._failed(error)
                return
            spoken = self._take(told) or spoken
        if self._over or self._returned < self._sent:
            return
        if self._segments or self._cancels:
            self._send(self._wait())
        elif spoken or self.leaving:
            self._to.mailbox.later(_LINGER_BUSY if self._held and not self.leaving else _LINGER_IDLE, self.idle)
        else:
            self._send(self._wait())

    def _take(self, reply: Reply) -> bool:
        """Deliver what a reply tells; whether it had messages."""
        if not self.ready:
            self.ready = True
            self._to.deliver(WorkerReady(self.id))
        for message in reply.messages:
            if message.sequence <= self._delivered:
                continue
            self._delivered = message.sequence
            if message.ended is not None:
                self._held.pop((message.key, message.attempt), None)
            self._to.deliver(
                SegmentReported(self.id, message.sequence, message.key, message.attempt, message.reports, message.ended)
            )
        if reply.running is not None:
            self._announce(*reply.running)
        return bool(reply.messages)

    def _announce(self, key: FoldRunKey, attempt: int, elapsed: timedelta) -> None:
        running = (key, attempt)
        if elapsed >= MOMENT and running in self._held and running != self._announced:
            self._announced = running
            self._to.deliver(SegmentStarted(self.id, key, attempt, elapsed))

    def _listen(self) -> None:
        """Announce a segment whose code keeps the worker from saying so itself."""
        self._listening = False
        if self._over or self._returned == self._sent or not self._held or self._announced in self._held:
            return
        silent = timedelta(seconds=time.monotonic() - self._sent_at)
        if silent >= _SILENCE:
            self._announce(*next(iter(self._held)), silent)
        else:
            self._listening = True
            self._to.mailbox.later(_SILENCE - silent, self._listen)

    def _failed(self, error: BaseException) -> None:
        self._over = True
        if isinstance(error, StaleEpoch):
            _logger.warning("worker %s: %s", self.id, error)
            return
        self._to.lost(self, error)
