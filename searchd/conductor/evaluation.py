"""How trials are evaluated: reports become scores, scores complete rungs, rungs decide what becomes of the trial."""

import statistics
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from searchd.conductor.active import ActiveStudy, in_flight, opened
from searchd.conductor.mind import Mind
from searchd.conductor.racing import race_lost
from searchd.domain.evaluation import Racing
from searchd.domain.facts import MeasurementAdded, TrialPut
from searchd.domain.failure import Failure
from searchd.domain.measurement import Measurement, is_finite
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.study import StudyState
from searchd.domain.trial import (
    FoldRun,
    FoldRunKey,
    FoldRunState,
    Origin,
    Trial,
    TrialState,
    keeps_limits,
)
from searchd.ports.engine import CancelSegment, Ended, Forget, Outcome, Report, SegmentReported
from searchd.ports.scheduler import Verdict

LASTING_SECONDS = 20.0
"""Fold runs that train longer may have left a checkpoint even where no rung asked for one."""


def held_run(active: ActiveStudy, key: FoldRunKey, attempt: int) -> tuple[Trial, int, FoldRun] | None:
    """The trial, index and fold run that an attempt belongs to; None if the attempt is not the newest or is over."""
    trial = active.trials.get(key.trial)
    index = active.index(key.repeat, key.fold)
    if trial is None or index >= len(trial.fold_runs) or key.born != active.task.born:
        return None
    run = trial.fold_runs[index]
    if run.state is not FoldRunState.HANDED_OUT or run.attempt != attempt:
        return None
    return trial, index, run


def reported(mind: Mind, active: ActiveStudy, event: SegmentReported, now: datetime) -> None:
    """Take in what a worker reported; late and duplicate reports change nothing.

    A study that has been set aside takes nothing in: what could not be decided on once would fail again.
    """
    found = held_run(active, event.key, event.attempt)
    if found is None:
        return
    trial, index, run = found
    if active.study.state is StudyState.PAUSED:
        if event.ended is not None:
            mind.emit(TrialPut(handed_back(active, trial, index, run)))
        return
    before = trial
    for report in event.reports:
        trial = _report_taken(mind, active, trial, index, event.attempt, report, now)
        if trial.state.ended or trial.fold_runs[index].state is not FoldRunState.HANDED_OUT:
            break
    else:
        if event.ended is not None:
            trial = _segment_ended(mind, active, trial, index, event.ended, now)
    if trial is not before:
        mind.emit(TrialPut(trial))


def _report_taken(
    mind: Mind, active: ActiveStudy, trial: Trial, index: int, attempt: int, report: Report, now: datetime
) -> Trial:
    run = trial.fold_runs[index]
    trace = active.traces.get((trial.number, index))
    if trace is not None and trace.attempt == attempt and report.epoch <= trace.epoch:
        return trial
    measurement = Measurement(
        trial.number, run.repeat, run.fold, report.epoch, attempt, report.metrics, report.seconds, report.at
    )
    mind.emit(MeasurementAdded(active.study.name, measurement))
    active.count(measurement)
    trial = replace(trial, train_seconds=trial.train_seconds + report.seconds)
    for metric in active.task.metrics:
        value = report.metrics.get(metric)
        if value is None:
            known = ", ".join(sorted(report.metrics)) or "nothing"
            reason = f"epoch {report.epoch} reported no {metric!r}, only {known}"
            return _refused(mind, active, trial, index, Failure.METRIC_MISSING, now, reason)
        if not is_finite(value):
            reason = f"{metric} is {value} at epoch {report.epoch} of fold {run.fold}"
            return _refused(mind, active, trial, index, Failure.NOT_FINITE, now, reason)
    if report.epoch not in active.ladder_epochs:
        return trial
    return advance(mind, active, _scored(active, trial, index, report.epoch), now)


def _refused(
    mind: Mind, active: ActiveStudy, trial: Trial, index: int, failure: Failure, now: datetime, reason: str
) -> Trial:
    """The trial after a report that its segment cannot go on from."""
    _cancel(mind, active, trial, index)
    return failed(mind, active, trial, index, failure, now, reason)


def _cancel(mind: Mind, active: ActiveStudy, trial: Trial, index: int) -> None:
    """Have the worker that holds a fold run let it go."""
    run = trial.fold_runs[index]
    held = (active.key(trial, run), run.attempt)
    holder = mind.holders.get(held) if run.state is FoldRunState.HANDED_OUT else None
    if holder is not None:
        mind.command(CancelSegment(holder.id, *held))


