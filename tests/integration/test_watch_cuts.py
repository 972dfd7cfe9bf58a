"""Watches that are cut: by clients, by broken connections, by servers that are replaced."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.watchers import Proxy, Watcher
from benchmarks.watches import QUICK, watched
from searchd.domain.facts import StudyDeleted, StudyPut, TrialPut
from searchd.domain.study import Study, StudyName
from searchd.domain.trial import Origin, Trial, TrialNumber
from searchd.rpc.server import RpcSettings
from searchd.service.loop import LoopSettings
from searchd.service.system import Limits
from searchd.v1.study_service_pb2 import CreateStudyRequest, WatchStudyRequest, WatchStudyResponse
from searchd.wire import codec
from tests.unit.rpc.rpc_house import House, Site, definition, house

NAME = StudyName("projects/default/studies/a")
ANY = RpcSettings("127.0.0.1:0")
TURNS = LoopSettings(retry=timedelta(milliseconds=5))
PATIENCE_SECONDS = 40

SEARCH = """
trainable: net
search: {algorithm: random}
evaluation: {folds: 3, epochs: 9}
budget: {trials: 30}
"""


async def test_watchers_that_are_cut_see_each_event_once(tmp_path: Path) -> None:
    """Of 20,000 events none is missed, repeated or out of order, but for those that a watcher was told are gone."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        found = await watched(QUICK, tmp_path)
    assert found.events >= QUICK.events
    assert (found.missed, found.repeated, found.invented) == (0, 0, 0)
    assert found.shown > found.events
    assert found.left + found.broken + QUICK.watchers * QUICK.studies * found.restarts >= 50
    assert min(found.left, found.broken, found.restarts, found.expired) > 0


async def test_a_standby_shows_what_the_leader_shows() -> None:
    """Watchers that change between a leader and its standby, also once that has taken over, see the store's log."""
    rng = random.Random(7)
    site = Site()
    beside = Site(site.store.opened_again(), site.papers, site.clock)  # type: ignore[attr-defined]
    beside.cluster = site.cluster
    heard: dict[str, list[list[WatchStudyResponse]]] = {}
    async with asyncio.timeout(PATIENCE_SECONDS), AsyncExitStack() as later, AsyncExitStack() as first:
        standby_comes = house(ANY, Limits(), site=beside, holder="two", turns=TURNS)
        leader = await first.enter_async_context(house(ANY, Limits(), site=site, holder="one", turns=TURNS))
        standby = await later.enter_async_context(standby_comes)
        assert (leader.loop.epoch, standby.loop.epoch) == (1, 0)
        proxies = [Proxy(lambda: rng.randrange(2_000, 60_000)) for _ in (leader, standby)]
        for proxy, server in zip(proxies, (leader, standby), strict=True):
            await proxy.start()
            proxy.target = server.port
            later.push_async_callback(proxy.close)
        watchers = list(_watchers(await _created(leader), proxies, rng, heard))
        running = [asyncio.create_task(watcher.run()) for watcher in watchers]
        while min(len(watcher.revisions) for watcher in watchers) < 200:
            await asyncio.sleep(0.005)
        await first.aclose()
        await asyncio.gather(*running)
        assert standby.loop.epoch == 2
        for name, several in heard.items():
            fixed = site.store.study(StudyName(name)).spec.fixed
            log = [codec.encode_event(event, fixed) for event in standby.site.store.events(0, StudyName(name), 10**6)]
            assert len(log) > 200
            assert all(one == log for one in several)
        assert sum(watcher.left for watcher in watchers) > 20
        assert sum(proxy.broken for proxy in proxies) > 0


async def _created(leader: House) -> list[str]:
    studies = [CreateStudyRequest(study_id=study_id, study=definition(SEARCH)) for study_id in ("a", "b", "c")]
    return [(await leader.studies.CreateStudy(request)).study.name for request in studies]


def _watchers(
    names: list[str], proxies: list[Proxy], rng: random.Random, heard: dict[str, list[list[WatchStudyResponse]]]
) -> Iterator[Watcher]:
    for name in names * 2:
        mine: list[WatchStudyResponse] = []
        heard.setdefault(name, []).append(mine)
        yield Watcher(
            name, lambda: f"127.0.0.1:{rng.choice(proxies).port}", lambda: rng.randrange(1, 100), hear=mine.append
        )


@pytest.mark.parametrize("after", [0, 1])
async def test_a_watch_shows_a_study_as_that_study_is(after: int) -> None:
    """When a study is created anew while a watch begins, what is shown is all of the new one, or the old one's end."""
    async with house(ANY, Limits()) as here:
        here.going.clear()
        await here.studies.CreateStudy(
            CreateStudyRequest(study_id="a", study=definition("trainable: net\nfixed: {width: 16}"))
        )
        store, read = here.site.store, here.site.store.study
        replaced: list[Study] = []

        def read_before_it_is_replaced(name: StudyName) -> Study:
            old = read(name)
            if not replaced:
                replaced.append(old)
                new = codec.decode_study(codec.encode_study(old))
                new.spec.fixed["width"] = 8  # type: ignore[index]
                trial = TrialPut(Trial(name, TrialNumber(1), {"lr": 0.1}, Origin.DEFAULT, here.site.clock.now()))
                store.commit([StudyDeleted(name), StudyPut(new), trial], here.site.clock.now())
            return old

        store.study = read_before_it_is_replaced  # type: ignore[method-assign]
        call = here.studies.WatchStudy(WatchStudyRequest(name=NAME, after_revision=after))
        shown: list[WatchStudyResponse] = []
        async for response in call:
            shown.append(response)
            if response.WhichOneof("event") in ("trial", "deleted"):
                break
        call.cancel()
        assert replaced
        if after:
            assert [response.WhichOneof("event") for response in shown] == ["deleted"]
        else:
            assert codec.decode_parameters(shown[-1].trial.parameters)["width"] == 8
