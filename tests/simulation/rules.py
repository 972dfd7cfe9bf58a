"""What must hold of the trials of a study at every step: budgets, who follows whom, confirmations and tests."""

from collections.abc import Iterator

from searchd.domain.errors import BudgetUsed, InvalidStudy, SearchdError, StudyEnded, TrainableQuarantined
from searchd.domain.evaluation import TEST_FOLD
from searchd.domain.space import Parameters
from searchd.domain.study import Changes, Study, StudyState
from searchd.domain.trial import FoldRunState, Origin, Trial, TrialState
from tests.simulation.known import Known

Breach = tuple[str, object]
"""A broken promise, and what shows it."""

Wish = Changes | Parameters | None
"""What a request asks for beyond what its kind says."""

MOVES = {
    TrialState.PENDING: (TrialState.PENDING, TrialState.RUNNING),
    TrialState.RUNNING: (TrialState.RUNNING, TrialState.PAUSED),
    TrialState.PAUSED: (TrialState.PAUSED, TrialState.RUNNING),
}
"""Where trials go that have not ended, short of their end."""

STUDY_MOVES = {
    StudyState.PENDING: (StudyState.PENDING, StudyState.RUNNING, StudyState.PAUSED, StudyState.STOPPING),
    StudyState.RUNNING: (StudyState.RUNNING, StudyState.PAUSED, StudyState.STOPPING),
    StudyState.PAUSED: (StudyState.PAUSED, StudyState.STOPPING),
    StudyState.STOPPING: (StudyState.STOPPING,),
}

BY_ITSELF = ("", "the search space is exhausted", "the target is reached")
"""Why studies succeed that nobody and no clock ended."""


def new_trial(known: Known, trial: Trial) -> Iterator[Breach]:
    """What a trial that has just been created breaks; the study does not have it yet."""
    label = f"{trial.study} trial {trial.number}"
    budget = known.study.spec.budget
    if known.study.state not in (StudyState.PENDING, StudyState.RUNNING, StudyState.PAUSED):
        yield "a study that ends starts no trials", label
    if trial.origin.repeats:
        yield from _repeat(known, trial)
        return
    if sum(1 for _ in known.searched()) >= budget.trials:
        yield "no more trials than the budget allows", (label, budget.trials)
    if trial.origin in (Origin.SEARCH, Origin.DESCENT):
        if known.impatient():
            yield "no new trial once the patience is used", (label, known.since_best)
        if known.on_target():
            yield "no new trial once the target is reached", label
    if trial.origin is Origin.DESCENT:
        yield from _descendant(known, trial)
    elif trial.scores or trial.of is not None:
        yield "only descendants begin with scores", label


def _repeat(known: Known, trial: Trial) -> Iterator[Breach]:
    label = f"{trial.study} trial {trial.number}, {trial.origin.value} of {trial.of}"
    of = known.trials.get(trial.of or 0)
    if of is None or of.parameters != trial.parameters or of.state is not TrialState.COMPLETED:
        yield "what is repeated is a complete trial's configuration", label
    if trial.of in known.again(trial.origin):
        yield "each candidate is confirmed and tested once", label
    left = [t.number for t in known.searched() if not t.state.ended]
    if left:
        yield "what follows the search waits for its end", (label, left)
    if trial.origin is Origin.CONFIRMATION and trial.of not in known.candidates():
        yield "the best are confirmed", (label, known.candidates())
    if trial.origin is Origin.TEST and known.study.spec.dataset is None:
        yield "only what was set aside is tested on", label


def _descendant(known: Known, trial: Trial) -> Iterator[Breach]:
    label = f"{trial.study} trial {trial.number} from {trial.of} at {trial.of_epoch}"
    donor = known.trials.get(trial.of or 0)
    epochs = [rung.epochs for rung in known.study.spec.ladder]
    if donor is None or donor.state.ended or trial.of_epoch not in epochs[:-1]:
        yield "a descendant goes on from one that trains", label
        return
    if trial.scores != donor.scores[: epochs.index(trial.of_epoch) + 1]:
        yield "a descendant has the scores of its donor", label
    if any(run.score_at(trial.of_epoch) is None or run.epoch != trial.of_epoch for run in trial.fold_runs):
        yield "a descendant has the scores of its donor", label


def changed_trial(known: Known, before: Trial, trial: Trial) -> Iterator[Breach]:
    """What a change of a trial breaks; the study has it as it was before."""
    label = f"{trial.study} trial {trial.number}"
    if not trial.state.ended and trial.state not in MOVES.get(before.state, ()):
        yield "trials only move forward", (label, before.state, trial.state)
    if trial.scores[: len(before.scores)] != before.scores:
        yield "what a trial has completed stays", (label, before.scores, trial.scores)
    fixed = ("number", "parameters", "origin", "of", "of_epoch", "created_at")
    if any(getattr(before, name) != getattr(trial, name) for name in fixed):
        yield "what a trial is stays", label
    if trial.state is TrialState.CANCELLED and known.study.state is not StudyState.STOPPING and not known.on_target():
        yield "a trial is cancelled only with its study", (label, trial.reason)


