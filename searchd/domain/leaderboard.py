"""Rankings with honest uncertainty: corrected standard errors, paired differences, ties."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from searchd.domain.fidelity import Fidelity
from searchd.domain.measurement import Measurement
from searchd.domain.objective import Goal
from searchd.domain.space import Float, Integer, Parameters, SearchSpace
from searchd.domain.study import Study
from searchd.domain.trial import Trial

# Student's t at 97.5% for 1, 2, … 30 degrees of freedom; beyond, the next line's expansion is right to 3 digits.
_T975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def t975(degrees: int) -> float:
    """Student's t quantile at 97.5% for ``degrees`` of freedom (at least 1)."""
    return _T975[degrees - 1] if degrees <= len(_T975) else 1.95996 + 2.372 / degrees + 2.82 / degrees**2


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean difference over the same folds, positive where the first is better, with its 95% interval."""

    mean: float
    low: float
    high: float
    folds: int

    @property
    def tied(self) -> bool:
        """Whether the interval contains 0."""
        return self.low <= 0.0 <= self.high


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a leaderboard.

    Attributes:
        rank: Place among the trials at the top rung, from 1; 0 for partial ones.
        trial: The trial.
        mean: Mean score over the folds of its highest completed rung.
        standard_error: Corrected standard error of the mean; None with fewer than 2 folds.
        versus_first: This trial against the first on the same folds; None for the first, for partial trials, or with
            fewer than 2 folds.
        rung: The rung it completed.
        metrics: Means of all reported metrics at that rung.
    """

    rank: int
    trial: Trial
    mean: float
    standard_error: float | None
    versus_first: PairedDifference | None
    rung: Fidelity
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def tied(self) -> bool:
        """Whether it cannot be told from the first."""
        return self.versus_first is not None and self.versus_first.tied


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """A study and its ranking: the top rung best first, then partial trials."""

    study: Study
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class BestConfig:
    """The best configuration, with how sure it is.

    Attributes:
        study: The study.
        best: The best trial at the top rung.
        parameters: Its parameters with the study's fixed ones.
        default: The default configuration's line, or None.
        gain: Best against default on the same folds; None without a default or if they are one trial.
        tied: Numbers of the trials tied with the best, best first.
        remarks: What a reader should know, one sentence each.
    """

    study: Study
    best: Entry
    parameters: Parameters
    default: Entry | None
    gain: PairedDifference | None
    tied: tuple[int, ...]
    remarks: tuple[str, ...]


def corrected_standard_error(values: Sequence[float], folds: float) -> float | None:
    """Standard error of a cross-validated mean: s * sqrt(1/n + 1/(folds - 1)), or None for fewer than 2 values.

    Folds share training rows, so the plain s / sqrt(n) is too small. Nadeau and Bengio, "Inference for the
    Generalization Error", Machine Learning 52, 2003: the test-to-train ratio of k-fold is 1/(k-1).

    Args:
        values: Scores, shape (n_fold_runs,).
        folds: Folds of one repeat, at least 2; of a hold-out the reciprocal of its share.
    """
    if len(values) < 2 or folds < 2:
        return None
    return statistics.stdev(values) * math.sqrt(1 / len(values) + 1 / (folds - 1))


