"""The worker: takes segments from a server, runs them on the main thread, and keeps the results until acknowledged."""

import contextlib
import gc
import logging
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from searchd.domain.failure import Failure
from searchd.domain.trial import FoldRunKey
from searchd.failpoints import reach
from searchd.ports.clock import Clock
from searchd.ports.engine import Ended, Outcome, Report, Segment
from searchd.trainable import Registration
from searchd.worker.failures import failure_of, reason_of, traceback_tail
from searchd.worker.files import Storage
from searchd.worker.fold_run import LiveFoldRun, Order
from searchd.worker.host import Loads, Surroundings
from searchd.worker.loading import CodeChanged, Trainables
from searchd.worker.logs import Routers, routed
from searchd.worker.messages import PROTOCOL_VERSION, Adopted, Reply, StaleEpoch, WorkerSettings
from searchd.worker.outbox import Outbox
from searchd.worker.provider import DatasetProvider

LINGER_SECONDS = 0.005
"""How long a message of a busy worker waits for others to travel with."""

_TURN_SECONDS = 5.0
_LONG_RUN_SECONDS = 1.0
_RUNS_PER_COLLECTION = 100

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Current:
    key: FoldRunKey
    attempt: int
    began: float


class Worker:
    """One process's worker. ``main`` runs on the main thread, the other methods are called from other threads."""

    def __init__(self, settings: WorkerSettings, datasets: DatasetProvider, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        device = "cuda" if settings.pool.resources.gpus > 0 else "cpu"
        storage = Storage(settings.storage.absolute(), settings.checkpoints)
        self._surroundings = Surroundings(datasets, storage, device, Loads())
        self._trainables = Trainables(settings.pool.code, settings.modules, settings.installed)
        self._grace = settings.grace.total_seconds()
        # Everything down to _ended is shared between threads, under the lock that both conditions share.
        lock = threading.Lock()
        self._work = threading.Condition(lock)
        self._news = threading.Condition(lock)
        self._queue: deque[Segment] = deque()
        self._current: _Current | None = None
        self._cancelled: set[tuple[FoldRunKey, int]] = set()
        self._outbox = Outbox()
        self._first_posted = 0.0
        self._epoch = 0
        self._exchanges = 0
        self._waiting = 0
        self._contact = time.monotonic()
        self._draining = False
        self._leaving = False
        self._ended = False
        self._live: LiveFoldRun | None = None
        self._registrations: dict[str, Registration] = {}
        self._closed_runs = 0
        self._modules_aside = 0

    def exchange(
        self,
        epoch: int,
        acknowledged: int,
        segments: tuple[Segment, ...],
        cancels: tuple[tuple[FoldRunKey, int], ...],
        wait: timedelta,
        number: int | None = None,
    ) -> Reply:
        """Hand over segments, cancellations and an acknowledgement, then wait for messages.

        Args:
            epoch: The server's epoch; a newer one than before begins it, without the queue being touched.
            acknowledged: Messages up to this sequence are committed and may be forgotten.
            segments: To be run after those that are queued.
            cancels: Segments (key, attempt) to cancel; those that are not held are ignored.
            wait: Return after this time, with or without messages.
            number: Counts the exchanges since adoption (or the start) from 1, for callers with several under way: one
                that overtook its predecessor waits for it. None takes them as they come.

        Returns:
            The messages not handed over in this epoch yet: at once if the worker has nothing to do, a few milliseconds
            after the first of them if it is busy. None after ``wait``, and when another exchange begins.

        Raises:
            StaleEpoch: another server has begun a newer epoch, before or during the call.
        """
        deadline = time.monotonic() + wait.total_seconds()
        with self._news:
            number = self._in_turn(epoch, number)
            self._exchanges = number
            self._outbox.acknowledge(acknowledged)
            self._take_in(segments, cancels)
            self._news.notify_all()
            self._waiting += 1
            try:
                self._await_news(epoch, number, deadline)
            finally:
                self._waiting -= 1
                self._contact = time.monotonic()
            if epoch != self._epoch:
                raise StaleEpoch(epoch, self._epoch)
            # One that was replaced leaves the messages to its successor, which alone knows what was sent after them.
            messages = self._outbox.take() if number == self._exchanges else ()
            return Reply(messages, self._running())

    def adopt(self, epoch: int) -> Adopted:
        """Belong to the server of ``epoch`` from now on: it is handed everything that is not acknowledged.

        What is queued stays queued. A worker that was drained takes work again.

        Raises:
            StaleEpoch: the worker belongs to a newer epoch.
        """
        with self._news:
            self._admit(epoch)
            self._outbox.begin_epoch()
            self._exchanges = 0
            self._draining = self._leaving
            self._contact = time.monotonic()
            self._news.notify_all()
            holding = [] if self._current is None else [(self._current.key, self._current.attempt)]
            holding += [(segment.key, segment.attempt) for segment in self._queue]
            return Adopted(PROTOCOL_VERSION, self._settings.pool, tuple(holding))

    def drain(self) -> None:
        """Save at the next yield and report DRAINED for everything held, and for what still arrives."""
        with self._work:
            self._draining = True

    def retire(self) -> None:
        """Let ``main`` return; what is held nevertheless is drained first."""
        with self._work:
            self._draining = True
            self._leaving = True
            self._work.notify_all()

    def prepare(self) -> None:
        """Import what is to be trained. ``main`` does it if nobody has; before, it can be told to whoever waits.

        Raises:
            CodeChanged: the files are not what the pool's studies were created with. This worker is of no use.
        """
        with _search_path(self._settings.search_path):
            self._trainables.prepare()

    def main(self) -> None:
        """Run segments until retired, or until no server has exchanged anything for the grace time."""
        try:
            with _interrupts_ignored(), _search_path(self._settings.search_path), routed() as routers:
                with contextlib.suppress(CodeChanged, OSError):  # each segment will say so
                    self.prepare()
                while (segment := self._next()) is not None:
                    self._run(segment, routers)
                self._close_live()
        finally:
            with self._news:
                self._ended = True
                self._news.notify_all()

    def _admit(self, epoch: int) -> None:
        if epoch < self._epoch:
            raise StaleEpoch(epoch, self._epoch)
        if epoch > self._epoch:
            self._epoch = epoch
            self._exchanges = 0
            self._outbox.begin_epoch()

    def _in_turn(self, epoch: int, number: int | None) -> int:
        """Wait until all earlier exchanges have begun, though not for ever; the exchange's number."""
        self._admit(epoch)
        until = time.monotonic() + _TURN_SECONDS
        while number is not None and self._exchanges < number - 1 and epoch == self._epoch and not self._ended:
            left = until - time.monotonic()
            if left <= 0:
                break
            self._news.wait(left)
        self._admit(epoch)
        return self._exchanges + 1 if number is None else number

    def _take_in(self, segments: tuple[Segment, ...], cancels: tuple[tuple[FoldRunKey, int], ...]) -> None:
        self._queue.extend(segments)
        if cancels:
            held = {(segment.key, segment.attempt) for segment in self._queue}
            if self._current is not None:
                held.add((self._current.key, self._current.attempt))
            self._cancelled.update(held.intersection(cancels))
        if segments:
            self._work.notify_all()

    def _await_news(self, epoch: int, number: int, deadline: float) -> None:
        while self._exchanges == number and self._epoch == epoch and not self._ended:
            until = deadline
            if self._outbox.undelivered:
                if self._current is None and not self._queue:
                    return
                until = min(until, self._first_posted + LINGER_SECONDS)
            left = until - time.monotonic()
            if left <= 0:
                return
            self._news.wait(left)

    def _running(self) -> tuple[FoldRunKey, int, timedelta] | None:
        current = self._current
        if current is None:
            return None
        return current.key, current.attempt, timedelta(seconds=time.monotonic() - current.began)

    def _next(self) -> Segment | None:
        """The next segment to run, once there is one; None if the worker is to end."""
        with self._work:
            if self._current is not None:
                self._cancelled.discard((self._current.key, self._current.attempt))
                self._current = None
            if not self._queue and self._outbox.undelivered:
                self._news.notify_all()
            while not self._queue:
                left = self._contact + self._grace - time.monotonic()
                if self._leaving or (left <= 0 and not self._waiting):
                    return None
                self._work.wait(max(self._grace if self._waiting else left, LINGER_SECONDS))
            segment = self._queue.popleft()
            self._current = _Current(segment.key, segment.attempt, time.monotonic())
            return segment

    def _order(self) -> Order:
        """What is wanted of the current segment. Reads without the lock: a late answer is as good."""
        current = self._current
        if self._cancelled and current is not None and (current.key, current.attempt) in self._cancelled:
            return Order.CANCEL
        if not self._draining and not self._waiting and time.monotonic() - self._contact > self._grace:
            self._draining = self._leaving = True
        return Order.DRAIN if self._draining else Order.GO_ON

    def _post(self, key: FoldRunKey, attempt: int, report: Report | None, ended: Ended | None) -> None:
        if report is not None:
            reach("report.made")
        with self._news:
            first = not self._outbox.undelivered
            self._outbox.post(key, attempt, report, ended)
            if first:
                self._first_posted = time.monotonic()
                if self._waiting:
                    self._news.notify_all()
        if report is not None:
            reach("report.posted")
        if ended is not None:
            reach("segment.ended")

    def _run(self, segment: Segment, routers: Routers) -> None:
        key, attempt = segment.key, segment.attempt
        order = self._order()
        if order is not Order.GO_ON:
            self._set_aside(segment, order)
            return
        reach("segment.begun")
        try:
            live = self._brought_to_life(segment)
        except BaseException as error:  # a module that calls sys.exit() cannot be loaded, and that is all
            _logger.exception("%s cannot be loaded", segment.task.trainable)
            failed = Ended(Outcome.FAILED, 0, reason_of(error), traceback_tail(error), failure_of(error))
            self._post(key, attempt, None, failed)
            return
        routers.to(live.log)
        failure: Failure | None = None
        try:
            for report, ended in live.advance(segment, self._order):
                self._post(key, attempt, report, ended)
                failure = None if ended is None else ended.failure
            if live.over:
                self._close_live(out_of_memory=failure is Failure.OUT_OF_MEMORY)
        finally:
            routers.to(None)

    def _set_aside(self, segment: Segment, order: Order) -> None:
        """End a segment before it starts."""
        epoch = 0
        if self._live is not None and self._live.key == segment.key:
            epoch = self._live.epoch
            if order is Order.CANCEL:
                self._close_live()
        ended = (
            Ended(Outcome.CANCELLED, epoch, "cancelled on request")
            if order is Order.CANCEL
            else Ended(Outcome.DRAINED, epoch)
        )
        self._post(segment.key, segment.attempt, None, ended)

    def _brought_to_life(self, segment: Segment) -> LiveFoldRun:
        live = self._live
        if live is not None and live.continues(segment):
            return live
        self._close_live()
        registration = self._loaded(segment.task.trainable)
        self._live = LiveFoldRun(segment, registration, self._surroundings, self._clock)
        return self._live

    def _loaded(self, name: str) -> Registration:
        registration = self._registrations.get(name)
        if registration is None:
            registration = self._registrations[name] = self._trainables.load(name)
            self._set_modules_aside()
        return registration

    def _set_modules_aside(self) -> None:
        """Modules stay; leaving new ones out, a collection takes microseconds instead of tenths of a second."""
        if len(sys.modules) != self._modules_aside:
            self._modules_aside = len(sys.modules)
            gc.freeze()

    def _close_live(self, *, out_of_memory: bool = False) -> None:
        live, self._live = self._live, None
        if live is None:
            return
        live.close()
        self._closed_runs += 1
        if out_of_memory:
            gc.unfreeze()
            self._modules_aside = 0
        if out_of_memory or live.seconds > _LONG_RUN_SECONDS or self._closed_runs % _RUNS_PER_COLLECTION == 0:
            del live
            gc.collect()
            self._set_modules_aside()
        if (torch := sys.modules.get("torch")) is not None:
            torch.cuda.empty_cache()


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ctrl-C at a terminal reaches the whole process group; only the server is meant."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _search_path(folders: tuple[str, ...]) -> Iterator[None]:
    added = [folder for folder in folders if folder not in sys.path]
    sys.path[:0] = added
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)
