"""Studies that are changed after their creation, and configurations that callers enqueue."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from searchd.conductor.messages import ChangeStudy, EnqueueTrial, StopStudy
from searchd.domain.errors import BudgetUsed, InvalidStudy, StudyChanged, StudyEnded, StudyNotFound
from searchd.domain.evaluation import Evaluation
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Float, Integer, Parameter, SearchSpace
from searchd.domain.study import Budget, Changes, Resources, Study, StudyName, StudyState, study_name
from searchd.domain.trial import Origin, TrialState
from searchd.ports.engine import Node, Segment
from searchd.ports.searcher import SearchFailed
from tests.unit.conductor.simulated import House, reports

NOBODY = study_name("default", "nobody")


def changed(house: House, name: StudyName, etag: str = "", **fields: Any) -> Study:
    """Change limits of a study's budget, or its priority or labels."""
    limits = {key: value for key, value in fields.items() if key not in ("priority", "labels")}
    others = {key: value for key, value in fields.items() if key in ("priority", "labels")}
    changes = Changes(frozenset(fields), Budget(**limits), **others, etag=etag)
    return house.server.request(ChangeStudy(name, changes))


def enqueued(house: House, name: StudyName, parameters: Mapping[str, Any]) -> int:
    """Enqueue a configuration; its number."""
    return house.server.enqueue(EnqueueTrial(name, parameters)).number


@pytest.mark.parametrize("algorithm", [Algorithm.RANDOM, Algorithm.TPE])
@pytest.mark.parametrize("mode", SchedulerMode)
def test_an_ended_study_goes_on_with_a_larger_budget(algorithm: Algorithm, mode: SchedulerMode) -> None:
    """More trials for an ended study make it run again, with new configurations and everything that it had."""
    house = House()
    name = house.create(
        budget=Budget(trials=10),
        search=Search(algorithm),
        scheduler=Scheduler(mode=mode),
        evaluation=Evaluation(folds=3, epochs=9),
    )
    house.run()
    before, trials = house.study(name), house.trials(name)
    assert changed(house, name, trials=25).state is StudyState.RUNNING
    house.run()
    after = house.study(name)
    assert after.state is StudyState.SUCCEEDED
    assert house.trials(name)[:10] == trials
    assert len(house.trials(name)) == 25
    assert len({t.parameters["x"] for t in house.trials(name)}) == 25
    assert after.spec.ladder == before.spec.ladder
    assert after.progress.epochs > before.progress.epochs
    assert after.progress.best is not None
    assert before.progress.best is not None
    assert after.progress.best.score >= before.progress.best.score


def test_an_ended_study_needs_more_trials_to_go_on() -> None:
    """Extending an ended study to what it had is refused, and changes nothing."""
    house = House()
    name = house.create(budget=Budget(trials=3))
    house.run()
    before = house.study(name)
    with pytest.raises(InvalidStudy) as raised:
        changed(house, name, trials=3)
    assert [v.path for v in raised.value.violations] == ["budget.trials"]
    assert house.study(name) == before


def test_a_running_study_takes_its_new_budget() -> None:
    """A budget that grows while the study runs is used."""
    house = House()
    name = house.create(budget=Budget(trials=5))
    house.run_for(timedelta(seconds=3))
    assert changed(house, name, trials=8, slots=1).state is StudyState.RUNNING
    house.run()
    assert len(house.trials(name)) == 8


def test_a_stopped_study_goes_on() -> None:
    """What a caller stopped can be extended like what has ended by itself."""
    house = House()
    name = house.create(budget=Budget(trials=30))
    house.run_for(timedelta(seconds=4))
    house.server.request(StopStudy(name))
    house.run()
    assert house.study(name).state is StudyState.STOPPED
    given = len(house.trials(name))
    changed(house, name, trials=31)
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED
    assert len(house.trials(name)) == 31
    assert sum(t.state is TrialState.CANCELLED for t in house.trials(name)[:given]) > 0


def test_an_extended_study_survives_a_restart() -> None:
    """A server that restarts while an extended study runs goes on with it."""
    house = House()
    name = house.create(budget=Budget(trials=4))
    house.run()
    changed(house, name, trials=12)
    house.run_for(timedelta(seconds=2))
    house.boot()
    house.run()
    assert len(house.trials(name)) == 12
    assert house.study(name).state is StudyState.SUCCEEDED


