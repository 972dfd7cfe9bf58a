"""Whole studies that Ray Tune's and hyperopt's algorithms search and schedule, in virtual time."""

import pytest

from searchd.domain.evaluation import Evaluation
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm, Search
from searchd.domain.study import Budget, StudyName, StudyState
from searchd.domain.trial import TrialState
from searchd.ports.engine import Node
from searchd.schedulers.factory import make_scheduler
from tests.unit.conductor.simulated import House


def started(name: str, search: Search) -> tuple[House, StudyName]:
    """A study of 12 trials that a scheduler of Ray Tune judges, on one worker."""
    house = House([Node("a", 1, 0)], schedulers=make_scheduler)
    scheduler = Scheduler(SchedulerAlgorithm.RAY, mode=SchedulerMode.STOPPING, ray=name)
    study = house.create(search=search, scheduler=scheduler, evaluation=Evaluation(epochs=9), budget=Budget(trials=12))
    return house, study


def run_until_ended(house: House, study: StudyName, least: int) -> None:
    """Let time pass until so many trials have ended."""
    house.run(lambda: sum(t.state.ended for t in house.trials(study)) >= least)


@pytest.mark.parametrize("name", ["asha", "median_stopping_rule", "fifo"])
def test_a_restart_changes_no_verdict(name: str) -> None:
    """Trials end in the same states with the same scores, whether or not the server was replaced on the way."""
    outcomes = []
    for restarts in (False, True):
        house, study = started(name, Search(Algorithm.RANDOM))
        for ended in (3, 6, 9) if restarts else ():
            run_until_ended(house, study, ended)
            house.boot()
        house.run()
        assert house.study(study).state is StudyState.SUCCEEDED
        outcomes.append([(t.number, t.parameters, t.state, t.scores) for t in house.trials(study)])
    assert outcomes[0] == outcomes[1]
    stopped = [state for _, _, state, _ in outcomes[0] if state is TrialState.STOPPED]
    assert bool(stopped) == (name != "fifo")


@pytest.mark.parametrize(
    "search",
    [
        Search(Algorithm.RAY, ray="optuna"),
        Search(Algorithm.RAY, ray="hyperopt"),
        Search(Algorithm.HYPEROPT_TPE),
        Search(Algorithm.HYPEROPT_ANNEAL),
    ],
    ids=lambda search: search.ray or search.algorithm.value,
)
def test_vendors_search_a_study_to_its_end(search: Search) -> None:
    """A study with stopped trials and a server that is replaced ends with all of its trials, all different."""
    house, study = started("asha", search)
    run_until_ended(house, study, 5)
    house.boot()
    house.run()
    assert house.study(study).state is StudyState.SUCCEEDED
    trials = house.trials(study)
    assert len(trials) == 12
    assert len({str(sorted(t.parameters.items())) for t in trials}) == 12
