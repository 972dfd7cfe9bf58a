"""A whole server in one process: real gRPC, loop and use cases; memory for a store and virtual time for a cluster."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from searchd.domain.card import Card, Form
from searchd.domain.errors import Violation
from searchd.domain.evaluation import Evaluation
from searchd.domain.insight import Sample
from searchd.domain.objective import Goal
from searchd.domain.space import Choice, Float, Parameter, SearchSpace
from searchd.domain.study import Dataset, StudyName
from searchd.domain.trial import TrialNumber
from searchd.engines.simulated import Epoch, SimulatedCluster, VirtualClock
from searchd.ports.catalog import Inspection
from searchd.ports.code import CodeStore
from searchd.ports.engine import Node, Segment
from searchd.ports.store import Store
from searchd.rpc.server import RpcServer, RpcSettings
from searchd.schedulers.factory import make_scheduler
from searchd.searchers.local import LocalSearchers
from searchd.service import Services
from searchd.service.insight import Insight
from searchd.service.leaderboards import Leaderboards
from searchd.service.loop import Loop, LoopSettings
from searchd.service.studies import Studies
from searchd.service.system import Limits, System
from searchd.service.trainables import Trainables
from searchd.service.trials import Trials
from searchd.service.watch import QUIET, Watches
from searchd.stores.memory import MemoryStore
from searchd.v1.leaderboard_service_pb2_grpc import LeaderboardServiceStub
from searchd.v1.study_pb2 import Study
from searchd.v1.study_service_pb2_grpc import StudyServiceStub
from searchd.v1.system_service_pb2_grpc import SystemServiceStub
from searchd.v1.trainable_service_pb2_grpc import TrainableServiceStub
from searchd.v1.trial_service_pb2_grpc import TrialServiceStub
from searchd.wire.study_file import read_study
from tests.unit.service.service_house import ThreadedEngine

NET = Card(
    name="net",
    description="A net.",
    form=Form.GENERATOR,
    metrics={"accuracy": Goal.MAXIMIZE, "loss": Goal.MINIMIZE},
    space=SearchSpace((Parameter("lr", Float(1e-4, 1e-1, log=True)), Parameter("width", Choice((8, 16))))),
    default={"lr": 0.01, "width": 8},
    checkpoints=True,
    folds=True,
    code="c0de00000000",
)

SEARCH = """
trainable: net
fixed: {width: 16}
search: {algorithm: random}
evaluation: {folds: 3, epochs: 3}
budget: {trials: 6}
"""


class Shelf:
    """A catalog of one trainable."""

    def cards(self) -> Mapping[str, Card]:
        return {NET.name: NET}


class NoData:
    """Knows no dataset."""

    def inspect(self, dataset: Dataset, evaluation: Evaluation) -> Inspection:
        return Inspection("", 0, [Violation("dataset.builtin", f"there is no {dataset.builtin!r}", "use none")], False)


class EvenShares:
    """Finds all parameters equally important."""

    evaluator = "even"

    async def shares(self, space: SearchSpace, samples: Sequence[Sample], best_share: float) -> Mapping[str, float]:
        return dict.fromkeys(space.names(), 2.0)


@dataclass
class Papers:
    """Log files by (study, trial)."""

    files: dict[tuple[StudyName, TrialNumber], list[tuple[int, int, Path]]] = field(default_factory=dict)

    def logs(self, study: StudyName, trial: TrialNumber) -> Sequence[tuple[int, int, Path]]:
        return self.files.get((study, trial), [])


def _train(segment: Segment, epoch: int) -> Iterator[Epoch]:
    for at in range(epoch + 1, segment.target + 1):
        accuracy = 0.5 + segment.parameters["lr"] + 0.01 * at + 0.001 * segment.fold
        yield Epoch({"accuracy": accuracy, "loss": 1 - accuracy}, timedelta(milliseconds=10))


@dataclass
class Site:
    """What outlives a server: the store, the workers, their logs, and time."""

    store: Store = field(default_factory=MemoryStore)
    papers: Papers = field(default_factory=Papers)
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.cluster = SimulatedCluster(self.clock, [Node("n1", 4, 0)], _train, timedelta(milliseconds=100))


@dataclass
class House:
    """A running server, and stubs for a client of it.

    Attributes:
        going: While it is set, virtual time moves.
    """

    site: Site
    services: Services
    loop: Loop
    server: RpcServer
    port: int
    channel: Any  # the stubs' annotations are those of a blocking client
    papers: Papers
    going: asyncio.Event

    def __post_init__(self) -> None:
        self.studies: Any = StudyServiceStub(self.channel)
        self.trials: Any = TrialServiceStub(self.channel)
        self.leaderboards: Any = LeaderboardServiceStub(self.channel)
        self.trainables: Any = TrainableServiceStub(self.channel)
        self.system: Any = SystemServiceStub(self.channel)


@contextlib.asynccontextmanager
async def house(
    settings: RpcSettings,
    limits: Limits,
    *,
    site: Site | None = None,
    holder: str = "",
    turns: LoopSettings = LoopSettings(),  # noqa: B008  # a frozen value
    quiet: timedelta = QUIET,
    code: CodeStore | None = None,
) -> AsyncIterator[House]:
    """A server that is up, with one node of 4 CPUs; all of it but its site is ended afterwards."""
    site = site or Site()
    store, clock = site.store, site.clock
    loop = Loop(store, make_scheduler, clock, turns, holder)
    engine = ThreadedEngine(site.cluster, loop.post)
    loop.bind(engine, LocalSearchers(loop.post), f"{holder}:1" if holder else "")
    services = Services(
        studies=Studies(store, loop, Shelf(), NoData(), clock, code=code),
        watches=Watches(store, loop, clock, limits.max_watches, quiet),
        trials=Trials(store, site.papers),
        leaderboards=Leaderboards(store),
        insight=Insight(store, EvenShares()),
        trainables=Trainables(Shelf(), code),
        system=System(loop, "0.0.test", limits),
    )
    going = asyncio.Event()
    going.set()

    async def pass_time() -> None:
        while True:
            await going.wait()
            with engine.lock:
                if site.cluster.next_at() is not None:
                    site.cluster.step()
            await asyncio.sleep(0.0005)

    tasks = [asyncio.create_task(loop.run()), asyncio.create_task(pass_time())]
    await loop.ready()
    server = RpcServer(services, settings)
    port = await server.bind()
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield House(site, services, loop, server, port, channel, site.papers, going)
    finally:
        tasks[1].cancel()
        await server.stop(timedelta(0))
        await loop.stop()
        await tasks[0]
        await asyncio.gather(tasks[1], return_exceptions=True)
        engine.close(leave_workers=True)


def definition(text: str = SEARCH) -> Study:
    """The message of a study file without mistakes."""
    file = read_study(text)
    assert not file.violations
    return file.study


async def refused(call: Any) -> tuple[grpc.aio.AioRpcError, error_details_pb2.ErrorInfo]:
    """The error of a call and its ErrorInfo."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ended(call)
    info = error_details_pb2.ErrorInfo()
    status = status_in(caught.value)
    assert not status.details or status.details[0].Unpack(info)
    return caught.value, info


async def ended(call: Any) -> None:
    if isinstance(call, grpc.aio.UnaryStreamCall):
        async for _ in call:
            pass
    else:
        await call


def status_in(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The details that travelled with an error."""
    metadata: Any = error.trailing_metadata()
    raw = dict(metadata).get("grpc-status-details-bin", b"")
    status = status_pb2.Status.FromString(raw)
    if raw:
        assert (status.code, status.message) == (error.code().value[0], error.details())
    return status
