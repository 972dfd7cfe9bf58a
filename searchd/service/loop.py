"""The one loop: inputs gather, the conductor decides, one transaction takes all facts, only then commands are done.

While a batch commits, the next one gathers, so durability costs one disk flush for many inputs. If a commit fails, its
callers are told so, its commands are dropped, and the conductor is rebuilt from the store: memory never runs ahead
of disk. The same happens when another server has the store's lease, only that the rebuilding waits until that lapses.
"""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta

from searchd.conductor.active import observations
from searchd.conductor.conductor import Conductor
from searchd.conductor.messages import (
    Answer,
    Command,
    Decision,
    DrainRequested,
    EnqueueTrial,
    Input,
    PauseStudy,
    Reconciled,
    ReopenSearch,
    Request,
    SearchReopened,
    StudyMutation,
    Tick,
)
from searchd.domain.errors import (
    LeaseLost,
    NotLeader,
    RequestReused,
    SearchdError,
    ServerStopping,
    StoreFull,
    StoreUnavailable,
)
from searchd.domain.facts import study_of
from searchd.domain.study import Study, StudyName, StudySpec
from searchd.domain.trial import Trial
from searchd.failpoints import reach
from searchd.ports.clock import Clock
from searchd.ports.engine import Engine, EngineCommand
from searchd.ports.scheduler import Scheduler
from searchd.ports.searcher import Ask, CloseSearch, OpenSearch, Searchers, SearchFailed, Tell
from searchd.ports.store import DamagedStudy, LiveStudy, Store
from searchd.service.desk import Desk, all_trials, answer, looked_up, refuse
from searchd.service.listeners import Listeners
from searchd.service.writer import Writer

log = logging.getLogger(__name__)

BATCH = 2048
"""Most inputs decided before a commit."""


