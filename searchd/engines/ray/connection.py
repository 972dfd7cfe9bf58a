"""This process's connection to a Ray cluster. The only module of the engine that speaks to Ray about the cluster."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from searchd.engines.ray.errors import RayUnavailable
from searchd.engines.ray.local import answers
from searchd.ports.engine import Node

_logger = logging.getLogger(__name__)


T = TypeVar("T")

_ANSWER_SECONDS = 5.0
"""How long the control service may take to answer a question."""

_DISCONNECT_SECONDS = 15.0
"""Ray takes 5 s to leave a control service that has ended, and has no end with one that is stopped."""

_FOR_EVER_SECONDS = 10_000_000


def connect(address: str, namespace: str, environment: Mapping[str, str]) -> Sequence[str]:
    """Connect this process; it may have one connection at a time.

    Args:
        address: Host and port of the cluster's control service, or ``auto`` for the one on this machine.
        namespace: Where the names of this server's workers live.
        environment: Put into this process's environment first.

    Returns:
        Host and port of each service without which the connection is of no use: the cluster's control service, and the
        daemon of this machine's node.

    Raises:
        RayUnavailable: the cluster cannot be reached, or refuses.
    """
    _prepare(environment)
    if ":" in address and not answers(address):
        raise RayUnavailable(f"nothing answers at {address}", "start Ray there, or name another address")
    import ray  # noqa: PLC0415  # not before its environment is in place

    # Its remark that SIGTERM is not handled off the main thread is no news to the server, which waits for it.
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        ray.init(
            address, namespace=namespace, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR
        )
    except (RuntimeError, ConnectionError, ValueError, ray.exceptions.RayError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise RayUnavailable(reason, "check the address, and the token that RAY_AUTH_TOKEN_PATH names") from error
    # Ray prints its comments on dead workers to standard output, which belongs to the server.
    ray._private.worker._worker_logs_enabled = False
    return _lifelines()


def disconnect() -> None:
    """Close the connection; detached actors live on. If that takes too long, it goes on while this returns."""
    import ray  # noqa: PLC0415  # not before its environment is in place

    try:
        within(_DISCONNECT_SECONDS, ray.shutdown)
    except RayUnavailable as error:
        _logger.error("the connection to Ray is left open: %s", error)


def within(seconds: float, ask: Callable[[], T]) -> T:
    """What ``ask`` returns or raises. Ray waits for ever for a control service that has ended while it was asked.

    Raises:
        RayUnavailable: it took longer.
    """
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=work, name="ray-ask", daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        raise RayUnavailable("its control service does not answer", "see whether Ray runs, and its logs") from None


def wait(references: Sequence[Any], seconds: float) -> None:
    """Wait until calls have returned or failed, no longer than that."""
    import ray  # noqa: PLC0415  # not before its environment is in place

    ray.wait(list(references), num_returns=len(references), timeout=seconds)


def nodes() -> tuple[Node, ...]:
    """The nodes that are up, in order of their names.

    Raises:
        ray.exceptions.RayError: the control service does not answer in time.
    """
    return tuple(sorted((_node(entry) for entry in _living()), key=lambda node: node.name))


def _lifelines() -> Sequence[str]:
    import ray  # noqa: PLC0415  # not before its environment is in place

    context = ray.get_runtime_context()
    here = [entry for entry in _living() if entry.node_id.hex() == context.get_node_id()]
    return [str(context.gcs_address), *(f"{entry.node_manager_address}:{entry.node_manager_port}" for entry in here)]


def _living() -> Sequence[Any]:
    """Ray's own entries of the nodes that are up. ``ray.nodes`` would wait for ever."""
    import ray  # noqa: PLC0415  # not before its environment is in place

    worker: Any = ray._private.worker.global_worker
    entries = worker.gcs_client.get_all_node_info(timeout=_ANSWER_SECONDS)
    alive = 0  # GcsNodeInfo.ALIVE
    return [entry for entry in entries.values() if entry.state == alive]


def _node(entry: Any) -> Node:
    resources = entry.resources_total
    # Nodes may share a host name, and a host its address.
    name = f"{entry.node_manager_hostname}-{entry.node_id.hex()[:6]}"
    return Node(name, float(resources.get("CPU", 0.0)), float(resources.get("GPU", 0.0)))


def _prepare(environment: Mapping[str, str]) -> None:
    """Put the environment in place, also for a Ray that was imported before it and has read an old one."""
    # Ray tries twenty times, 40 s each, what accepts connections and does not answer; an operator may ask for that.
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")
    # Ray ends a process that has not reached the control service for a minute, and one without a parent whose node's
    # daemon is gone, which it tells by the pid that it takes for the daemon's. This process looks after itself.
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(_FOR_EVER_SECONDS))
    os.environ["RAY_RAYLET_PID"] = str(os.getpid())
    os.environ.update(environment)
    if "ray" not in sys.modules:
        return
    from ray import _raylet  # noqa: PLC0415  # only if Ray is loaded already
    from ray._private import ray_constants  # noqa: PLC0415

    raylet: Any = _raylet
    if environment.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER") == "0":
        ray_constants.ENABLE_RAY_CLUSTER = False
    raylet.Config.initialize("")
    # A cluster that takes the place of another has another token, in the same file.
    raylet.AuthenticationTokenLoader.instance().reset_cache()
