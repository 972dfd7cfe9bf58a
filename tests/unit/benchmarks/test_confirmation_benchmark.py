"""The benchmark of confirmation: its studies and its arithmetic, on tables that are made by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from benchmarks.report import Report, document
from benchmarks.search.confirmation import (
    CONFIRM,
    FRESH,
    SEARCHED,
    SECONDS,
    TRIALS,
    Outcome,
    figures,
    interval,
    is_worse,
    judged,
    optimism,
    played,
    regret,
    served,
)
from benchmarks.search.confirmation_table import CONFIGURATIONS, DEFAULT, FOLDS, REPEATS, SPLITS, Task, tasks
from benchmarks.search.fold_peers import Run
from benchmarks.search.fold_service import NAME
from searchd.domain.trial import Origin, TrialNumber

SEED = 5


def flat(value: float) -> NDArray[np.float64]:
    """Scores of a table in which everything is the same."""
    return np.full((CONFIGURATIONS + 1, REPEATS, FOLDS), value)


def made(scores: NDArray[np.float64], name: str = "tree-made-0") -> Task:
    """A task whose test scores are the means of its fresh repeats."""
    return Task(name, scores, scores[:, FRESH].mean(axis=(1, 2)))


def tried() -> list[int]:
    """What a study of the seed tries, in order, the default first."""
    _, store, _ = served(made(flat(50)), SEED, TRIALS, None)
    return [store.trial(NAME, TrialNumber(n)).parameters["configuration"] for n in range(1, TRIALS + 1)]


def flattered() -> tuple[Task, int, int]:
    """A task with a configuration that its search flatters and one that is what it seems, and where these are."""
    lucky, good = tried()[20], tried()[10]
    scores = flat(50)
    scores[DEFAULT] = 80
    scores[good] = 90
    scores[lucky, SEARCHED], scores[lucky, FRESH] = 95, 70
    return made(scores), lucky, good


def test_confirmation_finds_out_who_was_flattered() -> None:
    """Without confirmation the flattered one is chosen, also at equal cost; with it, the one that is good."""
    task, lucky, good = flattered()
    outcome = played(task, SEED)
    assert (outcome.without.chosen, outcome.confirmed.chosen, outcome.longer.chosen) == (lucky, good, lucky)
    assert [is_worse(task, run.chosen) for run in (outcome.without, outcome.confirmed)] == [True, False]
    assert outcome.confirmed.fits - outcome.without.fits in (30, 40)
    assert outcome.without.fits < outcome.longer.fits <= outcome.confirmed.fits
    assert outcome.confirmed.seconds == SECONDS * outcome.confirmed.fits
    assert outcome.shrunk == pytest.approx(90)


def test_the_search_is_the_same_with_confirmation_and_without() -> None:
    """Until confirmation begins, a study goes as one without it: trial by trial, fit by fit."""
    scores = np.random.default_rng(0).normal(80, 5, (CONFIGURATIONS + 1, REPEATS, FOLDS))
    (ours, store, fits), (other, bare, alone) = (served(made(scores), SEED, TRIALS, c) for c in (CONFIRM, None))
    assert ours.progress.best == other.progress.best
    assert (fits[0], alone[1]) == (alone[0], 0)
    assert fits[1] == 10 * len(ours.progress.confirmed)
    for number in range(1, TRIALS + 1):
        trials = [of.trial(NAME, TrialNumber(number)) for of in (store, bare)]
        assert trials[0].scores == trials[1].scores
        assert trials[0].origin is (Origin.DEFAULT if number == 1 else Origin.SEARCH)


def test_confirmations_meet_other_folds_than_the_search() -> None:
    """What the service says of the candidates is the table's mean over the fresh repeats, the default's too."""
    scores = np.random.default_rng(1).normal(80, 5, (CONFIGURATIONS + 1, REPEATS, FOLDS))
    study, store, _ = served(made(scores), SEED, TRIALS, CONFIRM)
    places = [store.trial(NAME, TrialNumber(c.trial)).parameters["configuration"] for c in study.progress.confirmed]
    assert DEFAULT in places
    for place, candidate in zip(places, study.progress.confirmed, strict=True):
        assert candidate.mean == pytest.approx(scores[place, FRESH].mean())
        assert candidate.selected == pytest.approx(scores[place, SEARCHED].mean())


@pytest.mark.filterwarnings("ignore")
def test_a_study_that_finds_nothing_is_an_error() -> None:
    """Where every score is NaN there is no choice, and the error names task and seed."""
    with pytest.raises(RuntimeError, match=r"tree-made-0, seed 5: the study is failed"):
        served(made(flat(float("nan"))), SEED, TRIALS, CONFIRM)


def test_choices_are_judged_on_the_rows_for_test() -> None:
    """Worse is what is below the default, not its equal; regret is to the best of all; optimism what is promised."""
    task, lucky, good = flattered()
    assert [is_worse(task, chosen) for chosen in (lucky, DEFAULT, good)] == [True, False, False]
    assert [regret(task, chosen) for chosen in (lucky, DEFAULT, good)] == [20, 10, 0]
    assert [optimism(task, lucky, of) for of in (SEARCHED, FRESH)] == [25, 0]


def test_studies_of_a_task_are_averaged() -> None:
    """Tasks count once each, whatever the number of their studies, in the order of their first."""
    chosen = [("b", 1), ("a", 5), ("b", 3)]
    outcomes = [
        Outcome(made(flat(50), name), run, run, run, 50.0) for name, place in chosen for run in [Run(place, 1, 1.0)]
    ]
    assert judged(outcomes, lambda outcome: outcome.without.chosen, lambda _, chosen: chosen).tolist() == [2, 5]


def test_an_interval_holds_the_mean() -> None:
    """The interval is the same each time, holds the mean, and is a point where nothing differs."""
    values = np.random.default_rng(2).normal(1, 2, 100)
    low, high = interval(values)
    assert interval(values) == (low, high)
    assert low < values.mean() < high
    assert high - low == pytest.approx(4 * 2 / 10, rel=0.3)
    assert interval(np.full(7, 3.0)) == (3, 3)


def test_figures_say_what_came_out() -> None:
    """Shares, regrets, optimism and differences of two tasks are those that are worked out by hand."""
    task, lucky, good = flattered()
    other = Task("svc-made-0", task.scores, task.test)
    chosen, default = Run(good, 130, 1.0), Run(DEFAULT, 110, 1.0)
    outcomes = [
        Outcome(task, Run(lucky, 100, 1.0), chosen, default, 88.0),
        Outcome(other, Run(good, 80, 1.0), default, default, 79.0),
    ]
    found = {figure.name: figure.value for figure in figures(outcomes)}
    assert document("made", [Report("made", (), tuple(figures(outcomes)))])
    assert found["worse_than_default_without"] == 0.5
    assert found["worse_than_default_with"] == found["worse_than_default_equal_cost"] == 0
    assert found["worse_than_default_with_vs_without"] == -0.5
    assert found["test_regret_points_without"] == 10
    assert found["test_regret_points_with"] == 5
    assert found["test_regret_points_with_vs_equal_cost"] == -5
    assert found["test_regret_points_default"] == 10
    assert found["test_regret_points_with_vs_without_low"] == -20
    assert found["test_regret_points_with_vs_without_high"] == 10
    assert found["optimism_points_without"] == 12.5
    assert found["optimism_points_with"] == found["optimism_points_default"] == 0
    assert found["optimism_points_with_shrunk"] == -1.5
    assert found["confirmation_fits_with"] == 120
    assert found["confirmation_changes_choice"] == 1
    assert found["worse_than_default/tree-made/without"] == 1
    assert found["worse_than_default/svc-made/without"] == 0


def test_the_table_has_what_scikit_learn_says() -> None:
    """The default's row is had again from scikit-learn: repeats divide the rows with the seeds after the split's."""
    split = SPLITS - 1
    task = next(task for task in tasks([split]) if task.name == f"tree-wine-{split}")
    assert task.scores.shape == (CONFIGURATIONS + 1, REPEATS, FOLDS)
    x, y = load_wine(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, train_size=100, stratify=y, random_state=split)
    tree = make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0))
    for repeat in range(REPEATS):
        parts = StratifiedKFold(FOLDS, shuffle=True, random_state=split + repeat).split(x, y)
        scores = [100 * tree.fit(x[a], y[a]).score(x[b], y[b]) for a, b in parts]
        assert task.scores[DEFAULT, repeat] == pytest.approx(scores)
    assert task.test[DEFAULT] == pytest.approx(100 * tree.fit(x, y).score(x_test, y_test))
    assert all(task.test.min() >= 0 and task.test.max() <= 100 for task in tasks([0]))
