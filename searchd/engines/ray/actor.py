"""What runs in a worker's process: the worker on the main thread, and the calls by which an engine drives it.

Calls carry bytes: Ray copies them, where other values pass through its own pickler, which costs a multiple.
"""

import contextlib
import importlib
import logging
import pickle
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import ray

from searchd.datasets import DatasetCache
from searchd.engines.ray.calls import DataSettings, Exchange
from searchd.worker.messages import Adopted, Reply, WorkerSettings
from searchd.worker.worker import Worker

_logger = logging.getLogger(__name__)

CONTROL_GROUPS: Mapping[str, int] = {"control": 3}
"""Threads for control calls: an exchange that waits, the one that replaces it, and an adoption. With these set apart,
what is in no group, ``main``, runs on the process's main thread."""


class UtcClock:
    """The node's clock."""

    def now(self) -> datetime:
        """The current time, UTC."""
        return datetime.now(UTC)


class WorkerActor:
    """A worker as a Ray actor: named, detached, and ended by ``main``'s return."""

    def __init__(self, settings: WorkerSettings, data: DataSettings) -> None:
        """Import what will be trained, so that the first segment need not wait for it.

        Args:
            settings: The worker's.
            data: Where datasets are.
        """
        sys.path[:0] = [folder for folder in settings.search_path if folder not in sys.path]
        for module in settings.modules:
            # A module that cannot be imported fails the segments that need it, with its own error.
            with contextlib.suppress(Exception):
                importlib.import_module(module)
        self._worker = Worker(settings, DatasetCache(data.cache, data.roots), UtcClock())

    def main(self) -> None:
        """Run segments until retired or forsaken, then end the process."""
        try:
            self._worker.main()
        except Exception:
            _logger.exception("the worker broke down")
        ray.actor.exit_actor()

    @ray.method(concurrency_group="control")
    def exchange(self, exchange: bytes) -> bytes:
        """See ``Worker.exchange``; takes a packed Exchange and returns a pickled Reply."""
        call: Exchange = pickle.loads(exchange)  # noqa: S301  # from the engine, over Ray's authenticated channel
        reply: Reply = self._worker.exchange(
            call.epoch, call.acknowledged, call.segments, call.cancels, call.wait, call.number
        )
        return pickle.dumps(reply, pickle.HIGHEST_PROTOCOL)

    @ray.method(concurrency_group="control")
    def adopt(self, epoch: int) -> Adopted:
        """See ``Worker.adopt``."""
        return self._worker.adopt(epoch)

    @ray.method(concurrency_group="control")
    def drain(self) -> None:
        """See ``Worker.drain``."""
        self._worker.drain()

    @ray.method(concurrency_group="control")
    def retire(self) -> None:
        """See ``Worker.retire``."""
        self._worker.retire()


def remote_class() -> Any:
    """The actor class as Ray wants it; never restarted, and no call of it repeated: both are the conductor's to decide."""
    return ray.remote(concurrency_groups=dict(CONTROL_GROUPS), max_restarts=0, max_task_retries=0)(WorkerActor)
