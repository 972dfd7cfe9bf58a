"""Recovery: only the newest is reconciled, what is away is waited for, and no searcher outlives its study."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import pytest

from searchd.domain.errors import StoreUnavailable
from searchd.domain.evaluation import Evaluation
from searchd.domain.facts import Fact, StudyPut
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.search import Algorithm, Search
from searchd.domain.study import StudyState, study_name
from searchd.domain.trial import Trial
from searchd.ports.searcher import SearchFailed
from searchd.schedulers.factory import make_scheduler
from searchd.service.loop import LoopSettings
from searchd.service.writer import Writer
from tests.unit.service.service_house import ServiceHouse, World, soon

NAME = study_name("default", "a")
LONG: dict[str, Any] = {"evaluation": Evaluation(epochs=27), "scheduler": Scheduler(SchedulerAlgorithm.NONE)}

T = TypeVar("T")


async def test_overlapping_recoveries_reconcile_only_the_newest() -> None:
    """When a commit fails while the engine still adopts for an earlier one, nothing is handed out twice."""
    world = World()
    async with world.serving() as house:
        await house.create(**LONG)
        await house.until(lambda: world.store.study(NAME).progress.epochs > 5)
        slow = threading.Event()
        house.engine.starting = lambda epoch: (slow.wait(0.05) and None) or None
        world.store.failing = 1
        await house.until(lambda: world.store.failing == 0)
        world.store.failing = 1
        await house.until(lambda: world.store.failing == 0)
        slow.set()
        await house.ended(NAME)
    assert set(world.trained.values()) == {1}


async def test_store_that_is_away_is_waited_for() -> None:
    """If the store cannot even be read after a failure, the loop tries again until it can."""
    world = World()
    async with world.serving() as house:
        await house.create(**LONG)
        world.store.deaf = 5
        world.store.failing = 1
        await house.until(lambda: world.store.deaf == 0)
        assert (await house.ended(NAME)).state is StudyState.SUCCEEDED
    assert set(world.trained.values()) == {1}


async def test_engine_that_cannot_start_is_reported() -> None:
    """``ready`` raises what the engine raised, and the loop still answers and ends."""
    world = World()
    house = ServiceHouse(world.store, world.cluster, world.clock, LoopSettings(), make_scheduler)

    def refuse(epoch: int) -> None:
        raise ConnectionError("no Ray there")

    house.engine.starting = refuse
    running = asyncio.create_task(house.loop.run())
    with pytest.raises(ConnectionError, match="no Ray there"):
        await soon(house.loop.ready())
    assert (await soon(house.create())).state is StudyState.PENDING
    await house.loop.stop()
    await running


async def test_searcher_of_a_study_whose_end_was_not_heard_is_closed() -> None:
    """When the end of a study is written but the server is not told so, it closes the study's searcher all the same."""
    world = World()
    commit = world.store.commit

    def unheard(facts: Sequence[Fact], at: datetime) -> int:
        revision = commit(facts, at)
        if any(isinstance(fact, StudyPut) and fact.study.state.ended for fact in facts):
            raise StoreUnavailable("the connection broke")
        return revision

    world.store.commit = unheard  # type: ignore[method-assign]
    async with world.serving() as house:
        await house.create()
        assert house.searchers.open == {NAME}
        await house.ended(NAME)
        await house.until(lambda: not house.searchers.open)


async def test_searcher_of_a_study_that_ends_while_it_is_read_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A searcher that failed is not opened again when its study has ended before the stored trials were there."""
    on_thread = Writer.on_thread
    read, heard = asyncio.Event(), asyncio.Event()

    async def late(self: Writer, work: Callable[[], T]) -> T:
        found = await on_thread(self, work)
        if isinstance(found, list) and found and isinstance(found[0], Trial):
            read.set()
            await heard.wait()
        return found

    world = World()
    async with world.serving() as house:
        await house.create(search=Search(Algorithm.TPE), **LONG)
        await house.until(lambda: world.store.study(NAME).progress.epochs > 5)
        monkeypatch.setattr(Writer, "on_thread", late)
        house.loop.post(SearchFailed(NAME, "ValueError: no"))
        await soon(read.wait())
        await soon(house.studies.stop(NAME, request_id="", digest=""))
        await house.until(lambda: not house.searchers.open)
        heard.set()
        await asyncio.sleep(0.01)
        assert not house.searchers.open
