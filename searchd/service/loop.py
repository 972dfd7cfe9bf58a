"""The one loop: inputs gather, the conductor decides, one transaction takes all facts, only then commands are done.

While a batch commits, the next one gathers, so durability costs one disk flush for many inputs. If a commit fails, its
callers are told so, its commands are dropped, and the conductor is rebuilt from the store: memory never runs ahead
of disk.
"""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from searchd.conductor.active import observation
from searchd.conductor.conductor import Conductor
from searchd.conductor.messages import (
    Answer,
    Command,
    CreateStudy,
    Decision,
    DeleteStudy,
    DrainRequested,
    Input,
    PauseStudy,
    Reconciled,
    ReopenSearch,
    Request,
    SearchReopened,
    StopStudy,
    Tick,
)
from searchd.domain.errors import Overloaded, SearchdError, ServerStopping, StoreUnavailable
from searchd.domain.facts import study_of
from searchd.domain.study import Study, StudyName, StudySpec
from searchd.domain.trial import Trial
from searchd.ports.clock import Clock
from searchd.ports.engine import Engine, EngineCommand
from searchd.ports.scheduler import Scheduler
from searchd.ports.searcher import Ask, CloseSearch, OpenSearch, Searchers, SearchFailed, Tell
from searchd.ports.store import Store

log = logging.getLogger(__name__)

BATCH = 2048
"""Most inputs decided before a commit."""

PAGE = 1000