def test_other_changes_leave_an_ended_study_ended() -> None:
    """Labels and priority of an ended study change without anything else."""
    house = House()
    name = house.create(budget=Budget(trials=2))
    house.run()
    study = changed(house, name, labels={"team": "vision"}, priority=3)
    assert (study.state, study.spec.priority) == (StudyState.SUCCEEDED, 3)
    assert house.study(name).spec.labels == {"team": "vision"}


def test_wall_time_that_is_over_must_grow_as_well() -> None:
    """A study whose time is over is not extended without more time."""
    house = House()
    name = house.create(budget=Budget(trials=2, wall_time=timedelta(minutes=1)))
    house.run()
    house.clock.advance_to(house.clock.now() + timedelta(hours=1))
    with pytest.raises(InvalidStudy) as raised:
        changed(house, name, trials=5)
    assert [v.path for v in raised.value.violations] == ["budget.wall_time"]
    changed(house, name, trials=5, wall_time=timedelta(hours=2))
    house.run()
    assert len(house.trials(name)) == 5


def test_an_etag_guards_against_what_others_changed() -> None:
    """Changes with the etag of an older definition are refused and change nothing."""
    house = House()
    name = house.create(budget=Budget(trials=2))
    etag = house.study(name).spec.etag
    changed(house, name, etag, priority=1)
    with pytest.raises(StudyChanged):
        changed(house, name, etag, priority=2)
    assert house.study(name).spec.priority == 1


def test_what_is_not_there_cannot_change() -> None:
    """Changing and enqueueing need a study."""
    house = House()
    with pytest.raises(StudyNotFound):
        changed(house, NOBODY, trials=3)
    with pytest.raises(StudyNotFound):
        enqueued(house, NOBODY, {"x": 0.1})


def test_an_enqueued_configuration_runs_next() -> None:
    """A caller's configuration runs before the searcher's, counts in the budget, and is told to the searcher."""
    house = House()
    name = house.create(budget=Budget(trials=12, slots=1), search=Search(Algorithm.TPE))
    house.run(until=lambda: len(house.trials(name)) == 3)
    number = enqueued(house, name, {"x": 0.123})
    house.run(until=lambda: house.trial(name, number).state.ended)
    trial = house.trial(name, number)
    assert (trial.origin, trial.parameters) == (Origin.REQUESTED, {"x": 0.123})
    started = [t.started_at for t in house.trials(name) if t.number != number and t.started_at is not None]
    assert sum(at > (trial.started_at or at) for at in started) <= 1
    house.run()
    assert len(house.trials(name)) == 12
    assert house.study(name).state is StudyState.SUCCEEDED


def test_an_enqueued_trial_survives_a_restart() -> None:
    """What was enqueued is durable before it is acknowledged."""
    house = House()
    name = house.create(budget=Budget(trials=12, slots=1))
    number = enqueued(house, name, {"x": 0.123})
    house.boot()
    house.run()
    assert house.trial(name, number).state is TrialState.COMPLETED
    assert len(house.trials(name)) == 12


def test_a_used_budget_takes_no_configuration() -> None:
    """When all trials are given away, or the study has ended, a configuration is refused with the remedy."""
    house = House()
    name = house.create(budget=Budget(trials=3))
    house.run(until=lambda: len(house.trials(name)) == 3)
    with pytest.raises(BudgetUsed, match="searchd extend"):
        enqueued(house, name, {"x": 0.1})
    house.run()
    with pytest.raises(StudyEnded, match="searchd extend"):
        enqueued(house, name, {"x": 0.1})
    assert len(house.trials(name)) == 3


def test_changes_keep_the_ladder() -> None:
    """A derived ladder stays what it was when the budget that it was derived from grows."""
    spec = House().definition(evaluation=Evaluation(epochs=81), budget=Budget(trials=10)).spec
    larger = Changes(frozenset({"trials"}), Budget(trials=1000)).applied(spec)
    assert larger.ladder == spec.ladder
    assert replace(spec, budget=Budget(trials=1000)).ladder != spec.ladder


