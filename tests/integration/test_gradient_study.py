"""A search by gradients from its study file on: the definition, the conductor, folds, and real training."""

import json
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import trainables.torch_hypergradient  # noqa: F401  (registers it)
from searchd.conductor.messages import CreateStudy
from searchd.datasets import DatasetCache
from searchd.domain.card import Card
from searchd.domain.evaluation import Evaluation
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Float, Parameter, SearchSpace
from searchd.domain.study import Budget, StudyState
from searchd.domain.trial import Origin, Trial, TrialState
from searchd.engines.simulated import Behaviour, Epoch
from searchd.ports.engine import Segment
from searchd.service.definition import Surroundings, define
from searchd.trainable import registered
from searchd.wire.drafts import decode_draft
from searchd.wire.study_file import read_study
from searchd.worker.files import Storage
from searchd.worker.fold_run import LiveFoldRun, Order
from searchd.worker.host import Loads
from searchd.worker.host import Surroundings as WorkerSurroundings
from tests.unit.conductor.simulated import House
from tests.unit.test_docs import ROOT, blocks
from tests.unit.trainables.fold_runs import NoonClock

# PyTorch's forward mode compiles its own rules by what PyTorch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

PLANE = SearchSpace((Parameter("x", Float(-5, 5)), Parameter("rate", Float(1e-4, 1.0, log=True))))


def trained(folder: Path, datasets: DatasetCache) -> Behaviour:
    """Segments are trained by the worker's own code, each from its first epoch on in a place of its own."""

    def behave(segment: Segment, epoch: int) -> Iterator[Epoch]:
        place = folder / f"{segment.trial}-{segment.fold}-{segment.attempt}"
        surroundings = WorkerSurroundings(datasets, Storage(place), "cpu", Loads())
        whole = replace(segment, target=segment.task.evaluation.epochs, attempt=1)
        run = LiveFoldRun(whole, registered()[segment.task.trainable], surroundings, NoonClock())
        for report, _ in list(run.advance(whole, lambda: Order.GO_ON)):
            if report is not None and report.epoch > epoch:
                yield Epoch(report.metrics, timedelta(seconds=1))

    return behave


def test_the_documented_study_descends(tmp_path: Path) -> None:
    """The documentation's study, made smaller, takes steps, of which the first betters what it started from by a tenth;
    each trial keeps the mean over its folds of every derivative."""
    (file,) = [b for b in blocks(ROOT / "docs" / "trainables.md", "yaml") if "torch_hypergradient" in b]
    draft, found = decode_draft(read_study(file).study)
    draft = replace(draft, evaluation=replace(draft.evaluation, epochs=2), budget=Budget(trials=7, slots=2))
    draft = replace(draft, fixed={"batch_size": 256, "width": 16})
    datasets = DatasetCache(tmp_path / "cache", ())
    inspection = datasets.inspect(draft.dataset, draft.evaluation) if draft.dataset is not None else None
    of = registered()[draft.trainable]
    declared = (of.name, "", of.form, of.metrics, of.space, of.default, of.checkpoints, of.folds, "", of.gradients)
    spec = define(draft, found, Surroundings({of.name: Card(*declared)}, inspection, nodes=()))
    house = House(behaviour=trained(tmp_path, datasets))
    default = {name: value for name, value in (of.default or {}).items() if name not in spec.fixed}
    study = replace(house.definition(), spec=spec)
    house.server.request(CreateStudy(study, ((default, Origin.DEFAULT),)))
    house.run()

    assert house.study(study.name).state is StudyState.SUCCEEDED
    trials = house.trials(study.name)
    assert [len(trial.fold_runs) for trial in trials] == [3] * 7
    assert spec.others == ("d loss/d lr", "d loss/d weight_decay", "d loss/d label_smoothing")
    for trial in trials:
        beside = [run.others[-1] for run in trial.fold_runs]
        assert trial.others == pytest.approx([statistics.fmean(column) for column in zip(*beside, strict=True)])
    steps = [trial for trial in trials if trial.note]
    assert len(steps) >= 3
    before = trials[json.loads(steps[0].note)["start"] - 1]
    assert steps[0].scores[-1] < 0.9 * before.scores[-1]


def bowl(segment: Segment, epoch: int) -> Mapping[str, float]:
    """A loss that is lowest at x = 2 and rate = 0.001, a little different in each fold, and its derivatives."""
    x, rate = segment.parameters["x"] - 2, segment.parameters["rate"]
    decades = math.log10(rate) + 3
    loss = x**2 + decades**2 + 0.01 * segment.fold + 1 / epoch
    return {"loss": loss, "d loss/d x": 2 * x, "d loss/d rate": 2 * decades / (rate * math.log(10))}


def reports(metrics: Callable[[Segment, int], Mapping[str, float]], failing: int = 0) -> Behaviour:
    """A second an epoch; one trial reports no number for one of its derivatives."""

    def behave(segment: Segment, epoch: int) -> Iterator[Epoch]:
        for number in range(epoch + 1, segment.task.evaluation.epochs + 1):
            broken = {"d loss/d x": math.nan} if segment.trial == failing else {}
            yield Epoch({**metrics(segment, number), **broken}, timedelta(seconds=1))

    return behave


def searched(house: House, **changes: Any) -> Any:
    """A study by gradients on the bowl, with folds and epochs."""
    usual: dict[str, Any] = {
        "default": {"x": -3.0, "rate": 0.1},
        "space": PLANE,
        "objectives": (Objective("loss", Goal.MINIMIZE),),
        "search": Search(Algorithm.GRADIENT),
        "evaluation": Evaluation(folds=3, epochs=3),
        "scheduler": Scheduler(SchedulerAlgorithm.NONE),
        "budget": Budget(trials=20),
    }
    return house.create(**{**usual, **changes})


def shown(trials: list[Trial]) -> list[tuple[str, str]]:
    """Configurations and notes, comparable."""
    return [(json.dumps(trial.parameters), trial.note) for trial in trials]


def test_a_restart_changes_no_step() -> None:
    """With one slot, a study whose server dies twice makes the same trials as one that was left alone."""
    undisturbed, disturbed = House(behaviour=reports(bowl)), House(behaviour=reports(bowl))
    budget = Budget(trials=20, slots=1)
    name = searched(undisturbed, budget=budget)
    undisturbed.run()
    searched(disturbed, budget=budget)
    for ended in (5, 13):
        disturbed.run(lambda: len(disturbed.in_state(name, TrialState.COMPLETED)) >= ended)  # noqa: B023
        disturbed.boot()
    disturbed.run()
    assert shown(disturbed.trials(name)) == shown(undisturbed.trials(name))
    assert sum(bool(trial.note) for trial in undisturbed.trials(name)) > 10


@pytest.mark.parametrize("mode", SchedulerMode)
def test_descends_under_early_stopping(mode: SchedulerMode) -> None:
    """Trials that are paused or stopped at lower rungs give gradients or shorter steps; the study still descends."""
    house = House(behaviour=reports(bowl))
    name = searched(house, scheduler=Scheduler(mode=mode), budget=Budget(trials=30))
    house.run()
    best = house.study(name).progress.best
    default = house.study(name).progress.default_score
    assert best is not None
    assert default is not None
    assert best.score < 0.1 * default


def test_a_derivative_that_is_no_number_costs_one_trial() -> None:
    """The trial is infeasible, and the search goes on without it."""
    house = House(behaviour=reports(bowl, failing=5))
    name = searched(house)
    house.run()
    assert house.in_state(name, TrialState.INFEASIBLE) == [5]
    assert len(house.in_state(name, TrialState.COMPLETED)) == 19
