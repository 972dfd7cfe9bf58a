"""The server and its cluster, as they are now."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from searchd.conductor.cluster import WorkerState
from searchd.conductor.handing_out import has_work
from searchd.domain.errors import NotLeader, SearchdError
from searchd.domain.evaluation import Racing, Split
from searchd.domain.scheduler import SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm
from searchd.domain.study import StudyName
from searchd.ports.engine import Node, PoolKey
from searchd.service.loop import Loop


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that callers should know."""

    max_message_bytes: int = 4 * 1024 * 1024
    max_page_size: int = 1000
    max_trials: int = 1_000_000
    max_watches: int = 1000
    max_pending_requests: int = 1024


class Role(StrEnum):
    """What a server is to its store: the one that writes, or one that reads and waits to take over."""

    LEADER = "leader"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The server: its version, limits and features, what it is to its store, and what keeps it from its work.

    Attributes:
        role: Whether it writes.
        leader: Where the one that writes takes requests; empty if nobody does.
        epoch: Counts the writers of the store, from 1.
        problems: What keeps it from doing all of its work now, one line each.
    """

    version: str
    max_message_bytes: int
    max_page_size: int
    max_trials: int
    max_watches: int
    max_pending_requests: int
    features: tuple[str, ...]
    role: Role
    leader: str
    epoch: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PoolView:
    """Workers of one pool."""

    pool: PoolKey
    starting: int
    idle: int
    busy: int


@dataclass(frozen=True, slots=True)
class StudyView:
    """An active study: workers that serve it, and whether it could use more."""

    name: StudyName
    busy: int
    waiting: bool


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The cluster as the conductor sees it."""

    nodes: tuple[Node, ...]
    pools: tuple[PoolView, ...]
    studies: tuple[StudyView, ...]


class System:
    """Use cases of the system."""

    def __init__(self, loop: Loop, version: str, limits: Limits) -> None:
        self._loop = loop
        self._version = version
        self._limits = limits

    def refusal(self) -> SearchdError | None:
        """Why changes are refused now; None if they are not."""
        return self._loop.refusal

    def info(self) -> ServerInfo:
        """Version, limits, and the names that a study file may use."""
        kinds = (
            ("search", Algorithm),
            ("scheduler", SchedulerAlgorithm),
            ("mode", SchedulerMode),
            ("racing", Racing),
            ("split", Split),
        )
        limits = self._limits
        return ServerInfo(
            version=self._version,
            max_message_bytes=limits.max_message_bytes,
            max_page_size=limits.max_page_size,
            max_trials=limits.max_trials,
            max_watches=limits.max_watches,
            max_pending_requests=limits.max_pending_requests,
            features=tuple(f"{kind}:{value.value}" for kind, values in kinds for value in values),
            role=Role.LEADER if self._loop.epoch else Role.STANDBY,
            leader=self._loop.leader,
            epoch=self._loop.epoch,
            problems=tuple(self._problems()),
        )

    def _problems(self) -> Iterator[str]:
        refusal = self._loop.refusal
        if refusal is not None and not isinstance(refusal, NotLeader):
            yield str(refusal)
        mind = self._loop.conductor.mind
        if self._loop.epoch and mind.reconciled and not mind.cluster.nodes:
            yield "no node of the cluster can be reached, so nothing trains; it is tried again and again"
        for (name, code), why in mind.quarantined.items():
            yield f"trainable {name!r} (code {code}) is quarantined: {why}"

    async def cluster(self) -> ClusterView:
        """Nodes, pools and who uses them."""
        mind = self._loop.conductor.mind
        pools = tuple(
            PoolView(
                pool.key,
                len(pool.starting),
                len(pool.idle),
                sum(worker.state is WorkerState.BUSY for worker in pool.workers.values()),
            )
            for pool in mind.cluster.pools.values()
        )
        studies = tuple(
            StudyView(active.study.name, len(active.serving), active.slots_left and has_work(active))
            for active in mind.studies.values()
        )
        return ClusterView(mind.cluster.nodes, pools, studies)