def _scored(active: ActiveStudy, trial: Trial, index: int, epoch: int) -> Trial:
    """The trial with the fold run's standing score noted at an epoch."""
    run = trial.fold_runs[index]
    counted = active.counted(run, active.traces[trial.number, index])
    if counted is None or (run.scores and run.scores[-1][0] >= epoch):
        return trial
    others = (*run.others, counted.others) if counted.others else ()
    scored = replace(run, scores=(*run.scores, (epoch, counted.score)), others=others, epoch=max(run.epoch, epoch))
    return trial.with_fold_run(index, scored)


def _segment_ended(mind: Mind, active: ActiveStudy, trial: Trial, index: int, ended: Ended, now: datetime) -> Trial:
    run = trial.fold_runs[index]
    trace = active.traces.get((trial.number, index))
    match ended.outcome:
        case Outcome.REACHED | Outcome.FINISHED:
            finished = ended.outcome is Outcome.FINISHED or ended.epoch >= active.ladder[-1].epochs
            state = FoldRunState.FINISHED if finished else FoldRunState.WAITING
            if finished and trace is not None:
                trial = _scored(active, trial, index, ended.epoch)
            trial = trial.with_fold_run(index, replace(trial.fold_runs[index], state=state, epoch=ended.epoch))
            if trial.fold_runs[index].score_at(run.target) is None:
                reason = f"fold {run.fold} ended at epoch {ended.epoch} without reporting a score"
                return failed(mind, active, trial, index, Failure.METRIC_MISSING, now, reason, ended.log_tail)
            return _gone_on(mind, active, trial, now)
        case Outcome.INFEASIBLE:
            failure = ended.failure or Failure.NOT_FINITE
            return failed(mind, active, trial, index, failure, now, ended.reason, ended.log_tail)
        case Outcome.FAILED:
            failure = ended.failure or Failure.ERROR
            return failed(mind, active, trial, index, failure, now, ended.reason, ended.log_tail)
        case Outcome.CANCELLED | Outcome.DRAINED:
            if trace is not None and trace.attempt == run.attempt and ended.outcome is Outcome.DRAINED:
                trial = _scored(active, trial, index, ended.epoch)
                run = trial.fold_runs[index]
            return handed_back(active, trial, index, replace(run, epoch=max(run.epoch, ended.epoch)))
        case _:
            assert_never(ended.outcome)


def _gone_on(mind: Mind, active: ActiveStudy, trial: Trial, now: datetime) -> Trial:
    """What follows from a fold run's having reached its target.

    If the trial climbed at its last report, which came before its end, the fold run goes on at once. If a race goes on,
    the next fold is due when none is left with a worker.
    """
    opened_again = opened(active, trial) if trial.state is TrialState.RUNNING else trial
    after = advance(mind, active, opened_again, now)
    if after.state is not TrialState.RUNNING or after.rung > trial.rung:
        return after
    if active.study.spec.evaluation.racing is Racing.NONE or trial.origin.repeats:
        due = opened_again is not trial
    else:
        due = not in_flight(after) and next_ready(active, after) is not None
    if due:
        active.ready.appendleft(trial.number)
    return after


def handed_back(active: ActiveStudy, trial: Trial, index: int, run: FoldRun) -> Trial:
    """The trial with a fold run that must be handed out again."""
    active.ready.appendleft(trial.number)
    return trial.with_fold_run(index, replace(run, state=FoldRunState.READY))


def failed(
    mind: Mind,
    active: ActiveStudy,
    trial: Trial,
    index: int,
    failure: Failure,
    now: datetime,
    reason: str,
    log_tail: str = "",
) -> Trial:
    """The trial after an attempt at a fold run failed: handed out again, or ended if that has happened too often."""
    run = trial.fold_runs[index]
    retries = active.study.spec.retry.of(failure)
    before = run.failures.count(failure)
    if before < retries:
        return handed_back(active, trial, index, replace(run, failures=(*run.failures, failure)))
    if retries:
        reason = f"{reason} (attempt {before + 1} of {retries + 1})"
    state = TrialState.INFEASIBLE if failure is Failure.NOT_FINITE else TrialState.FAILED
    return end_trial(mind, active, trial, state, now, reason, log_tail, failure)


