"""Watches that are cut again and again: whether each event comes once and in order all the same.

A writer fills the log of a store in SQLite, ends its studies, and forgets what is old. A server that stands by shows
the log over gRPC. Watchers resume after the last revision that they saw, whenever they leave by themselves, their
connection breaks in the middle of a message, or the server is replaced, at times for so long that what they want next
is forgotten. Afterwards what they saw is compared with what was written.
"""

import asyncio
import contextlib
import itertools
import random
import time
from array import array
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.watchers import Proxy, Watcher
from searchd.domain.card import Card
from searchd.domain.evaluation import Evaluation
from searchd.domain.facts import Fact, MeasurementAdded, StudyPut, TrialPut
from searchd.domain.measurement import Measurement
from searchd.domain.objective import Goal, Objective
from searchd.domain.study import Dataset, Study, StudyName, StudySpec, study_name
from searchd.domain.trial import Origin, Trial, TrialNumber
from searchd.ports.catalog import Inspection
from searchd.rpc.server import RpcServer, RpcSettings
from searchd.schedulers.factory import make_scheduler
from searchd.searchers.importance_process import ImportanceProcess
from searchd.service import Services
from searchd.service.insight import Insight
from searchd.service.leaderboards import Leaderboards
from searchd.service.loop import Loop, LoopSettings
from searchd.service.studies import Studies
from searchd.service.system import Limits, System
from searchd.service.trainables import Trainables
from searchd.service.trials import Trials
from searchd.service.watch import Watches
from searchd.stores.sql import SqlStore, open_sql_store

BATCH = 200
EVENT_BYTES = 100
"""About what an event takes on the wire."""

OUTAGE = 4
"""Every so manieth time that a server is replaced, what watchers want next is forgotten in the meantime."""

