"""Starts the actors of new workers."""

from collections.abc import Callable
from functools import partial
from typing import Any

from searchd.engines.ray.actors import actor_name
from searchd.engines.ray.calls import Beginning, packed
from searchd.engines.ray.mailbox import Mailbox

Done = Callable[[Any], None]
"""Takes the handle of an actor, which need not have a place yet, or the error with which Ray refused it."""


class Starter:
    """Has a thread of its own, since Ray waits for ever for a control service that ended while it was asked."""

    def __init__(self) -> None:
        self._thread = self._fresh()

    def start(self, beginning: Beginning, done: Done) -> None:
        """Start a worker's actor; returns at once, ``done`` is called on the starter's thread."""
        self._thread.put(partial(_create, beginning, done))

    def renew(self) -> None:
        """Do not wait for what is under way: its cluster is gone. It may never be done."""
        self.close()
        self._thread = self._fresh()

    def close(self) -> None:
        """End the thread, once what is under way is done."""
        self._thread.put(self._thread.stop)

    @staticmethod
    def _fresh() -> Mailbox:
        thread = Mailbox("ray-starter")
        thread.open()
        return thread


def _create(beginning: Beginning, done: Done) -> None:
    from searchd.engines.ray.actor import remote_class  # noqa: PLC0415  # loads Ray

    settings = beginning.settings
    options = {
        "name": actor_name(settings.worker),
        "lifetime": "detached",
        "num_cpus": settings.pool.resources.cpus,
        "num_gpus": settings.pool.resources.gpus,
    }
    try:
        done(remote_class().options(**options).remote(packed(beginning)))
    except Exception as error:  # Ray raises what it likes for options and names that it refuses
        done(error)
