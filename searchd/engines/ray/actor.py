"""A worker as a Ray actor: named, detached, and the parent of the process that trains.

The training cannot be in the actor's own process: there Ray runs methods on the main thread only while it hears nothing
else, and trainables expect the main thread (signal handlers work on no other). A process of its own has further merits:
its exit code is known, and it has not imported Ray.
"""

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import ray

from searchd.engines.ray.calls import ProcessEnded, packed, unpacked

LANES = 3
"""Calls at the same time: an exchange that waits, the one that replaces it, and an adoption."""

_LINGER_SECONDS = 5.0
_EXIT_SECONDS = 5.0


class WorkerActor:
    """Passes calls on to the process that trains, and tells when that has ended."""

    def __init__(self, beginning: bytes) -> None:
        """Start the process and wait until it has imported what it will train.

        Args:
            beginning: A packed Beginning.

        Raises:
            ProcessEnded: it ended before it was ready.
        """
        pairs = [Pipe() for _ in range(LANES)]
        theirs = [there.fileno() for _, there in pairs]
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-m", "searchd.engines.ray.worker_main", *map(str, theirs)],
            pass_fds=theirs,
            stdin=subprocess.DEVNULL,
            # For trainables that use Ray themselves.
            env={**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address},
        )
        self._lanes: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        for here, there in pairs:
            there.close()
            self._lanes.put(here)
        unpacked(self.call(beginning))
        threading.Thread(target=self._leave_with_process, daemon=True).start()

    def call(self, call: bytes) -> bytes:
        """Pass a packed call on; the packed answer, which is ProcessEnded if there is nobody to answer."""
        lane = self._lanes.get()
        try:
            lane.send_bytes(call)
            return lane.recv_bytes()
        except (EOFError, OSError):
            return packed(ProcessEnded(self._status()))
        finally:
            self._lanes.put(lane)

    def _status(self) -> int:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(_EXIT_SECONDS)
        self._process.kill()
        return self._process.wait()

    def _leave_with_process(self) -> None:
        """An actor without its process is of no use; it stays a little so that its server can learn why."""
        self._process.wait()
        time.sleep(_LINGER_SECONDS)
        os._exit(0)


def remote_class() -> Any:
    """The actor class as Ray wants it; never restarted, and no call repeated: both are the conductor's to decide."""
    remote: Any = ray.remote  # whose annotations know of fewer options than it takes
    return remote(max_concurrency=LANES, max_restarts=0, max_task_retries=0)(WorkerActor)
