"""Clients that are slow, silent or dead: what they cost the server, and whom they hold up."""

import asyncio
import gc
import socket
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import psutil

from searchd.domain.facts import StudyPut, TrialPut
from searchd.domain.objective import Goal, Objective
from searchd.domain.study import Study, StudyName, StudySpec, study_name
from searchd.domain.trial import Origin, Trial, TrialNumber
from searchd.engines.simulated import VirtualClock
from searchd.rpc.server import RpcSettings
from searchd.service.loop import LoopSettings
from searchd.service.system import Limits
from searchd.stores.sql import SqlStore, open_sql_store
from searchd.v1.study_service_pb2 import CreateStudyRequest, GetStudyRequest, ListStudiesRequest, WatchStudyRequest
from searchd.v1.study_service_pb2_grpc import StudyServiceStub
from tests.integration import leaving_client
from tests.unit.rpc.rpc_house import Site, definition, house, refused
from tests.unit.service.service_house import MoodyStore

ANY = RpcSettings("127.0.0.1:0")
BUSY, CALM = study_name("default", "busy"), study_name("default", "calm")
STANDBY = LoopSettings(retry=timedelta(milliseconds=5), lease=timedelta(days=1))
NOW = VirtualClock().now()
BATCH = 1_000
METHODS = ["CreateStudy", "WatchStudy", "GetStudy"]


def _written(store: SqlStore, name: StudyName, count: int, tail: str = "") -> None:
    trial = Trial(name, TrialNumber(1), {"lr": 0.1}, Origin.SEARCH, NOW, log_tail=tail)
    store.commit([TrialPut(trial)] * count, NOW)


