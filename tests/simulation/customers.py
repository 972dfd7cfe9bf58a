"""Those who use the servers of a world: owners of studies repeat what was not answered, watchers resume."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from searchd.domain.errors import (
    NotLeader,
    Overloaded,
    SearchdError,
    ServerStopping,
    ServerUnreachable,
    StoreUnavailable,
    StudyNotFound,
)
from searchd.domain.facts import Bookmark, Event, StudyDeleted
from searchd.domain.study import Budget, Changes, StudyName, study_name
from tests.simulation.plan import Errand, Fault, StudyPlan
from tests.simulation.rules import Wish
from tests.simulation.servers import Server
from tests.simulation.stage import Stage

PROJECT = "p"

PATIENCE_SECONDS = 8.0

PASSING = (ServerUnreachable, StoreUnavailable, ServerStopping, NotLeader, Overloaded)
"""What is answered by trying again."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A request: what it does, to which study, and how."""

    what: str
    name: StudyName
    request_id: str
    work: Callable[[Server], Coroutine[Any, Any, Any]]


class Customer:
    """Owns one study, from its creation to its deletion."""

    def __init__(self, stage: Stage, servers: Sequence[Server], plan: StudyPlan, seed: str) -> None:
        self._stage = stage
        self._servers = servers
        self._plan = plan
        self._name = study_name(PROJECT, plan.study_id)
        self._chance = stage.chance(seed)
        self._requests = 0
        self._seed = seed
        self._errands = deque(plan.errands)
        self._trials = plan.draft.budget.trials
        self._stopped = False

    async def own(self) -> None:
        """Do with the study what is planned; returns when it has ended for good, and is deleted if it is to be."""
        plan, model = self._plan, self._stage.model
        await self._until(plan.create_at)
        created = await self._asked("create", self._create)
        if isinstance(created, SearchdError):
            return
        life = model.life(self._name)
        await self._accompany(life)
        for more in plan.extensions:
            await asyncio.sleep(self._chance.uniform(0.0, 2.0))
            await self._change(more, unlimited=True)
            await self._accompany(life)
        model.finish(self._name)
        if plan.delete:
            await asyncio.sleep(self._chance.uniform(0.0, 3.0))
            await self._asked("delete", self._delete)
            if plan.create_again is not None:
                await Customer(self._stage, self._servers, plan.create_again, f"{self._seed} again").own()

    async def _accompany(self, life: int) -> None:
        """Until the study ends, run the errands that are due, and stop it when it is time, or nothing else helps."""
        plan, model = self._plan, self._stage.model
        while not model.ended(self._name, life):
            now = self._stage.events.time()
            due = plan.stop_at is not None and now >= plan.stop_at and not self._stopped
            if due or model.set_aside(self._name):
                self._stopped = True
                await self._asked("stop", self._stop)
                while not model.ended(self._name, life):
                    await asyncio.sleep(0.5)
                return
            if self._errands and self._errands[0].at <= now:
                await self._run_errand(self._errands.popleft())
            await asyncio.sleep(self._chance.uniform(0.2, 1.0))

    async def _run_errand(self, errand: Errand) -> None:
        parameters = errand.parameters
        if parameters is None:
            await self._change(errand.more)
            return

        async def enqueue(server: Server, request_id: str) -> object:
            digest = f"enqueue {parameters}"
            return await server.studies.enqueue(self._name, parameters, request_id=request_id, digest=digest)

        await self._asked("enqueue", enqueue, parameters)

    async def _change(self, more: int, *, unlimited: bool = False) -> None:
        """Change the budget of trials, or else the priority; with ``unlimited``, drop what else would end the study."""
        budget = Budget(trials=max(self._trials + more, 1))
        fields = {"trials"} if more else {"priority"}
        fields |= {"wall_time", "gpu_hours"} if unlimited else set()
        changes = Changes(frozenset(fields), budget, priority=self._chance.choice((0, 1, 2)))

        digest = f"change {sorted(fields)} to {budget.trials}, {changes.priority}"

        async def change(server: Server, request_id: str) -> object:
            return await server.studies.change(self._name, changes, request_id=request_id, digest=digest)

        answer = await self._asked("change", change, changes)
        if more and not isinstance(answer, SearchdError):
            self._trials = budget.trials

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - self._stage.events.time()))

    async def _create(self, server: Server, request_id: str) -> object:
        return await server.studies.create(
            PROJECT,
            self._plan.study_id,
            self._plan.draft,
            (),
            request_id=request_id,
            digest=f"create {self._plan.draft.seed}",
            validate_only=False,
        )

    async def _stop(self, server: Server, request_id: str) -> object:
        return await server.studies.stop(self._name, request_id=request_id, digest="stop")

    async def _delete(self, server: Server, request_id: str) -> object:
        await server.studies.delete(self._name, request_id=request_id, digest="delete")
        return None

    async def _asked(
        self, what: str, work: Callable[[Server, str], Coroutine[Any, Any, object]], wish: Wish = None
    ) -> object:
        """Ask until there is an answer that trying again would not change; returns it, errors too."""
        self._requests += 1
        request_id = f"{self._seed} {what} {self._requests}"
        wanted = _Wanted(what, self._name, request_id, lambda server: work(server, request_id))
        self._stage.model.asked(what, self._name, request_id, wish)
        doubled = self._stage.may(Fault.REQUEST_DOUBLED) and self._chance.random() < 0.5
        if not doubled:
            return await self._answered(wanted)
        self._stage.fired(Fault.REQUEST_DOUBLED, request_id)
        first, _ = await asyncio.gather(self._answered(wanted), self._answered(wanted))
        return first

    async def _answered(self, wanted: _Wanted) -> object:
        while True:
            server = self._chance.choice(self._servers)
            answer: object
            try:
                answer = await self._called(server, wanted)
            except PASSING as error:
                self._stage.note(f"{wanted.request_id}: {server.name} said {type(error).__name__}: {error}")
                await asyncio.sleep(self._chance.uniform(0.05, 1.0))
                continue
            except SearchdError as error:
                answer = error
            self._stage.note(f"{wanted.request_id}: {server.name} answered {_brief(answer)}")
            self._stage.model.answered(wanted.what, wanted.name, wanted.request_id, answer)
            return answer

    async def _called(self, server: Server, wanted: _Wanted) -> object:
        """One call over the wire, which may break, or swallow the answer."""
        events = self._stage.events
        answer: asyncio.Future[object] = events.create_future()

        def lost() -> None:
            if not answer.done():
                answer.set_exception(ServerUnreachable(server.name, "the connection broke"))

        def replied(task: "asyncio.Task[object]") -> None:
            if self._stage.may(Fault.REPLY_LOST) and self._chance.random() < 0.2:
                self._stage.fired(Fault.REPLY_LOST, wanted.request_id)
                events.call_later(0.01, lost, context=events.outside)
            else:
                events.call_later(self._chance.choice((0.001, 0.05)), heard, task, context=events.outside)

        def heard(task: "asyncio.Task[object]") -> None:
            if answer.done():
                return
            error = task.exception()
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(task.result())

        connection = server.connect(lost)
        process = server.process
        if connection is None or process is None:
            raise ServerUnreachable(server.name, "nobody listens")
        try:
            await asyncio.sleep(self._chance.choice((0.0, 0.001, 0.05)))
            if process.alive:
                process.spawn(wanted.work(server)).add_done_callback(replied, context=process.context.copy())
            return await asyncio.wait_for(answer, PATIENCE_SECONDS)
        except TimeoutError:
            raise ServerUnreachable(server.name, "no answer in time") from None
        finally:
            server.disconnect(connection)