FAULT = "an internal fault; see the server's log"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Bounds of the loop.

    Attributes:
        pending_requests: Callers' mutations that may wait; more are refused with Overloaded.
        kept_events: Events kept for watches to resume from.
        retry: How long to wait between attempts to reach a store that failed.
    """

    pending_requests: int = 1024
    kept_events: int = 1_000_000
    retry: timedelta = timedelta(seconds=1)


class Loop:
    """Drives the conductor. ``run`` on the event loop; ``post`` from any thread; ``request`` from the event loop."""

    def __init__(
        self,
        store: Store,
        make_scheduler: Callable[[StudySpec], Scheduler],
        clock: Clock,
        settings: LoopSettings,
    ) -> None:
        self._store = store
        self._make_scheduler = make_scheduler
        self._clock = clock
        self._settings = settings
        self._engine: Engine | None = None
        self._searchers: Searchers | None = None
        self._inbox: deque[Input] = deque()
        self._unanswered: set[asyncio.Future[Study]] = set()
        self._signalled = False
        self._signal_lock = threading.Lock()
        self._wake = asyncio.Event()
        self._asyncio: asyncio.AbstractEventLoop | None = None
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._stopping = False
        self._draining = False
        self._epoch = 0
        self._adopting = asyncio.Lock()
        self._ended = asyncio.Event()
        self._ended.set()
        self._listeners: dict[asyncio.Event, StudyName] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._revision_trimmed = 0
        self.conductor = Conductor((), make_scheduler, 0, clock.now())
        self._ready: asyncio.Future[None] | None = None

    def bind(self, engine: Engine, searchers: Searchers) -> None:
        """Say who carries out commands; both deliver to ``post``."""
        self._engine = engine
        self._searchers = searchers

    def post(self, event: Input) -> None:
        """Hand in an input, from any thread."""
        self._inbox.append(event)
        if not self._signalled:
            with self._signal_lock:
                if self._signalled or self._asyncio is None:
                    return
                self._signalled = True
            with contextlib.suppress(RuntimeError):
                self._asyncio.call_soon_threadsafe(self._wake.set)

    async def request(self, body: CreateStudy | StopStudy | DeleteStudy, request_id: str, digest: str) -> Study:
        """Have a mutation decided; returns once it is durable.

        Raises:
            Overloaded: too many requests wait.
            ServerStopping: the server is leaving.
            StoreUnavailable: the write failed; nothing of it happened.
            SearchdError: the conductor refused it.
        """
        if self._stopping:
            raise ServerStopping
        if len(self._unanswered) >= self._settings.pending_requests:
            raise Overloaded("the request queue", self._settings.pending_requests)
        answer: asyncio.Future[Study] = asyncio.get_running_loop().create_future()
        try:
            self._unanswered.add(answer)
            self.post(Request(answer, request_id, digest, body))
            return await answer
        finally:
            self._unanswered.discard(answer)

    async def ready(self) -> None:
        """Return once the engine has started and what there was has been taken over.

        Raises:
            Exception: what the engine raised when it could not start.
        """
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
        await self._ready

    async def run(self) -> None:
        """Recover, then loop until ``stop``."""
        self._asyncio = asyncio.get_running_loop()
        self._ended.clear()
        try:
            await self._recover()
            self._wake.set()
            while not self._stopping:
                await self._gathered()
                batch = [self._inbox.popleft() for _ in range(min(len(self._inbox), BATCH))]
                decision = await self._decided(batch)
                if decision is not None and await self._committed(decision, batch):
                    self._act(decision.commands)
        finally:
            self._ended.set()
            for answer in self._unanswered:
                _answer(answer, ServerStopping())

    async def drain(self, patience: timedelta) -> None:
        """Start nothing more, let workers save, and return when nothing is held or patience ends."""
        self._draining = True
        self.post(DrainRequested())
        deadline = self._clock.now() + patience
        await asyncio.sleep(0)
        while self.conductor.holding and self._clock.now() < deadline:
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End the loop after the batch that is being decided, and tell those who were not heard."""
        self._stopping = True
        self._wake.set()
        for listener in self._listeners:
            listener.set()
        await self._ended.wait()
        self._writer.shutdown()

    @property
    def stopping(self) -> bool:
        """Whether the loop is ending."""
        return self._stopping

    @contextlib.contextmanager
    def listening(self, study: StudyName) -> Iterator[asyncio.Event]:
        """An event that is set whenever something about the study has been committed."""
        heard = asyncio.Event()
        self._listeners[heard] = study
        try:
            yield heard
        finally:
            del self._listeners[heard]

    # One turn

    async def _gathered(self) -> None:
        """Wait for an input or a timer."""
        if not self._inbox:
            timer = self.conductor.next_timer
            seconds = None if timer is None else max((timer - self._clock.now()).total_seconds(), 0.0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)
        with self._signal_lock:
            self._signalled = False
            self._wake.clear()
        timer = self.conductor.next_timer
        if timer is not None and timer <= self._clock.now():
            self._inbox.append(Tick())

    async def _decided(self, batch: list[Input]) -> Decision | None:
        """What follows from the batch; None if deciding failed and everything was undone."""
        now = self._clock.now()
        decision = Decision()
        culprit: Input | None = None
        try:
            for event in batch:
                culprit = event
                _extend(decision, self.conductor.decide(event, now))
            culprit = None
            _extend(decision, self.conductor.settle(now))
        except Exception:
            log.exception("deciding on %s failed", type(culprit).__name__ if culprit else "a batch")
            await self._undone(batch, culprit)
            return None
        return decision

    async def _undone(self, batch: list[Input], culprit: Input | None) -> None:
        """Set aside the study that a fault is laid to, and decide on the rest again from what the store holds.

        Only callers' requests have to be kept: workers repeat what was not acknowledged, searchers are asked again.
        """
        study = self.conductor.attending
        again = [e for e in batch if isinstance(e, Request | PauseStudy) and e is not culprit]
        if isinstance(culprit, Request):
            _answer(culprit.token, StoreUnavailable(FAULT))
        elif study is not None:
            again.append(PauseStudy(study, FAULT))
        else:
            await asyncio.sleep(self._settings.retry.total_seconds())
        self._inbox.extendleft(reversed(again))
        await self._recover()

    async def _committed(self, decision: Decision, batch: list[Input]) -> bool:
        if not decision.facts:
            return True
        try:
            revision = await self._in_writer(lambda: self._store.commit(decision.facts, self._clock.now()))
        except SearchdError as error:
            log.error("a commit failed: %s", error)
            for event in batch:
                if isinstance(event, Request):
                    _answer(event.token, error)
            await self._recover()
            return False
        touched = {study_of(fact) for fact in decision.facts}
        for listener, study in self._listeners.items():
            if study in touched:
                listener.set()
        await self._trim(revision)
        return True

    async def _trim(self, revision: int) -> None:
        """Forget old events from time to time; if that fails, it is done the next time."""
        if revision - self._revision_trimmed > self._settings.kept_events // 10:
            try:
                await self._in_writer(lambda: self._store.trim_events(self._settings.kept_events))
                self._revision_trimmed = revision
            except SearchdError as error:
                log.error("old events cannot be forgotten: %s", error)

    def _act(self, commands: Sequence[Command]) -> None:
        """Carry out commands whose facts are durable."""
        if self._engine is None or self._searchers is None:
            raise RuntimeError("bind an engine and searchers first")
        for_engine: list[EngineCommand] = []
        for command in commands:
            match command:
                case Answer(token, result):
                    _answer(token, result)
                case OpenSearch() | Tell() | Ask() | CloseSearch():
                    self._searchers.perform(command)
                case ReopenSearch(study):
                    self._spawn(self._reopen(study))
                case _:
                    for_engine.append(command)
        if for_engine:
            self._engine.perform(for_engine)

    # Recovery

    async def _recover(self) -> None:
        """Rebuild the conductor from the store, adopt workers, and find what must be handed out again."""
        self._epoch = 0  # what an engine may be adopting now is not for the conductor to come
        kept = [event for event in self._inbox if isinstance(event, Request | PauseStudy)]
        self._inbox.clear()
        self._inbox.extend(kept)
        if self._draining:
            self._inbox.append(DrainRequested())
        while not self._stopping:
            try:
                self._epoch, live = await self._in_writer(lambda: (self._store.begin_epoch(), self._store.live()))
                break
            except SearchdError as error:
                log.error("the store cannot be read: %s", error)
                await asyncio.sleep(self._settings.retry.total_seconds())
        else:
            return
        self.conductor = Conductor(live, self._make_scheduler, self._epoch, self._clock.now())
        self._act(self.conductor.opening().commands)
        self._spawn(self._adopt(self._epoch))

    async def _adopt(self, epoch: int) -> None:
        """Have the engine take over what there is, one epoch after the other; only the newest one is reconciled."""
        engine = self._engine
        if engine is None:
            return
        async with self._adopting:
            if epoch != self._epoch:
                return
            try:
                await asyncio.to_thread(engine.start, epoch)
            except Exception as error:
                log.exception("the engine cannot start")
                self._started(error)
                return
            if epoch == self._epoch:
                self.post(Reconciled())
                self._started(None)

    def _started(self, error: Exception | None) -> None:
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
        if not self._ready.done():
            if error is None:
                self._ready.set_result(None)
            else:
                self._ready.set_exception(error)

    async def _reopen(self, study: StudyName) -> None:
        """Rebuild a study's searcher from its stored trials."""
        active = self.conductor.mind.studies.get(study)
        if active is None or self._searchers is None:
            return
        try:
            trials = await self._in_writer(lambda: all_trials(self._store, study))
        except SearchdError as error:
            self.post(SearchFailed(study, str(error)))
            return
        self._searchers.perform(OpenSearch(study, active.study.spec, tuple(observation(t) for t in trials)))
        self.post(SearchReopened(study))

    async def _in_writer(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def all_trials(store: Store, study: StudyName) -> list[Trial]:
    """Every trial of a study, read in pages."""
    trials: list[Trial] = []
    while True:
        page = store.trials(study, None, trials[-1].number if trials else 0, PAGE)
        trials += page
        if len(page) < PAGE:
            return trials


def _extend(decision: Decision, step: Decision) -> None:
    decision.facts += step.facts
    decision.commands += step.commands


def _answer(token: object, result: Study | SearchdError) -> None:
    """Resolve a request's future, unless its caller has gone."""
    if not isinstance(token, asyncio.Future) or token.done():
        return
    if isinstance(result, SearchdError):
        token.set_exception(result)
    else:
        token.set_result(result)
