"""The loop: nothing before its commit, nothing of a failed one, a fault for one study alone, bounds and ends."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from searchd.conductor.messages import CreateStudy, StopStudy
from searchd.domain.errors import Overloaded, ServerStopping, StoreUnavailable, StudyNotFound
from searchd.domain.evaluation import Evaluation
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.search import Algorithm, Search
from searchd.domain.study import Budget, Study, StudySpec, StudyState, study_name
from searchd.domain.trial import TrialNumber, TrialState
from searchd.engines.simulated import VirtualClock
from searchd.ports.engine import StartWorker
from searchd.ports.scheduler import Scheduler as SchedulerPort
from searchd.ports.scheduler import Verdict
from searchd.ports.searcher import SearchFailed
from searchd.schedulers.asha import AshaPromotion
from searchd.schedulers.factory import make_scheduler
from searchd.service.loop import FAULT, LoopSettings
from tests.unit.conductor.simulated import SPACE
from tests.unit.service.service_house import CARD, World, soon

NAME = study_name("default", "a")
LONG: dict[str, Any] = {"evaluation": Evaluation(epochs=27), "scheduler": Scheduler(SchedulerAlgorithm.NONE)}


async def test_nothing_is_acknowledged_or_started_before_its_commit() -> None:
    """While a commit waits its caller waits, nothing can be read, and no worker is started; after it, all of it."""
    world = World()
    async with world.serving() as house:
        world.store.release.clear()
        creating = asyncio.create_task(house.create())
        await house.until(world.store.waiting.is_set)
        await asyncio.sleep(0.05)
        assert not creating.done()
        assert not [c for c in house.engine.commands if isinstance(c, StartWorker)]
        with pytest.raises(StudyNotFound):
            await house.studies.get(NAME)
        world.store.release.set()
        assert (await soon(creating)).name == NAME
        await house.until(lambda: any(isinstance(c, StartWorker) for c in house.engine.commands))


async def test_inputs_gather_while_a_commit_runs() -> None:
    """What arrives during a commit is committed together by the next one."""
    world = World()
    async with world.serving() as house:
        world.store.release.clear()
        creating = [asyncio.create_task(house.create("first"))]
        await house.until(world.store.waiting.is_set)
        before = world.store.commits
        bodies = [CreateStudy(_study(f"s{i}")) for i in range(50)]
        creating += [asyncio.create_task(house.loop.request(body, "", "")) for body in bodies]
        await asyncio.sleep(0.05)
        with house.engine.lock:
            world.store.release.set()
            await soon(asyncio.gather(*creating))
        assert world.store.commits - before <= 5


def _study(name: str) -> Study:
    spec = StudySpec("torch_cnn", (Objective("accuracy", Goal.MAXIMIZE),), SPACE, search=Search(Algorithm.RANDOM))
    return Study(study_name("default", name), spec, CARD.code, "", VirtualClock().now())


async def test_failed_commit_leaves_nothing_and_the_next_request_works() -> None:
    """A caller whose commit failed is told so, nothing of it is visible, and the same request succeeds afterwards."""
    world = World()
    async with world.serving() as house:
        world.store.failing = 1
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            await soon(house.create())
        with pytest.raises(StudyNotFound):
            await house.studies.get(NAME)
        await house.until(lambda: NAME not in house.loop.conductor.mind.studies)
        assert (await soon(house.create())).name == NAME
        assert (await house.ended(NAME)).state is StudyState.SUCCEEDED


@pytest.mark.parametrize("failures", [1, 3])
async def test_running_segments_survive_failed_commits(failures: int) -> None:
    """When commits fail in the middle of a study, what runs goes on: no epoch is lost, none is trained twice."""
    world = World()
    async with world.serving() as house:
        await house.create(**LONG)
        for _ in range(5):
            epochs = world.store.study(NAME).progress.epochs
            world.store.failing = failures
            await house.until(lambda: world.store.failing == 0)
            await house.until(lambda epochs=epochs: world.store.study(NAME).progress.epochs > epochs + 3)  # type: ignore[misc]
        study = await house.ended(NAME)
    assert study.state is StudyState.SUCCEEDED
    assert len(world.store.trials(NAME, frozenset({TrialState.COMPLETED}), 0, 100)) == 20
    assert set(world.trained.values()) == {1}
    assert study.progress.epochs == 20 * 27


class Broken(AshaPromotion):
    """A scheduler with a fault where it is told to have one."""

    def __init__(self, where: str) -> None:
        super().__init__(3)
        self._where = where

    def completed(self, trial: TrialNumber, rung: int, score: float) -> Verdict:
        if self._where == "completed" and trial == 5:
            raise RuntimeError("a fault")
        return super().completed(trial, rung, score)

    def promotable(self) -> tuple[TrialNumber, int] | None:
        if self._where == "promotable":
            raise RuntimeError("a fault")
        return super().promotable()


@pytest.mark.parametrize("where", ["completed", "promotable"])
async def test_fault_pauses_its_study_alone(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """An input that raises, or a fault in handing out, sets its study aside; the others lose nothing."""

    def schedulers(spec: StudySpec) -> SchedulerPort:
        return Broken(where) if spec.seed == 13 else make_scheduler(spec)

    world = World()
    async with world.serving(schedulers=schedulers) as house:
        good = await house.create("good", evaluation=Evaluation(epochs=9), budget=Budget(trials=40))
        bad = await house.create("bad", evaluation=Evaluation(epochs=9), seed=13)
        await house.until(lambda: world.store.study(bad.name).state is StudyState.PAUSED)
        assert world.store.study(bad.name).reason == FAULT
        assert (await house.ended(good.name)).state is StudyState.SUCCEEDED
        stopped = await soon(house.studies.stop(bad.name, request_id="", digest=""))
        assert stopped.state in (StudyState.STOPPING, StudyState.STOPPED)
        assert (await house.ended(bad.name)).state is StudyState.STOPPED
    assert {n for (study, *_), n in world.trained.items() if study == good.name} == {1}
    assert "a fault" in caplog.text


async def test_full_queue_refuses() -> None:
    """More waiting requests than allowed are refused at once, and the others are still answered."""
    world = World()
    async with world.serving(LoopSettings(pending_requests=2)) as house:
        world.store.release.clear()
        creating = [asyncio.create_task(house.loop.request(CreateStudy(_study(f"s{i}")), "", "")) for i in (1, 2)]
        await house.until(world.store.waiting.is_set)
        with pytest.raises(Overloaded):
            await house.loop.request(StopStudy(NAME), "", "")
        world.store.release.set()
        assert len(await soon(asyncio.gather(*creating))) == 2
        await soon(house.create("s3"))


async def test_caller_that_leaves_does_not_hold_its_place() -> None:
    """A request whose caller gave up no longer counts as waiting, and its answer disturbs nobody."""
    world = World()
    async with world.serving(LoopSettings(pending_requests=1)) as house:
        world.store.release.clear()
        creating = asyncio.create_task(house.loop.request(CreateStudy(_study("gone")), "", ""))
        await house.until(world.store.waiting.is_set)
        creating.cancel()
        await asyncio.sleep(0)
        second = asyncio.create_task(house.loop.request(CreateStudy(_study("stays")), "", ""))
        await asyncio.sleep(0.01)
        world.store.release.set()
        assert (await soon(second)).name == study_name("default", "stays")


async def test_stop_answers_everybody() -> None:
    """When the loop stops, what is being committed is answered, what was not heard is told so, new ones are refused."""
    world = World()
    async with world.serving() as house:
        world.store.release.clear()
        committing = asyncio.create_task(house.loop.request(CreateStudy(_study("in")), "", ""))
        await house.until(world.store.waiting.is_set)
        late = asyncio.create_task(house.loop.request(CreateStudy(_study("late")), "", ""))
        await asyncio.sleep(0.01)
        stopping = asyncio.create_task(house.loop.stop())
        await asyncio.sleep(0.01)
        with pytest.raises(ServerStopping):
            await house.loop.request(StopStudy(NAME), "", "")
        world.store.release.set()
        await soon(stopping)
        assert (await soon(committing)).name == study_name("default", "in")
        with pytest.raises(ServerStopping):
            await soon(late)
    with pytest.raises(StudyNotFound):
        world.store.study(study_name("default", "late"))


async def test_drain_then_a_new_server_trains_nothing_twice() -> None:
    """A drained loop holds nothing, also if a commit fails meanwhile; its successor goes on where it was."""
    world = World()
    async with world.serving() as house:
        await house.create(**LONG)
        await house.until(lambda: world.store.study(NAME).progress.epochs > 20)
        draining = asyncio.create_task(house.loop.drain(timedelta(days=1)))
        await asyncio.sleep(0)
        world.store.failing = 1
        await soon(draining)
        await house.until(lambda: world.store.failing == 0 and not house.loop.conductor.holding)
        handed = len(house.engine.commands)
        await asyncio.sleep(0.02)
        assert len(house.engine.commands) - handed <= 4
        with pytest.raises(ServerStopping):
            await soon(house.create("late"))
    async with world.serving() as house:
        assert (await house.ended(NAME)).state is StudyState.SUCCEEDED
    assert set(world.trained.values()) == {1}


async def test_old_events_are_forgotten_in_time() -> None:
    """The log keeps about as many events as the settings say; if forgetting fails, the loop goes on."""
    world = World()

    trims: list[int] = []
    trim: Callable[[int], None] = world.store.trim_events

    def trim_events(keep: int) -> None:
        trims.append(keep)
        if len(trims) == 1:
            raise StoreUnavailable("busy")
        trim(keep)

    world.store.trim_events = trim_events  # type: ignore[method-assign]
    async with world.serving(LoopSettings(kept_events=100)) as house:
        await house.create(**LONG)
        assert (await house.ended(NAME)).state is StudyState.SUCCEEDED
    assert len(trims) > 5
    assert set(trims) == {100}


async def test_searcher_is_rebuilt_from_the_store() -> None:
    """A failed searcher is opened again with the stored trials; if the store fails then, that counts as a failure."""
    world = World()
    async with world.serving() as house:
        await house.create(search=Search(Algorithm.TPE), **LONG)
        await house.until(lambda: world.store.study(NAME).progress.epochs > 50)
        house.loop.post(SearchFailed(NAME, "ValueError: no"))
        study = await house.ended(NAME)
    assert study.state is StudyState.SUCCEEDED
    assert [t.number for t in world.store.trials(NAME, None, 0, 100)] == list(range(1, 21))
