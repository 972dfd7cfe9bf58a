"""A thousand workers, a hundred studies, a long study: what an input costs grows with none of them."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import searchd.conductor
import searchd.schedulers
from searchd.conductor.conductor import Conductor
from searchd.conductor.messages import Decision, Input
from searchd.domain.evaluation import Evaluation, Racing
from searchd.domain.facts import Fact, StudyPut
from searchd.domain.scheduler import Scheduler, SchedulerMode
from searchd.domain.study import Budget, Resources, StudyState
from searchd.engines.simulated import Epoch
from searchd.ports.engine import Node, Segment
from searchd.stores.memory import MemoryStore
from tests.unit.conductor.simulated import House

OURS = tuple(str(Path(package.__file__ or "").parent) for package in (searchd.conductor, searchd.schedulers))


def busy(segment: Segment, epoch: int) -> Iterator[Epoch]:
    """Epochs of half a second to two, scores without rhyme or reason."""
    for number in range(epoch + 1, segment.task.evaluation.epochs + 1):
        chance = (segment.trial * 7919 + number * 104729) % 1009 / 1009
        yield Epoch({"accuracy": chance + number * 0.01}, timedelta(seconds=0.5 + 1.5 * chance))


class Forgetful(MemoryStore):
    """Keeps the end of each study and nothing else, so that only the conductor is at work."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[StudyState] = []
        self.progress: list[int] = []

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:
        for fact in facts:
            if isinstance(fact, StudyPut) and fact.study.state.ended:
                self.ended.append(fact.study.state)
                self.progress.append(sum(fact.study.progress.trials.values()))
        return 0


@dataclass
class Counted:
    """How many lines of the conductor and the schedulers ran, and for how many inputs."""

    lines: int = 0
    inputs: int = 0

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        """For sys.settrace: count lines of our own files alone."""
        if event == "call":
            return self.trace if frame.f_code.co_filename.startswith(OURS) else None
        if event == "line":
            self.lines += 1
        return self.trace


def _counting(house: House) -> Counted:
    """Count from now on what deciding and settling cost."""
    counted = Counted()
    conductor = house.server.conductor

    class Traced(Conductor):
        """Decides as ever, with every line counted."""

        def __init__(self) -> None:
            self.__dict__.update(vars(conductor))

        def decide(self, event: Input, now: datetime) -> Decision:
            counted.inputs += 1
            sys.settrace(counted.trace)
            try:
                return super().decide(event, now)
            finally:
                sys.settrace(None)

        def settle(self, now: datetime) -> Decision:
            sys.settrace(counted.trace)
            try:
                return super().settle(now)
            finally:
                sys.settrace(None)

    house.server.conductor = Traced()
    return counted


def _run(workers: int, studies: int, trials: int, *, shapes: int = 1, **changes: Any) -> Counted:
    store = Forgetful()
    house = House([Node(f"n{i}", 10, 0) for i in range(workers // 10)], busy, store=store)
    counted = _counting(house)
    for i in range(studies):
        house.create(
            f"s{i}",
            default=None,
            budget=Budget(trials=trials // studies),
            resources=Resources(cpus=1 + i % shapes),
            **changes,
        )
    house.run()
    assert store.ended == [StudyState.SUCCEEDED] * studies
    assert store.progress == [trials // studies] * studies
    return counted


SETTINGS: dict[str, dict[str, Any]] = {
    "promotion": {"evaluation": Evaluation(epochs=3)},
    "stopping": {"evaluation": Evaluation(epochs=3), "scheduler": Scheduler(mode=SchedulerMode.STOPPING)},
    "racing": {"evaluation": Evaluation(folds=3, racing=Racing.FORGIVING)},
}


def _lines_per_input(workers: int, studies: int, trials: int, **changes: Any) -> float:
    counted = _run(workers, studies, trials, **changes)
    return counted.lines / counted.inputs


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("shapes", [1, 2])
def test_work_per_input_does_not_grow(setting: str, shapes: int) -> None:
    """Lines of Python per input stay the same with a hundred times the workers and fifty times the studies."""
    sizes = [(10, 2, 100), (1000, 100, 2000)]
    few, many = (_lines_per_input(*size, shapes=shapes, **SETTINGS[setting]) for size in sizes)
    assert many < 1.3 * few


@pytest.mark.parametrize("setting", SETTINGS)
def test_work_per_input_does_not_grow_with_a_study(setting: str) -> None:
    """Lines of Python per input stay the same in a study of twenty-five times the trials."""
    few, many = (_lines_per_input(10, 1, trials, **SETTINGS[setting]) for trials in (60, 1500))
    assert many < 1.3 * few