def shrunk_means(scores: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Means moved towards their grand mean by as much as their noise suggests; shape (n_candidates,).

    Efron and Morris, "Data Analysis Using Stein's Estimator and its Generalizations", JASA 70, 1975: the variance
    between candidates is what of the means' variance noise does not explain. Noise is what neither the candidate nor
    the fold run explains: all meet the same fold runs, and one that is hard moves nobody past another. The means stay
    in their order, or become equal.

    Args:
        scores: Of each candidate, at least one, in the same fold runs, at least one; shape (n_candidates, n_fold_runs).
            A single fold run tells nothing of the noise, and leaves the means as they are.
    """
    means = [statistics.fmean(candidate) for candidate in scores]
    grand = statistics.fmean(means)
    spread = statistics.stdev(means) if len(means) > 1 else 0.0
    fold_runs = [statistics.fmean(column) - grand for column in zip(*scores, strict=True)]
    if not spread or len(fold_runs) == 1:
        return tuple(means)
    rest = [
        score - mean - hard
        for candidate, mean in zip(scores, means, strict=True)
        for score, hard in zip(candidate, fold_runs, strict=True)
    ]
    noise = math.hypot(*rest) / math.sqrt((len(means) - 1) * (len(fold_runs) - 1) * len(fold_runs))
    weight = max(1 - (noise / spread) ** 2, 0.0)
    return tuple(grand + weight * (mean - grand) for mean in means)


def paired_difference(a: Sequence[float], b: Sequence[float], folds: int, goal: Goal) -> PairedDifference | None:
    """How much better ``a`` is than ``b`` on the same fold runs, shapes (n_fold_runs,); None for fewer than 2."""
    differences = [goal.signed(x) - goal.signed(y) for x, y in zip(a, b, strict=True)]
    error = corrected_standard_error(differences, folds)
    if error is None:
        return None
    mean = statistics.fmean(differences)
    margin = t975(len(differences) - 1) * error
    return PairedDifference(mean, mean - margin, mean + margin, len(differences))


def rung_scores(trial: Trial, rung: Fidelity) -> tuple[float, ...] | None:
    """Scores of the trial's fold runs at a rung, in fold order, shape (rung.folds,); None if it is not complete."""
    scores = [run.score_at(rung.epochs) for run in trial.fold_runs[: rung.folds]]
    if len(scores) < rung.folds or any(score is None for score in scores):
        return None
    return tuple(score for score in scores if score is not None)


def leaderboard(study: Study, ranked: Sequence[Trial]) -> Leaderboard:
    """The ranking of ``ranked``, which is in the store's order: rung, then mean, then number."""
    ladder = study.spec.ladder
    folds = study.spec.evaluation.folds
    goal = study.spec.objective.goal
    first: tuple[float, ...] | None = None
    entries = []
    for place, trial in enumerate(ranked, start=1):
        rung = ladder[trial.rung - 1]
        top = trial.rung == len(ladder)
        scores = rung_scores(trial, rung) or ()
        versus = None
        if top and first is None:
            first = scores
        elif top and first is not None:
            versus = paired_difference(scores, first, folds, goal)
        error = corrected_standard_error(scores, folds)
        entries.append(Entry(place if top else 0, trial, trial.scores[-1], error, versus, rung))
    return Leaderboard(study, tuple(entries))


def with_metrics(entry: Entry, measurements: Sequence[Measurement], fold_runs: int) -> Entry:
    """The entry with the mean of every metric at its rung, over the fold runs that reported it there or last before."""
    latest: dict[tuple[int, int], Measurement] = {}
    for m in measurements:
        if m.epoch <= entry.rung.epochs:
            latest[m.repeat, m.fold] = m
    counted = list(latest.values())[:fold_runs]
    names = {name for m in counted for name in m.metrics}
    means = {name: statistics.fmean(m.metrics[name] for m in counted if name in m.metrics) for name in sorted(names)}
    return Entry(entry.rank, entry.trial, entry.mean, entry.standard_error, entry.versus_first, entry.rung, means)


def edge_remarks(space: SearchSpace, parameters: Parameters) -> tuple[str, ...]:
    """A remark for each numeric parameter of the best configuration that lies in the outer 5% of its range."""
    remarks = []
    for parameter in space.parameters:
        value, domain = parameters.get(parameter.name), parameter.domain
        if value is None or not isinstance(domain, Float | Integer):
            continue
        high = domain.high if isinstance(domain, Float) else domain.high - 1
        if domain.log:
            share = math.log(value / domain.low) / math.log(high / domain.low) if high > domain.low else 0.5
        else:
            share = (value - domain.low) / (high - domain.low) if high > domain.low else 0.5
        if isinstance(domain, Float) or high - domain.low >= 20:
            if share > 0.95:
                remarks.append(f"{parameter.name} is near its upper bound: widen it?")
            elif share < 0.05:
                remarks.append(f"{parameter.name} is near its lower bound: widen it?")
    return tuple(remarks)
