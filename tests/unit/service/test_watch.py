"""Watches: every event once and in order, from any revision on, until the end."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import pytest

from searchd.domain.errors import (
    InvalidArgument,
    Overloaded,
    RevisionExpired,
    ServerStopping,
    StoreUnavailable,
    StudyNotFound,
)
from searchd.domain.facts import Bookmark, Event, Fact, StudyDeleted, StudyPut
from searchd.domain.study import Budget, StudyName, StudyState, study_name
from searchd.service.watch import Watches
from tests.unit.service.service_house import ServiceHouse, World, soon

NAME = study_name("default", "a")

T = TypeVar("T")


async def _read(events: AsyncIterator[Event | Bookmark]) -> list[Event]:
    return [event async for event in events if isinstance(event, Event)]


def _stored(house: ServiceHouse, name: StudyName) -> list[Event]:
    return list(house.store.events(0, name, 10**6))


async def test_watch_shows_every_event_once_and_in_order() -> None:
    """From revision 0 a watch shows exactly what the log holds of its study, whatever else goes on, and then ends."""
    world = World()
    async with world.serving() as house:
        await house.create()
        watching = asyncio.create_task(_read(house.watches.watch(NAME, 0)))
        await house.create("other")
        seen = await soon(watching)
        assert seen == _stored(house, NAME)
        last = seen[-1].fact
        assert isinstance(last, StudyPut)
        assert last.study.state is StudyState.SUCCEEDED
        assert await soon(_read(house.watches.watch(NAME, 0))) == seen


async def test_watch_resumes_after_any_revision() -> None:
    """A watch that was cut goes on after the last revision it saw, without a gap or a repeat."""
    world = World()
    async with world.serving() as house:
        await house.create()
        seen: list[Event] = []
        while not seen or not _ended(seen[-1]):
            watch = house.watches.watch(NAME, seen[-1].revision if seen else 0)
            async for event in watch:
                if isinstance(event, Event):
                    seen.append(event)
                    if event.revision % 7 == 0:
                        break
            await watch.aclose()  # type: ignore[attr-defined]
        assert seen == _stored(house, NAME)


def _ended(event: Event) -> bool:
    return isinstance(event.fact, StudyPut) and event.fact.study.state.ended


async def test_watch_of_an_ended_study_ends_even_after_its_last_event() -> None:
    """Resuming after the very last revision gives nothing and ends."""
    world = World()
    async with world.serving() as house:
        await house.create()
        await house.ended(NAME)
        last = _stored(house, NAME)[-1].revision
        assert await soon(_read(house.watches.watch(NAME, last))) == []


async def test_quiet_watch_sends_bookmarks_to_resume_from() -> None:
    """While nothing happens to the study a bookmark comes now and then, with a revision that misses nothing."""
    world = World(nodes=[])
    async with world.serving() as house:
        await house.create()
        watch = house.watches.watch(NAME, 0)
        bookmark = None
        async for event in watch:
            if isinstance(event, Bookmark):
                if bookmark is None:
                    await house.create("noise")
                elif event.revision > bookmark.revision:
                    break
                bookmark = event
        await watch.aclose()  # type: ignore[attr-defined]
        assert bookmark is not None
        assert event.revision == world.store.revision()
        stopped = await house.studies.stop(NAME, request_id="", digest="")
        rest = await soon(_read(house.watches.watch(NAME, event.revision)))
        assert stopped.name == NAME
        assert [e.fact.study.state for e in rest if isinstance(e.fact, StudyPut)][-1] is StudyState.STOPPED


@pytest.mark.parametrize("moment", ["before", "between"])
async def test_bookmark_never_passes_an_event_by(moment: str) -> None:
    """An event that is committed while a bookmark is being made, before or between its reads, is shown, not skipped."""
    world = World(nodes=[])
    async with world.serving() as house:
        study = await house.create()
        late = StudyPut(study.stopping("late"))
        revision = world.store.revision
        made: list[int] = []

        def revision_and_one_more() -> int:
            newest = revision()
            if threading.current_thread() is not threading.main_thread() and not made and reads:
                made.append(world.store.commit([late], world.clock.now()))
                return newest if moment == "between" else made[0]
            reads.append(newest)
            return newest

        reads: list[int] = []
        after = revision()
        world.store.revision = revision_and_one_more  # type: ignore[method-assign]
        async for event in house.watches.watch(NAME, after):
            if isinstance(event, Event):
                break
            assert event.revision == after
        assert isinstance(event, Event)
        assert (event.revision, event.fact) == (made[0], late)
        assert made[0] == after + 1


async def test_bookmarks_under_fire_skip_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that is resumed after each bookmark, while others write around each of its reads, misses nothing."""
    monkeypatch.setattr("searchd.service.watch.PACE", timedelta(0))
    world, rng = World(nodes=[]), random.Random(5)
    async with world.serving() as house:
        mine = StudyPut(await house.create())
        others = [StudyPut(await house.create("noise"))] * 3
        watches = Watches(world.store, house.loop, world.clock, 1, quiet=timedelta(0))
        first = after = world.store.revision()
        for name in ("revision", "events"):
            monkeypatch.setattr(world.store, name, _under_fire(world, getattr(world.store, name), rng, [mine, *others]))
        seen, bookmarks = [], 0
        while bookmarks < 100:
            watch = watches.watch(NAME, after)
            async for event in watch:
                after = event.revision
                if isinstance(event, Bookmark):
                    bookmarks += 1
                    break
                seen.append(event)
            await watch.aclose()  # type: ignore[attr-defined]
        monkeypatch.undo()
        assert seen == [event for event in world.store.events(first, NAME, 10**6) if event.revision <= after]
        assert len(seen) > 20


