"""Keeps this process connected to Ray: looks at the cluster, and when that is lost, takes leave of it and finds one."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from searchd.engines.ray import connection
from searchd.engines.ray.errors import RayUnavailable
from searchd.engines.ray.local import LocalCluster, answers
from searchd.ports.engine import Node

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Concerns:
    """Whom the keeper tells, from its own thread.

    Attributes:
        nodes: Takes the nodes there are, at each look.
        lost: Is told when the cluster does not answer; returns when nothing is needed of the connection any more.
        back: Is told when there is a connection again.
    """

    nodes: Callable[[tuple[Node, ...]], None]
    lost: Callable[[], None]
    back: Callable[[], None]


class Keeper:
    """One process's connection to Ray, on a thread of its own, since a cluster that is gone answers slowly."""

    def __init__(
        self, cluster: Callable[[], LocalCluster], namespace: str, interval: timedelta, concerns: Concerns
    ) -> None:
        """Nothing is connected yet.

        Args:
            cluster: Says where Ray is, which may mean to start it. Raises RayUnavailable if there is none.
            namespace: Where the names of this server's workers live.
            interval: Between looks at the cluster.
            concerns: Whom to tell.
        """
        self._cluster = cluster
        self._namespace = namespace
        self._seconds = interval.total_seconds()
        self._concerns = concerns
        self._lifelines: tuple[str, ...] = ()
        self._connected = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="ray-keeper", daemon=True)

    @property
    def watching(self) -> bool:
        """Whether ``watch`` was called, and ``close`` was not."""
        return self._thread.is_alive()

    def connect(self) -> None:
        """Connect for the first time.

        Raises:
            RayUnavailable: there is no cluster, or it cannot be reached.
        """
        cluster = self._cluster()
        self._lifelines = tuple(connection.connect(cluster.address, self._namespace, cluster.environment))
        self._connected = True

    def watch(self) -> None:
        """Begin to look after the connection."""
        self._thread.start()

    def close(self) -> None:
        """Look no more. The connection stays as it is."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep(self) -> None:
        while not self._closing.wait(self._seconds):
            try:
                # Asked twice, since a machine may be too busy to answer in time; a refusal comes at once.
                if self._connected and all(answers(line) or answers(line) for line in self._lifelines):
                    self._concerns.nodes(connection.nodes())
                else:
                    self._renew()
            except RayUnavailable as error:
                _logger.warning("%s", error)
            except Exception:
                _logger.exception("Ray does not answer")

    def _renew(self) -> None:
        if self._connected:
            _logger.error("Ray at %s does not answer any more", ", ".join(self._lifelines))
            self._connected = False
            self._concerns.lost()
        connection.disconnect()
        self.connect()
        self._connected = False
        self._concerns.back()
        self._connected = True
        _logger.info("connected to Ray at %s", self._lifelines[0])
