"""The inbox: inputs gather in it, from any thread, until the loop takes them."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Sequence

from searchd.conductor.messages import Input, Request


class Inbox:
    """First come, first served. ``post`` from any thread; everything else on the event loop."""

    def __init__(self) -> None:
        self._inputs: deque[Input] = deque()
        self._signalled = False
        self._signal_lock = threading.Lock()
        self._wake = asyncio.Event()
        self._asyncio: asyncio.AbstractEventLoop | None = None

    def attend(self) -> None:
        """Have the running event loop woken from now on."""
        self._asyncio = asyncio.get_running_loop()

    def post(self, event: Input) -> None:
        """Hand in an input, from any thread."""
        self._inputs.append(event)
        if not self._signalled:
            with self._signal_lock:
                if self._signalled or self._asyncio is None:
                    return
                self._signalled = True
            with contextlib.suppress(RuntimeError):
                self._asyncio.call_soon_threadsafe(self._wake.set)

    def add(self, event: Input) -> None:
        """Add an input that the loop itself comes upon, and needs no waking for."""
        self._inputs.append(event)

    def put_back(self, events: Sequence[Input]) -> None:
        """Have these taken before all others."""
        self._inputs.extendleft(reversed(events))

    def withdraw(self, request: Request) -> None:
        """Take out a request, unless it has been taken, or another thread adds to the inbox at this moment: then it is
        decided for nobody."""
        with contextlib.suppress(ValueError, IndexError):
            self._inputs.remove(request)

    def wake(self) -> None:
        """Have ``gathered`` return."""
        self._wake.set()

    async def gathered(self, seconds: float | None) -> None:
        """Wait for an input, for so long at most; None means without end."""
        if not self._inputs:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)
        with self._signal_lock:
            self._signalled = False
            self._wake.clear()

    def take(self, most: int | None = None) -> list[Input]:
        """The oldest inputs, all unless told how many at most; one by one, since other threads may add to them."""
        waiting = len(self._inputs)
        return [self._inputs.popleft() for _ in range(waiting if most is None else min(waiting, most))]
