"""SIGTERM and SIGINT for a server: waited for instead of handled.

Ray puts its own handler of SIGTERM in place whenever it connects, and that one aborts. No handler runs for a signal
that every thread holds back.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

ENDING = frozenset({signal.SIGTERM, signal.SIGINT})

AT_ONCE_STATUS = 128 + signal.SIGINT


@contextmanager
def held_back() -> Iterator[None]:
    """Inside, no handler runs for them in this thread, nor ever in one that is begun inside. Processes started inside
    inherit that; see :data:`UNHELD`. To be entered before anything that begins threads is imported (numpy does)."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


UNHELD = "import signal; signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})"
"""The Python statements by which a process takes them again."""


def tell(told: Callable[[], object]) -> None:
    """Have ``told`` called, from another thread, at the first of them that comes; the second ends this process at once,
    with status 130."""

    def wait() -> None:
        signal.sigwait(ENDING)
        with suppress(RuntimeError):  # a loop that is closed by now
            told()
        signal.sigwait(ENDING)
        os._exit(AT_ONCE_STATUS)

    threading.Thread(target=wait, name="signals", daemon=True).start()
