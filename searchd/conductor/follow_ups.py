"""Confirmations and tests of a study, and what came out of them."""

import json
from collections.abc import Iterator
from dataclasses import replace

from searchd.conductor.standing import Candidate
from searchd.domain.leaderboard import corrected_standard_error, rung_scores, shrunk_means
from searchd.domain.study import Confirmed, StudySpec
from searchd.domain.trial import Origin, Trial, TrialNumber, TrialState


def noted(candidate: Candidate) -> str:
    """The note of a confirmation or test: what is known of its candidate from the search."""
    return json.dumps({"selected": candidate.score, "feasible": candidate.feasible})


class FollowUps:
    """Trials that evaluate the configurations of others once more."""

    def __init__(self, spec: StudySpec) -> None:
        self._evaluation = spec.evaluation
        self._goal = spec.objective.goal
        self._trials: dict[tuple[Origin, TrialNumber], Trial] = {}

    def put(self, trial: Trial) -> None:
        """Take in such a trial as it stands now; one that was cancelled may be done again."""
        if trial.of is None:
            return
        if trial.state is TrialState.CANCELLED:
            self._trials.pop((trial.origin, trial.of), None)
        else:
            self._trials[trial.origin, trial.of] = trial

    def candidates(self) -> Iterator[Candidate]:
        """The trials that have been or are confirmed."""
        return (_candidate(trial) for trial in self.of(Origin.CONFIRMATION))

    def of(self, origin: Origin) -> Iterator[Trial]:
        """Those of one kind, in the order in which they were started."""
        return (trial for (kind, _), trial in self._trials.items() if kind is origin)

    def has(self, origin: Origin, of: TrialNumber) -> bool:
        """Whether a trial was followed up so."""
        return (origin, of) in self._trials

    def results(self) -> tuple[Confirmed, ...]:
        """What is known of every candidate: by fresh mean, the winner first, then those without one, by what they were
        chosen by."""
        found = {trial.of: self._confirmed(trial) for trial in self.of(Origin.CONFIRMATION)}
        scores = {trial.of or 0: self._scores(trial) for trial in self.of(Origin.CONFIRMATION)}
        for trial in self.of(Origin.TEST):
            known = found.get(trial.of) or Confirmed(trial.of or 0, _candidate(trial).score)
            score = trial.scores[-1] if trial.state is TrialState.COMPLETED else None
            found[trial.of] = replace(known, test=score)
        through = [c for c in found.values() if c.mean is not None]
        shrunk = shrunk_means([scores[c.trial] for c in through]) if through else ()
        ranked = [replace(c, shrunk=mean) for c, mean in zip(through, shrunk, strict=True)]
        ranked += [c for c in found.values() if c.mean is None]
        broken = {trial.of for trial in self._trials.values() if not _candidate(trial).feasible}
        broken |= {trial.of for trial in self.of(Origin.CONFIRMATION) if not trial.feasible}
        # By the mean and not the shrunken one, which is in the same order but for noise that leaves no difference.
        ranked.sort(
            key=lambda c: (
                c.mean is None,
                c.trial in broken,
                -self._signed(c.mean),
                -self._signed(c.selected),
                c.trial,
            )
        )
        return tuple(ranked)

    def _signed(self, value: float | None) -> float:
        return self._goal.signed(value or 0.0)

    def _confirmed(self, trial: Trial) -> Confirmed:
        known, scores = Confirmed(trial.of or 0, _candidate(trial).score), self._scores(trial)
        if not scores:
            return known
        folds = self._evaluation.folds or 1 / self._evaluation.holdout
        return replace(known, mean=trial.scores[-1], standard_error=corrected_standard_error(scores, folds))

    def _scores(self, trial: Trial) -> tuple[float, ...]:
        """Scores of a confirmation's fold runs, the same ones for every candidate; empty if it is not through."""
        through = trial.state is TrialState.COMPLETED
        return (rung_scores(trial, self._evaluation.confirming) or ()) if through else ()


def _candidate(trial: Trial) -> Candidate:
    note = json.loads(trial.note)
    return Candidate(trial.of or trial.number, note["selected"], trial.parameters, note["feasible"])