def _under_fire(world: World, read: Callable[..., T], rng: random.Random, facts: Sequence[Fact]) -> Callable[..., T]:
    """A read right before and after which something may be committed."""

    def fire() -> None:
        if rng.random() < 0.4:
            world.store.commit([rng.choice(facts)], world.clock.now())

    def read_under_fire(*arguments: object) -> T:
        fire()
        result = read(*arguments)
        fire()
        return result

    return read_under_fire


async def test_watch_hears_of_what_was_written_though_the_commit_failed() -> None:
    """When a commit is written but the server is told that it failed, who watches hears of it all the same, at once."""
    world = World(nodes=[])
    async with world.serving() as house:
        await house.create()
        watches = Watches(world.store, house.loop, world.clock, 1, quiet=timedelta(hours=1))
        watch = watches.watch(NAME, world.store.revision())
        hearing = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0.02)
        commit = world.store.commit
        failed: list[int] = []

        def written_but_lost(facts: Sequence[Fact], at: datetime) -> int:
            world.store.commit = commit  # type: ignore[method-assign]
            failed.append(commit(facts, at))
            raise StoreUnavailable("the connection broke")

        world.store.commit = written_but_lost  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await house.studies.stop(NAME, request_id="", digest="")
        event = await soon(hearing)
        assert event.revision <= failed[0]
        await watch.aclose()  # type: ignore[attr-defined]


async def test_watch_ends_when_its_study_is_deleted() -> None:
    """Somebody who watches an ended study's successor sees the deletion as the last event."""
    world = World()
    async with world.serving() as house:
        await house.create(budget=Budget(trials=1))
        await house.ended(NAME)
        last = _stored(house, NAME)[-1].revision
        await house.studies.delete(NAME, request_id="", digest="")
        await house.create()
        seen = await soon(_read(house.watches.watch(NAME, last)))
        assert isinstance(seen[0].fact, StudyDeleted)
        assert len(seen) == 1


async def test_watch_refuses_what_it_cannot_show() -> None:
    """An unknown study, a revision that is gone and one watch too many are each refused; a stopping server says so."""
    world = World(nodes=[])
    async with world.serving() as house:
        with pytest.raises(StudyNotFound):
            await soon(_read(house.watches.watch(NAME, 0)))
        await house.create()
        for i in range(5):
            await house.create(f"s{i}")
        world.store.trim_events(2)
        with pytest.raises(RevisionExpired):
            await soon(_read(house.watches.watch(NAME, 0)))
        now = world.store.revision()
        open_ones = [asyncio.create_task(_read(house.watches.watch(NAME, now))) for _ in range(3)]
        await asyncio.sleep(0.02)
        with pytest.raises(Overloaded):
            await soon(_read(house.watches.watch(NAME, now)))
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)
        again = asyncio.create_task(_read(house.watches.watch(NAME, now)))
        await asyncio.sleep(0.02)
        assert not again.done()
        await house.loop.stop()
        with pytest.raises(ServerStopping):
            await soon(again)


async def test_watch_of_a_name_that_was_used_before() -> None:
    """A study created anew under a deleted one's name is watched from its own first event to its own end."""
    world = World()
    async with world.serving() as house:
        await house.create()
        await soon(_read(house.watches.watch(NAME, 0)))
        await house.studies.delete(NAME, request_id="", digest="")
        await house.create()
        seen = await soon(_read(house.watches.watch(NAME, 0)))
        assert _ended(seen[-1])
        assert not any(isinstance(event.fact, StudyDeleted) for event in seen)


async def test_watch_from_a_revision_that_is_not_there() -> None:
    """A revision beyond the log's end is refused, since its watch would never hear of anything."""
    world = World()
    async with world.serving() as house:
        await house.create()
        with pytest.raises(InvalidArgument, match="after_revision"):
            await soon(_read(house.watches.watch(NAME, 10**9)))
