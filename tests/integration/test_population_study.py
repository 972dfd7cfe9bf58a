"""A population trained to its end by a real worker, with checkpoints on a disk."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from searchd.conductor.messages import CreateStudy, Input
from searchd.domain.evaluation import Evaluation
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Float, Parameter, SearchSpace
from searchd.domain.study import Budget, Dataset, Study, StudySpec, StudyState, study_name
from searchd.domain.trial import Origin
from searchd.engines.simulated import VirtualClock
from searchd.ports.engine import (
    CapacityChanged,
    EngineCommand,
    Forget,
    Node,
    RunSegments,
    SegmentReported,
    StartWorker,
    WorkerReady,
)
from searchd.schedulers.factory import make_scheduler
from searchd.searchers.local import LocalSearchers
from searchd.service.desk import all_trials
from searchd.service.simulation import Simulation
from searchd.stores.memory import MemoryStore
from searchd.worker.files import Storage
from tests.unit.worker.worker_harness import Server, running


class NoTime:
    """Nothing happens by itself."""

    def next_at(self) -> datetime | None:
        """Never."""
        return None

    def step(self) -> None:
        """There is nothing to do."""


class OneWorker:
    """An engine with one real worker, which runs a segment while it is handed over."""

    def __init__(self, server: Server, storage: Path, simulation: Simulation) -> None:
        self._server = server
        self._storage = Storage(storage)
        self._post = simulation.post
        self._sequence = 0

    def start(self, epoch: int) -> None:
        """One CPU, and no worker yet."""
        self._post(CapacityChanged((Node("a", 1, 0),)))

    def perform(self, commands: Sequence[EngineCommand]) -> None:
        """Carry out what there is to do with one worker."""
        for command in commands:
            for event in self._events(command):
                self._post(event)

    def _events(self, command: EngineCommand) -> list[Input]:
        match command:
            case StartWorker(worker):
                return [WorkerReady(worker)]
            case Forget(study, trial):
                self._storage.forget(study, trial)
            case RunSegments(worker, segments):
                events: list[Input] = []
                for segment, (reports, ended) in zip(segments, self._server.run(*segments), strict=True):
                    self._sequence += 1
                    told = SegmentReported(worker, self._sequence, segment.key, segment.attempt, tuple(reports), ended)
                    events.append(told)
                return events
            case _:
                pass
        return []

    def close(self, *, leave_workers: bool) -> None:
        """The worker is the test's."""


def test_a_population_trains_with_real_checkpoints(tmp_path: Path) -> None:
    """Each descendant's first epoch is a step of its own rate from the donor's state; no checkpoint is left over."""
    store, clock = MemoryStore(), VirtualClock()
    spec = StudySpec(
        "quadratic",
        (Objective("loss", Goal.MINIMIZE),),
        SearchSpace((Parameter("x", Float(-10, 10)), Parameter("rate", Float(1e-3, 0.4, log=True)))),
        dataset=Dataset(builtin="digits"),
        search=Search(Algorithm.SOBOL),
        scheduler=Scheduler(SchedulerAlgorithm.POPULATION, explore=("rate",)),
        evaluation=Evaluation(epochs=6),
        budget=Budget(trials=12),
    )
    with running(tmp_path) as server:
        simulation = Simulation(store, make_scheduler, clock, NoTime())
        simulation.start(OneWorker(server, tmp_path, simulation), LocalSearchers(simulation.post))
        name = study_name("default", "population")
        simulation.request(CreateStudy(Study(name, spec, "code", "abc", clock.now())))
        simulation.run()
    assert store.study(name).state is StudyState.SUCCEEDED
    trials = {trial.number: trial for trial in all_trials(store, name)}
    losses = {(m.trial, m.epoch): m.metrics["loss"] for m in store.measurements(name, None, None, 1000)}
    children = [trial for trial in trials.values() if trial.origin is Origin.DESCENT]
    assert len(children) >= 3
    for child in children:
        donor = trials[child.of] if child.of is not None else child
        assert child.parameters["x"] == donor.parameters["x"]
        near = [min(donor.parameters["rate"] * factor, 0.4) for factor in (0.8, 1.2)]
        assert any(child.parameters["rate"] == pytest.approx(rate) for rate in near)
        before = donor.scores[child.of_epoch - 1]
        after = before * (1 - 2 * child.parameters["rate"]) ** 2
        assert losses[child.number, child.of_epoch + 1] == pytest.approx(after)
    assert not list((tmp_path / "checkpoints").rglob("manifest.json"))
