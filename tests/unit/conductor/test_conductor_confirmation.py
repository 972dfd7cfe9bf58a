"""What follows the search: the best are evaluated once more, and the winner is tested."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from searchd.conductor.messages import ChangeStudy, StopStudy
from searchd.domain.evaluation import TEST_FOLD, Confirm, Evaluation, Racing
from searchd.domain.objective import Goal, Limit, Objective
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.search import Algorithm, Search
from searchd.domain.study import Budget, Changes, Dataset, StudyState
from searchd.domain.trial import Origin, Trial, TrialState
from searchd.ports.engine import Segment
from searchd.ports.searcher import OpenSearch, Tell
from tests.unit.conductor.simulated import House, reports

CONFIRM = Confirm(top=3, repeats=2, share=1.0)
FOLDS = Evaluation(folds=5, epochs=2, confirm=CONFIRM)
TESTED = Dataset(builtin="digits", test=0.2)


def noisy(segment: Segment, epoch: int) -> dict[str, float]:
    """True quality and a chance that is the fold run's own."""
    x = segment.parameters["x"]
    chance = random.Random(f"{x}-{segment.repeat}-{segment.fold}").gauss(0, 0.1)
    return {"accuracy": -((x - 0.3) ** 2) + chance + 0.001 * epoch}


def follow_ups(house: House, name: str, origin: Origin) -> list[Trial]:
    """Confirmations or tests of a study."""
    return [trial for trial in house.trials(name) if trial.origin is origin]  # type: ignore[arg-type]


@pytest.mark.parametrize("racing", Racing)
def test_the_best_are_confirmed_on_fresh_repeats(racing: Racing) -> None:
    """The best three and the default run all folds of two repeats that the search has not used."""
    house = House(behaviour=reports(noisy))
    name = house.create(evaluation=replace(FOLDS, racing=racing), budget=Budget(trials=20))
    house.run()
    again = follow_ups(house, name, Origin.CONFIRMATION)
    ranked = [t for t in house.store.ranked(name, 100) if t.rung == len(house.study(name).spec.ladder)]
    assert [t.of for t in again][:3] == [t.number for t in ranked[:3]]
    assert {t.of for t in again} == {*(t.number for t in ranked[:3]), 1}
    for trial in again:
        assert trial.state is TrialState.COMPLETED
        assert [(r.repeat, r.fold) for r in trial.fold_runs] == [(r, f) for r in (1, 2) for f in range(5)]
        assert trial.parameters == house.trial(name, trial.of or 0).parameters
    assert house.study(name).state is StudyState.SUCCEEDED


def test_the_winner_is_first_with_its_mean_and_its_error() -> None:
    """Progress tells of every candidate what it was chosen by and what it was worth, the winner first."""
    house = House(behaviour=reports(noisy))
    name = house.create(evaluation=FOLDS, budget=Budget(trials=20))
    house.run()
    confirmed = house.study(name).progress.confirmed
    shrunk = [c.shrunk for c in confirmed if c.shrunk is not None]
    assert len(shrunk) == len(confirmed) >= 3
    assert shrunk == sorted(shrunk, reverse=True)
    for candidate in confirmed:
        assert candidate.selected == house.trial(name, candidate.trial).scores[-1]
        (again,) = [t for t in follow_ups(house, name, Origin.CONFIRMATION) if t.of == candidate.trial]
        assert candidate.mean == again.scores[-1]
        assert candidate.standard_error is not None
    means = [c.mean for c in confirmed if c.mean is not None]
    assert max(shrunk) <= max(means)
    assert min(shrunk) >= min(means)


@pytest.mark.parametrize("seed", range(4))
def test_the_winner_is_the_best_on_fresh_repeats(seed: int) -> None:
    """However hard some folds are for all, the winner has the best mean of the fresh ones, not the best of the search;
    shrunken means are in the same order."""

    def hard(segment: Segment, epoch: int) -> dict[str, float]:
        shift = random.Random(f"{segment.repeat}-{segment.fold}").gauss(0, 1)
        return {"accuracy": noisy(segment, epoch)["accuracy"] + shift}

    house = House(behaviour=reports(hard))
    name = house.create(evaluation=FOLDS, budget=Budget(trials=20), seed=seed)
    house.run()
    known = [
        (c.mean, c.shrunk) for c in house.study(name).progress.confirmed if c.mean is not None and c.shrunk is not None
    ]
    assert len(known) >= 3
    assert known == sorted(known, reverse=True)


