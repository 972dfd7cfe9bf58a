"""This process's connection to a Ray cluster. The only module of the engine that speaks to Ray about the cluster."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from searchd.engines.ray.errors import RayUnavailable
from searchd.engines.ray.local import answers
from searchd.ports.engine import Node

_logger = logging.getLogger(__name__)


def connect(address: str, namespace: str, environment: Mapping[str, str]) -> str:
    """Connect this process; it may have one connection at a time.

    Args:
        address: Host and port of the cluster's control service, or ``auto`` for the one on this machine.
        namespace: Where the names of this server's workers live.
        environment: Put into this process's environment first.

    Returns:
        Host and port of the control service.

    Raises:
        RayUnavailable: the cluster cannot be reached, or refuses.
    """
    _prepare(environment)
    if ":" in address and not answers(address):
        raise RayUnavailable(f"nothing answers at {address}", "start Ray there, or name another address")
    import ray  # noqa: PLC0415  # not before its environment is in place

    # Its remark that SIGTERM is not handled off the main thread is no news to the server, which handles it.
    logging.getLogger("ray").setLevel(logging.ERROR)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address, namespace=namespace, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR
        )
    except (RuntimeError, ConnectionError, ValueError, ray.exceptions.RayError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise RayUnavailable(reason, "check the address, and the token that RAY_AUTH_TOKEN_PATH names") from error
    finally:
        # Ray takes SIGTERM for itself, which the server needs for an orderly end.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
    # Ray prints its comments on dead workers to standard output, which belongs to the server.
    ray._private.worker._worker_logs_enabled = False
    return str(ray.get_runtime_context().gcs_address)


def disconnect() -> None:
    """Close the connection; detached actors live on."""
    import ray  # noqa: PLC0415  # not before its environment is in place

    ray.shutdown()


def wait(references: Sequence[Any], seconds: float) -> None:
    """Wait until calls have returned or failed, no longer than that."""
    import ray  # noqa: PLC0415  # not before its environment is in place

    ray.wait(list(references), num_returns=len(references), timeout=seconds)


def nodes() -> tuple[Node, ...]:
    """The nodes that are up, in order of their names."""
    import ray  # noqa: PLC0415  # not before its environment is in place

    entries: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return tuple(sorted((_node(entry) for entry in entries if entry["Alive"]), key=lambda node: node.name))


def _node(entry: Mapping[str, Any]) -> Node:
    resources = entry["Resources"]
    # Nodes may share a host name, and a host its address.
    name = f"{entry['NodeManagerHostname']}-{entry['NodeID'][:6]}"
    return Node(name, float(resources.get("CPU", 0.0)), float(resources.get("GPU", 0.0)))


def _prepare(environment: Mapping[str, str]) -> None:
    """Put the environment in place, also for a Ray that was imported before it and has read the old one."""
    # Ray tries twenty times, 40 s each, what accepts connections and does not answer; an operator may ask for that.
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")
    changed = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    os.environ.update(changed)
    if not changed or "ray" not in sys.modules:
        return
    from ray import _raylet  # noqa: PLC0415  # only if Ray is loaded already
    from ray._private import ray_constants  # noqa: PLC0415

    raylet: Any = _raylet
    if environment.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER") == "0":
        ray_constants.ENABLE_RAY_CLUSTER = False
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()
