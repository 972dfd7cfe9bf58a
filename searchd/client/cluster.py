"""The server, its cluster and its trainables, as the client hands them out."""

from collections.abc import Mapping
from dataclasses import dataclass

from searchd.client.views import View
from searchd.domain.card import Form
from searchd.domain.objective import Goal
from searchd.domain.space import Parameters, SearchSpace
from searchd.domain.study import StudyName
from searchd.v1 import study_pb2, system_service_pb2, trainable_service_pb2
from searchd.wire.spaces import decode_space
from searchd.wire.values import decode_enum, decode_parameters, short_names


@dataclass(frozen=True, slots=True)
class Trainable(View):
    """The card of a trainable: what it takes, reports and can do.

    Attributes:
        name: Registered name.
        description: One line.
        form: How it is written.
        metrics: Declared metrics and their better direction; empty means that any is accepted.
        space: Default search space.
        default: Default configuration, or None if it declares none.
        checkpoints: Whether fold runs can be paused and continued.
        folds: Whether it trains on given folds; else only on one hold-out split of its own.
        code: Fingerprint of its code.
        gradients: Metrics whose derivatives by each of its continuous parameters it reports too.
    """

    name: str
    description: str
    form: Form
    metrics: Mapping[str, Goal]
    space: SearchSpace
    default: Parameters | None
    checkpoints: bool
    folds: bool
    code: str
    gradients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """What a node of the cluster offers in total."""

    name: str
    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class Pool:
    """Workers of one code and one resource shape: how many are starting, idle and busy."""

    code: str
    cpus: float
    gpus: float
    starting: int
    idle: int
    busy: int


@dataclass(frozen=True, slots=True)
class StudyShare:
    """How many workers a study uses, and whether it could use more."""

    name: StudyName
    busy: int
    waiting: bool


@dataclass(frozen=True, slots=True)
class Cluster(View):
    """Nodes, workers and who uses them."""

    nodes: tuple[Node, ...]
    pools: tuple[Pool, ...]
    studies: tuple[StudyShare, ...]


@dataclass(frozen=True, slots=True)
class ServerInfo(View):
    """The server's version, limits and features, what it is to its store, and what keeps it from its work.

    Attributes:
        version: searchd's version.
        max_message_bytes: Largest message.
        max_page_size: Largest page.
        max_trials: Most trials of one study.
        max_watches: Most watches at once.
        max_pending_requests: Most requests waiting to be decided.
        features: Algorithms and so on that it has, as study files write them.
        role: ``leader`` if it writes, ``standby`` if it reads and waits to take over; empty if it does not say.
        leader: Where the leader takes requests; empty if nobody leads.
        epoch: Counts the leaders of the store, from 1; 0 if it does not say.
        problems: What keeps the server from doing all of its work now, one line each.
    """

    version: str
    max_message_bytes: int
    max_page_size: int
    max_trials: int
    max_watches: int
    max_pending_requests: int
    features: tuple[str, ...]
    role: str
    leader: str
    epoch: int
    problems: tuple[str, ...]


def read_trainable(message: trainable_service_pb2.Trainable) -> Trainable:
    """A card."""
    return Trainable(
        name=message.name,
        description=message.description,
        form=decode_enum(trainable_service_pb2.TrainableForm.DESCRIPTOR, message.form, Form),
        metrics={m.metric: decode_enum(study_pb2.Goal.DESCRIPTOR, m.goal, Goal) for m in message.metrics},
        space=decode_space(message.search_space, []),
        default=decode_parameters(message.default_parameters) or None,
        checkpoints=message.checkpoints,
        folds=message.folds,
        code=message.code_fingerprint,
        gradients=tuple(message.gradients),
        message=message,
    )


def read_cluster(message: system_service_pb2.GetClusterResponse) -> Cluster:
    """The cluster."""
    return Cluster(
        nodes=tuple(Node(n.name, n.cpus, n.gpus) for n in message.nodes),
        pools=tuple(Pool(p.code_fingerprint, p.cpus, p.gpus, p.starting, p.idle, p.busy) for p in message.pools),
        studies=tuple(StudyShare(StudyName(s.name), s.busy, s.waiting) for s in message.studies),
        message=message,
    )


def read_server_info(message: system_service_pb2.GetServerInfoResponse) -> ServerInfo:
    """The server."""
    roles = short_names(system_service_pb2.ServerRole.DESCRIPTOR)
    return ServerInfo(
        version=message.version,
        max_message_bytes=message.max_message_bytes,
        max_page_size=message.max_page_size,
        max_trials=message.max_trials,
        max_watches=message.max_watches,
        max_pending_requests=message.max_pending_requests,
        features=tuple(message.features),
        role=next((name for name, number in roles.items() if number == message.role), ""),
        leader=message.leader_address,
        epoch=message.epoch,
        problems=tuple(message.problems),
        message=message,
    )
