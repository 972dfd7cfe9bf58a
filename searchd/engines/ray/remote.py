"""One worker as the engine sees it: what it was told, what it holds, and the calls that are under way."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from searchd.domain.failure import Failure
from searchd.domain.trial import FoldRunKey
from searchd.engines.ray.calls import Drain, Exchange, ProcessEnded, Retire, Taken, packed, unpacked
from searchd.engines.ray.mailbox import Mailbox
from searchd.failpoints import reach
from searchd.ports.engine import (
    Ended,
    EngineEvent,
    LossCause,
    Outcome,
    Segment,
    SegmentReported,
    SegmentStarted,
    WorkerId,
    WorkerReady,
)
from searchd.worker.messages import Reply

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
class Departure:
    """Why a worker that is to end ends: what will be told of it when it is gone."""

    cause: LossCause
    reason: str
    failure: Failure = Failure.WORKER_KILLED


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all workers of an engine share.

    Attributes:
        epoch: The server's.
        mailbox: The thread on which everything here happens.
        deliver: Takes events.
        lost: Told once when a worker's process is gone, or belongs to a newer server, with what was raised.
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
        handle: Its Ray actor; None until there is one.
        ready: Whether it has answered yet.
        alive: Whether anything of it has answered yet, its actor if not itself.
        leaving: Why it is going to end, once that is decided on. It is handed nothing more then.
    """

    def __init__(self, name: WorkerId, surroundings: Surroundings, handle: Any = None) -> None:
        self.id = name
        self.handle = handle
        self.ready = self.alive = False
        self.leaving: Departure | None = None
        self._to = surroundings
        self._held: dict[tuple[FoldRunKey, int], None] = {}
        self._announced: tuple[FoldRunKey, int] | None = None
        self._segments: list[Segment] = []
        self._cancels: list[tuple[FoldRunKey, int]] = []
        self._acknowledged = self._told_acknowledged = 0
        self._delivered = 0
        self._sent = self._returned = 0
        self._replies: dict[int, Future[bytes]] = {}
        self._error: BaseException | None = None
        self._sent_at = 0.0
        self._listening = False
        self._draining = False
        self._over = False

    @property
    def current(self) -> tuple[FoldRunKey, int] | None:
        """The segment that it works on, as far as is known."""
        return next(iter(self._held), None)

    @property
    def holds(self) -> bool:
        """Whether it holds anything, as far as is known."""
        return bool(self._held)

    def begin(self, handle: Any) -> None:
        """It has an actor, which is asked for a sign of life; WorkerReady follows."""
        self.handle = handle
        if self._draining:
            self.drain()
        self._send(timedelta(0))

    def taken(self, taken: Taken) -> None:
        """It has answered an adoption: deliver what its outbox had kept."""
        self.ready = self.alive = True
        self._held = dict.fromkeys(taken.told.holding)
        self._sent = self._returned = 1
        self._take(taken.outbox)

    def await_taken(self, holding: tuple[tuple[FoldRunKey, int], ...], reference: Any) -> None:
        """It is adopted with what its actor says it holds; until its process answers, commands are only noted."""
        self.alive = True
        self._held = dict.fromkeys(holding)
        future: Future[bytes] = reference.future()
        future.add_done_callback(lambda _: self._to.mailbox.put(partial(self._taken_late, holding, future)))

    def depart(self, holding: tuple[tuple[FoldRunKey, int], ...], departure: Departure) -> None:
        """It speaks another version: it is told to save what it holds and to end, which is told when it has."""
        self.alive = True
        self._held = dict.fromkeys(holding)
        self.leaving = departure
        future: Future[int] = self.handle.leave.remote().future()
        future.add_done_callback(lambda _: self._to.mailbox.put(partial(self._departed, future)))

    def run(self, segments: tuple[Segment, ...]) -> None:
        """Note segments to hand over; what a worker is handed that leaves is lost with it."""
        if self.leaving is not None:
            return
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
        if self.ready and not self._over and self._error is None and (self._segments or self._cancels):
            self._send(self._wait())

    def idle(self) -> None:
        """Keep an exchange under way although there is nothing to say."""
        if self._sent == self._returned and not self._over:
            self._send(self._wait())

    def drain(self) -> None:
        """Tell it to save what it holds and set it aside."""
        self._draining = True
        if self.leaving is None and self.handle is not None:
            self.handle.call.remote(packed(Drain(self._to.epoch)))

    def retire(self) -> None:
        """Tell it to leave."""
        self.handle.call.remote(packed(Retire(self._to.epoch)))

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
        segments: list[Segment] = []
        cancels: list[tuple[FoldRunKey, int]] = []
        if self.ready:  # else a drain that is under way would not be sure to come first
            segments, self._segments = self._segments, segments
            cancels, self._cancels = self._cancels, cancels
        call = Exchange(self._sent, self._to.epoch, self._acknowledged, tuple(segments), tuple(cancels), wait)
        self._sent_at = time.monotonic()
        if wait == _SHORT_WAIT and not self._listening:
            self._listening = True
            self._to.mailbox.later(_SILENCE, self._listen)
        self._told_acknowledged = self._acknowledged
        reference = self.handle.call.remote(packed(call))
        if segments:
            reach("start.sent")
        return reference

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
                self._error = self._error or error
            else:
                spoken = self._take(told) or spoken
        if self._over or self._returned < self._sent:
            return
        if self._error is not None:
            # Only now: the exchange before the last may have failed, and the last one brought the last messages.
            self._fail(self._error)
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
            self.ready = self.alive = True
            self._to.deliver(WorkerReady(self.id))
        for message in reply.messages:
            if message.sequence <= self._delivered:
                continue
            reach("report.arrived")
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

    def _taken_late(self, adopted: tuple[tuple[FoldRunKey, int], ...], future: "Future[bytes]") -> None:
        """A process that was silent when it was adopted has answered."""
        if self._over:
            return
        try:
            taken: Taken = unpacked(future.result())
        except Exception as error:  # Ray's errors for a worker that is gone are of no one family
            self._fail(error)
            return
        refused = set(adopted).difference(
            taken.told.holding, ((m.key, m.attempt) for m in taken.outbox.messages if m.ended is not None)
        )
        self.taken(taken)
        self._held.update(dict.fromkeys((segment.key, segment.attempt) for segment in self._segments))
        for key, attempt in adopted:
            if (key, attempt) in refused:
                # On its way when the server before was superseded, and then not taken.
                ended = Ended(Outcome.DRAINED, 0)
                self._to.deliver(SegmentReported(self.id, self._delivered, key, attempt, (), ended))
        self.idle()

    def _departed(self, future: "Future[int]") -> None:
        if not self._over:
            self._fail(future.exception() or ProcessEnded(future.result()))

    def _fail(self, error: BaseException) -> None:
        self._over = True
        self._to.lost(self, error)
