"""The benchmark of folds: its peers, counted on tables that are made by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.search.fold_peers import RULES, Limit, Run, stopped_early, two_lines, within
from benchmarks.search.fold_service import order, served
from benchmarks.search.fold_table import CONFIGURATIONS, Task


def made(*scores: Sequence[float], seconds: float = 1.0) -> Task:
    """A task of these scores, shape (n_configurations, n_folds), whose fits take equally long."""
    table = np.array(scores, dtype=float)
    return Task("by hand", table, np.full(len(table), seconds), table.mean(axis=1))


def ruled(name: str, task: Task, slots: int = 1, **limit: float) -> Run:
    """A rule over all configurations in their order."""
    trials = len(task.scores)
    most = Limit(trials=trials, fits=int(limit.get("fits", 10**9)), seconds=limit.get("seconds", 1e18))
    return stopped_early(task, range(trials), slots, most, RULES[name]())


LEADER = (90.0, 80.0, 70.0, 80.0)
"""Mean 80, worst fold 70."""


@pytest.mark.parametrize(
    ("rule", "scores", "folds"),
    [
        ("full", (0.0, 0.0, 0.0, 0.0), 4),
        ("forgiving", (70.0, 99.0, 99.0, 99.0), 1),
        ("forgiving", (71.0, 69.0, 99.0, 99.0), 2),
        ("forgiving", (71.0, 71.0, 71.0, 0.0), 4),
        ("aggressive", (80.0, 99.0, 99.0, 99.0), 1),
        ("aggressive", (81.0, 81.0, 78.0, 99.0), 3),
        ("aggressive", (81.0, 81.0, 81.0, 0.0), 4),
    ],
)
def test_a_rule_stops_where_its_bar_is(rule: str, scores: Sequence[float], folds: int) -> None:
    """A trial whose mean is no better than the leader's worst fold, or its mean, gets no further fold."""
    run = ruled(rule, made(LEADER, scores))
    assert run == Run(0, 4 + folds, 4.0 + folds)


@pytest.mark.parametrize("rule", ["forgiving", "aggressive"])
def test_the_bar_is_that_of_the_best_so_far(rule: str) -> None:
    """A better trial that is through sets the bar; a worse one that is through leaves it."""
    better, worse = (95.0, 95.0, 95.0, 95.0), (85.0, 85.0, 0.0, 0.0)
    late = (94.0, 99.0, 99.0, 99.0)
    assert ruled(rule, made(LEADER, better, late)).fits == 4 + 4 + 1
    assert ruled(rule, made(LEADER, late, worse, late)).chosen == 1
    through, hopeless = (81.0, 81.0, 81.0, 0.0), (65.0, 99.0, 99.0, 99.0)
    assert ruled(rule, made(LEADER, through, hopeless)).fits == 4 + 4 + 1


def test_the_wilcoxon_rule_needs_four_folds() -> None:
    """Optuna's rule stops a trial that is worse on every fold after its fourth, the first with p below 0.1."""
    best = [90.0 + fold for fold in range(10)]
    worse = [score - 5 - fold / 10 for fold, score in enumerate(best)]
    better = [score + 1 + fold / 10 for fold, score in enumerate(best)]
    run = ruled("wilcoxon", made(best, worse, better, worse))
    assert run == Run(2, 10 + 4 + 10 + 4, 28.0)


def test_two_lines_give_the_best_quarter_all_folds() -> None:
    """Twelve trials take one fold each, the best three of them the others; the best mean of those is chosen."""
    table = [[50.0 + n, 60.0, 60.0] for n in range(12)]
    table[8][1:] = [100.0, 100.0]
    table[11][1:] = [10.0, 10.0]
    task = made(*table, seconds=2.0)
    assert two_lines(task, range(12), 1, 12) == Run(10, 12 + 3 * 2, 36.0)
    assert two_lines(task, range(12), 6, 12) == Run(10, 18, 4.0 + 2.0)
    assert two_lines(task, [8, 0, 1, 2, 3, 4, 5, 6], 1, 4) == Run(8, 4 + 2, 12.0)


def test_equal_trials_are_chosen_by_their_order() -> None:
    """Of trials with equal scores every arm chooses the one that was first."""
    task = made(*[[80.0, 80.0]] * 8)
    placed = [2, 0, 1, 3, 4, 7, 6, 5]
    assert stopped_early(task, placed, 1, Limit(trials=8), RULES["full"]()).chosen == 2
    assert two_lines(task, placed, 1, 8).chosen == 2


def test_workers_run_the_folds_of_their_trial_in_turn() -> None:
    """Two workers take a trial each and the next when it is through; seconds are those of the last fit."""
    task = Task("by hand", np.full((3, 2), 80.0), np.array([1.0, 3.0, 1.0]), np.zeros(3))
    assert ruled("full", task, slots=2) == Run(0, 6, 6.0)
    assert ruled("full", task, slots=1) == Run(0, 6, 10.0)


def test_nothing_starts_at_the_limit() -> None:
    """At the limit of fits or seconds nothing new is started, and a trial without all folds is not chosen."""
    task = made((70.0, 70.0), (99.0, 99.0))
    assert ruled("full", task, fits=3) == Run(0, 3, 3.0)
    assert ruled("full", task, seconds=3.0) == Run(0, 3, 3.0)


@pytest.mark.parametrize("limit", [Limit(fits=100), Limit(seconds=100.0)])
@pytest.mark.parametrize(("each", "before"), [(2, 0), (1, 30)])
def test_the_largest_search_within_a_limit_is_found(limit: Limit, each: int, before: int) -> None:
    """A search comes within a few per cent of what it may take, and not above."""

    def search(trials: int) -> Run:
        fits = before + each * trials
        return Run(0, fits, float(fits))

    assert 94 <= within(search, limit, 400).fits <= 100


def test_a_limit_of_trials_is_taken_as_it_is() -> None:
    """A search that is limited by its trials alone has just them; one of four is run whatever it takes."""
    assert within(_twice, Limit(trials=30), 400).fits == 60
    assert within(_twice, Limit(fits=2), 400).fits == 8


def test_a_served_study_chooses_of_its_own_order() -> None:
    """The service tries the configurations that the peers get, saves fits, and finds the one that is better in every
    fold."""
    configurations, trials = order(3), 20
    assert sorted(configurations) == list(range(CONFIGURATIONS - 1))
    scores = np.random.default_rng(0).uniform(60, 80, (CONFIGURATIONS, 5))
    scores[configurations[trials - 1]] = 99
    scores[configurations[trials]] = 100
    run = served(Task("by hand", scores, np.full(CONFIGURATIONS, 0.1), scores.mean(axis=1)), 3, 1, trials)
    assert run.chosen == configurations[trials - 1]
    assert trials + 4 <= run.fits < 5 * trials
    assert run.seconds == pytest.approx(run.fits / 10)


def _twice(trials: int) -> Run:
    return Run(0, 2 * trials, 2.0 * trials)
