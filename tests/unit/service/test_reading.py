"""Reading: trials, measurements, logs, trainables, the cluster."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from searchd.domain.errors import StudyNotFound, TrainableNotFound, TrialNotFound
from searchd.domain.evaluation import Evaluation
from searchd.domain.facts import StudyPut, TrialPut
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.study import Budget, StudyName, study_name
from searchd.domain.trial import TrialNumber, TrialState
from searchd.service.system import Limits, System
from searchd.service.trainables import Trainables
from searchd.service.trials import CHUNK_BYTES, LogChunk, Trials
from searchd.stores.memory import MemoryStore
from tests.contracts.makers import AT, STUDY, study, trial
from tests.unit.conductor.simulated import House
from tests.unit.service.service_house import CARD, Cards, World, soon

ONE = TrialNumber(1)


class Files:
    """Log files of the one trial there is, one for each fold."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def logs(self, study: StudyName, trial: TrialNumber) -> Sequence[tuple[int, int, Path]]:
        """The files in fold order."""
        return [(0, int(path.stem), path) for path in sorted(self._folder.glob("*.log"))]


async def test_trials_and_measurements_are_read_in_pages() -> None:
    """Trials come in number order, by state, after a number; measurements by their place, after one."""
    house = House()
    name = house.create(evaluation=Evaluation(folds=2, epochs=3), budget=Budget(trials=9))
    house.run()
    trials = Trials(house.store, Files(Path()))
    assert [t.number for t in await trials.list(name, None, 3, 4)] == [4, 5, 6, 7]
    completed = await trials.list(name, frozenset({TrialState.COMPLETED}), 0, 100)
    assert [t.number for t in completed] == house.in_state(name, TrialState.COMPLETED)
    assert (await trials.get(name, ONE)).number == 1
    everything = await trials.measurements(name, ONE, None, 100)
    assert [(m.fold, m.epoch) for m in everything] == [(fold, epoch) for fold in (0, 1) for epoch in (1, 2, 3)]
    assert list(await trials.measurements(name, ONE, (1, 0, 0, 3), 2)) == list(everything[3:5])
    with pytest.raises(TrialNotFound):
        await trials.get(name, TrialNumber(99))
    with pytest.raises(StudyNotFound):
        await trials.list(study_name("default", "nobody"), None, 0, 1)


def _stored(*, ended: bool) -> MemoryStore:
    store = MemoryStore()
    state = TrialState.COMPLETED if ended else TrialState.RUNNING
    store.commit([StudyPut(study()), TrialPut(trial(state=state))], AT)
    return store


async def _text(store: MemoryStore, folder: Path, *, follow: bool) -> dict[int, str]:
    text: dict[int, str] = {}
    async for chunk in Trials(store, Files(folder)).logs(STUDY, ONE, follow):
        text[chunk.fold] = text.get(chunk.fold, "") + chunk.text
    return text


@pytest.mark.parametrize("ended", [True, False])
async def test_logs_so_far_are_given_whole(tmp_path: Path, ended: bool) -> None:
    """Without following, everything printed so far is given per fold, the unfinished last line included."""
    long = "".join(f"line {i} ü\n" for i in range(20_000)) + "not yet"
    assert len(long.encode()) > 2 * CHUNK_BYTES
    (tmp_path / "0.log").write_text(long)
    (tmp_path / "1.log").write_text("")
    (tmp_path / "2.log").write_text("x" * (3 * CHUNK_BYTES))
    text = await soon(_text(_stored(ended=ended), tmp_path, follow=False))
    assert text == {0: long, 2: "x" * (3 * CHUNK_BYTES)}


async def test_followed_logs_come_in_whole_lines_until_the_trial_ends(tmp_path: Path) -> None:
    """Following gives whole lines as they appear, of files that appear later too, and the rest at the trial's end."""
    store = _stored(ended=False)
    first = tmp_path / "0.log"
    first.write_text("one\ntw")
    chunks: list[LogChunk] = []

    async def follow() -> None:
        async for chunk in Trials(store, Files(tmp_path)).logs(STUDY, ONE, True):
            chunks.append(chunk)

    following = asyncio.create_task(follow())
    await _until(lambda: len(chunks) == 1)
    with first.open("a") as file:
        file.write("o\nthr")
    (tmp_path / "1.log").write_text("other\n")
    await _until(lambda: len(chunks) == 3)
    with first.open("a") as file:
        file.write("ee")
    store.commit([TrialPut(trial(state=TrialState.COMPLETED))], AT)
    await soon(following)
    assert chunks == [
        LogChunk(0, 0, "one\n"),
        LogChunk(0, 0, "two\n"),
        LogChunk(0, 1, "other\n"),
        LogChunk(0, 0, "three"),
    ]


async def _until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_logs_that_vanish_are_passed_over(tmp_path: Path) -> None:
    """A file that is listed and gone the next moment, because its study was deleted, is no error."""

    class Vanishing(Files):
        def logs(self, study: StudyName, trial: TrialNumber) -> Sequence[tuple[int, int, Path]]:
            return [(0, 0, tmp_path / "gone.log"), *super().logs(study, trial)]

    (tmp_path / "1.log").write_text("here\n")
    chunks = [c async for c in Trials(_stored(ended=True), Vanishing(tmp_path)).logs(STUDY, ONE, False)]
    assert chunks == [LogChunk(0, 1, "here\n")]


async def test_logs_of_nobody_are_refused(tmp_path: Path) -> None:
    """Logs of a trial that is not there are refused, and a trial that printed nothing has none."""
    store = _stored(ended=True)
    assert await _text(store, tmp_path, follow=True) == {}
    with pytest.raises(TrialNotFound):
        async for _ in Trials(store, Files(tmp_path)).logs(STUDY, TrialNumber(9), False):
            pass


async def test_trainables_are_listed_by_name() -> None:
    """Cards come in name order; an unknown one is refused with those that are known, the nearest first."""
    trainables = Trainables(Cards(replace(CARD, name="b_net"), replace(CARD, name="a_cnn")))
    assert [card.name for card in await trainables.list()] == ["a_cnn", "b_net"]
    assert (await trainables.get("b_net")).name == "b_net"
    for name, known in (("net", ("b_net", "a_cnn")), ("cnn", ("a_cnn", "b_net"))):
        with pytest.raises(TrainableNotFound) as refusal:
            await trainables.get(name)
        assert refusal.value.known == known


async def test_cluster_shows_nodes_pools_and_studies() -> None:
    """The cluster's view counts workers per pool and study, and says who waits for more."""
    world = World()
    async with world.serving() as house:
        system = System(house.loop, "1.2.3", Limits(max_page_size=7))
        await house.create(scheduler=Scheduler(SchedulerAlgorithm.NONE), budget=Budget(trials=10_000))
        await house.until(lambda: len(house.loop.conductor.mind.holders) == 4)
        view = await system.cluster()
        assert [node.cpus for node in view.nodes] == [4]
        (pool,) = view.pools
        assert pool.starting + pool.idle + pool.busy == 4
        (seen,) = view.studies
        assert (seen.busy, seen.waiting) == (pool.busy, True)
        info = system.info()
        assert (info.version, info.max_page_size) == ("1.2.3", 7)
        assert {"search:tpe", "scheduler:asha", "mode:stopping", "racing:forgiving", "split:kfold"} <= set(
            info.features
        )