def advance(mind: Mind, active: ActiveStudy, trial: Trial, now: datetime) -> Trial:
    """Complete every rung that has all its scores, and say what becomes of the trial. Paused trials stay where they
    are: they complete nothing before they are promoted."""
    while trial.state is TrialState.RUNNING:
        rung = active.rung_of(trial)
        scores = {
            index: score
            for index, run in enumerate(trial.fold_runs[: rung.folds])
            if (score := run.score_at(rung.epochs)) is not None
        }
        if len(scores) < rung.folds:
            return _raced(mind, active, trial, scores, now)
        mean = statistics.fmean(scores.values())
        beside = [run.others_at(rung.epochs) for run in trial.fold_runs[: rung.folds]]
        others = tuple(map(statistics.fmean, zip(*beside, strict=True)))
        trial = trial.climbed(mean, others, keeps_limits(active.study.spec, others))
        if active.lineage.stands_alone(trial):
            _forget(mind, active, trial)
        if trial.rung == len(active.ladder) or trial.origin.repeats:
            return end_trial(mind, active, trial, TrialState.COMPLETED, now)
        match _verdict(active, trial, mean):
            case Verdict.CLIMB:
                trial = queued(active, opened(active, trial))
                active.observe(trial)
            case Verdict.PAUSE:
                trial = trial.paused()
                active.observe(trial)
                return trial
            case Verdict.STOP:
                reason = f"{_too_bad(active.study.spec.scheduler)} at {rung_text(active, trial.rung - 1)}"
                return end_trial(mind, active, trial, TrialState.STOPPED, now, reason)
    return trial


def _verdict(active: ActiveStudy, trial: Trial, mean: float) -> Verdict:
    signed = active.goal.signed(mean)
    if trial.origin is Origin.DEFAULT:
        active.scheduler.recorded(trial.number, trial.rung - 1, signed, climbed=True)
        return Verdict.CLIMB
    return active.scheduler.completed(trial.number, trial.rung - 1, signed)


def _too_bad(scheduler: Scheduler) -> str:
    """Why a scheduler stops a trial at a rung."""
    if scheduler.algorithm is SchedulerAlgorithm.MEDIAN:
        return "worse than the median of the others"
    return f"not among the best 1/{scheduler.eta}"


def _raced(mind: Mind, active: ActiveStudy, trial: Trial, scores: dict[int, float], now: datetime) -> Trial:
    """The trial, ended if its race is lost."""
    rule = active.study.spec.evaluation.racing
    incumbent = active.standing.incumbents[trial.rung] if not trial.origin.repeats else None
    if (
        scores
        and rule is not Racing.NONE
        and incumbent is not None
        and trial.origin is not Origin.DEFAULT
        and race_lost(rule, scores, incumbent.scores, active.goal)
    ):
        reason = (
            f"lost the race at {rung_text(active, trial.rung)} after {len(scores)} folds to trial {incumbent.trial}"
        )
        return end_trial(mind, active, trial, TrialState.STOPPED, now, reason)
    return trial


def rung_text(active: ActiveStudy, rung: int) -> str:
    """What a rung asks for, in words."""
    folds, epochs = active.ladder[rung].folds, active.ladder[rung].epochs
    return f"{folds} fold{'s' * (folds > 1)} x {epochs} epoch{'s' * (epochs > 1)}"


def end_trial(
    mind: Mind,
    active: ActiveStudy,
    trial: Trial,
    state: TrialState,
    now: datetime,
    reason: str = "",
    log_tail: str = "",
    failure: Failure | None = None,
) -> Trial:
    """The trial in a final state; its fold runs that workers hold are cancelled, its files released."""
    for index in range(len(trial.fold_runs)):
        _cancel(mind, active, trial, index)
    if trial.state is TrialState.PAUSED:
        active.scheduler.forget(trial.number, trial.rung - 1)
    ended = trial.ended(state, now, reason, log_tail, failure)
    lasted = trial.train_seconds > LASTING_SECONDS or any(run.attempt > 1 for run in trial.fold_runs)
    if lasted or len(active.ladder) > 1:
        _forget(mind, active, ended)
    active.observe(ended)
    return ended


def _forget(mind: Mind, active: ActiveStudy, trial: Trial) -> None:
    """Have the files deleted that nobody needs any more now that the trial is as it is."""
    for number in active.lineage.forgettable(trial):
        mind.command(Forget(trial.study, number))


def queued(active: ActiveStudy, trial: Trial, taken: int = 0) -> Trial:
    """Note that the trial's READY fold runs wait: all at once without a race, else one and the rest if slots idle.
    The first ``taken``, 0 or 1, are about to be handed out."""
    waiting = sum(run.state is FoldRunState.READY for run in trial.fold_runs)
    if active.study.spec.evaluation.racing is Racing.NONE or trial.origin.repeats:
        active.ready.extendleft([trial.number] * (waiting - taken))
    elif waiting:
        active.ready.extendleft([trial.number] * (1 - taken))
        if waiting > 1:
            active.extra.append(trial.number)
    return trial


def next_ready(active: ActiveStudy, trial: Trial) -> int | None:
    """The index of a fold run that waits for a worker; None if none does."""
    for index, run in enumerate(trial.fold_runs[: active.rung_of(trial).folds]):
        if run.state is FoldRunState.READY:
            return index
    return None