def test_confirmation_leaves_the_figures_of_the_search_alone() -> None:
    """Rungs, the best, the trials of the budget, the epochs saved and what the searcher is told are those of the
    search."""
    house = House(behaviour=reports(noisy))
    with_it = house.create("with", evaluation=FOLDS, budget=Budget(trials=12), search=Search(Algorithm.TPE))
    house.run()
    told = [c for c in house.engine.commands if isinstance(c, OpenSearch | Tell)]
    assert not told  # commands for searchers do not go to the engine
    other = House(behaviour=reports(noisy))
    without = other.create(
        "with", evaluation=replace(FOLDS, confirm=None), budget=Budget(trials=12), search=Search(Algorithm.TPE)
    )
    other.run()
    a, b = house.study(with_it).progress, other.study(without).progress
    assert (a.rungs, a.best, a.default_score) == (b.rungs, b.best, b.default_score)
    assert a.full_epochs - a.epochs == b.full_epochs - b.epochs
    assert (a.follow_ups, b.follow_ups) == (len(follow_ups(house, with_it, Origin.CONFIRMATION)), 0)
    assert a.follow_ups == sum(a.trials.values()) - 12
    assert house.trials(with_it)[:12] == other.trials(without)


def test_a_share_bounds_the_cost() -> None:
    """Fewer candidates are confirmed where the share of the budget does not allow all, but at least one and the
    default."""
    house = House(behaviour=reports(noisy))
    confirm = Confirm(top=10, repeats=2, share=0.2)
    name = house.create(evaluation=replace(FOLDS, confirm=confirm), budget=Budget(trials=20))
    house.run()
    assert len([t for t in follow_ups(house, name, Origin.CONFIRMATION) if t.of != 1]) <= 2
    tiny = house.create("b", evaluation=replace(FOLDS, confirm=confirm), budget=Budget(trials=2))
    house.run()
    assert 1 <= len(follow_ups(house, tiny, Origin.CONFIRMATION)) <= 2


@pytest.mark.parametrize("seconds", [10, 25, 40, 60])
def test_a_restart_in_the_middle_goes_on(seconds: int) -> None:
    """Whenever the server restarts, what is confirmed in the end is the same."""
    houses = [House(behaviour=reports(noisy)) for _ in range(2)]
    for index, house in enumerate(houses):
        name = house.create(evaluation=FOLDS, budget=Budget(trials=12), dataset=TESTED)
        if index:
            house.run_for(timedelta(seconds=seconds))
            house.boot()
        house.run()
        assert house.study(name).state is StudyState.SUCCEEDED
    first, second = (house.study(name).progress.confirmed for house in houses)
    assert {c.trial for c in first} == {t.of for t in follow_ups(houses[0], name, Origin.CONFIRMATION)}
    assert [c.trial for c in second if c.mean is None] == []
    assert len(follow_ups(houses[1], name, Origin.CONFIRMATION)) == len(second)


def test_a_failed_confirmation_only_loses_its_candidate() -> None:
    """A candidate whose confirmation fails has no mean and does not win; the study succeeds."""

    def fails_again(segment: Segment, epoch: int) -> dict[str, float]:
        if segment.repeat and segment.parameters["x"] == 0.5:
            raise ValueError("not this time")
        return noisy(segment, epoch)

    house = House(behaviour=reports(fails_again))
    name = house.create(evaluation=FOLDS, budget=Budget(trials=12))
    house.run()
    confirmed = house.study(name).progress.confirmed
    assert confirmed[-1].trial == 1
    assert confirmed[-1].mean is None
    assert confirmed[0].mean is not None
    assert house.study(name).state is StudyState.SUCCEEDED


def test_the_winner_and_the_default_are_tested_once() -> None:
    """Where rows are set aside, the chosen configuration and the default are scored on them at the very end."""
    house = House(behaviour=reports(noisy))
    name = house.create(evaluation=FOLDS, budget=Budget(trials=12), dataset=TESTED)
    house.run()
    tests = follow_ups(house, name, Origin.TEST)
    confirmed = house.study(name).progress.confirmed
    assert {t.of for t in tests} == {confirmed[0].trial, 1}
    assert all([(r.repeat, r.fold) for r in t.fold_runs] == [(0, TEST_FOLD)] for t in tests)
    assert {c.trial: c.test for c in confirmed if c.test is not None} == {t.of: t.scores[-1] for t in tests}
    ended = max(t.ended_at for t in follow_ups(house, name, Origin.CONFIRMATION) if t.ended_at is not None)
    assert all(t.created_at >= ended for t in tests)


def test_without_confirmation_the_best_is_tested() -> None:
    """A test needs no confirmation before it."""
    house = House(behaviour=reports(noisy))
    name = house.create(evaluation=replace(FOLDS, confirm=None), budget=Budget(trials=8), dataset=TESTED)
    house.run()
    best = house.study(name).progress.best
    assert best is not None
    assert {t.of for t in follow_ups(house, name, Origin.TEST)} == {best.trial, 1}
    assert house.study(name).progress.confirmed[0].mean is None


