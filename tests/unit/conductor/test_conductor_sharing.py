"""Who gets which worker: fair between studies of a pool, fair between shapes, within what the cluster has."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import pytest

from searchd.conductor.cluster import IDLE_AFTER, RECLAIM_AFTER
from searchd.domain.evaluation import Evaluation
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.study import Budget, Resources, Retry, StudyName, StudyState
from searchd.engines.simulated import Epoch, SimulatedCluster
from searchd.ports.engine import (
    EngineCommand,
    EngineEvent,
    LossCause,
    Node,
    RetireWorker,
    Segment,
    StartWorker,
    WorkerLost,
)
from tests.unit.conductor.simulated import House, Recorder

NONE = Scheduler(SchedulerAlgorithm.NONE)
BIG = Resources(cpus=4)
PLENTY = Budget(trials=5000)


def three_seconds(segment: Segment, epoch: int) -> Iterator[Epoch]:
    """One epoch of three seconds."""
    yield Epoch({"accuracy": 1.0}, timedelta(seconds=3))


def _shares(house: House, names: Sequence[StudyName], time: timedelta) -> dict[StudyName, float]:
    """Mean number of workers per study over some time."""
    seen: Counter[StudyName] = Counter()
    end, samples = house.clock.now() + time, 0
    while house.clock.now() < end:
        house.run_for(timedelta(seconds=1))
        samples += 1
        seen.update({n: len(house.active(n).serving) for n in names if n in house.server.conductor.mind.studies})
    return {n: seen[n] / samples for n in names}


@pytest.mark.parametrize("studies", [2, 3, 5])
def test_studies_of_one_pool_share_it_equally(studies: int) -> None:
    """N studies with work for all workers get equal parts of them, whoever came first."""
    house = House([Node("a", 10, 0)], three_seconds)
    names = []
    for i in range(studies):
        names.append(house.create(f"s{i}", scheduler=NONE, budget=PLENTY))
        house.run_for(timedelta(seconds=20))
    shares = _shares(house, names, timedelta(seconds=200))
    assert sum(shares.values()) == pytest.approx(10, rel=0.05)
    assert max(shares.values()) - min(shares.values()) < 0.5


def test_what_one_study_cannot_use_goes_to_the_others() -> None:
    """Max-min: a study with few slots gets those, the rest is shared by those that want more."""
    house = House([Node("a", 10, 0)], three_seconds)
    small = house.create("small", scheduler=NONE, budget=Budget(trials=5000, slots=2))
    others = [house.create(f"s{i}", scheduler=NONE, budget=PLENTY) for i in range(2)]
    house.run_for(timedelta(seconds=30))
    shares = _shares(house, [small, *others], timedelta(seconds=100))
    assert shares[small] == pytest.approx(2, abs=0.2)
    assert [shares[o] for o in others] == [pytest.approx(4, abs=0.4)] * 2


def test_more_studies_than_workers_take_turns() -> None:
    """With one worker and brief segments, three studies finish their equal work at about the same time."""
    house = House([Node("a", 1, 0)], lambda s, e: iter([Epoch({"accuracy": 1.0}, timedelta(milliseconds=20))]))
    names = [house.create(f"s{i}", scheduler=NONE, budget=Budget(trials=300)) for i in range(3)]
    house.run()
    ends = [house.study(n).ended_at for n in names]
    starts = [house.study(n).started_at for n in names]
    assert all(starts)
    assert all(ends)
    longest = max(e - s for s, e in zip(starts, ends, strict=True) if s and e)
    assert max(e for e in ends if e) - min(e for e in ends if e) < longest / 10
    assert max(s for s in starts if s) - min(s for s in starts if s) < longest / 10


def test_priority_comes_first() -> None:
    """A study of higher priority gets every worker that comes free until it wants no more."""
    house = House([Node("a", 4, 0)], three_seconds)
    low = house.create("low", scheduler=NONE, budget=PLENTY)
    house.run_for(timedelta(seconds=30))
    high = house.create("high", scheduler=NONE, budget=Budget(trials=40), priority=5)
    house.run_for(timedelta(seconds=4))
    assert _shares(house, [low, high], timedelta(seconds=20)) == {low: 0, high: 4}
    house.run(lambda: house.study(high).state.ended)
    house.run_for(timedelta(seconds=4))
    assert len(house.active(low).serving) == 4


@pytest.mark.parametrize("small_first", [True, False])
@pytest.mark.parametrize("cpus", [4, 6, 10])
def test_two_shapes_on_a_full_cluster_both_finish_and_share(cpus: int, small_first: bool) -> None:
    """A shape that fits only when several workers of another have gone gets its turn, and neither starves."""
    house = House([Node("a", cpus, 0)], three_seconds)
    shapes = [("small", Resources(cpus=1)), ("big", BIG)]
    names = {}
    for name, shape in shapes if small_first else reversed(shapes):
        names[name] = house.create(name, scheduler=NONE, budget=Budget(trials=800), resources=shape)
        house.run_for(timedelta(seconds=40))
    shares = _shares(house, list(names.values()), timedelta(seconds=240))
    assert shares[names["small"]] > 0.15 * cpus
    assert shares[names["big"]] * 4 > 0.15 * cpus
    busy = shares[names["small"]] + shares[names["big"]] * 4
    assert busy > (0.75 if cpus == 4 else 0.5) * cpus
    house.run()
    assert {house.study(n).state for n in names.values()} == {StudyState.SUCCEEDED}


def test_two_shapes_that_exclude_each_other_alternate() -> None:
    """Where only one of two shapes fits at a time they take turns, each at least RECLAIM_AFTER long."""
    house = House([Node("a", 4, 0)], three_seconds)
    names = [
        house.create(f"s{i}", scheduler=NONE, budget=Budget(trials=100), resources=BIG, code=f"code{i}")
        for i in range(2)
    ]
    shares = _shares(house, names, timedelta(seconds=240))
    assert shares[names[0]] == pytest.approx(shares[names[1]], abs=0.15)
    starts = [c for c in house.engine.commands if isinstance(c, StartWorker)]
    assert 5 < len(starts) < 240 / RECLAIM_AFTER.total_seconds()
    house.run()
    assert {house.study(n).state for n in names} == {StudyState.SUCCEEDED}


def test_balanced_shapes_do_not_trade_workers() -> None:
    """Once shares are as equal as they can be, no worker is retired for another shape."""
    house = House([Node("a", 5, 0)], three_seconds)
    for i in range(2):
        house.create(f"s{i}", scheduler=NONE, budget=PLENTY, code=f"code{i}")
    house.run_for(timedelta(seconds=120))
    before = len(house.engine.commands)
    house.run_for(timedelta(seconds=300))
    assert not [c for c in house.engine.commands[before:] if isinstance(c, RetireWorker)]


def test_claim_takes_no_more_than_it_needs() -> None:
    """When many workers of one shape come free at once, only as many are retired as the other shape wants."""
    house = House([Node("a", 8, 0)], three_seconds)
    rich = house.create("rich", scheduler=NONE, budget=PLENTY)
    house.run_for(timedelta(seconds=30))
    house.create("poor", scheduler=NONE, budget=Budget(trials=1, slots=1), default=None, code="other")
    house.run_for(timedelta(seconds=6))
    assert len([c for c in house.engine.commands if isinstance(c, RetireWorker)]) == 1
    assert len(house.active(rich).serving) == 7
    house.run_for(timedelta(seconds=20))
    assert len([c for c in house.engine.commands if isinstance(c, RetireWorker)]) == 2
    assert len(house.active(rich).serving) == 8


def test_idle_workers_make_room_for_another_shape_and_leave_in_the_end() -> None:
    """Workers that nobody waits for are retired as another shape needs, and all of them after IDLE_AFTER."""
    house = House([Node("a", 4, 0)])
    house.create("first", scheduler=NONE, budget=Budget(trials=8))
    house.run()
    assert len(house.cluster.workers()) == 4
    second = house.create("second", scheduler=NONE, budget=Budget(trials=1), resources=Resources(cpus=3))
    house.run()
    assert house.study(second).state is StudyState.SUCCEEDED
    assert len([c for c in house.engine.commands if isinstance(c, RetireWorker)]) == 3
    for _ in range(3):
        house.run_for(IDLE_AFTER)
    assert house.cluster.workers() == []
    assert house.server.conductor.mind.cluster.pools == {}


def test_fractional_gpus_are_shared_within_a_gpu() -> None:
    """Four fold runs of a quarter GPU run at once on one GPU, no fifth."""
    house = House([Node("a", 16, 1)], three_seconds)
    name = house.create(scheduler=NONE, budget=Budget(trials=400), resources=Resources(cpus=1, gpus=0.25))
    house.run_for(timedelta(seconds=20))
    assert _shares(house, [name], timedelta(seconds=20)) == {name: 4}
    tenths = House([Node("a", 16, 1)], three_seconds)
    name = tenths.create(scheduler=NONE, budget=Budget(trials=400), resources=Resources(cpus=1, gpus=0.1))
    tenths.run_for(timedelta(seconds=20))
    assert len(tenths.active(name).serving) == 10


def test_workers_are_no_more_than_nodes_can_hold() -> None:
    """Two nodes of three CPUs hold two workers of two CPUs, not three, though six CPUs are there."""
    house = House([Node("a", 3, 0), Node("b", 3, 0)], three_seconds)
    house.create(scheduler=NONE, budget=PLENTY, resources=Resources(cpus=2))
    house.run_for(timedelta(seconds=30))
    assert len(house.cluster.workers()) == 2


def test_shrinking_cluster_goes_on_with_what_is_left_and_grows_again() -> None:
    """When a node goes, its fold runs continue elsewhere; when it comes back, it is used again."""
    house = House([Node("a", 2, 0), Node("b", 2, 0)], three_seconds)
    name = house.create(scheduler=NONE, budget=Budget(trials=60), retry=Retry(attempts=2))
    house.run_for(timedelta(seconds=10))
    house.cluster.resize([Node("a", 2, 0)])
    for worker in house.cluster.workers()[2:]:
        house.cluster.kill(worker, LossCause.DIED, "node lost")
    house.run_for(timedelta(seconds=20))
    assert len(house.active(name).serving) == 2
    house.cluster.resize([Node("a", 2, 0), Node("b", 2, 0)])
    house.run_for(timedelta(seconds=10))
    assert len(house.active(name).serving) == 4
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED


def test_shape_that_no_node_can_hold_does_not_stop_the_others() -> None:
    """A study whose GPUs have gone waits, and takes nothing from those that can run."""
    house = House([Node("a", 2, 0), Node("b", 2, 1)], three_seconds)
    waits = house.create("waits", scheduler=NONE, budget=PLENTY, resources=Resources(cpus=1, gpus=1))
    house.run_for(timedelta(seconds=5))
    house.cluster.resize([Node("a", 2, 0)])
    for worker in house.cluster.workers():
        house.cluster.kill(worker)
    runs = house.create("runs", scheduler=NONE, budget=Budget(trials=60))
    house.run_for(timedelta(seconds=200))
    assert house.study(runs).state is StudyState.SUCCEEDED
    assert house.study(waits).state is StudyState.RUNNING


class NoStart(Recorder):
    """Workers of one code never start."""

    def perform(self, commands: Sequence[EngineCommand]) -> None:
        self.commands.extend(commands)
        for command in commands:
            if isinstance(command, StartWorker) and command.pool.code == "broken":
                self._deliver(WorkerLost(command.worker, LossCause.UNPLACED, "ImportError: no module 'torch'"))
            else:
                self._inner.perform([command])


def test_workers_that_cannot_start_fail_their_studies_alone() -> None:
    """Three failed starts in a row fail the studies of that pool, with the reason; other pools go on."""

    def engine(cluster: SimulatedCluster, deliver: Callable[[EngineEvent], None]) -> Recorder:
        return NoStart(cluster, deliver)

    house = House(engines=engine)
    fine = house.create("fine", scheduler=NONE)
    broken = [house.create(f"broken{i}", code="broken") for i in range(2)]
    house.run()
    assert house.study(fine).state is StudyState.SUCCEEDED
    for name in broken:
        study = house.study(name)
        assert study.state is StudyState.FAILED
        assert study.reason == "workers cannot start: ImportError: no module 'torch'"
    assert len([c for c in house.engine.commands if isinstance(c, StartWorker) and c.pool.code == "broken"]) <= 12


def test_pools_of_ended_studies_are_forgotten() -> None:
    """A pool whose studies have ended and whose workers have gone is no longer there to be looked at."""
    house = House()
    for i in range(5):
        house.create(f"s{i}", scheduler=NONE, budget=Budget(trials=1), code=f"code{i}", evaluation=Evaluation(epochs=2))
    house.run()
    for _ in range(3):
        house.run_for(IDLE_AFTER)
    assert house.server.conductor.mind.cluster.pools == {}
