"""What all parts of a world share: its plan, its time, its model, and what is counted and told of it."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from searchd.engines.simulated import VirtualClock
from tests.simulation.eventloop import VirtualLoop
from tests.simulation.model import Model
from tests.simulation.plan import Fault, Plan


class Stage:
    """Where a plan is played.

    Attributes:
        plan: What is planned.
        events: The event loop.
        model: Looks for broken promises.
        clock: The true time.
        clock_offset: By how much the machines' clocks have been set wrong.
        counts: How often each fault has happened.
    """

    def __init__(self, plan: Plan, trace: Callable[[str], None] | None) -> None:
        self.plan = plan
        self.events = VirtualLoop(self.chance("loop"))
        self.events.set_exception_handler(self._raised)
        self.model = Model()
        self.clock = _TrueClock(self.events)
        self.clock_offset = timedelta(0)
        self.counts: Counter[Fault] = Counter()
        self.traced = trace is not None
        self._trace = trace

    def _raised(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Note what a callback raises, which asyncio would only log; that a task that was killed is never awaited is no
        news."""
        if "handle" in context:
            self.model.breaks("nothing unforeseen is raised", repr(context["exception"]))

    def chance(self, what: str) -> random.Random:
        """Draws for one purpose, which no other purpose's change."""
        return random.Random(f"{self.plan.seed} {what}")

    def may(self, fault: Fault) -> bool:
        """Whether a fault may happen in this world."""
        return fault in self.plan.kinds

    def fired(self, fault: Fault, detail: str = "") -> None:
        """Count a fault that happens."""
        self.counts[fault] += 1
        self.note(f"FAULT {fault.value} {detail}")

    def note(self, text: str) -> None:
        """Write a line into the trace, if there is one."""
        if self._trace is not None:
            self._trace(f"{self.events.time():9.4f}  {text}")

    def wall_time(self) -> datetime:
        """What the machines' clocks say."""
        return self.clock.now() + self.clock_offset


class _TrueClock(VirtualClock):
    def __init__(self, events: VirtualLoop) -> None:
        super().__init__()
        self._events = events

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._events.time())
