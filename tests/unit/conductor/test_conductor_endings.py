"""Budgets and ends: slots, trials, wall time, stopping, deleting, draining."""

from collections import Counter
from datetime import timedelta

import pytest

from searchd.conductor.messages import DrainRequested, PauseStudy, Request, StopStudy
from searchd.domain.errors import (
    RequestReused,
    ServerStopping,
    StudyActive,
    StudyExists,
    StudyNotFound,
)
from searchd.domain.evaluation import Evaluation, Racing
from searchd.domain.facts import RequestAnswered, StudyDeleted, StudyPut
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Choice, Parameter, SearchSpace
from searchd.domain.study import Budget, StudyState
from searchd.domain.trial import TrialState
from searchd.engines.simulated import Epoch
from searchd.ports.engine import CancelSegment, Drain, Forget, Node, Outcome, RunSegments
from searchd.ports.searcher import SearchCommand, Suggested
from searchd.searchers.local import LocalSearchers
from tests.unit.conductor.simulated import House, endings, rebuilt, states

NONE = Scheduler(SchedulerAlgorithm.NONE)
SIXTEEN = [Node("a", 16, 0)]


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("racing", [Racing.NONE, Racing.FORGIVING])
def test_slots_are_never_exceeded(slots: int, racing: Racing) -> None:
    """A study never has more fold runs running than its slots, and uses them all."""
    house = House(SIXTEEN)
    evaluation = Evaluation(folds=5, epochs=9, racing=racing)
    name = house.create(evaluation=evaluation, budget=Budget(trials=20, slots=slots))
    most = 0

    def look() -> bool:
        nonlocal most
        most = max(most, len(house.active(name).serving) if name in house.server.conductor.mind.studies else 0)
        return False

    house.run(look)
    assert house.study(name).state is StudyState.SUCCEEDED
    assert most == slots


def test_one_slot_has_strictly_one_segment_in_flight() -> None:
    """With one slot the next segment is handed out only after the last one has ended, however brief they are."""
    house = House(SIXTEEN, lambda segment, epoch: iter([Epoch({"accuracy": 1.0}, timedelta(milliseconds=1))] * 3))
    name = house.create(evaluation=Evaluation(folds=3, epochs=3), budget=Budget(trials=30, slots=1))
    in_flight: list[int] = []
    house.run(lambda: in_flight.append(len(house.server.conductor.mind.holders)) or False)  # type: ignore[func-returns-value]
    assert house.study(name).state is StudyState.SUCCEEDED
    assert max(in_flight) == 1
    assert all(len(c.segments) == 1 for c in house.engine.commands if isinstance(c, RunSegments))


@pytest.mark.parametrize("default", [None, {"x": 0.5}])
@pytest.mark.parametrize("trials", [1, 7, 100])
def test_trials_are_numbered_without_gaps_and_never_exceed_the_budget(
    trials: int, default: dict[str, float] | None
) -> None:
    """A study starts exactly budget.trials trials, numbered from 1 without gaps, each of which ends once."""
    house = House()
    name = house.create(default=default, evaluation=Evaluation(epochs=3), budget=Budget(trials=trials))
    house.run()
    assert [t.number for t in house.trials(name)] == list(range(1, trials + 1))
    assert set(endings(house.facts()).values()) == {1}


def test_exhausted_grid_ends_the_study() -> None:
    """When a grid has no more combinations the study ends well with what there is, and says so."""
    house = House()
    space = SearchSpace((Parameter("x", Choice((0.1, 0.2, 0.3), grid=True)),))
    name = house.create(space=space, search=Search(Algorithm.GRID), default=None, budget=Budget(trials=50))
    house.run()
    study = house.study(name)
    assert (study.state, study.reason) == (StudyState.SUCCEEDED, "the search space is exhausted")
    assert sorted(t.parameters["x"] for t in house.trials(name)) == [0.1, 0.2, 0.3]


