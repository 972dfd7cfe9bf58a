"""Descendants: trials that go on from another trial's checkpoints with other parameters.

Jaderberg et al., "Population Based Training of Neural Networks", 2017.
"""

from datetime import datetime

from searchd.conductor.active import ActiveStudy
from searchd.domain.population import explored
from searchd.domain.trial import FoldRun, FoldRunState, Origin, Trial, TrialNumber


def descendant(active: ActiveStudy, trial: Trial, now: datetime) -> Trial | None:
    """The trial that takes the place of a paused one: the donor's state, the donor's parameters changed.

    None if the trial is to go on by itself: it is good enough or the default configuration, nobody better is still in
    training, or the budget is used.
    """
    if trial.origin is Origin.DEFAULT or active.budget_left <= 0 or active.search_over:
        return None
    for number in active.scheduler.donors(trial.number, trial.rung - 1):
        donor = active.trials.get(number)
        if donor is not None and (runs := _left_by(active, donor)) is not None:
            return _from(active, donor, runs, now)
    return None


def _from(active: ActiveStudy, donor: Trial, runs: tuple[FoldRun, ...], now: datetime) -> Trial:
    spec = active.study.spec
    number = TrialNumber(active.last_number + 1)
    parameters = explored(spec.space, donor.parameters, spec.scheduler.explore, f"{spec.seed} {number}")
    return Trial(
        donor.study,
        number,
        parameters,
        Origin.DESCENT,
        created_at=now,
        scores=donor.scores,
        fold_runs=runs,
        others=donor.others,
        feasible=donor.feasible,
        of=donor.number,
        of_epoch=active.ladder[donor.rung - 1].epochs,
    )


def _left_by(active: ActiveStudy, donor: Trial) -> tuple[FoldRun, ...] | None:
    """Fold runs with what the donor has reached up to its newest rung; None if one of them left no checkpoint there."""
    rung = active.ladder[donor.rung - 1]
    left: list[FoldRun] = []
    for run in donor.fold_runs[: rung.folds]:
        count = sum(epoch <= rung.epochs for epoch, _ in run.scores)
        saved = rung.epochs in (epoch for epoch, _ in run.scores)
        if run.state is FoldRunState.FINISHED or not saved:
            return None
        left.append(
            FoldRun(
                run.repeat,
                run.fold,
                FoldRunState.WAITING,
                target=rung.epochs,
                epoch=rung.epochs,
                scores=run.scores[:count],
                others=run.others[:count],
            )
        )
    return tuple(left)
