"""Truncation selection: who yields to whom."""

import itertools

import pytest

from searchd.domain.scheduler import Scheduler as Settings
from searchd.domain.scheduler import SchedulerAlgorithm
from searchd.domain.trial import TrialNumber
from searchd.schedulers.population import Population
from tests.contracts.scheduler import SchedulerContract, climbing


class TestPopulation(SchedulerContract):
    """The contract."""

    spec = climbing(Settings(SchedulerAlgorithm.POPULATION))


def filled(scores: list[float], seed: int = 0, rung: int = 0) -> Population:
    scheduler = Population(seed)
    for number, score in enumerate(scores, start=1):
        scheduler.completed(TrialNumber(number), rung, score)
    return scheduler


def yielding(scheduler: Population, count: int) -> dict[int, set[int]]:
    found = {
        number: {int(donor) for donor in scheduler.donors(TrialNumber(number), 0)} for number in range(1, count + 1)
    }
    return {number: donors for number, donors in found.items() if donors}


@pytest.mark.parametrize(
    ("count", "quarter"), [(1, 0), (2, 1), (3, 1), (4, 1), (5, 1), (6, 2), (8, 2), (10, 3), (12, 3)]
)
def test_the_worst_quarter_yields_to_the_best(count: int, quarter: int) -> None:
    """Of n trials a quarter, rounded, yields, to as many of the best."""
    best = {count - i for i in range(quarter)}
    assert yielding(filled([float(n) for n in range(count)]), count) == {i + 1: best for i in range(quarter)}


def test_the_order_of_arrival_does_not_matter() -> None:
    """Whom a trial yields to depends on the rung's scores, however they came in."""
    scores = {1: 0.3, 2: 0.1, 3: 0.9, 4: 0.8}
    answers = set()
    for order in itertools.permutations(scores):
        scheduler = Population(5)
        for number in order:
            scheduler.completed(TrialNumber(number), 0, scores[number])
        answers.add(tuple(tuple(scheduler.donors(TrialNumber(number), 0)) for number in scores))
    assert answers == {((), (3,), (), ())}


def test_nobody_yields_to_an_equal() -> None:
    """Among equal scores all go on."""
    assert yielding(filled([1.0] * 8), 8) == {}


def test_chance_is_the_seeds() -> None:
    """Which of the best is preferred depends on seed and trial, and each is for some."""
    scores = [float(n) for n in range(12)]
    first = {seed: filled(scores, seed).donors(TrialNumber(1), 0)[0] for seed in range(40)}
    assert set(first.values()) == {10, 11, 12}
    assert first == {seed: filled(scores, seed).donors(TrialNumber(1), 0)[0] for seed in range(40)}


def test_the_lowest_rung_goes_on_first() -> None:
    """Whoever is furthest behind is next, so that members stay abreast."""
    scheduler = filled([0.5, 0.7])
    scheduler.promoted(TrialNumber(1), 0)
    scheduler.completed(TrialNumber(1), 1, 0.9)
    assert scheduler.promotable() == (2, 0)
    scheduler.promoted(TrialNumber(2), 0)
    assert scheduler.promotable() == (1, 1)