def test_stop_cancels_and_waits_for_the_workers() -> None:
    """A stopped study's trials are CANCELLED at once; it is STOPPED when its workers are free, and others go on."""
    house = House()
    name = house.create(evaluation=Evaluation(epochs=9), scheduler=NONE)
    other = house.create("other", evaluation=Evaluation(epochs=9), scheduler=NONE)
    house.run_for(timedelta(seconds=3.5))
    running = house.in_state(name, TrialState.RUNNING)
    assert running
    assert house.stop(name).state is StudyState.STOPPING
    assert house.in_state(name, TrialState.CANCELLED) == [t.number for t in house.trials(name)]
    assert house.stop(name).state is StudyState.STOPPING
    house.run_for(timedelta(seconds=1))
    study = house.study(name)
    assert (study.state, study.reason, study.progress.busy) == (StudyState.STOPPED, "stopped by a caller", 0)
    cancelled = {(c.key.study, c.key.trial) for c in house.engine.commands if isinstance(c, CancelSegment)}
    assert cancelled == {(name, number) for number in running}
    house.run()
    assert house.study(other).state is StudyState.SUCCEEDED
    assert [s for _, s in states(house.facts(), name)] == ["pending", "running", "stopping", "stopped"]


def test_stop_before_anything_started() -> None:
    """A study that waits for workers can be stopped; doing so again changes nothing, and once deleted it is unknown."""
    house = House([])
    name = house.create()
    house.stop(name)
    assert house.study(name).state is StudyState.STOPPED
    assert house.stop(name) == house.study(name)
    house.delete(name)
    for again in (house.stop, house.delete):
        with pytest.raises(StudyNotFound):
            again(name)


@pytest.mark.parametrize(("seconds", "state"), [(200, StudyState.SUCCEEDED), (4, StudyState.FAILED)])
def test_wall_time_ends_the_study_with_what_it_has(seconds: int, state: StudyState) -> None:
    """When wall_time is over the study succeeds if a trial has completed the top, else fails; with that reason."""
    house = House()
    budget = Budget(trials=1000, wall_time=timedelta(seconds=seconds))
    name = house.create(evaluation=Evaluation(epochs=9), scheduler=NONE, budget=budget)
    house.run()
    study = house.study(name)
    assert (study.state, study.reason) == (state, "wall_time is over")
    assert study.ended_at is not None
    assert timedelta(0) <= study.ended_at - study.created_at - timedelta(seconds=seconds) <= timedelta(seconds=1)


def test_wall_time_of_a_deleted_study_does_not_stop_its_successor() -> None:
    """A timer of a study that was deleted does nothing to a new study of the same name."""
    house = House()
    name = house.create(budget=Budget(trials=1, wall_time=timedelta(seconds=30)))
    house.run(lambda: house.study(name).state.ended)
    house.delete(name)
    again = house.create(budget=Budget(trials=1000, wall_time=timedelta(hours=5)), scheduler=NONE)
    assert again == name
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED
    assert len(house.in_state(name, TrialState.COMPLETED)) == 1000


def test_delete_is_refused_while_active() -> None:
    """A study can be deleted once it has ended, not before; then its files go and nothing of it is left."""
    house = House()
    name = house.create()
    with pytest.raises(StudyActive):
        house.delete(name)
    house.run()
    house.delete(name)
    assert house.facts() == [StudyDeleted(name)]
    assert house.engine.commands[-1] == Forget(name, None)
    with pytest.raises(StudyNotFound):
        house.study(name)


def test_study_ends_only_when_no_worker_holds_anything_of_it() -> None:
    """After a lost race the study's end waits for the cancelled folds, so a successor never hears from them."""
    house = House(SIXTEEN)
    evaluation = Evaluation(folds=5, epochs=9, racing=Racing.AGGRESSIVE)
    name = house.create(scheduler=NONE, evaluation=evaluation, budget=Budget(trials=30))
    house.run(lambda: house.study(name).state.ended)
    assert not [w for w in house.server.conductor.mind.cluster.workers.values() if w.held]
    assert isinstance(house.facts()[-1], StudyPut)


