"""What follows the search: the best are evaluated once more, and the winner is tested."""

from datetime import datetime

from searchd.conductor.active import ActiveStudy, opened
from searchd.conductor.evaluation import queued
from searchd.conductor.follow_ups import noted
from searchd.conductor.mind import Mind
from searchd.conductor.standing import Candidate
from searchd.domain.facts import TrialPut
from searchd.domain.trial import Origin, Trial, TrialNumber


def follow_up(mind: Mind, active: ActiveStudy, now: datetime) -> bool:
    """Start what is to follow the search now. Whether anything was started: first confirmations, then tests."""
    due = [c for c in _candidates(active) if not active.follow_ups.has(Origin.CONFIRMATION, c.trial)]
    if _started(mind, active, due, Origin.CONFIRMATION, now):
        return True
    dataset = active.study.spec.dataset
    if dataset is None or dataset.test is None:
        return False
    due = [c for c in _to_test(active) if not active.follow_ups.has(Origin.TEST, c.trial)]
    return _started(mind, active, due, Origin.TEST, now)


def _candidates(active: ActiveStudy) -> list[Candidate]:
    """The best, as many as the share of the budget allows but at least one, and the default configuration."""
    evaluation, trials = active.study.spec.evaluation, active.study.spec.budget.trials
    if evaluation.confirm is None:
        return []
    allowed = evaluation.confirm.share * trials * evaluation.top.folds / evaluation.confirming.folds
    best = active.standing.candidates[: max(int(allowed), 1)]
    default = active.standing.default
    return best if default is None or default in best else [*best, default]


def _to_test(active: ActiveStudy) -> list[Candidate]:
    """The configuration that is chosen, and the default one to compare it with."""
    default = active.standing.default
    known = {c.trial: c for c in (*active.standing.candidates, default) if c is not None and c.feasible}
    known |= {c.trial: c for c in active.follow_ups.candidates() if c.trial not in known}
    confirmed = [
        c for c in active.follow_ups.results() if active.follow_ups.has(Origin.CONFIRMATION, TrialNumber(c.trial))
    ]
    winner = confirmed[0].trial if confirmed else next(iter(known), None)
    chosen = [known[TrialNumber(winner)]] if winner in known else []
    return chosen if default is None or default in chosen else [*chosen, default]


def _started(mind: Mind, active: ActiveStudy, candidates: list[Candidate], origin: Origin, now: datetime) -> bool:
    for candidate in candidates:
        trial = Trial(
            active.study.name,
            TrialNumber(active.last_number + 1),
            candidate.parameters,
            origin,
            created_at=now,
            note=noted(candidate),
            of=candidate.trial,
        )
        mind.emit(TrialPut(queued(active, opened(active, trial))))
    return bool(candidates)
