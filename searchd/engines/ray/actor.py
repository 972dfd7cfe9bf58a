"""A worker as a Ray actor: named, detached, and the parent of the process that trains.

The training cannot be in the actor's own process: there Ray runs methods on the main thread only while it hears nothing
else, and trainables expect the main thread (signal handlers work on no other). A process of its own has further merits:
its exit code is known, it has not imported Ray, and when its code lets no other thread run, the actor still answers.
"""

import contextlib
import functools
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

from searchd.engines.ray.account import Account
from searchd.engines.ray.calls import Beginning, ProcessEnded, Retire, packed, unpacked
from searchd.worker.messages import PROTOCOL_VERSION, StaleEpoch

LANES = 3
"""Calls at the same time: an exchange that waits, the one that replaces it, and an adoption."""

_LINGER_SECONDS = 5.0
_EXIT_SECONDS = 5.0


class WorkerActor:
    """Passes calls on to the process that trains, keeps account of what that holds, and tells when it has ended.

    ``account``, ``leave`` and ``end`` are what servers of all versions may call: their names, arguments and answers are
    never changed, and are plain. They are answered however long the process is silent.
    """

    protocol = PROTOCOL_VERSION

    def __init__(self, beginning: bytes) -> None:
        """Start the process and wait until it has imported what it will train.

        Args:
            beginning: A packed Beginning.

        Raises:
            ProcessEnded: it ended before it was ready.
            CodeChanged: the trainable's code is not its pool's any more.
        """
        told: Beginning = unpacked(beginning)
        self._pool = told.settings.pool
        self._account = Account()
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
        unpacked(self._passed(self._lanes.get(), beginning))
        threading.Thread(target=self._leave_with_process, daemon=True).start()

    def call(self, call: bytes) -> bytes:
        """Pass a packed call on; the packed answer, which may be an error.

        It is ProcessEnded if there is nobody to answer, and StaleEpoch if a newer server has spoken.
        """
        lane = self._lanes.get()
        try:
            self._account.passes(unpacked(call))
        except StaleEpoch as stale:
            self._lanes.put(lane)
            return packed(stale)
        answer = self._passed(lane, call)
        with contextlib.suppress(Exception):  # an error has nothing to account for
            self._account.answered(unpacked(answer))
        return answer

    @ray.method(concurrency_group="account")
    def account(self, epoch: int) -> dict[str, Any]:
        """Belong to the server of that epoch, and tell what is known without asking the process.

        Stable between versions: so are the answer's keys, except that others may be added.

        Returns:
            ``protocol``: version of what is said through ``call``. ``epoch``: the newest server's; if it is not the
            caller's, the worker belongs to another. ``pool``: its ``code``, ``cpus``, ``gpus`` and
            ``code_id``. ``holding``: for each segment that runs, is queued, or whose end is not acknowledged, a list
            of study, trial, repeat, fold, when the study was created, and attempt.
        """
        with contextlib.suppress(StaleEpoch):
            self._account.begin(epoch)
        resources = self._pool.resources
        return {
            "protocol": self.protocol,
            "epoch": self._account.epoch,
            "pool": {
                "code": self._pool.code,
                "cpus": resources.cpus,
                "gpus": resources.gpus,
                "code_id": self._pool.code_id,
            },
            "holding": [[*key, attempt] for key, attempt in self._account.holding],
        }

    @ray.method(concurrency_group="account")
    def end(self, epoch: int) -> int:
        """End the process at once, whatever it does, unless the worker belongs to a newer server.

        Stable between versions.

        Returns:
            The newest server's epoch: if it is not the caller's, nothing has happened.
        """
        try:
            self._account.begin(epoch)
        except StaleEpoch as stale:
            return stale.current
        self._process.kill()
        self._process.wait()
        return epoch

    @ray.method(concurrency_group="leaving")
    def leave(self) -> int:
        """Have the process save at its next epoch and end, without anybody's fetching its messages.

        Stable between versions.

        Returns:
            When it has ended, its exit code, or minus the signal that ended it.
        """
        self.call(packed(Retire(self._account.epoch, heard=False)))
        return self._process.wait()

    def _passed(self, lane: Connection, call: bytes) -> bytes:
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


@functools.cache
def remote_class(actor: type[WorkerActor] = WorkerActor) -> Any:
    """The actor class as Ray wants it; never restarted, and no call repeated: both are the conductor's to decide."""
    remote: Any = ray.remote  # whose annotations know of fewer options than it takes
    groups = {"account": 1, "leaving": 1}
    return remote(max_concurrency=LANES, max_restarts=0, max_task_retries=0, concurrency_groups=groups)(actor)