def test_create_again_gives_the_same_study_or_says_what_differs() -> None:
    """The same name and definition is the study that is there; another definition is refused with its fields."""
    house = House()
    name = house.create(seed=1)
    assert house.create(seed=1) == name
    with pytest.raises(StudyExists) as refusal:
        house.create(seed=2, priority=1)
    assert refusal.value.differing == ("seed", "priority")
    assert sum(isinstance(fact, StudyPut) for fact in house.facts()) == 1


def test_drain_sets_everything_aside_and_a_new_server_goes_on() -> None:
    """Draining starts nothing more; what ran is saved and handed back, and the next server trains no epoch twice."""
    house = House()
    name = house.create(evaluation=Evaluation(folds=2, epochs=27), scheduler=NONE, budget=Budget(trials=12))
    house.run_for(timedelta(seconds=5.5))
    house.server.post(DrainRequested())
    house.server.turn()
    assert Drain() in house.engine.commands
    with pytest.raises(ServerStopping):
        house.create("late")
    handed = len(house.engine.segments())
    house.run(lambda: not house.server.conductor.holding)
    house.run_for(timedelta(seconds=60))
    assert len(house.engine.segments()) == handed
    assert {e.ended.outcome for e in house.engine.reported() if e.ended} == {Outcome.DRAINED}
    house.boot()
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED
    assert set(house.trained.values()) == {1}
    assert len(house.trained) == 12 * 2 * 27


def test_paused_study_frees_its_workers_and_can_be_stopped() -> None:
    """A study that was set aside starts nothing, gives its workers back, keeps its trials, and can be stopped."""
    house = House()
    name = house.create(evaluation=Evaluation(epochs=9), scheduler=NONE)
    house.run_for(timedelta(seconds=4.5))
    house.server.post(PauseStudy(name, "a fault"))
    house.run_for(timedelta(seconds=5))
    study = house.study(name)
    assert (study.state, study.reason, study.progress.busy) == (StudyState.PAUSED, "a fault", 0)
    assert not house.server.conductor.holding
    assert house.in_state(name, TrialState.RUNNING)
    house.boot()
    house.run_for(timedelta(seconds=60))
    assert house.study(name).state is StudyState.PAUSED
    assert not house.server.conductor.holding
    house.stop(name)
    assert house.study(name).state is StudyState.STOPPED


def test_repeated_request_gets_the_first_answer_even_before_it_is_stored() -> None:
    """A request_id is carried out once; its repeat in the same batch is answered alike, another body is refused."""
    house = House()
    name = house.create()
    conductor = rebuilt(house)
    now = house.clock.now()
    first = conductor.decide(Request("1", "id", "d", StopStudy(name)), now)
    again = conductor.decide(Request("2", "id", "d", StopStudy(name)), now)
    other = conductor.decide(Request("3", "id", "e", StopStudy(name)), now)
    assert sum(isinstance(fact, RequestAnswered) for fact in first.facts) == 1
    assert again.facts == other.facts == []
    (first_answer,) = [c for c in first.commands if hasattr(c, "token")]
    assert again.commands[0].result == first_answer.result  # type: ignore[union-attr]
    assert isinstance(other.commands[0].result, RequestReused)  # type: ignore[union-attr]


class Twice(LocalSearchers):
    """Searchers that answer every Ask twice, as an old search and its successor may."""

    def perform(self, command: SearchCommand) -> None:
        deliver = self._deliver

        def twice(answer: object) -> None:
            assert not isinstance(answer, str)
            deliver(answer)  # type: ignore[arg-type]
            if isinstance(answer, Suggested):
                deliver(answer)

        self._deliver = twice
        super().perform(command)
        self._deliver = deliver


def test_suggestions_of_an_earlier_search_are_not_taken_twice() -> None:
    """An answer that nobody waits for any more makes no trials."""
    house = House(searchers=Twice)
    name = house.create(scheduler=NONE, budget=Budget(trials=150))
    house.run()
    assert [t.number for t in house.trials(name)] == list(range(1, 151))
    assert Counter(t.state for t in house.trials(name)) == {TrialState.COMPLETED: 150}
    assert set(house.trained.values()) == {1}