QUIET = timedelta(milliseconds=100)
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is watched.

    Attributes:
        events: Events written, over all studies.
        studies: Studies that they are spread over.
        watchers: Watchers of each study.
        cuts: Cuts, over all watchers; about half by the client, half in the middle of a message. Fewer if events are
            forgotten before they are shown.
        restarts: How often the server is replaced meanwhile, about.
        kept: Events kept; older ones are forgotten meanwhile.
    """

    events: int = 1_400_000
    studies: int = 4
    watchers: int = 1
    cuts: int = 2_500
    restarts: int = 20
    kept: int = 50_000


QUICK = Sizes(events=20_000, studies=3, watchers=2, cuts=80, restarts=9, kept=2_000)


@dataclass
class Found:
    """What came of it.

    Attributes:
        events: Events that were written.
        shown: Events that watchers saw.
        left: Cuts by watchers.
        broken: Connections that were broken in the middle of a message.
        restarts: Servers that were replaced.
        expired: Times that a watcher was told that the events after its revision are no longer kept.
        missed: Events that were kept and not shown.
        repeated: Events that were shown again, or after a later one.
        invented: Events shown that were not written.
        seconds: How long it took.
    """

    events: int = 0
    shown: int = 0
    left: int = 0
    broken: int = 0
    restarts: int = 0
    expired: int = 0
    missed: int = 0
    repeated: int = 0
    invented: int = 0
    seconds: float = 0.0

    @property
    def faults(self) -> int:
        """Events that did not come exactly once and in order."""
        return self.missed + self.repeated + self.invented

    def compare(self, watcher: Watcher, log: Sequence[int]) -> None:
        """Take in what a watcher saw of a study whose events have these revisions."""
        seen = watcher.revisions
        self.shown += len(seen)
        self.left += watcher.left
        self.expired += len(watcher.expired)
        self.repeated += sum(later <= earlier for earlier, later in itertools.pairwise(seen))
        there = set(seen)
        self.invented += len(there.difference(log))
        self.missed += sum(revision not in there and not watcher.was_told(revision) for revision in log)


class _Writer:
    """The one that writes: a batch after the other, each for one study, some of it forgotten from time to time."""

    def __init__(self, store: SqlStore, sizes: Sizes, rng: random.Random) -> None:
        self.logs = {study_name("default", f"s{i}"): array("q") for i in range(sizes.studies)}
        self._store = store
        self._sizes = sizes
        self._rng = rng
        self._left = sizes.events
        self._count = 0
        self.hurries = False
        self.trimmed = 0
        store.begin_epoch("the writer", "127.0.0.1:1")
        for name in self.logs:
            study = Study(name, StudySpec("net", (Objective("accuracy", Goal.MAXIMIZE),)), "c0de", "", START).started(
                START
            )
            self._commit(name, [StudyPut(study), TrialPut(Trial(name, TrialNumber(1), {}, Origin.SEARCH, START))])

    @property
    def done(self) -> bool:
        """Whether all but the last events are written."""
        return self._left <= 0

    @property
    def revision(self) -> int:
        """Of the last event written."""
        return max(log[-1] for log in self.logs.values())

    def write(self) -> None:
        """Write a batch."""
        name = self._rng.choice(sorted(self.logs))
        self._commit(name, [self._measured(name) for _ in range(self._rng.randint(1, BATCH))])
        if self._rng.random() < BATCH / self._sizes.kept * 5:
            self._store.trim_events(self._sizes.kept)
            self.trimmed = self.revision - self._sizes.kept

    def end(self) -> None:
        """Write the end of every study."""
        for name in self.logs:
            self._commit(name, [StudyPut(self._store.study(name).succeeded(START, ""))])

    def _measured(self, name: StudyName) -> Fact:
        self._count += 1
        epoch = self._count % 1000
        metrics = {"accuracy": float(self._count)}
        return MeasurementAdded(name, Measurement(1, 0, 0, epoch, self._count, metrics, 1.0, START))

    def _commit(self, name: StudyName, facts: Sequence[Fact]) -> None:
        last = self._store.commit(facts, START)
        self.logs[name].extend(range(last - len(facts) + 1, last + 1))
        self._left -= len(facts)


class _Nothing:
    """A catalog, datasets and logs without anything in them, for a server that only shows what others wrote."""

    def cards(self) -> Mapping[str, Card]:
        return {}

    def inspect(self, dataset: Dataset, evaluation: Evaluation) -> Inspection:
        raise NotImplementedError

    def logs(self, study: StudyName, trial: TrialNumber) -> Sequence[tuple[int, int, Path]]:  # noqa: ARG002
        return ()


class _Clock:
    def now(self) -> datetime:
        return START + timedelta(seconds=time.monotonic())


@contextlib.asynccontextmanager
async def _server(url: str) -> AsyncIterator[int]:
    """A server that stands by for the writer; its port."""
    store, nothing, clock, limits = open_sql_store(url), _Nothing(), _Clock(), Limits()
    turns = LoopSettings(retry=timedelta(milliseconds=10), lease=timedelta(days=1))
    loop = Loop(store, make_scheduler, clock, turns, "standby")
    services = Services(
        studies=Studies(store, loop, nothing, nothing, clock),
        watches=Watches(store, loop, clock, limits.max_watches, QUIET),
        trials=Trials(store, nothing),
        leaderboards=Leaderboards(store),
        insight=Insight(store, ImportanceProcess()),
        trainables=Trainables(nothing),
        system=System(loop, "0", limits),
    )
    running = asyncio.create_task(loop.run())
    await loop.ready()
    server = RpcServer(services, RpcSettings("127.0.0.1:0"))
    port = await server.bind()
    await server.start()
    try:
        yield port
    finally:
        await server.stop(timedelta(0))
        await loop.stop()
        await running
        store.close()


async def watched(sizes: Sizes, folder: Path, seed: int = 0) -> Found:
    """Write, watch, cut and compare.

    Args:
        sizes: How much.
        folder: Where the store is made.
        seed: Of when what is cut, and of what is written.
    """
    rng, found, began = random.Random(seed), Found(), time.monotonic()
    url = f"sqlite:///{folder / 'watches.db'}"
    store = open_sql_store(url)
    writer = _Writer(store, sizes, rng)
    stay = 4 * sizes.events * sizes.watchers // sizes.cuts  # the mean is half of it, and half of the cuts are of a kind
    proxy = Proxy(lambda: rng.randrange(EVENT_BYTES, stay * EVENT_BYTES))
    await proxy.start()
    watchers = {
        Watcher(name, lambda: f"127.0.0.1:{proxy.port}", lambda: rng.randrange(1, stay)): name
        for name in writer.logs
        for _ in range(sizes.watchers)
    }
    running = [asyncio.create_task(watcher.run()) for watcher in watchers]
    writing = asyncio.create_task(_written(writer, sizes, watchers))
    async with contextlib.AsyncExitStack() as stack:
        proxy.target = await stack.enter_async_context(_server(url))
        while not all(task.done() for task in running):
            await asyncio.wait(running, timeout=0.05)
            shown = sum(len(watcher.revisions) for watcher in watchers)
            if found.restarts < sizes.restarts * shown // (sizes.events * sizes.watchers):
                found.restarts += 1
                await stack.aclose()
                if found.restarts % OUTAGE == 0:
                    await _all_is_forgotten(writer, sizes)
                proxy.target = await stack.enter_async_context(_server(url))
        await asyncio.gather(writing, *running)
    await proxy.close()
    store.close()
    found.broken = proxy.broken
    for watcher, name in watchers.items():
        found.compare(watcher, writer.logs[name])
    found.events = sum(map(len, writer.logs.values()))
    found.seconds = time.monotonic() - began
    return found


async def _written(writer: _Writer, sizes: Sizes, watchers: Collection[Watcher]) -> None:
    """Write everything, and wait for the slowest watcher unless there is a hurry."""
    while not writer.done:
        behind = writer.revision - min(watcher.after for watcher in watchers)
        if behind < sizes.kept // 2 or writer.hurries:
            await asyncio.to_thread(writer.write)
        else:
            await asyncio.sleep(0.005)
    await asyncio.to_thread(writer.end)


async def _all_is_forgotten(writer: _Writer, sizes: Sizes) -> None:
    """Wait until what watchers want next is forgotten, or nothing more will be."""
    upto = writer.revision + sizes.kept
    writer.hurries = True
    while writer.trimmed < upto and not writer.done:
        await asyncio.sleep(0.005)
    writer.hurries = False


def run(sizes: Sizes, seed: int = 0) -> Found:
    """``watched`` in a folder of its own."""
    with TemporaryDirectory() as folder:
        return asyncio.run(watched(sizes, Path(folder), seed))
