"""One writer: who leads, who stands by, who takes over when, and what becomes of a leader that was asleep."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from searchd.domain.errors import NotLeader, StoreFull, StudyNotFound
from searchd.domain.evaluation import Evaluation
from searchd.domain.facts import Event, StudyPut
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.study import StudyState, study_name
from searchd.ports.engine import KillWorker
from searchd.ports.store import DamagedStudy, LiveStudy
from searchd.schedulers.factory import make_scheduler
from searchd.service.election import Election
from searchd.service.loop import LoopSettings
from searchd.service.system import Limits, Role, System
from searchd.stores.memory import MemoryStore
from tests.unit.service.service_house import MoodyStore, ServiceHouse, World, soon

NAME = study_name("default", "a")
LONG: dict[str, Any] = {"evaluation": Evaluation(epochs=27), "scheduler": Scheduler(SchedulerAlgorithm.NONE)}
BRIEF = LoopSettings(retry=timedelta(milliseconds=5), lease=timedelta(milliseconds=500))
LASTING = LoopSettings(retry=timedelta(milliseconds=5), lease=timedelta(minutes=5))


def at(seconds: float) -> Callable[[], float]:
    """A clock that shows this."""
    return lambda: seconds


class TestElection:
    """The rules, by a clock that the test holds."""

    def test_a_free_lease_is_taken_at_once(self) -> None:
        """Nobody waits for nobody."""
        store = MemoryStore()
        assert Election(store, "a", timedelta(seconds=10)).stand(at(0.0)) == 1
        assert store.lease().holder == "a"

    def test_ones_own_lease_is_taken_at_once(self) -> None:
        """A server that starts again does not wait for itself."""
        store = MemoryStore()
        assert Election(store, "a", timedelta(seconds=10)).stand(at(0.0)) == 1
        assert Election(store.opened_again(), "a", timedelta(seconds=10)).stand(at(0.0)) == 2

    def test_a_lease_lapses_when_its_beats_stand_still(self) -> None:
        """Another's lease is taken once it has shown no life for the whole patience, and each beat begins that anew."""
        store = MemoryStore()
        Election(store, "a", timedelta(seconds=10)).stand(at(0.0))
        other = Election(store.opened_again(), "b", timedelta(seconds=10))
        assert [other.stand(at(second)) for second in (100.0, 105.0, 109.9)] == [None, None, None]
        store.beat()
        assert [other.stand(at(second)) for second in (110.0, 119.9)] == [None, None]
        assert other.stand(at(120.0)) == 2
        assert store.lease().holder == "b"

    def test_time_that_the_look_itself_takes_does_not_count(self) -> None:
        """A store that answers slowly does not make a lease lapse that was alive when it was looked at."""
        store = MemoryStore()
        Election(store, "a", timedelta(seconds=10)).stand(at(0.0))
        other = Election(store.opened_again(), "b", timedelta(seconds=10))
        times = iter([100.0, 130.0])
        assert other.stand(lambda: next(times)) is None
        assert other.stand(at(131.0)) is None
        assert other.stand(at(140.0)) == 2

    def test_of_two_that_wait_one_gets_it(self) -> None:
        """Two that see the lease lapse at the same time do not both lead."""
        store = MemoryStore()
        Election(store, "a", timedelta(seconds=10)).stand(at(0.0))
        waiting = [Election(store.opened_again(), name, timedelta(seconds=10)) for name in "bc"]
        for one in waiting:
            one.stand(at(0.0))
        assert [one.stand(at(10.0)) for one in waiting] == [2, None]

    def test_a_lease_that_was_given_up_is_free(self) -> None:
        """Who leaves in good order keeps nobody waiting."""
        store = MemoryStore()
        Election(store, "a", timedelta(seconds=10)).stand(at(0.0))
        store.give_up()
        assert Election(store.opened_again(), "b", timedelta(seconds=10)).stand(at(0.0)) == 2


async def test_the_second_server_reads_and_refuses_changes() -> None:
    """Beside a leader a server stands by: reads and watches show what the leader does, changes are sent to it."""
    world = World()
    async with world.serving(LASTING, holder="one") as leader, world.serving(LASTING, holder="two") as standby:
        watching = asyncio.create_task(_ended_in_a_watch(standby))
        await leader.create()
        assert (await soon(watching)) is StudyState.SUCCEEDED
        assert (await standby.studies.get(NAME)).name == NAME
        with pytest.raises(NotLeader) as refused:
            await soon(standby.create("b"))
        assert refused.value.leader == "one:1"
        infos = [System(house.loop, "0", Limits()).info() for house in (leader, standby)]
        assert [(info.role, info.leader, info.problems) for info in infos] == [
            (Role.LEADER, "one:1", ()),
            (Role.STANDBY, "one:1", ()),
        ]


async def _ended_in_a_watch(house: ServiceHouse) -> StudyState:
    while True:
        try:
            async for event in house.watches.watch(NAME, 0):
                if isinstance(event, Event) and isinstance(event.fact, StudyPut) and event.fact.study.state.ended:
                    return event.fact.study.state
        except StudyNotFound:
            await asyncio.sleep(0.01)


