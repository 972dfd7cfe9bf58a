"""One thread that carries out actions in order, at once or after a delay: what it alone touches needs no locks."""

import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from datetime import timedelta

_logger = logging.getLogger(__name__)

Action = Callable[[], None]


class Mailbox:
    """Actions for a thread of its own. One that raises is logged, and the next goes on."""

    def __init__(self, name: str) -> None:
        self._inbox: queue.SimpleQueue[Action] = queue.SimpleQueue()
        self._due: list[tuple[float, int, Action]] = []
        self._count = itertools.count()
        self._open = True
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def open(self) -> None:
        """Begin to carry out actions, those put before included."""
        self._thread.start()

    def put(self, action: Action) -> None:
        """Have the thread do something. From any thread."""
        self._inbox.put(action)

    def later(self, delay: timedelta, action: Action) -> None:
        """Have it do something after a delay. Only from actions, or before it is open."""
        heapq.heappush(self._due, (time.monotonic() + delay.total_seconds(), next(self._count), action))

    def close(self) -> None:
        """Finish what was put until now, and end the thread. Delayed actions are dropped."""
        self._inbox.put(self.stop)
        if self._thread.is_alive():
            self._thread.join()

    def stop(self) -> None:
        """End the thread after the action that calls this."""
        self._open = False

    def _work(self) -> None:
        while self._open:
            left = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            try:
                action = self._inbox.get(timeout=left)
            except queue.Empty:
                action = heapq.heappop(self._due)[2]
            try:
                action()
            except Exception:
                _logger.exception("an action of the engine failed")