async def test_a_watcher_that_reads_nothing_costs_little_and_delays_nobody(tmp_path: Path) -> None:
    """While 100,000 events happen that a watcher does not read, the server stays small and others see theirs at once;
    when it reads again, nothing is missing."""
    url = f"sqlite:///{tmp_path / 'searchd.db'}"
    writer = open_sql_store(url)
    writer.begin_epoch("writer")
    for name in (BUSY, CALM):
        study = Study(name, StudySpec("net", (Objective("accuracy", Goal.MAXIMIZE),)), "c0de", "", NOW)
        writer.commit([StudyPut(study)], NOW)
    async with house(ANY, Limits(), site=Site(open_sql_store(url)), holder="standby", turns=STANDBY) as here:
        first = writer.revision()
        slow = here.studies.WatchStudy(WatchStudyRequest(name=BUSY, after_revision=first))
        calm = here.studies.WatchStudy(WatchStudyRequest(name=CALM, after_revision=first))
        await asyncio.to_thread(_written, writer, BUSY, BATCH, "x" * 1000)
        await slow.read()
        gc.collect()
        before = psutil.Process().memory_info().rss
        for _ in range(100_000 // BATCH - 1):
            await asyncio.to_thread(_written, writer, BUSY, BATCH, "x" * 1000)
            await asyncio.to_thread(_written, writer, CALM, 1)
            assert (await asyncio.wait_for(calm.read(), 10)).revision == writer.revision()
        grown = psutil.Process().memory_info().rss - before
        assert grown < 60 * 2**20  # all of it encoded would be 110 MiB, as objects several times that
        assert (await here.studies.GetStudy(GetStudyRequest(name=BUSY))).study.name == BUSY
        log = iter(await asyncio.to_thread(writer.events, first, BUSY, 10_000))
        next(log)
        for event in log:
            assert (await slow.read()).revision == event.revision
        slow.cancel()
        calm.cancel()
    here.site.store.close()
    writer.close()


def _footprint() -> tuple[int, int]:
    """Tasks, and open files."""
    return len(asyncio.all_tasks()), sum(1 for _ in Path("/proc/self/fd").iterdir())


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_client_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    """What a killed client asked for is either done or not, and its watches, tasks and file handles are free again."""
    store = MoodyStore()
    async with house(ANY, Limits(max_watches=2), site=Site(store)) as here:
        here.going.clear()
        created = await here.studies.CreateStudy(CreateStudyRequest(study_id="one", study=definition()))
        name = StudyName(created.study.name)
        log = tmp_path / "log"
        log.write_text("epoch 1\n")
        here.papers.files[name, TrialNumber(1)] = [(0, 0, log)]
        await here.studies.ListStudies(ListStudiesRequest())
        before = _footprint()
        store.release.clear()
        request = CreateStudyRequest(study_id="two", study=definition()).SerializeToString().hex()
        client = await asyncio.create_subprocess_exec(
            sys.executable,
            leaving_client.__file__,
            f"127.0.0.1:{here.port}",
            name,
            request,
            stdout=asyncio.subprocess.PIPE,
        )
        assert client.stdout is not None
        assert await asyncio.wait_for(client.stdout.readline(), 20) == b"ready\n"
        await _until(store.waiting.is_set)
        during = _footprint()
        error, info = await refused(here.studies.WatchStudy(WatchStudyRequest(name=name)))
        assert (error.code(), info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        client.kill()
        await client.wait()
        del client
        store.release.set()
        await _until(lambda: all(now <= then for now, then in zip(_footprint(), before, strict=True)))
        assert all(then < meanwhile for then, meanwhile in zip(before, during, strict=True))
        watches = [here.studies.WatchStudy(WatchStudyRequest(name=name)) for _ in range(2)]
        for watch in watches:
            assert (await asyncio.wait_for(watch.read(), 10)).study.name == name
            watch.cancel()
        there = await here.studies.GetStudy(GetStudyRequest(name="projects/default/studies/two"))
        assert there.study.name == "projects/default/studies/two"


async def test_a_slow_watcher_that_is_killed_gives_its_place_back() -> None:
    """A watch whose client stopped reading long ago, so that the server waits to send, ends with its connection."""
    async with house(ANY, Limits(max_watches=1)) as here:
        here.going.clear()
        await here.studies.CreateStudy(CreateStudyRequest(study_id="busy", study=definition()))
        store = here.site.store
        trial = Trial(BUSY, TrialNumber(1), {"lr": 0.1}, Origin.SEARCH, NOW, log_tail="x" * 10_000)
        store.commit([TrialPut(trial)] * 5_000, NOW)
        for _ in range(3):
            async with grpc.aio.insecure_channel(f"127.0.0.1:{here.port}") as channel:
                studies: Any = StudyServiceStub(channel)
                watch = studies.WatchStudy(WatchStudyRequest(name=BUSY))
                await watch.read()
                error, _ = await refused(here.studies.WatchStudy(WatchStudyRequest(name=BUSY)))
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            await _place_is_free(here.studies)


async def _place_is_free(studies: Any) -> None:
    """Wait until a watch is taken."""
    async with asyncio.timeout(20):
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
        while code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            watch = studies.WatchStudy(WatchStudyRequest(name=BUSY))
            try:
                await watch.read()
                code = grpc.StatusCode.OK
            except grpc.aio.AioRpcError as error:
                code = error.code()
                await asyncio.sleep(0.01)
            finally:
                watch.cancel()
    assert code is grpc.StatusCode.OK


async def test_half_open_connections_hold_nobody_up() -> None:
    """Clients that connect and fall silent, in the middle of a handshake or of a call, are no hindrance to others."""

    async def nothing() -> AsyncIterator[bytes]:
        await asyncio.sleep(60)
        yield b""

    async with house(ANY, Limits(max_watches=2)) as here:
        silent = []
        for said in [
            b"",
            b"PRI * HT",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
            b"GET / HTTP/1.1\r\n\r\n",
        ] * 10:
            connection = socket.create_connection(("127.0.0.1", here.port))
            connection.sendall(said)
            silent.append(connection)
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{here.port}", [("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            raw: Any = channel
            stuck = [raw.stream_unary(f"/searchd.v1.StudyService/{method}")(nothing()) for method in METHODS * 20]
            await channel.channel_ready()
            await asyncio.sleep(0.1)
            async with asyncio.timeout(20):
                created = await here.studies.CreateStudy(CreateStudyRequest(study_id="busy", study=definition()))
                shown = [r.revision async for r in here.studies.WatchStudy(WatchStudyRequest(name=created.study.name))]
            assert shown == [event.revision for event in here.site.store.events(0, BUSY, 10**6)]
            assert not any(call.done() for call in stuck)
            for call in stuck:
                call.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
        for connection in silent:
            connection.close()
