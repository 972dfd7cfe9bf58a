"""The process in which a worker trains: the worker on the main thread, the calls of its actor on others."""

import contextlib
import ctypes
import importlib
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import assert_never

from searchd.datasets import DatasetCache
from searchd.engines.ray.calls import Adopt, Beginning, Call, Drain, Exchange, Retire, packed, unpacked
from searchd.worker.worker import Worker

_PR_SET_PDEATHSIG = 1


class UtcClock:
    """The node's clock."""

    def now(self) -> datetime:
        """The current time, UTC."""
        return datetime.now(UTC)


def main() -> None:
    """Serve the connections whose file descriptors are the arguments, until retired or forsaken."""
    _end_with_parent()
    connections = [Connection(int(descriptor)) for descriptor in sys.argv[1:]]
    beginning: Beginning = unpacked(connections[0].recv_bytes())
    settings = beginning.settings
    sys.path[:0] = [folder for folder in settings.search_path if folder not in sys.path]
    for module in settings.modules:
        # One that cannot be imported fails the segments that need it, with its own error.
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    worker = Worker(settings, DatasetCache(beginning.data_cache, beginning.data_roots), UtcClock())
    connections[0].send_bytes(packed(None))
    for connection in connections:
        threading.Thread(target=_serve, args=(connection, worker), daemon=True).start()
    worker.main()


def _serve(connection: Connection, worker: Worker) -> None:
    """Answer calls, one after the other; without anybody to call, the process has no purpose."""
    try:
        while True:
            call = connection.recv_bytes()
            try:
                answer = packed(_answer(worker, unpacked(call)))
            except Exception as error:
                answer = packed(error)
            connection.send_bytes(answer)
    except (EOFError, OSError):
        os._exit(1)


def _answer(worker: Worker, call: Call) -> object:
    match call:
        case Exchange(number, epoch, acknowledged, segments, cancels, wait):
            return worker.exchange(epoch, acknowledged, segments, cancels, wait, number)
        case Adopt(epoch):
            return worker.adopt(epoch)
        case Drain():
            worker.drain()
        case Retire():
            worker.retire()
        case _:
            assert_never(call)
    return None


def _end_with_parent() -> None:
    """Have the kernel kill this process with its parent: a trainable stuck in C code would never notice."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
