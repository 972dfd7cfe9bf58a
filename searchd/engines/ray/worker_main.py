"""The process in which a worker trains: the worker on the main thread, the calls of its actor on others."""

import ctypes
import os
import queue
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import assert_never

from searchd.datasets import DatasetCache
from searchd.engines.ray.calls import (
    PREEMPTED_STATUS,
    Adopt,
    Beginning,
    Call,
    Drain,
    Exchange,
    ProcessEnded,
    Retire,
    Taken,
    packed,
    unpacked,
)
from searchd.worker.messages import Reply
from searchd.worker.worker import Worker

_PR_SET_PDEATHSIG = 1
_FAREWELL_SECONDS = 10.0
"""How long a process that leaves waits for a server to fetch its last messages."""


class UtcClock:
    """The node's clock."""

    def now(self) -> datetime:
        """The current time, UTC."""
        return datetime.now(UTC)


class Departure:
    """How a worker's process leaves: told to by its server or by SIGTERM, and not before its last words are heard.

    They are when an exchange finds no more messages. It is answered by ProcessEnded, which tells the server that
    nothing is held any more before it can hand over anything else.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._preempted = False
        self._expected = True
        self._status: int | None = None
        self._heard = threading.Event()
        self._forking = threading.local()

    def listen(self) -> None:
        """Take SIGTERM for a request to leave: what schedulers send before they take a node back.

        A trainable may put its own handler in place of this one. Processes that it forks do as they would without.
        """
        signal.signal(signal.SIGTERM, self._terminate)
        os.register_at_fork(before=self._hold, after_in_parent=self._let_go, after_in_child=self._forget)
        threading.Thread(target=self._leave_when_signalled, daemon=True).start()

    def retire(self, heard: bool) -> None:
        """Leave because the server says so; unless ``heard``, nobody will fetch the last messages."""
        self._expected = heard
        self._worker.retire()

    def spoken(self, answer: object) -> object:
        """What to answer instead of ``answer``: once all is over and told, that the process has ended."""
        if self._status is not None and isinstance(answer, Reply) and not answer.messages:
            return ProcessEnded(self._status)
        return answer

    def sent(self, answer: object) -> None:
        """An answer has been sent."""
        if isinstance(answer, ProcessEnded):
            self._heard.set()

    def complete(self) -> int:
        """The worker has ended: wait until that is known; the exit code."""
        self._status = PREEMPTED_STATUS if self._preempted else 0
        if self._expected:
            self._heard.wait(_FAREWELL_SECONDS)
        return self._status

    def _terminate(self, number: int, _: object) -> None:
        self._signals.put(number)  # the worker's lock may be held by the very thread that this interrupts

    def _leave_when_signalled(self) -> None:
        self._signals.get()
        self._preempted = True
        self._worker.retire()

    def _hold(self) -> None:
        # Python forgets signals that reach a child before it is ready for them; these wait until it is.
        self._forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _let_go(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._forking.mask)

    def _forget(self) -> None:
        if signal.getsignal(signal.SIGTERM) == self._terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._let_go()


def main() -> None:
    """Serve the connections whose file descriptors are the arguments, until retired or forsaken."""
    _end_with_parent()
    connections = [Connection(int(descriptor)) for descriptor in sys.argv[1:]]
    beginning: Beginning = unpacked(connections[0].recv_bytes())
    settings = beginning.settings
    sys.path[:0] = [folder for folder in settings.search_path if folder not in sys.path]
    worker = Worker(settings, DatasetCache(beginning.data_cache, beginning.data_roots), UtcClock())
    try:
        worker.prepare()
    except Exception as error:
        connections[0].send_bytes(packed(error))
        return
    departure = Departure(worker)
    departure.listen()
    connections[0].send_bytes(packed(None))
    for connection in connections:
        threading.Thread(target=_serve, args=(connection, worker, departure), daemon=True).start()
    worker.main()
    sys.exit(departure.complete())


def _serve(connection: Connection, worker: Worker, departure: Departure) -> None:
    """Answer calls, one after the other; without anybody to call, the process has no purpose."""
    try:
        while True:
            call = connection.recv_bytes()
            try:
                answer = departure.spoken(_answer(worker, departure, unpacked(call)))
            except Exception as error:
                answer = error
            connection.send_bytes(packed(answer))
            departure.sent(answer)
    except (EOFError, OSError):
        os._exit(1)


def _answer(worker: Worker, departure: Departure, call: Call) -> object:
    match call:
        case Exchange(number, epoch, acknowledged, segments, cancels, wait):
            return worker.exchange(epoch, acknowledged, segments, cancels, wait, number)
        case Adopt(epoch):
            told = worker.adopt(epoch)
            return Taken(told, worker.exchange(epoch, 0, (), (), timedelta(0), 1))
        case Drain():
            worker.drain()
        case Retire(_, heard):
            departure.retire(heard)
        case _:
            assert_never(call)
    return None


def _end_with_parent() -> None:
    """Have the kernel kill this process with its parent: a trainable stuck in C code would never notice."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
