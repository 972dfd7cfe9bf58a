"""The statistics of rankings, against SciPy and by hand."""

import math
import random
import statistics

import pytest
from scipy import stats

from searchd.domain.evaluation import Evaluation
from searchd.domain.fidelity import Fidelity
from searchd.domain.leaderboard import (
    Entry,
    PairedDifference,
    corrected_standard_error,
    edge_remarks,
    leaderboard,
    paired_difference,
    rung_scores,
    shrunk_means,
    t975,
    with_metrics,
)
from searchd.domain.objective import Goal
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.space import Choice, Float, Integer, Parameter, SearchSpace
from searchd.domain.study import StudySpec
from searchd.domain.trial import FoldRunState, Trial, TrialState
from tests.contracts.makers import fold_run, measurement, minimizing, spec, study, trial

LADDER = (Fidelity(1, 1), Fidelity(1, 4), Fidelity(3, 4))


def _spec() -> StudySpec:
    return spec(evaluation=Evaluation(folds=3, epochs=4, ladder=LADDER))


def _trial(number: int, *top: float, state: TrialState = TrialState.COMPLETED) -> Trial:
    """A trial with these scores on the folds of the top rung."""
    runs = tuple(
        fold_run(fold, state=FoldRunState.FINISHED, scores=((1, score / 2), (4, score)))
        for fold, score in enumerate(top)
    )
    return trial(number, state=state, scores=(top[0] / 2, top[0], statistics.fmean(top)), fold_runs=runs)


@pytest.mark.parametrize("degrees", [*range(1, 60), 99, 200, 499, 1000, 10_000])
def test_t_quantile_is_right_to_three_digits(degrees: int) -> None:
    """Student's 97.5% quantile agrees with SciPy's."""
    assert t975(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=6e-4)


@pytest.mark.parametrize(("folds", "repeats"), [(2, 1), (5, 1), (10, 1), (5, 3), (10, 10)])
def test_interval_is_the_corrected_resampled_t_test(folds: int, repeats: int) -> None:
    """Error and 95% interval are those of Nadeau and Bengio's corrected t-test, with n2/n1 = 1/(k-1)."""
    rng = random.Random(folds)
    a = [rng.gauss(0.9, 0.02) for _ in range(folds * repeats)]
    b = [x - rng.gauss(0.01, 0.02) for x in a]
    differences = [x - y for x, y in zip(a, b, strict=True)]
    n = len(differences)
    error = math.sqrt((1 / n + (1 / folds) / (1 - 1 / folds)) * statistics.variance(differences))
    assert corrected_standard_error(differences, folds) == pytest.approx(error)
    low, high = stats.t.interval(0.95, n - 1, loc=statistics.fmean(differences), scale=error)
    paired = paired_difference(a, b, folds, Goal.MAXIMIZE)
    assert paired is not None
    assert (paired.low, paired.high) == pytest.approx((low, high), rel=1e-3)
    assert paired.mean == pytest.approx(statistics.fmean(differences))
    assert paired.folds == n
    assert paired.tied == (low <= 0 <= high)


def test_lower_is_better_when_minimizing() -> None:
    """A paired difference is positive where the first is better, in the direction of the goal."""
    fewer, more = (0.1, 0.2, 0.1), (0.5, 0.6, 0.4)
    better = paired_difference(fewer, more, 3, Goal.MINIMIZE)
    assert better is not None
    assert better.mean == pytest.approx(0.3667, abs=1e-4)
    assert not better.tied


@pytest.mark.parametrize("values", [(), (0.5,)])
def test_fewer_than_two_folds_have_no_error(values: tuple[float, ...]) -> None:
    """Neither an error nor a difference can be told from fewer than two scores, or from a hold-out split."""
    assert corrected_standard_error(values, 5) is None
    assert paired_difference(values, values, 5, Goal.MAXIMIZE) is None
    assert corrected_standard_error((0.1, 0.2), 0) is None


def test_means_are_shrunk_by_what_noise_explains() -> None:
    """Of the variance of the means, what a two-way analysis of variance leaves to chance is taken away."""
    scores = [[0.90, 0.80, 0.70, 0.86], [0.93, 0.84, 0.75, 0.88], [0.92, 0.79, 0.73, 0.85]]
    means = [statistics.fmean(row) for row in scores]
    grand = statistics.fmean(means)
    columns = [statistics.fmean(column) for column in zip(*scores, strict=True)]
    rest = [scores[i][j] - means[i] - columns[j] + grand for i in range(3) for j in range(4)]
    noise = sum(value**2 for value in rest) / (2 * 3) / 4
    weight = 1 - noise / statistics.variance(means)
    assert 0.5 < weight < 1
    assert shrunk_means(scores) == pytest.approx([grand + weight * (mean - grand) for mean in means])


def test_a_fold_that_is_hard_for_all_shrinks_nothing() -> None:
    """Candidates that differ by the same in every fold run keep their means, however hard some of them are."""
    scores = [[0.9, 0.1, 0.5], [0.91, 0.11, 0.51]]
    assert shrunk_means(scores) == pytest.approx([0.5, 0.51])


@pytest.mark.parametrize(
    ("scores", "shrunk"),
    [
        ([[1.0, 3.0], [3.0, 1.5]], [2.125, 2.125]),
        ([[1.0], [2.0]], [1.0, 2.0]),
        ([[1.0, 4.0]], [2.5]),
        ([[1.0, 1.0], [1.0, 1.0]], [1.0, 1.0]),
        ([[1e200, 2e200], [3e200, 5e200]], [1.55e200, 3.95e200]),
    ],
    ids=["only noise", "one fold run", "one candidate", "no difference", "huge"],
)
def test_shrinking_has_its_limits(scores: list[list[float]], shrunk: list[float]) -> None:
    """What is only noise becomes equal; where nothing is known of noise the means stay as they are."""
    assert shrunk_means(scores) == pytest.approx(shrunk)


