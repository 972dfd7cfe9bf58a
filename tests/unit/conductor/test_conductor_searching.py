"""Searchers: seeds, failures and rebuilding."""

from collections.abc import Callable

import pytest

from searchd.domain.evaluation import Evaluation, Racing
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm, Search
from searchd.domain.study import Budget, StudyState
from searchd.domain.trial import TrialState
from searchd.ports.searcher import Ask, CloseSearch, OpenSearch, SearchCommand, SearchFailed
from searchd.searchers.host import Answer
from searchd.searchers.local import LocalSearchers
from tests.unit.conductor.simulated import House

NONE = Scheduler(SchedulerAlgorithm.NONE)


@pytest.mark.parametrize("algorithm", [Algorithm.RANDOM, Algorithm.SOBOL, Algorithm.TPE])
@pytest.mark.parametrize("mode", SchedulerMode)
def test_two_simulations_agree_in_every_fact(algorithm: Algorithm, mode: SchedulerMode) -> None:
    """The same definition on the same cluster gives the same facts at the same virtual times, seed by seed."""

    def simulated(seed: int) -> list[object]:
        house = House()
        for name in ("a", "b"):
            house.create(
                name,
                search=Search(algorithm),
                scheduler=Scheduler(mode=mode),
                evaluation=Evaluation(folds=3, epochs=9, racing=Racing.FORGIVING),
                budget=Budget(trials=15),
                seed=seed,
            )
        house.run()
        return [(event.revision, event.at, event.fact) for event in house.store.events(0, None, 10**6)]

    assert simulated(1) == simulated(1)
    assert simulated(1) != simulated(2)


class Failing(LocalSearchers):
    """Searchers whose every study fails at its first ``failures`` Asks, as the child process reports it."""

    failures = 0

    def __init__(self, deliver: Callable[[Answer], None]) -> None:
        super().__init__(deliver)
        self.left = self.failures
        self.heard: list[SearchCommand] = []
        self.closed: set[str] = set()

    def perform(self, command: SearchCommand) -> None:
        self.heard.append(command)
        if isinstance(command, OpenSearch):
            self.closed.discard(command.study)
        if command.study in self.closed:
            return
        if isinstance(command, Ask) and self.left:
            self.left -= 1
            self.closed.add(command.study)
            self._deliver(SearchFailed(command.study, "ValueError: no"))
            return
        super().perform(command)


@pytest.mark.parametrize("failures", [1, 2])
def test_failed_searcher_is_rebuilt_from_the_store(failures: int) -> None:
    """A searcher that fails is opened again with all trials, and the study ends as if nothing had been."""
    made: list[Failing] = []

    def searchers(deliver: Callable[[Answer], None]) -> Failing:
        made.append(Failing(deliver))
        made[-1].left = 0
        return made[-1]

    house = House(searchers=searchers)
    name = house.create(scheduler=NONE, budget=Budget(trials=150))
    house.run(lambda: len(house.trials(name)) > 30)
    made[0].left = failures
    known = len(house.trials(name))
    house.run()
    opened = [c for c in made[0].heard if isinstance(c, OpenSearch)]
    assert len(opened) == 1 + failures
    assert len(opened[1].observations) >= known
    assert [t.number for t in house.trials(name)] == list(range(1, 151))
    plain = House()
    plain.create(scheduler=NONE, budget=Budget(trials=150))
    plain.run()
    assert [t.parameters for t in plain.trials(name)] == [t.parameters for t in house.trials(name)]
    assert isinstance(made[0].heard[-1], CloseSearch)


def test_third_failure_pauses_the_study_alone() -> None:
    """A searcher that fails three times pauses its study, with the reason; it can be stopped."""

    class Hopeless(Failing):
        failures = 10

    house = House(searchers=Hopeless)
    name = house.create(scheduler=NONE)
    house.run()
    study = house.study(name)
    assert study.state is StudyState.PAUSED
    assert study.reason == "the searcher failed 3 times: ValueError: no"
    house.stop(name)
    assert house.study(name).state is StudyState.STOPPED


def test_unsearchable_default_does_not_break_a_model() -> None:
    """A default configuration outside the search space runs as trial 1, and TPE goes on beside it."""
    house = House()
    name = house.create(
        default={"x": 7.5, "extra": "yes"},
        search=Search(Algorithm.TPE),
        scheduler=NONE,
        budget=Budget(trials=15),
    )
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED
    assert house.trial(name, 1).parameters == {"x": 7.5, "extra": "yes"}
    assert len(house.in_state(name, TrialState.COMPLETED)) == 15


def test_learning_searcher_is_asked_no_further_ahead_than_slots() -> None:
    """TPE is asked for a configuration per slot, so that each suggestion knows almost all results."""
    house = House()
    asked: list[int] = []

    class Listening(LocalSearchers):
        def perform(self, command: SearchCommand) -> None:
            if isinstance(command, Ask):
                asked.append(command.numbers[-1])
            super().perform(command)

    house = House(searchers=Listening)
    name = house.create(search=Search(Algorithm.TPE), scheduler=NONE, budget=Budget(trials=20, slots=2), default=None)
    ahead: list[int] = []

    def look() -> bool:
        ended = len(house.in_state(name, TrialState.COMPLETED))
        ahead.append(max(asked, default=0) - ended)
        return False

    house.run(look)
    assert max(ahead) <= 2 + 2 * 2
    assert asked[-1] == 20
