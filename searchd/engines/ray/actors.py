"""The actors of a namespace's workers: found by name, asked together, and ended."""

import contextlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from searchd.engines.ray.connection import within
from searchd.ports.engine import WorkerId

_PREFIX = "worker-"
_LIST_SECONDS = 10.0
_END_TIMEOUT = timedelta(seconds=2)


def actor_name(worker: WorkerId) -> str:
    """The name of a worker's actor in the server's namespace."""
    return f"{_PREFIX}{worker}"


def named_actors() -> dict[WorkerId, Any]:
    """The actors of this namespace's workers, by their ids.

    Raises:
        RayUnavailable: the cluster does not answer.
    """
    return within(_LIST_SECONDS, _named)


def _named() -> dict[WorkerId, Any]:
    import ray  # noqa: PLC0415  # not before its environment is in place

    handles: dict[WorkerId, Any] = {}
    for name in sorted(ray.util.list_named_actors()):
        if name.startswith(_PREFIX):
            with contextlib.suppress(ValueError):  # it ended meanwhile
                handles[WorkerId(name.removeprefix(_PREFIX))] = ray.get_actor(name)
    return handles


def answers_of(references: Mapping[WorkerId, Any], timeout: timedelta) -> dict[WorkerId, object]:
    """What calls returned or raised; nothing of those that did not return in time."""
    import ray  # noqa: PLC0415  # not before its environment is in place

    if not references:
        return {}
    done, _ = ray.wait(list(references.values()), num_returns=len(references), timeout=timeout.total_seconds())
    answers: dict[WorkerId, object] = {}
    for name, reference in references.items():
        if reference in done:
            try:
                answers[name] = ray.get(reference)
            except Exception as error:  # whatever an actor of another version may raise
                answers[name] = error
    return answers


def end_actors(handles: Mapping[WorkerId, Any], epoch: int) -> None:
    """End workers with all they hold, except those that belong to the server of a newer epoch."""
    calls = {name: handle.end.remote(epoch) for name, handle in handles.items() if hasattr(handle, "end")}
    answers = answers_of(calls, _END_TIMEOUT)
    for name, handle in handles.items():
        newest = answers.get(name)
        if not isinstance(newest, int) or newest <= epoch:
            kill(handle)


def kill(handle: Any) -> None:
    """End an actor at once, and with it its process, whoever it belongs to."""
    import ray  # noqa: PLC0415  # not before its environment is in place

    ray.kill(handle, no_restart=True)
