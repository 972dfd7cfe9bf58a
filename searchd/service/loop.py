"""The one loop: inputs gather, the conductor decides, one transaction takes all facts, only then commands are done.

While a batch commits, the next one gathers, so durability costs one disk flush for many inputs. If a commit fails, its
callers are told so, nothing of it is done but the closing of searchers, and the conductor is rebuilt from the store:
memory never runs ahead of disk. The same happens when another server has the store's lease, only that the rebuilding
waits until that lapses.
"""

import asyncio
import contextlib
import logging
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
    ReopenSearch,
    Request,
    SearchReopened,
    StudyMutation,
    Tick,
)
from searchd.domain.errors import LeaseLost, RequestReused, SearchdError, ServerStopping, StoreUnavailable
from searchd.domain.study import Study, StudyName, StudySpec
from searchd.domain.trial import Trial
from searchd.failpoints import reach
from searchd.ports.clock import Clock
from searchd.ports.engine import Engine, EngineCommand
from searchd.ports.scheduler import Scheduler
from searchd.ports.searcher import Ask, CloseSearch, OpenSearch, Searchers, SearchFailed, Tell
from searchd.ports.store import Store
from searchd.ports.tracker import NoTracker, Tracker
from searchd.service.desk import Desk, all_trials, answer, looked_up, refuse
from searchd.service.inbox import Inbox
from searchd.service.listeners import Listeners
from searchd.service.recovery import Recovery, rebuilt
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
        self._inbox = Inbox()
        self._desk = Desk(self.post, self._inbox.withdraw, settings.pending_requests)
        self.listeners = Listeners()
        self._leaving = asyncio.Event()
        self._draining = False
        self._recovery = Recovery(store, self._writer, self.listeners, settings.retry, self._leaving)
        self._ended = asyncio.Event()
        self._ended.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.conductor = Conductor((), make_scheduler, 0, clock.now())

    def bind(self, engine: Engine, searchers: Searchers, address: str = "", tracker: Tracker | None = None) -> None:
        """Say who carries out commands, both of whom deliver to ``post``, where this server takes requests, and who
        shows studies elsewhere."""
        self.listeners.tracker = tracker or NoTracker()
        self._engine = engine
        self._searchers = searchers
        self._writer.serves_at(address)

    def post(self, event: Input) -> None:
        """Hand in an input, from any thread."""
        self._inbox.post(event)

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

    async def ready(self) -> None:
        """Return once the engine has started and what there was has been taken over, or another server leads.

        Raises:
            Exception: what the engine raised when it could not start.
        """
        await self._recovery.ready()

    async def run(self) -> None:
        """Recover whenever this server does not lead, else take turns, until ``stop``."""
        self._inbox.attend()
        self._ended.clear()
        beating = asyncio.create_task(self._beat())
        try:
            while not self.stopping:
                if not self.epoch:
                    await self._recover()
                    continue
                await self._gathered()
                if not self.epoch:
                    continue
                batch = self._inbox.take(BATCH)
                decision = await self._decided(await self._looked_up(batch))
                if decision is not None and await self._committed(decision, batch):
                    self._act(decision.commands)
            with contextlib.suppress(SearchdError):
                await self._writer.on_thread(self._store.give_up)
        except Exception as error:
            self._recovery.started(error)
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
        self._inbox.wake()
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
        return self._recovery.epoch

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
        timer = self.conductor.next_timer
        await self._inbox.gathered(None if timer is None else max((timer - self._clock.now()).total_seconds(), 0.0))
        timer = self.conductor.next_timer
        if timer is not None and timer <= self._clock.now():
            self._inbox.add(Tick())

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
        self._inbox.put_back(again)
        self._recovery.epoch = 0

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
            # It may have been written, and studies have ended; searchers of those that have not are opened anew.
            self._act([command for command in decision.commands if isinstance(command, CloseSearch)])
            self._recovery.epoch = 0
            return False
        self.listeners.tell(decision.facts)
        return True

    async def _beat(self) -> None:
        """Give signs of life while this server leads; that is also how a store that takes no writes is noticed."""
        while True:
            await asyncio.sleep(self._settings.lease.total_seconds() / 4)
            if not self._recovery.held:
                continue
            try:
                await self._writer.beat()
                if self.epoch and not self.stopping:
                    self._desk.refusal = None
            except LeaseLost as error:
                log.error("%s", error)
                self._recovery.epoch, self._recovery.held = 0, False
                self._inbox.wake()
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
        # What only callers know is kept: workers and searchers repeat what they said.
        self._inbox.put_back([event for event in self._inbox.take() if isinstance(event, Request | PauseStudy)])
        while isinstance(live := await self._recovery.attempt(), SearchdError):
            self._stand_by(live)
            if await self._recovery.left_meanwhile():
                return
        self._desk.refusal = None
        reach("lease.taken")
        if self._draining:
            self._inbox.add(DrainRequested())
        self.listeners.wake()  # what was written last, by whomever, may not have been told
        self._replace(rebuilt(live, self._make_scheduler, self.epoch, self._clock.now()))
        for active in self.conductor.mind.studies.values():
            self.listeners.tracker.follow(active.study)
        opening = self.conductor.opening()
        if await self._committed(opening, []):
            self._act(opening.commands)
            if self._engine is not None:
                self._spawn(self._recovery.adopt(self._engine, self.epoch, self.post))
        else:
            await asyncio.sleep(self._settings.retry.total_seconds())

    def _stand_by(self, refusal: SearchdError) -> None:
        """Take no requests for now, and tell those who wait."""
        if not self._recovery.held:  # another server knows better what becomes of the studies
            self._replace(Conductor((), self._make_scheduler, 0, self._clock.now()))
        self._desk.refusal = refusal
        refuse(self._inbox.take(), refusal)

    def _replace(self, conductor: Conductor) -> None:
        """Go on with another conductor, and without searchers of studies that it does not know."""
        gone = self.conductor.mind.studies.keys() - conductor.mind.studies.keys()
        self.conductor = conductor
        for study in sorted(gone):
            if self._searchers is not None:
                self._searchers.perform(CloseSearch(study))

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
        if self.conductor.mind.studies.get(study) is not active:
            return  # it has ended meanwhile
        self._searchers.perform(OpenSearch(study, active.study.spec, observations(trials)))
        self.post(SearchReopened(study))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _extend(decision: Decision, step: Decision) -> None:
    decision.facts += step.facts
    decision.commands += step.commands