def test_difference_that_is_always_the_same_is_no_tie() -> None:
    """Without any spread the interval is a point: a tie only if it is zero."""
    assert PairedDifference(0.0, 0.0, 0.0, 3).tied
    same = paired_difference((0.5, 0.5), (0.25, 0.25), 2, Goal.MAXIMIZE)
    assert same is not None
    assert (same.low, same.high, same.tied) == (0.25, 0.25, False)


def test_board_ranks_compares_and_lists_partial_trials() -> None:
    """Top-rung trials are ranked and compared with the first; partial ones have their own rung and no comparison."""
    first = _trial(4, 0.92, 0.90, 0.94)
    near = _trial(2, 0.93, 0.88, 0.92)
    far = _trial(9, 0.52, 0.50, 0.54)
    partial = trial(
        3, state=TrialState.STOPPED, scores=(0.4, 0.97), fold_runs=(fold_run(scores=((1, 0.4), (4, 0.97))),)
    )
    board = leaderboard(study(spec=_spec()), [first, near, far, partial])
    assert [(e.rank, e.trial.number, e.tied) for e in board.entries] == [
        (1, 4, False),
        (2, 2, True),
        (3, 9, False),
        (0, 3, False),
    ]
    assert [e.mean for e in board.entries] == [pytest.approx(m) for m in (0.92, 0.91, 0.52, 0.97)]
    assert board.entries[0].standard_error == pytest.approx(0.02 * math.sqrt(1 / 3 + 1 / 2))
    assert board.entries[3].rung == LADDER[1]
    assert board.entries[3].standard_error is None
    assert leaderboard(study(spec=_spec()), []).entries == ()


def test_losses_are_compared_downwards() -> None:
    """On a board of losses the differences to the first are negative for larger losses."""
    lossy = minimizing(evaluation=Evaluation(folds=3, epochs=4, ladder=LADDER))
    board = leaderboard(study(spec=lossy), [_trial(1, 0.1, 0.2, 0.3), _trial(2, 0.5, 0.7, 0.6)])
    versus = board.entries[1].versus_first
    assert versus is not None
    assert versus.mean == pytest.approx(-0.4)


def test_hold_out_boards_tell_no_ties() -> None:
    """With a single split there is no error, no difference and no tie."""
    held = spec(scheduler=Scheduler(SchedulerAlgorithm.NONE))
    rows = [
        trial(n, state=TrialState.COMPLETED, scores=(0.9,), fold_runs=(fold_run(scores=((1, 0.9),)),)) for n in (1, 2)
    ]
    board = leaderboard(study(spec=held), rows)
    assert [(e.rank, e.standard_error, e.versus_first, e.tied) for e in board.entries] == [
        (1, None, None, False),
        (2, None, None, False),
    ]


def test_rung_scores_need_every_fold() -> None:
    """The scores of a rung are all its folds' or none; an early return counts with its last score."""
    whole = _trial(1, 0.1, 0.2, 0.3)
    assert rung_scores(whole, LADDER[2]) == (0.1, 0.2, 0.3)
    assert rung_scores(whole, LADDER[0]) == (0.05,)
    assert rung_scores(whole, Fidelity(4, 4)) is None
    early = trial(fold_runs=(fold_run(state=FoldRunState.FINISHED, scores=((2, 0.7),)),))
    assert rung_scores(early, LADDER[1]) == (0.7,)
    running = trial(fold_runs=(fold_run(scores=((2, 0.7),)),))
    assert rung_scores(running, LADDER[1]) is None


def test_metrics_are_those_of_the_rung() -> None:
    """Metrics are averaged over the rung's folds at its epochs; those of later epochs and other folds are left out."""
    entry = Entry(1, _trial(1, 0.1, 0.2, 0.3), 0.2, None, None, Fidelity(2, 4))
    rows = [
        measurement(fold=fold, epoch=epoch, metrics={"f1": fold + epoch / 10, **({"auc": 0.5} if fold else {})})
        for fold in (0, 1, 2)
        for epoch in (1, 4, 9)
    ]
    assert with_metrics(entry, rows, 2).metrics == pytest.approx({"auc": 0.5, "f1": 0.9})
    assert with_metrics(entry, [], 2).metrics == {}


def test_values_near_a_bound_are_remarked() -> None:
    """A best value in the outer 5% of its range, on its own scale, suggests to widen it; choices have no range."""
    space = SearchSpace(
        (
            Parameter("lr", Float(1e-4, 1e-1, log=True)),
            Parameter("width", Integer(1, 101)),
            Parameter("depth", Integer(1, 4)),
            Parameter("name", Choice(("a", "b"))),
            Parameter("fixed", Float(1.0, 1.0)),
            Parameter("absent", Float(0.0, 1.0)),
        )
    )
    high = {"lr": 0.09, "width": 100, "depth": 3, "name": "b", "fixed": 1.0}
    assert edge_remarks(space, high) == (
        "lr is near its upper bound: widen it?",
        "width is near its upper bound: widen it?",
    )
    assert edge_remarks(space, {"lr": 1.1e-4, "width": 50}) == ("lr is near its lower bound: widen it?",)
    assert edge_remarks(space, {"lr": 3e-3, "width": 50}) == ()