async def test_a_standby_takes_over_when_the_leader_dies() -> None:
    """Once the leader's beats have stopped, the other adopts its workers and goes on: no epoch is trained twice."""
    world = World()
    async with world.serving(BRIEF, holder="two") as first:
        leader = ServiceHouse(
            world.store.opened_again(),
            world.cluster,
            world.clock,
            BRIEF,
            make_scheduler,
            holder="one",
            lock=world.lock,
        )
        await first.loop.stop()  # it was only there to show that a lease given up is free
        dying = asyncio.create_task(leader.loop.run())
        passing = asyncio.create_task(leader.pass_time())
        await soon(leader.loop.ready())
        led = leader.loop.epoch
        await soon(leader.create(**LONG))
        async with world.serving(BRIEF, holder="three") as heir:
            await leader.until(lambda: world.store.study(NAME).progress.epochs > 20)
            passing.cancel()
            while not dying.done():  # before Python 3.12 wait_for may swallow a cancellation
                dying.cancel()
                await asyncio.sleep(0)
            await heir.until(lambda: heir.loop.epoch > led)
            study = await heir.ended(NAME)
    assert study.state is StudyState.SUCCEEDED
    assert study.progress.epochs == 20 * 27
    assert set(world.trained.values()) == {1}


async def test_a_leader_that_slept_writes_and_kills_nothing() -> None:
    """A leader that wakes up after its lease has lapsed finds its writes refused, does none of what it had in mind, and
    stands by without a searcher; what it says about the study's workers has no effect."""
    world = World()
    async with world.serving(BRIEF, holder="one") as sleeper, world.serving(BRIEF, holder="two") as heir:
        await sleeper.create(**LONG)
        await sleeper.until(lambda: world.store.study(NAME).progress.epochs > 20)
        sleeper.store.release.clear()
        await heir.until(lambda: heir.loop.epoch > 1)
        commits = sleeper.store.commits
        sleeper.store.release.set()
        assert sleeper.searchers.open == {NAME}
        await heir.until(lambda: sleeper.loop.epoch == 0)
        await heir.until(lambda: not sleeper.searchers.open)
        with pytest.raises(NotLeader):
            await soon(sleeper.create("b"))
        study = await heir.ended(NAME)
        assert sleeper.store.commits - commits <= 1  # which was refused
        assert not [command for command in sleeper.engine.commands if isinstance(command, KillWorker)]
    assert study.state is StudyState.SUCCEEDED
    assert set(world.trained.values()) == {1}


class Slow(MoodyStore):
    """A store whose studies take long to read."""

    seconds = 0.0

    def live(self) -> Sequence[LiveStudy | DamagedStudy]:
        """Read them in a while."""
        time.sleep(self.seconds)
        return super().live()


async def test_a_takeover_that_reads_for_long_keeps_the_lease() -> None:
    """A server that needs longer than a lease to read what there is gives signs of life meanwhile: it is not succeeded
    before it has begun."""
    world = World()
    world.store = Slow()
    async with world.serving(BRIEF, holder="one") as first:
        await first.create(**LONG)
    world.store.seconds = 2 * BRIEF.lease.total_seconds()
    heir = ServiceHouse(
        world.store.opened_again(),
        world.cluster,
        world.clock,
        BRIEF,
        make_scheduler,
        holder="two",
        lock=world.lock,
    )
    waiting = Election(world.store.opened_again(), "three", BRIEF.lease)
    running = asyncio.create_task(heir.loop.run())
    loop = asyncio.get_running_loop()
    while not heir.loop.epoch:
        if world.store.lease().holder == "two":
            assert waiting.stand(loop.time) is None
        await asyncio.sleep(0.01)
    assert heir.loop.epoch == world.store.lease().epoch
    await heir.loop.stop()
    await running


async def test_a_full_store_refuses_changes_and_says_so() -> None:
    """While there is no room reads go on, changes are refused as StoreFull at once, the server says what is wrong; with
    room again everything goes on by itself, nothing trained twice."""
    world = World()
    async with world.serving(BRIEF) as house:
        await house.create(**LONG)
        system = System(house.loop, "0", Limits())
        await house.until(lambda: world.store.study(NAME).progress.epochs > 5)
        world.store.full = True
        await house.until(lambda: house.loop.refusal is not None)
        for _ in range(3):
            with pytest.raises(StoreFull, match="make room"):
                await soon(house.create("b"))
        assert (await house.studies.get(NAME)).state is StudyState.RUNNING
        assert any("make room" in problem for problem in system.info().problems)
        world.store.full = False
        await house.until(lambda: house.loop.refusal is None)
        assert system.info().problems == ()
        assert (await soon(house.create("b"))).state is StudyState.PENDING
        assert (await house.ended(NAME)).state is StudyState.SUCCEEDED
    assert {n for (study, *_), n in world.trained.items() if study == NAME} == {1}