def test_a_study_that_reached_its_target_is_confirmed() -> None:
    """The search ends at its target; the confirmation follows, and the reason is kept."""
    house = House(behaviour=reports(noisy))
    aim = Objective("accuracy", Goal.MAXIMIZE, target=-0.05)
    name = house.create(objectives=(aim,), evaluation=FOLDS, budget=Budget(trials=200))
    house.run()
    study = house.study(name)
    assert (study.state, study.reason) == (StudyState.SUCCEEDED, "the target is reached")
    assert len([t for t in house.trials(name) if not t.origin.repeats]) < 200
    assert study.progress.confirmed[0].mean is not None


def test_a_study_that_is_stopped_is_not_confirmed() -> None:
    """What a caller stops starts nothing more, also in the middle of the confirmation."""
    house = House(behaviour=reports(noisy))
    name = house.create(evaluation=FOLDS, budget=Budget(trials=12))
    house.run(until=lambda: bool(follow_ups(house, name, Origin.CONFIRMATION)))
    house.server.request(StopStudy(name))
    house.run()
    assert house.study(name).state is StudyState.STOPPED
    assert all(t.state is TrialState.CANCELLED for t in follow_ups(house, name, Origin.CONFIRMATION))


def test_an_extension_confirms_what_it_found() -> None:
    """Better trials of an extension are confirmed as well, and one of them may win then."""
    house = House(behaviour=reports(noisy))
    name = house.create(evaluation=FOLDS, budget=Budget(trials=6), dataset=TESTED)
    house.run()
    before = {t.of for t in follow_ups(house, name, Origin.CONFIRMATION)}
    house.server.request(ChangeStudy(name, Changes(frozenset({"trials"}), Budget(trials=60))))
    house.run()
    after = {t.of for t in follow_ups(house, name, Origin.CONFIRMATION)}
    assert after > before
    winner = house.study(name).progress.confirmed[0]
    assert winner.trial in {t.of for t in follow_ups(house, name, Origin.TEST)}
    assert winner.test is not None


def test_an_extension_tests_what_it_found_without_confirmation() -> None:
    """A better trial of an extension is tested although others were, and is told of first."""
    house = House(behaviour=reports(noisy))
    name = house.create(evaluation=replace(FOLDS, confirm=None), budget=Budget(trials=3), dataset=TESTED)
    house.run()
    before = house.study(name).progress.best
    house.server.request(ChangeStudy(name, Changes(frozenset({"trials"}), Budget(trials=60))))
    house.run()
    after = house.study(name).progress
    assert before is not None
    assert after.best is not None
    assert after.best.trial != before.trial
    assert {t.of for t in follow_ups(house, name, Origin.TEST)} == {1, before.trial, after.best.trial}
    assert after.confirmed[0].trial == after.best.trial
    assert after.confirmed[0].test is not None


@pytest.mark.parametrize("how", ["extended", "stopped"])
def test_a_confirmation_that_is_disturbed_is_made_up_for(how: str) -> None:
    """Extended in the middle of the confirmation, or stopped and extended then, a study ends confirmed and tested."""
    house = House(behaviour=reports(noisy))
    name = house.create(evaluation=FOLDS, budget=Budget(trials=6), dataset=TESTED)
    house.run(until=lambda: bool(follow_ups(house, name, Origin.CONFIRMATION)))
    if how == "stopped":
        house.server.request(StopStudy(name))
        house.run()
    house.server.request(ChangeStudy(name, Changes(frozenset({"trials"}), Budget(trials=30))))
    house.run()
    confirmed = house.study(name).progress.confirmed
    assert all(c.mean is not None for c in confirmed)
    assert confirmed[0].test is not None
    assert house.study(name).state is StudyState.SUCCEEDED


def test_the_winner_keeps_all_limits() -> None:
    """A default configuration that breaks a limit is confirmed for comparison, but does not win."""

    def large(segment: Segment, epoch: int) -> dict[str, float]:
        good = 1 - abs(segment.parameters["x"] - 0.5)
        return {"accuracy": good, "size": 10 * good}

    house = House(behaviour=reports(large))
    name = house.create(
        limits=(Limit("size", at_most=8.0),),
        evaluation=FOLDS,
        budget=Budget(trials=12),
        scheduler=Scheduler(SchedulerAlgorithm.NONE),
    )
    house.run()
    progress = house.study(name).progress
    assert progress.best is not None
    assert house.trial(name, progress.confirmed[0].trial).feasible
    assert not house.trial(name, 1).feasible
