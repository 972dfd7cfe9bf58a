"""Finds the workers that an earlier server left, and takes them over."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from searchd.engines.ray.calls import Adopt, packed, unpacked
from searchd.engines.ray.remote import RemoteWorker, Surroundings
from searchd.ports.engine import WorkerAdopted, WorkerId
from searchd.worker.messages import PROTOCOL_VERSION, Adopted, Reply

_logger = logging.getLogger(__name__)

_PREFIX = "worker-"


def actor_name(worker: WorkerId) -> str:
    """The name of a worker's actor in the server's namespace."""
    return f"{_PREFIX}{worker}"


@dataclass(frozen=True, slots=True)
class AdoptedWorker:
    """A worker that was taken over, what to tell of it, and the reply that holds its outbox."""

    worker: RemoteWorker
    event: WorkerAdopted
    reply: Reply


def adopt_all(surroundings: Surroundings, timeout: timedelta) -> Sequence[AdoptedWorker]:
    """Take over all workers of the namespace, at the same time; those that cannot be taken over are ended.

    Args:
        surroundings: What the workers will share.
        timeout: How long a worker may take to answer each of two calls.
    """
    handles = dict(named_actors())
    call = packed(Adopt(surroundings.epoch))
    # A stranger's handle has no such method.
    calls = {name: handle.call.remote(call) for name, handle in handles.items() if hasattr(handle, "call")}
    answers = _gathered(calls, timeout)
    workers: dict[WorkerId, tuple[RemoteWorker, Adopted]] = {}
    for name, answer in answers.items():
        if isinstance(answer, Adopted) and answer.protocol == PROTOCOL_VERSION:
            workers[name] = RemoteWorker(name, handles[name], surroundings), answer
    outboxes = _gathered({name: worker.adopted(told.holding) for name, (worker, told) in workers.items()}, timeout)
    taken = []
    for name, handle in handles.items():
        reply = outboxes.get(name)
        if not isinstance(reply, Reply):
            _logger.warning(
                "worker %s could not be taken over and is ended: %s",
                name,
                reply or answers.get(name, "it is no worker"),
            )
            kill(handle)
            continue
        worker, told = workers[name]
        taken.append(AdoptedWorker(worker, WorkerAdopted(name, told.pool, told.holding), reply))
    return taken


def named_actors() -> Iterator[tuple[WorkerId, Any]]:
    """The actors of this namespace's workers, with their ids."""
    import ray  # noqa: PLC0415  # not before its environment is in place

    for name in sorted(ray.util.list_named_actors()):
        if name.startswith(_PREFIX):
            try:
                handle = ray.get_actor(name)
            except ValueError:  # it ended meanwhile
                continue
            yield WorkerId(name.removeprefix(_PREFIX)), handle


def kill(handle: Any) -> None:
    """End an actor's process at once, whatever it does."""
    import ray  # noqa: PLC0415  # not before its environment is in place

    ray.kill(handle, no_restart=True)


def _gathered(references: dict[WorkerId, Any], timeout: timedelta) -> dict[WorkerId, object]:
    """What each call was answered with, errors among it; a string for one that did not return in time."""
    import ray  # noqa: PLC0415  # not before its environment is in place

    if not references:
        return {}
    done, _ = ray.wait(list(references.values()), num_returns=len(references), timeout=timeout.total_seconds())
    gathered: dict[WorkerId, object] = {}
    for name, reference in references.items():
        gathered[name] = "it did not answer in time"
        if reference in done:
            try:
                gathered[name] = unpacked(ray.get(reference))
            except Exception as error:  # whatever a worker of another version may raise
                gathered[name] = error
    return gathered