class Watcher:
    """Watches a study to its end, wherever a server can be found, from the last event seen."""

    def __init__(self, stage: Stage, servers: Sequence[Server], plan: StudyPlan, seed: str) -> None:
        self._stage = stage
        self._servers = servers
        self._plan = plan
        self._name = study_name(PROJECT, plan.study_id)
        self._chance = stage.chance(seed)
        self._id = seed
        self._seen = 0
        self._done = False

    async def watch(self) -> None:
        """Returns when the study has ended or is gone, and all of its events are seen."""
        await asyncio.sleep(self._plan.watch_at)
        while not self._done:
            server = self._chance.choice(self._servers)
            try:
                await self._streamed(server)
            except StudyNotFound:
                if self._stage.model.gone(self._name):
                    return
            except PASSING:
                pass
            if self._stage.model.never_created(self._name):
                return
            await asyncio.sleep(self._chance.uniform(0.05, 1.0))

    async def _streamed(self, server: Server) -> None:
        """One stream, until it ends or breaks."""
        events = self._stage.events
        over: asyncio.Future[None] = events.create_future()
        arrives = 0.0
        complete = self._stage.model.finished(self._name)

        def lost() -> None:
            if not over.done():
                over.set_exception(ServerUnreachable(server.name, "the stream broke"))

        def ended(task: "asyncio.Task[None]") -> None:
            events.call_at(max(arrives, events.time()), finished, task, context=events.outside)

        def finished(task: "asyncio.Task[None]") -> None:
            if over.done():
                return
            error = task.exception()
            if error is not None:
                over.set_exception(error)
            else:
                over.set_result(None)

        async def serve() -> None:
            nonlocal arrives
            async for event in server.watches.watch(self._name, self._seen):
                arrives = max(arrives, events.time() + self._chance.choice((0.0, 0.01)))
                events.call_at(arrives, self._heard, over, event, context=events.outside)

        connection = server.connect(lost)
        process = server.process
        if connection is None or process is None:
            raise ServerUnreachable(server.name, "nobody listens")
        try:
            task = process.spawn(serve())
            task.add_done_callback(ended, context=process.context.copy())
            await asyncio.wait_for(over, self._chance.choice((5.0, 60.0)))
            if complete and self._seen >= self._stage.model.latest(self._name):
                self._done = True
        except TimeoutError:
            if process.alive:
                process.spawn(_cancelled(task))
        finally:
            server.disconnect(connection)

    def _heard(self, over: "asyncio.Future[None]", event: Event | Bookmark) -> None:
        if over.done():
            return
        if isinstance(event, Event):
            self._stage.model.watched(self._id, self._name, self._seen, event)
            self._done = self._done or isinstance(event.fact, StudyDeleted)
        self._seen = event.revision


async def _cancelled(task: "asyncio.Task[None]") -> None:
    """What a server does when the client hangs up."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _brief(answer: object) -> str:
    return f"{type(answer).__name__}: {answer}" if isinstance(answer, Exception) else "yes"