FAULT = "an internal fault; see the server's log"


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Bounds of the loop.

    Attributes:
        pending_requests: Callers' mutations that may wait; more are refused with Overloaded.
        kept_events: Events kept for watches to resume from.
        retry: How long to wait between attempts to reach a store that failed, or looks at another server's lease.
        lease: A leader that gives no sign of life for so long is succeeded; signs are given four times as often.
    """

    pending_requests: int = 1024
    kept_events: int = 1_000_000
    retry: timedelta = timedelta(seconds=1)
    lease: timedelta = timedelta(seconds=10)


class Loop:
    """Drives the conductor. ``run`` on the event loop; ``post`` from any thread; ``request`` from the event loop."""

    def __init__(
        self,
        store: Store,
        make_scheduler: Callable[[StudySpec], Scheduler],
        clock: Clock,
        settings: LoopSettings,
        holder: str = "",
    ) -> None:
        """Nothing happens yet.

        Args:
            store: The truth.
            make_scheduler: Makes the scheduler of a study.
            clock: A clock that never jumps.
            settings: Bounds.
            holder: This server's id in the store's lease; empty for one that no other server waits for.
        """
        self._store = store
        self._writer = Writer(store, holder, settings.lease, settings.kept_events)
        self._make_scheduler = make_scheduler
        self._clock = clock
        self._settings = settings
        self._engine: Engine | None = None
        self._searchers: Searchers | None = None
        self._inbox: deque[Input] = deque()
        self._desk = Desk(self.post, self._withdraw, settings.pending_requests)
        self.listeners = Listeners()
        self._signalled = False
        self._signal_lock = threading.Lock()
        self._wake = asyncio.Event()
        self._asyncio: asyncio.AbstractEventLoop | None = None
        self._leaving = asyncio.Event()
        self._draining = False
        self._epoch = 0
        self._held = False
        self._adopting = asyncio.Lock()
        self._ended = asyncio.Event()
        self._ended.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.conductor = Conductor((), make_scheduler, 0, clock.now())
        self._ready: asyncio.Future[None] | None = None

    def bind(self, engine: Engine, searchers: Searchers, address: str = "") -> None:
        """Say who carries out commands, both of whom deliver to ``post``, and where this server takes requests."""
        self._engine = engine
        self._searchers = searchers
        self._writer.serves_at(address)

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

    async def request(self, body: StudyMutation, request_id: str, digest: str) -> Study:
        """Have a mutation decided; returns the study once it is durable.

        Raises:
            Overloaded: too many requests wait.
            ServerStopping: the server is leaving.
            NotLeader: another server has the lease.
            StoreUnavailable: the write failed; nothing of it happened, unless it says that it does not know.
            SearchdError: the conductor refused it.
        """
        answered = await self._desk.ask(body, request_id, digest)
        if not isinstance(answered, Study):
            raise RequestReused(request_id)
        return answered

    async def enqueue(self, body: EnqueueTrial, request_id: str, digest: str) -> Trial:
        """Have a configuration tried; returns the trial once it is durable. Raises what ``request`` does."""
        answered = await self._desk.ask(body, request_id, digest)
        if not isinstance(answered, Trial):
            raise RequestReused(request_id)
        return answered

    def _withdraw(self, request: Request) -> None:
        with contextlib.suppress(ValueError):  # it is being decided
            self._inbox.remove(request)

    async def ready(self) -> None:
        """Return once the engine has started and what there was has been taken over, or another server leads.

        Raises:
            Exception: what the engine raised when it could not start.
        """
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
        await self._ready

    async def run(self) -> None:
        """Recover whenever this server does not lead, else take turns, until ``stop``."""
        self._asyncio = asyncio.get_running_loop()
        self._ended.clear()
        beating = self._asyncio.create_task(self._beat())
        try:
            while not self.stopping:
                if not self._epoch:
                    await self._recover()
                    continue
                await self._gathered()
                if not self._epoch:
                    continue
                batch = [self._inbox.popleft() for _ in range(min(len(self._inbox), BATCH))]
                decision = await self._decided(await self._looked_up(batch))
                if decision is not None and await self._committed(decision, batch):
                    self._act(decision.commands)
            with contextlib.suppress(SearchdError):
                await self._writer.on_thread(self._store.give_up)
        except Exception as error:
            self._started(error)
            raise
        finally:
            beating.cancel()
            self._ended.set()
            self._desk.close()

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
        self._desk.refusal = ServerStopping()
        self._leaving.set()
        self._wake.set()
        self.listeners.wake()
        await self._ended.wait()
        self._writer.close()

    @property
    def stopping(self) -> bool:
        """Whether the loop is ending."""
        return self._leaving.is_set()

    @property
    def epoch(self) -> int:
        """The epoch in which this server writes; 0 while it does not."""
        return self._epoch

    @property
    def leader(self) -> str:
        """Where the server that writes takes requests; empty if nobody does, as far as is known."""
        return self._writer.leader

    @property
    def refusal(self) -> SearchdError | None:
        """Why requests are refused now: another server leads, or the store takes no writes. None if they are not."""
        return self._desk.refusal

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

    async def _looked_up(self, batch: list[Input]) -> list[Input]:
        """The batch, its requests with what the store knows of them: from now on until they are decided that stays so.
        Those that it has the answer to are answered, and left out."""
        if not any(isinstance(event, Request) for event in batch):
            return batch
        store = self._store
        found = await self._writer.on_thread(
            lambda: [looked_up(store, event) if isinstance(event, Request) else event for event in batch]
        )
        for event, known in zip(batch, found, strict=True):
            if isinstance(event, Request) and isinstance(known, Study | Trial | SearchdError):
                answer(event.token, known)
        return [known for known in found if not isinstance(known, Study | Trial | SearchdError)]

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
        reach("loop.decided")
        return decision

    async def _undone(self, batch: list[Input], culprit: Input | None) -> None:
        """Set aside the study that a fault is laid to, and decide on the rest again from what the store holds.

        Only callers' requests have to be kept: workers repeat what was not acknowledged, searchers are asked again.
        """
        study = self.conductor.attending
        again = [e for e in batch if isinstance(e, Request | PauseStudy) and e is not culprit]
        if isinstance(culprit, Request):
            answer(culprit.token, StoreUnavailable(FAULT))
        elif study is not None:
            again.append(PauseStudy(study, FAULT))
        else:
            await asyncio.sleep(self._settings.retry.total_seconds())
        self._inbox.extendleft(reversed(again))
        self._epoch = 0

    async def _committed(self, decision: Decision, batch: list[Input]) -> bool:
        """Whether the facts are durable and this server leads, so that the commands may be carried out."""
        try:
            if decision.facts:
                await self._writer.commit(decision.facts, self._clock.now())
            elif decision.commands:
                await self._writer.confirm()
        except SearchdError as error:
            log.error("a commit failed: %s", error)
            refuse(batch, error)
            self._epoch = 0
            return False
        self.listeners.wake({study_of(fact) for fact in decision.facts})
        return True

    async def _beat(self) -> None:
        """Give signs of life while this server leads; that is also how a store that takes no writes is noticed."""
        while True:
            await asyncio.sleep(self._settings.lease.total_seconds() / 4)
            if not self._held:
                continue
            try:
                await self._writer.beat()
                if self._epoch and not self.stopping:
                    self._desk.refusal = None
            except LeaseLost as error:
                log.error("%s", error)
                self._epoch, self._held = 0, False
                self._wake.set()
            except SearchdError as error:
                log.error("the store takes no writes: %s", error)
                self._desk.refusal = error
            except Exception:
                log.exception("no sign of life could be given")

    def _act(self, commands: Sequence[Command]) -> None:
        """Carry out commands whose facts are durable."""
        if self._engine is None or self._searchers is None:
            raise RuntimeError("bind an engine and searchers first")
        for_engine: list[EngineCommand] = []
        for command in commands:
            match command:
                case Answer(token, result):
                    answer(token, result)
                    reach("reply.sent")
                case OpenSearch() | Tell() | Ask() | CloseSearch():
                    self._searchers.perform(command)
                case ReopenSearch(study):
                    self._spawn(self._reopen(study))
                case _:
                    for_engine.append(command)
        if for_engine:
            reach("start.decided")
            self._engine.perform(for_engine)

    # Recovery

    async def _recover(self) -> None:
        """Rebuild the conductor from the store, adopt workers, and find what must be handed out again."""
        self._epoch = 0  # what an engine may be adopting now is not for the conductor to come
        self._keep_requests()
        found = await self._taken()
        if found is None:
            return
        self._epoch, live = found
        reach("lease.taken")
        if self._draining:
            self._inbox.append(DrainRequested())
        self.listeners.wake()  # what was written last, by whomever, may not have been told
        self.conductor = Conductor(live, self._make_scheduler, self._epoch, self._clock.now())
        for study, fault in self.conductor.faults.items():
            log.error(
                "%s cannot be taken up: %s", study, fault, exc_info=fault if isinstance(fault, Exception) else None
            )
        opening = self.conductor.opening()
        if await self._committed(opening, []):
            self._act(opening.commands)
            self._spawn(self._adopt(self._epoch))
        else:
            await asyncio.sleep(self._settings.retry.total_seconds())

    def _keep_requests(self) -> None:
        """Keep of the inbox what only callers know: workers and searchers repeat what they said."""
        kept = [event for event in self._inbox if isinstance(event, Request | PauseStudy)]
        self._inbox.clear()
        self._inbox.extend(kept)

    async def _taken(self) -> tuple[int, Sequence[LiveStudy | DamagedStudy]] | None:
        """Take the lease as soon as that is allowed: the epoch and what has not ended; None if told to stop.

        Until then callers are refused, and those who watch are woken by what the server that leads commits.
        """
        revision = -1
        while not self.stopping:
            try:
                epoch = await self._writer.stand()
                if epoch is not None:
                    self._held = True
                    live = await asyncio.to_thread(self._store.live)
                    self._desk.refusal = None
                    return epoch, live
                self._held = False
                refusal: SearchdError = NotLeader(self.leader)
                self.conductor = Conductor((), self._make_scheduler, 0, self._clock.now())
                newest = await self._writer.on_thread(self._store.revision)
                if newest != revision:
                    revision = newest
                    self.listeners.wake()
            except SearchdError as error:
                log.error("the store cannot be used: %s", error)
                refusal = error
            self._desk.refusal = refusal
            refuse(self._inbox, refusal)
            self._inbox.clear()
            if isinstance(refusal, NotLeader | StoreFull):  # it can be read all the same
                self._started(None)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), self._settings.retry.total_seconds())
        return None

    async def _adopt(self, epoch: int) -> None:
        """Have the engine take over what there is, one epoch after the other; only the newest one is reconciled.

        An engine that does not start at first ends the server; later on it is tried again.
        """
        engine = self._engine
        if engine is None:
            return
        async with self._adopting:
            while epoch == self._epoch and not self.stopping:
                try:
                    await asyncio.to_thread(engine.start, epoch)
                except Exception as error:
                    log.error("the engine cannot start: %s", error, exc_info=not isinstance(error, SearchdError))
                    self._started(error)
                    await asyncio.sleep(self._settings.retry.total_seconds())
                    continue
                if epoch == self._epoch:
                    self.post(Reconciled())
                    self._started(None)
                return

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
            trials = await self._writer.on_thread(lambda: all_trials(self._store, study))
        except SearchdError as error:
            self.post(SearchFailed(study, str(error)))
            return
        self._searchers.perform(OpenSearch(study, active.study.spec, observations(trials)))
        self.post(SearchReopened(study))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _extend(decision: Decision, step: Decision) -> None:
    decision.facts += step.facts
    decision.commands += step.commands
