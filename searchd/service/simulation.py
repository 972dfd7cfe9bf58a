"""The loop in virtual time: the real conductor and a real store, without threads or waiting.

Seeds in, decisions out: two simulations with the same inputs agree in every fact.
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from searchd.conductor.active import observations
from searchd.conductor.conductor import Conductor
from searchd.conductor.messages import (
    Answer,
    Decision,
    EnqueueTrial,
    Input,
    Mutation,
    Reconciled,
    ReopenSearch,
    Request,
    SearchReopened,
    StudyMutation,
    Tick,
)
from searchd.domain.errors import SearchdError
from searchd.domain.study import Study, StudyName, StudySpec
from searchd.domain.trial import Trial
from searchd.ports.clock import Clock
from searchd.ports.engine import Engine, EngineCommand
from searchd.ports.scheduler import Scheduler
from searchd.ports.searcher import Ask, CloseSearch, OpenSearch, Searchers, Tell
from searchd.ports.store import Store
from searchd.service.desk import all_trials, looked_up


class Timeline(Protocol):
    """What happens by itself in virtual time."""

    def next_at(self) -> datetime | None:
        """When the next thing happens, or None if nothing will."""
        ...

    def step(self) -> None:
        """Move the clock to the next thing and let it happen."""
        ...


class VirtualTime(Clock, Protocol):
    """A clock that can be moved."""

    def advance_to(self, at: datetime) -> None:
        """Move to a later time."""
        ...


class Simulation:
    """A server in virtual time, over a store, an engine and searchers that are handed in."""

    def __init__(
        self,
        store: Store,
        make_scheduler: Callable[[StudySpec], Scheduler],
        clock: VirtualTime,
        timeline: Timeline,
    ) -> None:
        self.store = store
        self.clock = clock
        self.inputs = 0
        self._timeline = timeline
        self._inbox: deque[Input] = deque()
        self._engine: Engine | None = None
        self._searchers: Searchers | None = None
        self._answer: Study | Trial | SearchdError | None = None
        self._epoch = store.begin_epoch()
        self.conductor = Conductor(store.live(), make_scheduler, self._epoch, clock.now())

    def post(self, event: Input) -> None:
        """Hand in an input."""
        self._inbox.append(event)

    def start(self, engine: Engine, searchers: Searchers) -> None:
        """Attach what carries out commands; both deliver to ``post``."""
        self._engine = engine
        self._searchers = searchers
        self._act(self.conductor.opening())
        engine.start(self._epoch)
        self.post(Reconciled())
        self.turn()

    def request(self, body: StudyMutation) -> Study:
        """Have a mutation decided.

        Raises:
            SearchdError: it was refused.
        """
        answer = self._asked(body)
        if not isinstance(answer, Study):
            raise TypeError("a trial was answered to a request about a study")
        return answer

    def enqueue(self, body: EnqueueTrial) -> Trial:
        """Have a configuration tried.

        Raises:
            SearchdError: it was refused.
        """
        answer = self._asked(body)
        if not isinstance(answer, Trial):
            raise TypeError("a study was answered to a request about a trial")
        return answer

    def _asked(self, body: Mutation) -> Study | Trial:
        found = looked_up(self.store, Request(None, "", "", body))
        if not isinstance(found, Request):
            raise ValueError("a request without an id has no answer yet")
        self.post(found)
        self.turn()
        answer, self._answer = self._answer, None
        if isinstance(answer, SearchdError):
            raise answer
        if answer is None:
            raise ValueError("the request was not answered")
        return answer

    def turn(self) -> None:
        """Decide and commit everything that has gathered, until nothing is left at this instant."""
        while self._inbox:
            now = self.clock.now()
            decision = Decision()
            batch, self._inbox = self._inbox, deque()
            self.inputs += len(batch)
            for event in batch:
                self._gather(decision, self.conductor.decide(event, now))
            self._gather(decision, self.conductor.settle(now))
            self.store.commit(decision.facts, now)
            self._act(decision)

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Let virtual time pass until the condition holds or nothing more happens but idle timers."""
        self.turn()
        while not until():
            happens, timer = self._timeline.next_at(), self.conductor.next_timer
            if happens is None and (timer is None or not self.conductor.holding):
                return
            if happens is not None and (timer is None or happens <= timer):
                self._timeline.step()
            elif timer is not None:
                self.clock.advance_to(timer)
                self.post(Tick())
            self.turn()

    @staticmethod
    def _gather(decision: Decision, step: Decision) -> None:
        decision.facts += step.facts
        decision.commands += step.commands

    def _act(self, decision: Decision) -> None:
        if self._engine is None or self._searchers is None:
            raise ValueError("start the simulation first")
        for_engine: list[EngineCommand] = []
        for command in decision.commands:
            match command:
                case Answer(_, result):
                    self._answer = result
                case OpenSearch() | Tell() | Ask() | CloseSearch():
                    self._searchers.perform(command)
                case ReopenSearch(study):
                    self._reopen(study)
                case _:
                    for_engine.append(command)
        self._engine.perform(for_engine)

    def _reopen(self, study: StudyName) -> None:
        if self._searchers is not None:
            spec = self.store.study(study).spec
            known = observations(all_trials(self.store, study))
            self._searchers.perform(OpenSearch(study, spec, known))
            self.post(SearchReopened(study))
