"""Confirmations and tests of a study, and what came out of them."""

import json
from collections.abc import Iterator
from dataclasses import replace

from searchd.domain.leaderboard import corrected_standard_error, rung_scores, shrunk_means
from searchd.domain.study import Confirmed, StudySpec
from searchd.domain.trial import Origin, Trial, TrialNumber, TrialState


def selected_by(score: float) -> str:
    """The note of a confirmation or test: the mean that its candidate was chosen by."""
    return json.dumps({"selected": score})


class FollowUps:
    """Trials that evaluate the configurations of others once more."""

    def __init__(self, spec: StudySpec) -> None:
        self._evaluation = spec.evaluation
        self._goal = spec.objective.goal
        self._trials: dict[tuple[Origin, TrialNumber], Trial] = {}

    def put(self, trial: Trial) -> None:
        """Take in such a trial as it stands now."""
        if trial.of is not None:
            self._trials[trial.origin, trial.of] = trial

    def of(self, origin: Origin) -> Iterator[Trial]:
        """Those of one kind, in the order in which they were started."""
        return (trial for (kind, _), trial in self._trials.items() if kind is origin)

    def has(self, origin: Origin, of: TrialNumber) -> bool:
        """Whether a trial was followed up so."""
        return (origin, of) in self._trials

    def results(self) -> tuple[Confirmed, ...]:
        """What is known of every candidate: by shrunken mean, the winner first, then those without a mean."""
        found = {trial.of: self._confirmed(trial) for trial in self.of(Origin.CONFIRMATION)}
        for trial in self.of(Origin.TEST):
            known = found.get(trial.of) or Confirmed(trial.of or 0, _selected(trial))
            score = trial.scores[-1] if trial.state is TrialState.COMPLETED else None
            found[trial.of] = replace(known, test=score)
        through = [c for c in found.values() if c.mean is not None]
        errors = [c.standard_error or 0.0 for c in through]
        shrunk = shrunk_means([c.mean for c in through if c.mean is not None], errors) if through else ()
        ranked = [replace(c, shrunk=mean) for c, mean in zip(through, shrunk, strict=True)]
        ranked.sort(key=lambda c: (-self._signed(c.shrunk), -self._signed(c.selected), c.trial))
        return (*ranked, *(c for c in found.values() if c.mean is None))

    def _signed(self, value: float | None) -> float:
        return self._goal.signed(value or 0.0)

    def _confirmed(self, trial: Trial) -> Confirmed:
        known = Confirmed(trial.of or 0, _selected(trial))
        scores = rung_scores(trial, self._evaluation.confirming) if trial.state is TrialState.COMPLETED else None
        if scores is None:
            return known
        folds = self._evaluation.folds or 1 / self._evaluation.holdout
        return replace(known, mean=trial.scores[-1], standard_error=corrected_standard_error(scores, folds))


def _selected(trial: Trial) -> float:
    return float(json.loads(trial.note)["selected"])
