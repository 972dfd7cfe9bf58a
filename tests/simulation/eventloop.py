"""An asyncio event loop in virtual time, on which processes can be killed and paused between any two callbacks."""

import asyncio
import contextvars
import heapq
import random
from asyncio.events import Handle, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

OWNER: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("owner", default=None)
"""The process that the running callback belongs to; None is the world outside all of them."""


class NothingLeft(Exception):  # noqa: N818  # named for what went wrong
    """Everybody waits and no timer is set: time would stand still."""


class NoEndInSight(Exception):  # noqa: N818  # named for what went wrong
    """More callbacks have run than any world should need."""


class Process:
    """What an operating system calls one: its tasks, callbacks and threads are killed, stopped and continued together.

    Attributes:
        name: For traces.
        alive: False once killed; from then on no line of it runs, not even to clean up.
        paused: Whether it is stopped; what falls due meanwhile runs when it is continued.
        fuse: It is killed before this many more of its callbacks have run; None is no fuse.
        burnt: Called when the fuse has burnt down.
    """

    def __init__(self, loop: "VirtualLoop", name: str) -> None:
        self.name = name
        self.alive = True
        self.paused = False
        self.fuse: int | None = None
        self.burnt: Callable[[], None] = self.kill
        self._loop = loop
        self._waiting: list[Handle] = []
        self.context = contextvars.copy_context()
        self.context.run(OWNER.set, self)

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run a coroutine as one of this process' tasks."""
        return self._loop.create_task(work, context=self.context.copy())

    def kill(self) -> None:
        """End it at this instant."""
        self.alive = False
        self._waiting.clear()

    def pause(self) -> None:
        """Stop it between two callbacks."""
        self.paused = True

    def resume(self) -> None:
        """Continue it with everything that fell due meanwhile, in that order."""
        self.paused = False
        waiting, self._waiting = self._waiting, []
        self._loop.put_back(waiting)

    def admits(self, handle: Handle) -> bool:
        """Whether a callback that is due runs now; keeps it for later if the process is paused."""
        if self.alive and self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.fuse = None
                self.burnt()
        if not self.alive:
            return False
        if self.paused:
            self._waiting.append(handle)
            return False
        return True


class VirtualLoop(asyncio.BaseEventLoop):
    """Time jumps to the next timer when nothing is ready; executors run their work inline at a virtual moment.

    The same seed and the same program give the same order of callbacks. There are no threads and no files.

    Args:
        chance: Draws how long work in an executor takes to begin and to be heard of.
        callbacks: How many may run.
    """

    def __init__(self, chance: random.Random, callbacks: int = 1_000_000) -> None:
        super().__init__()
        self._callbacks = callbacks
        self._chance = chance
        self._now = 0.0
        self._timers: list[tuple[float, int, TimerHandle]] = []
        self._timers_set = 0
        self._free_at: dict[int, float] = {}
        self._started: list[asyncio.Task[Any]] = []
        self._late = 0.0
        self.outside = contextvars.Context()
        """The context of what belongs to no process."""
        self.set_task_factory(self._task)  # type: ignore[arg-type]  # it is given more than typeshed knows

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._now

    def call_at(  # type: ignore[override]  # typeshed has it more exactly
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> TimerHandle:
        """Set a timer; of equal times, the one that was set first comes first."""
        timer = TimerHandle(when, callback, args, self, context)
        self._timers_set += 1
        heapq.heappush(self._timers, (when, self._timers_set, timer))
        return timer

    def call_soon_threadsafe(  # type: ignore[override]  # typeshed has it more exactly
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        """There is one thread, so this is call_soon."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]
        """Run the work inline at a later moment, and let it be heard of at one later still.

        What a given executor has to do is done one after the other; without one, everything takes its own time.
        """
        heard: asyncio.Future[T] = self.create_future()
        begins = max(self._now, self._free_at.get(id(executor), 0.0) if executor else 0.0) + self._moment()
        ends = begins + self._moment()
        if executor:
            self._free_at[id(executor)] = ends

        def work() -> None:
            self._late = 0.0
            tell: tuple[Callable[..., None], Any]
            try:
                tell = _fulfil, func(*args)
            except Exception as error:
                tell = _fail, error
            at = max(ends, self._now) + self._late
            if executor:
                self._free_at[id(executor)] = max(self._free_at[id(executor)], at)
            self.call_at(at, tell[0], heard, tell[1])

        self.call_at(begins, work)
        return heard

    def dawdle(self, seconds: float) -> None:
        """Have the work that an executor is doing now return that much later."""
        self._late += seconds

    def put_back(self, handles: list[Handle]) -> None:
        """Make callbacks ready that were kept."""
        self._ready.extend(handles)

    def end(self) -> None:
        """Let go of all tasks that have not ended, without a word from any of them, and close."""
        self.set_exception_handler(lambda loop, context: None)
        for task in self._started:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _closed(task)
        self._started.clear()
        self._ready.clear()
        self._timers.clear()
        self.close()

    def _moment(self) -> float:
        """Mostly a millisecond or so, at times much longer."""
        draw = self._chance.random()
        return 0.0 if draw < 0.2 else self._chance.expovariate(1000.0 if draw < 0.95 else 10.0)

    def _task(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], context: contextvars.Context | None = None
    ) -> "asyncio.Task[T]":
        task = asyncio.Task(work, loop=loop, context=context)
        self._started.append(task)
        return task

    def _run_once(self) -> None:
        self._advance()
        self._callbacks -= len(self._ready)
        if self._callbacks < 0:
            raise NoEndInSight
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if handle._cancelled:
                continue
            owner = handle._context.get(OWNER)  # type: ignore[attr-defined]
            if owner is None or owner.admits(handle):
                handle._run()

    def _advance(self) -> None:
        """Move to the next timer if nothing is ready, and make the timers ready that are due."""
        while self._timers and self._timers[0][2]._cancelled:
            heapq.heappop(self._timers)
        if not self._ready and not self._stopping:
            if not self._timers:
                raise NothingLeft
            self._now = max(self._now, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(self._timers)[2])

    def _write_to_self(self) -> None:
        """There is nobody to wake."""

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no files to hear of."""

    _stopping: bool
    _ready: deque[Handle]


def _fulfil(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _closed(task: "asyncio.Task[Any]") -> None:
    work = task.get_coro()
    try:
        if work is not None:
            work.close()
    except RuntimeError:  # it waits for something while it is being closed; nobody will ever hear of it
        pass
