"""How studies end: by themselves when nothing is left to do, early when somebody or a budget stops them."""

from dataclasses import replace
from datetime import datetime

from searchd.conductor.active import ActiveStudy
from searchd.conductor.dispatch import pool_of
from searchd.conductor.evaluation import end_trial, finishing
from searchd.conductor.mind import Mind
from searchd.domain.facts import ProgressPut, StudyPut, TrialPut
from searchd.domain.study import Study, StudyState
from searchd.domain.trial import TrialState
from searchd.ports.searcher import CloseSearch

BY_A_CALLER = "stopped by a caller"
WALL_TIME_OVER = "wall_time is over"


def stop(mind: Mind, active: ActiveStudy, reason: str, now: datetime) -> Study:
    """Cancel everything; the study ends when its workers are free. What it ends as follows from the reason alone, so
    that a restart in between changes nothing."""
    if active.study.state is not StudyState.STOPPING:
        mind.attending = active.study.name
        mind.emit(StudyPut(active.study.stopping(reason)))
        for trial in list(active.trials.values()):
            mind.emit(TrialPut(end_trial(mind, active, trial, TrialState.CANCELLED, now, reason)))
    return active.study


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
    if active.scheduler.promotable() is not None or (finishing(active) and active.scheduler.best_paused()):
        return
    for trial in list(active.trials.values()):
        mind.emit(TrialPut(end_trial(mind, active, trial, TrialState.STOPPED, now, "not promoted")))
    if active.rungs[-1]:
        why = "the search space is exhausted" if active.exhausted else ""
        _end(mind, active, study.succeeded(now, why))
    else:
        why = f"no trial completed; {active.last_failure}" if active.last_failure else "no trial completed"
        _end(mind, active, study.failed(now, why))


def _ended_early(active: ActiveStudy, now: datetime) -> Study:
    """The study after its stopping: as intended, but it cannot succeed without a trial at the top rung."""
    study = active.study
    if study.reason == BY_A_CALLER:
        return study.stopped(now)
    if study.reason == WALL_TIME_OVER and active.rungs[-1]:
        return study.succeeded(now, study.reason)
    return study.failed(now, study.reason)


def _end(mind: Mind, active: ActiveStudy, study: Study) -> None:
    progress = active.progress()
    mind.emit(ProgressPut(study.name, progress))
    mind.emit(StudyPut(replace(study, progress=progress)))
    mind.command(CloseSearch(study.name))
    pool_of(mind, active).leave(active)
