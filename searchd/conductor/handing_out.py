"""What a study hands out next: what continues a trial, promotions, descendants, new trials."""

from collections import deque
from dataclasses import replace
from datetime import datetime

from searchd.conductor.active import FINISHERS, ActiveStudy, opened
from searchd.conductor.evaluation import advance, end_trial, next_ready, queued, rung_text
from searchd.conductor.mind import Mind
from searchd.conductor.population import descendant
from searchd.conductor.racing import race_lost
from searchd.domain.evaluation import Racing
from searchd.domain.facts import StudyPut, TrialPut
from searchd.domain.leaderboard import rung_scores
from searchd.domain.study import StudyState
from searchd.domain.trial import FoldRunState, Trial, TrialNumber, TrialState
from searchd.ports.engine import Segment


def has_work(active: ActiveStudy) -> bool:
    """Whether a segment could probably be handed out; queues may hold outdated entries, which handing out clears."""
    return bool(
        active.hands_out and (active.ready or active.startable or active.extra or next_promotion(active) is not None)
    )


def next_promotion(active: ActiveStudy) -> tuple[TrialNumber, int] | None:
    """The paused trial that climbs next, and the rung it completed; None if nobody does now.

    When no new trials come, the best that is paused climbs out of turn if too few will complete the top, or if it would
    not lose a paired race there as it stands: then what was too bad for its time, but not for the race, is looked at.
    """
    chosen = active.scheduler.promotable()
    if chosen is not None or not active.no_more_trials:
        return chosen
    best = active.scheduler.best_paused()
    return best if best is not None and (_too_few(active) or _may_win(active, *best)) else None


def _too_few(active: ActiveStudy) -> bool:
    """Whether too few will complete the top. Where trial after trial loses its race there, no more than twice that many
    are sent."""
    climbing = len(active.climbing)
    return active.finishers + climbing < FINISHERS and active.contenders + climbing < 2 * FINISHERS


def _may_win(active: ActiveStudy, number: TrialNumber, rung: int) -> bool:
    """Whether a paused trial, and so perhaps a worse one, would not yet lose the race of the next rung, which only has
    more folds."""
    rule, incumbent = active.study.spec.evaluation.racing, active.standing.incumbents[rung + 1]
    here, above = active.ladder[rung], active.ladder[rung + 1]
    if rule is not Racing.PAIRED or incumbent is None or here.epochs < above.epochs:
        return False
    scores = rung_scores(active.trials[number], here)
    return scores is not None and not race_lost(rule, dict(enumerate(scores)), incumbent.scores, active.goal)


def next_segment(mind: Mind, active: ActiveStudy, now: datetime) -> Segment | None:
    """Hand out the fold run that the study wants most, or None if it wants nothing now.

    First what continues a trial, then promotions, then new trials, then folds that a race may yet make needless. The
    members of a population are to train side by side, so that new ones come before promotions.
    """
    trial = _from_queue(active, active.ready)
    if trial is None and active.population:
        trial = _new(active, now)
    trial = trial or _promoted(mind, active, now) or _new(active, now) or _from_extra(active)
    return None if trial is None else _handed_out(mind, active, trial, now)


def _from_queue(active: ActiveStudy, queue: deque[TrialNumber]) -> Trial | None:
    while queue:
        trial = active.trials.get(queue.popleft())
        if trial is not None and trial.state is not TrialState.PAUSED and next_ready(active, trial) is not None:
            return trial
    return None


def _from_extra(active: ActiveStudy) -> Trial | None:
    trial = _from_queue(active, active.extra)
    if trial is not None:
        active.extra.append(trial.number)
    return trial


def _promoted(mind: Mind, active: ActiveStudy, now: datetime) -> Trial | None:
    while True:
        chosen = next_promotion(active)
        if chosen is None:
            return None
        number, rung = chosen
        child = descendant(active, active.trials[number], now)
        if child is not None:
            reason = f"yields at {rung_text(active, rung)} to trial {child.number}, which goes on from trial {child.of}"
            mind.emit(TrialPut(end_trial(mind, active, active.trials[number], TrialState.STOPPED, now, reason)))
            return queued(active, opened(active, child), taken=1)
        active.scheduler.promoted(number, rung)
        trial = opened(active, active.trials[number].running(now))
        trial = advance(mind, active, trial, now)
        if trial.state is TrialState.RUNNING and next_ready(active, trial) is not None:
            return queued(active, trial, taken=1)
        mind.emit(TrialPut(trial))


def _new(active: ActiveStudy, now: datetime) -> Trial | None:
    if not active.startable:
        return None
    suggestion = active.suggestions.popleft()
    number = TrialNumber(active.last_number + 1)
    parameters, origin = suggestion.parameters, suggestion.origin
    trial = Trial(active.study.name, number, parameters, origin, created_at=now, note=suggestion.note)
    return queued(active, opened(active, trial), taken=1)


def _handed_out(mind: Mind, active: ActiveStudy, trial: Trial, now: datetime) -> Segment:
    index = next_ready(active, trial)
    if index is None:
        raise ValueError(f"trial {trial.number} has nothing to hand out")
    run = trial.fold_runs[index]
    run = replace(run, state=FoldRunState.HANDED_OUT, attempt=run.attempt + 1, target=active.target(trial))
    mind.emit(TrialPut(trial.running(now).with_fold_run(index, run)))
    if active.study.state is StudyState.PENDING:
        mind.emit(StudyPut(active.study.started(now)))
    segment = Segment(active.task, trial.number, trial.parameters, run.repeat, run.fold, run.attempt, run.target)
    if not active.population:
        return segment
    return replace(segment, donor=active.lineage.donor(trial), keep=active.lineage.kept(trial))