def handed_out(known: Known, trial: Trial) -> Iterator[Breach]:
    """What handing out a fold run of a trial breaks."""
    label = f"{trial.study} trial {trial.number}"
    if known.gpu_hours_used():
        yield "no segment starts once the GPU-hours are used", label
    repeats = known.study.spec.evaluation.repeats
    for run in trial.fold_runs:
        fresh = run.repeat >= repeats
        if fresh is not (trial.origin is Origin.CONFIRMATION) or (run.fold == TEST_FOLD) is not (
            trial.origin is Origin.TEST
        ):
            yield "only confirmations run on fresh splits, only tests on what was set aside", (label, run)


def is_handed_out(before: Trial | None, trial: Trial) -> bool:
    """Whether a fold run of the trial has been handed out since."""
    runs = before.fold_runs if before is not None else ()
    attempts = [run.attempt for run in runs]
    return any(
        run.state is FoldRunState.HANDED_OUT and (index >= len(attempts) or run.attempt > attempts[index])
        for index, run in enumerate(trial.fold_runs)
    )


def changed_study(known: Known, study: Study) -> Iterator[Breach]:
    """What a change of a study breaks, whoever asked for it."""
    before = known.study
    if before.state.ended:
        again = study.spec.budget.trials > before.spec.budget.trials and not study.state.ended
        same = (study.state, study.reason, study.ended_at) == (before.state, before.reason, before.ended_at)
        if not same and not (again and study.state in (StudyState.PENDING, StudyState.RUNNING)):
            yield "a study that has ended goes on only with more trials", (study.name, before.state, study.state)
    elif study.state.ended:
        yield from _ended(known, study)
    elif study.state not in STUDY_MOVES[before.state]:
        yield "studies only move forward", (study.name, before.state, study.state)


def _ended(known: Known, study: Study) -> Iterator[Breach]:
    left = [trial.number for trial in known.trials.values() if not trial.state.ended]
    if left:
        yield "a study ends after its trials", (study.name, left)
    complete = any(trial.state is TrialState.COMPLETED for trial in known.searched())
    if study.state is StudyState.SUCCEEDED and not complete:
        yield "a study succeeds by a trial that is complete", study.name
    if known.study.state is StudyState.STOPPING:
        return
    why = study.reason
    if study.state is StudyState.SUCCEEDED and why not in BY_ITSELF and not why.startswith("patience is used"):
        yield "a study that ends says why", (study.name, why)
    if (why == BY_ITSELF[-1] and not known.on_target()) or (why.startswith("patience") and not known.impatient()):
        yield "a study that ends says why", (study.name, why)
    used = sum(1 for _ in known.searched()) >= study.spec.budget.trials
    endless = any(p.domain.levels is None for p in study.spec.space.parameters)
    grows = study.spec.scheduler.algorithm == "population"
    if not why and endless and not used and not grows:
        yield "a study ends when its budget is used", (study.name, len(known.trials), study.spec.budget.trials)
    if study.state is StudyState.SUCCEEDED:
        yield from _followed_up(known, study)


def _followed_up(known: Known, study: Study) -> Iterator[Breach]:
    """What is left out when a study ends by itself."""
    confirmed, tested = known.again(Origin.CONFIRMATION), known.again(Origin.TEST)
    missing = [number for number in known.candidates() if number not in confirmed]
    if missing:
        yield "each candidate is confirmed and tested once", (study.name, missing)
    if study.spec.dataset is not None:
        default, winner = known.default(), known.winner()
        wanted = {winner, default.number if default is not None else None} - {None}
        if wanted - tested.keys():
            yield "the winner and the default are tested", (study.name, wanted, list(tested))
    told = {confirmed.trial: confirmed for confirmed in known.progress.confirmed}
    if told.keys() != {*confirmed, *tested}:
        yield "progress tells of every candidate", (study.name, told)
    for number, again in confirmed.items():
        mean = again.scores[-1] if again.state is TrialState.COMPLETED else None
        if number in told and (told[number].mean, told[number].selected) != (mean, known.trials[number].scores[-1]):
            yield "progress tells of every candidate", (study.name, told[number], mean)
    yield from _won(known, study)


def _won(known: Known, study: Study) -> Iterator[Breach]:
    confirmed = known.progress.confirmed
    if not confirmed:
        return
    goal, first = study.spec.objective.goal, confirmed[0]
    repeated = known.again(Origin.CONFIRMATION)
    sound = [
        c for c in confirmed if c.mean is not None and known.trials[c.trial].feasible and repeated[c.trial].feasible
    ]
    if sound and (first not in sound or any(goal.better(c.mean or 0.0, first.mean or 0.0) for c in sound)):
        yield "the first of the confirmed is the winner", (study.name, confirmed)
    if study.spec.evaluation.confirm is None and known.best() not in (None, first.trial):
        yield "the first of the confirmed is the winner", (study.name, known.best(), confirmed)


def excused(known: Known, what: str, wish: Wish, error: SearchdError) -> bool:
    """Whether a study that is as it is may refuse a request."""
    ended, budget = known.study.state.ended, known.study.spec.budget
    match error:
        case StudyEnded():
            return what == "enqueue" and (ended or known.study.state is StudyState.STOPPING)
        case BudgetUsed():
            return what == "enqueue" and sum(1 for _ in known.searched()) >= budget.trials
        case InvalidStudy() if isinstance(wish, Changes):
            timed = budget.wall_time or budget.gpu_hours
            return ended and (wish.budget.trials <= budget.trials or timed is not None)
        case TrainableQuarantined():
            return what == "change" and ended
    return False
