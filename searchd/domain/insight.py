"""What a study tells beyond its ranking: the Pareto front, which parameters matter, and the anytime curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import fmean

from searchd.domain.fidelity import Fidelity
from searchd.domain.hypervolume import Point, hypervolume, is_affordable
from searchd.domain.objective import signed_values
from searchd.domain.space import Parameters
from searchd.domain.study import FrontPoint, Study, StudySpec
from searchd.domain.trial import Trial, TrialNumber


@dataclass(frozen=True, slots=True)
class ParetoTrial:
    """A trial of the front, and its values in the objectives' order and own signs; shape (n_objectives,)."""

    trial: Trial
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ParetoFront:
    """Part of a Pareto front, and the measure of the whole.

    Attributes:
        study: The study.
        trials: Trials of the front by number.
        hypervolume: Of the whole front above ``study.progress.worst``, in the product of the objectives' units; None
            with one objective, without a front, or if it would take too long.
    """

    study: Study
    trials: tuple[ParetoTrial, ...]
    hypervolume: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """A configuration and how good it was; larger is better, and comparable between the samples of one study."""

    parameters: Parameters
    worth: float


@dataclass(frozen=True, slots=True)
class Importance:
    """How much each parameter matters for being among the best trials.

    Attributes:
        metric: The objective that it is about.
        evaluator: How it was evaluated.
        rung: Where the trials were compared.
        trials: How many of them.
        best_share: Which share of them counts as the best, in (0, 1].
        shares: Each parameter's share of the whole, the largest first; they add up to 1, or all are 0.
    """

    metric: str
    evaluator: str
    rung: Fidelity
    trials: int
    best_share: float
    shares: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """How good the best was at a moment, and what had been done by then.

    Attributes:
        trial: The trial that had improved on all before.
        value: The best score at the top rung, or with several objectives the hypervolume; None if that would take too
            long.
        trials: Trials that had ended.
        fold_epochs: Fold epochs that had been trained.
        train_seconds: Seconds of training in them, summed over fold runs.
        wall_time: Since the study started.
    """

    trial: TrialNumber
    value: float | None
    trials: int
    fold_epochs: int
    train_seconds: float
    wall_time: timedelta


@dataclass(frozen=True, slots=True)
class Curve:
    """A study's anytime curve: where it improved, first to last, then where it stands; without points if nowhere."""

    study: Study
    points: tuple[CurvePoint, ...]


def front_of(study: Study) -> tuple[FrontPoint, ...]:
    """The study's Pareto front by number; with one objective its best trial alone."""
    progress = study.progress
    if len(study.spec.objectives) > 1 or progress.best is None:
        return progress.front
    return (FrontPoint(progress.best.trial, (progress.best.score,)),)


def dominated_volume(study: Study, points: Sequence[tuple[float, ...]]) -> float | None:
    """The hypervolume of objective values, shape (n_points, n_objectives), above the worst that the study has seen.

    Returns:
        None if it would take too long, or if the study has seen nothing.
    """
    objectives, worst = study.spec.objectives, study.progress.worst
    if not worst or not is_affordable(len(points), len(objectives)):
        return None
    signed: list[Point] = [signed_values(objectives, point) for point in points]
    return hypervolume(signed, signed_values(objectives, worst))


def worth_at(spec: StudySpec, trial: Trial, metric: str, rung: int) -> float | None:
    """How good a trial was at a rung, counted from 0, in one of the study's objectives; larger is better.

    Returns:
        None if the trial has not completed the rung, or its metric there is not known.
    """
    if trial.rung <= rung:
        return None
    goal = next(o.goal for o in spec.objectives if o.metric == metric)
    if metric == spec.objective.metric:
        return goal.signed(trial.scores[rung])
    place, fidelity = spec.others.index(metric), spec.ladder[rung]
    beside = [run.others_at(fidelity.epochs) for run in trial.fold_runs[: fidelity.folds]]
    if not all(beside):
        return None
    return goal.signed(fmean(values[place] for values in beside))