def test_a_budget_that_shrinks_is_kept_to() -> None:
    """Suggestions that were asked for ahead are given up when the budget has no room for them any more."""
    house = House()
    name = house.create(budget=Budget(trials=100))
    house.run(until=lambda: len(house.trials(name)) == 10)
    changed(house, name, trials=20)
    house.run()
    assert len(house.trials(name)) == 20


def test_cancelled_trials_try_nobodys_patience() -> None:
    """What a caller's stop cancelled does not count as no better, and an extension begins to count anew."""
    house = House((Node("a", 16, 0),))
    name = house.create(budget=Budget(trials=100, patience=10))
    house.run(until=lambda: len(house.trials(name)) == 20)
    house.server.request(StopStudy(name))
    house.run()
    given = len(house.trials(name))
    changed(house, name, trials=200)
    house.run()
    assert len(house.trials(name)) > given


def test_gpu_hours_that_are_used_must_grow_as_well() -> None:
    """A study whose GPU-hours are used is not extended without more of them."""
    house = House((Node("a", 4, 2),))
    name = house.create(resources=Resources(1, 0.5), budget=Budget(trials=1000, gpu_hours=20 / 3600))
    house.run()
    with pytest.raises(InvalidStudy) as raised:
        changed(house, name, trials=2000)
    assert [v.path for v in raised.value.violations] == ["budget.gpu_hours"]


def test_a_hopeless_study_gets_another_chance() -> None:
    """An extension of a study in which nothing worked goes on until ten more trials have failed."""

    def broken(segment: Segment, epoch: int) -> dict[str, float]:
        raise ValueError("no")

    house = House((Node("a", 1, 0),), behaviour=reports(broken))
    name = house.create(budget=Budget(trials=100))
    house.run()
    given = len(house.trials(name))
    changed(house, name, trials=200)
    house.run()
    assert len(house.trials(name)) >= given + 10
    assert house.study(name).state is StudyState.FAILED


@pytest.mark.parametrize("how", ["enqueued", "lowered"])
@pytest.mark.parametrize("algorithm", [Algorithm.GRID, Algorithm.RANDOM, Algorithm.SOBOL])
def test_a_budget_that_grows_again_finds_what_was_suggested_before(algorithm: Algorithm, how: str) -> None:
    """Suggestions without a place in the budget are not lost: a space counts as exhausted when all of it was tried."""
    house = House()
    name = house.create(
        space=SearchSpace((Parameter("x", Float(0.0, 1.0, step=0.25)),)),
        search=Search(algorithm),
        scheduler=Scheduler(SchedulerAlgorithm.NONE),
        budget=Budget(trials=5, slots=1),
    )
    house.run(lambda: len(house.trials(name)) == 2)
    if how == "enqueued":
        enqueued(house, name, {"x": 0.0})
    else:
        changed(house, name, trials=3)
    changed(house, name, trials=9)
    house.run()
    assert house.study(name).reason == "the search space is exhausted"
    assert {t.parameters["x"] for t in house.trials(name)} == {0.0, 0.25, 0.5, 0.75, 1.0}


@pytest.mark.parametrize("algorithm", [Algorithm.GRID, Algorithm.RANDOM, Algorithm.SOBOL])
@pytest.mark.parametrize("trials", [8, 20])
def test_a_searcher_that_fails_repeats_and_loses_nothing(algorithm: Algorithm, trials: int) -> None:
    """A searcher that is rebuilt while suggestions wait, some or all that there are, gives each of them once, though
    enqueued trials have moved their numbers."""
    house = House()
    name = house.create(
        space=SearchSpace((Parameter("x", Integer(1, 13)),)),
        search=Search(algorithm),
        scheduler=Scheduler(SchedulerAlgorithm.NONE),
        budget=Budget(trials=trials, slots=1),
    )
    house.run(lambda: len(house.trials(name)) == 2)
    enqueued(house, name, {"x": 1})
    enqueued(house, name, {"x": 2})
    changed(house, name, trials=20)
    house.server.post(SearchFailed(name, "it was killed"))
    house.run()
    searched = [t.parameters["x"] for t in house.trials(name) if t.origin is Origin.SEARCH]
    assert len(searched) == len(set(searched))
    assert {1, 2, *searched} == set(range(1, 13))
