"""Runs inside ``ray start``, which calls what RAY_START_HOOK names before it starts anything."""

from typing import Any


def without_client_server(parameters: Any, head: bool) -> None:  # noqa: ARG001  # Ray's signature
    """Leave out the server for remote clients: a process of 90 MB and an open port that nobody here uses.

    The command line cannot leave it out; a port of 0 is refused there.
    """
    parameters.ray_client_server_port = None
