"""How studies end: by themselves when nothing is left to do, early when somebody or a budget stops them."""

from dataclasses import replace
from datetime import datetime

from searchd.conductor.active import ActiveStudy
from searchd.conductor.confirmation import follow_up
from searchd.conductor.dispatch import pool_of
from searchd.conductor.evaluation import end_trial
from searchd.conductor.handing_out import next_promotion
from searchd.conductor.mind import Mind
from searchd.domain.facts import ProgressPut, StudyPut, TrialPut
from searchd.domain.study import Study, StudySpec, StudyState
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import CloseSearch

BY_A_CALLER = "stopped by a caller"
WALL_TIME_OVER = "wall_time is over"
GPU_HOURS_USED = "gpu_hours are used"
TARGET_REACHED = "the target is reached"
NOTHING_WORKS = "nothing works"

HOPELESS_TRIALS = 10
"""When this many first trials have failed and none has completed a rung, the study has failed as a whole."""


def stop(mind: Mind, active: ActiveStudy, reason: str, now: datetime) -> Study:
    """Cancel everything; the study ends when its workers are free. What it ends as follows from the reason alone, so
    that a restart in between changes nothing."""
    if active.study.state is not StudyState.STOPPING:
        mind.attending = active.study.name
        mind.emit(StudyPut(active.study.stopping(reason)))
        for trial in list(active.trials.values()):
            mind.emit(TrialPut(end_trial(mind, active, trial, TrialState.CANCELLED, now, reason)))
    return active.study


def out_of_time(study: Study, now: datetime) -> bool:
    """Whether the wall time is over; a timer may also be that of an earlier study of the same name."""
    wall_time = study.spec.budget.wall_time
    return wall_time is not None and study.created_at + wall_time <= now


def gpu_hours_used(spec: StudySpec, train_seconds: float) -> bool:
    """Whether so many seconds of training use up the GPU-hours of the budget; never without any."""
    hours = spec.budget.gpu_hours
    return hours is not None and train_seconds * spec.resources.gpus >= hours * 3600


def keep_budget(mind: Mind, active: ActiveStudy, now: datetime) -> None:
    """Stop the study if its GPU-hours are used or nothing but failures has come of it, its search if its target is
    reached: what follows then uses GPU-hours, too."""
    if not active.hands_out:
        return
    if gpu_hours_used(active.study.spec, active.train_seconds):
        stop(mind, active, GPU_HOURS_USED, now)
    elif active.standing.on_target:
        _close(mind, active, TARGET_REACHED, now)
    elif _hopeless(active):
        stop(mind, active, f"{NOTHING_WORKS}; {active.standing.commonest_failure()}", now)


def _close(mind: Mind, active: ActiveStudy, reason: str, now: datetime) -> None:
    """End the trials of the search; the study ends by itself then."""
    for trial in list(active.trials.values()):
        if not trial.origin.repeats:
            mind.emit(TrialPut(end_trial(mind, active, trial, TrialState.CANCELLED, now, reason)))


def _hopeless(active: ActiveStudy) -> bool:
    failed = active.standing.failures.total() - active.standing.failed_before >= HOPELESS_TRIALS
    return failed and not any(active.rungs) and min(active.trials, default=HOPELESS_TRIALS + 1) > HOPELESS_TRIALS


def conclude(mind: Mind, active: ActiveStudy, now: datetime) -> None:
    """End the study if nothing is left to do and no worker holds anything of it."""
    if active.serving or not mind.reconciled:
        return
    study = active.study
    if study.state is StudyState.STOPPING:
        _end(mind, active, _ended_early(active, now))
        return
    open_trials = len(active.trials) - active.counts.get(TrialState.PAUSED, 0)
    if not active.hands_out or open_trials or not active.no_more_trials:
        return
    if next_promotion(active) is not None:
        return
    for trial in list(active.trials.values()):
        mind.emit(TrialPut(end_trial(mind, active, trial, TrialState.STOPPED, now, "not promoted")))
    if active.rungs[-1]:
        if follow_up(mind, active, now):
            return
        why = "the search space is exhausted" if active.exhausted and not active.suggestions else ""
        if active.standing.on_target:
            why = TARGET_REACHED
        if active.impatient:
            why = f"patience is used: none of the last {active.since_best} trials was better"
        _end(mind, active, study.succeeded(now, why))
    else:
        why = "; ".join(filter(None, ["no trial completed", active.standing.commonest_failure()]))
        _end(mind, active, study.failed(now, why))


def _ended_early(active: ActiveStudy, now: datetime) -> Study:
    """The study after its stopping: as intended, but it cannot succeed without a trial at the top rung."""
    study = active.study
    if study.reason == BY_A_CALLER:
        return study.stopped(now)
    if study.reason in (WALL_TIME_OVER, GPU_HOURS_USED) and active.rungs[-1]:
        return study.succeeded(now, study.reason)
    return study.failed(now, study.reason)


def _end(mind: Mind, active: ActiveStudy, study: Study) -> None:
    if active.standing.best is not None:
        number = TrialNumber(active.standing.best.trial)
        schedule = active.lineage.told(number)
        active.remark(number, schedule and f"the best is the end of a schedule: {schedule}")
    progress = active.progress()
    mind.emit(ProgressPut(study.name, progress))
    mind.emit(StudyPut(replace(study, progress=progress)))
    mind.command(CloseSearch(study.name))
    pool_of(mind, active).leave(active)
