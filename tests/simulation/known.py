"""One life of a study, as the log tells it, and what follows from its trials for those who know the rules."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from searchd.domain.measurement import Measurement
from searchd.domain.study import Progress, Study
from searchd.domain.trial import FoldRunKey, Origin, Trial, TrialState


@dataclass(slots=True)
class Known:
    """What is known of a study."""

    study: Study
    life: int
    trials: dict[int, Trial] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    measured: set[tuple[FoldRunKey, int, int]] = field(default_factory=set)
    progress: Progress = field(default_factory=Progress)
    enqueued: int = 0
    """Requests for a configuration to be tried that were answered with a trial."""
    since_best: int = 0
    """Trials with a first result since the best changed, with several objectives the front, or the study was taken up
    again."""

    def put(self, trial: Trial) -> None:
        """Take in a trial as it stands now."""
        before, best = self.trials.get(trial.number), self.best()
        self.trials[trial.number] = trial
        if self._adds_to_front(trial, before) if len(self.study.spec.objectives) > 1 else self.best() != best:
            self.since_best = 0
        elif not trial.origin.repeats and not (before and before.scores) and (trial.scores or trial.state.ended):
            self.since_best += trial.state is not TrialState.CANCELLED

    def _adds_to_front(self, trial: Trial, before: Trial | None) -> bool:
        """Whether a trial has just completed with values that none reaches in all objectives."""
        known = {t.number: self._signed_values(t) for t in self.ranked()}
        values = known.pop(trial.number, None)
        if values is None or (before is not None and before.state is TrialState.COMPLETED):
            return False
        return not any(all(a >= b for a, b in zip(other, values, strict=True)) for other in known.values())

    def _signed_values(self, trial: Trial) -> tuple[float, ...]:
        return tuple(o.goal.signed(self._value(trial, o.metric)) for o in self.study.spec.objectives)

    def searched(self) -> Iterator[Trial]:
        """Trials that count in the budget."""
        return (trial for trial in self.trials.values() if not trial.origin.repeats)

    def signed(self, trial: Trial) -> float:
        """The score of a trial's highest rung, larger being better."""
        return self.study.spec.objective.goal.signed(trial.scores[-1])

    def ranked(self) -> list[Trial]:
        """Complete trials that keep all limits, best first."""
        full = [t for t in self.searched() if t.state is TrialState.COMPLETED and t.feasible]
        return sorted(full, key=lambda trial: (-self.signed(trial), trial.number))

    def best(self) -> int | None:
        """The number of the best of them."""
        return next((trial.number for trial in self.ranked()), None)

    def default(self) -> Trial | None:
        """The default configuration's trial, if it is complete."""
        of = (t for t in self.searched() if t.origin is Origin.DEFAULT and t.state is TrialState.COMPLETED)
        return next(of, None)

    def candidates(self) -> list[int]:
        """Trials that are to be confirmed now: the best, as many as the share allows, and the default configuration."""
        evaluation, default = self.study.spec.evaluation, self.default()
        if evaluation.confirm is None:
            return []
        searching = self.study.spec.budget.trials * evaluation.fold_runs
        one = max(evaluation.folds, 1) * evaluation.confirm.repeats
        allowed = max(int(evaluation.confirm.share * searching / one), 1)
        chosen: list[int] = [trial.number for trial in self.ranked()[: min(evaluation.confirm.top, allowed)]]
        return chosen if default is None or default.number in chosen else [*chosen, default.number]

    def again(self, origin: Origin) -> dict[int, Trial]:
        """Confirmations or tests that were not cancelled, by what they repeat."""
        return {
            trial.of or 0: trial
            for trial in self.trials.values()
            if trial.origin is origin and trial.state is not TrialState.CANCELLED
        }

    def winner(self) -> int | None:
        """Whom the confirmations made the first, else the best of the search."""
        confirmed = self.progress.confirmed if self.study.spec.evaluation.confirm is not None else ()
        return confirmed[0].trial if confirmed else self.best()

    def on_target(self) -> bool:
        """Whether a trial is as good as every target."""
        objectives = self.study.spec.objectives
        return any(o.target is not None for o in objectives) and any(
            all(o.reached(self._value(trial, o.metric)) for o in objectives if o.target is not None)
            for trial in self.ranked()
        )

    def _value(self, trial: Trial, metric: str) -> float:
        spec = self.study.spec
        return trial.scores[-1] if metric == spec.objective.metric else trial.others[spec.others.index(metric)]

    def impatient(self) -> bool:
        """Whether the study's patience is used."""
        patience = self.study.spec.budget.patience
        return patience is not None and self.since_best >= patience

    def gpu_hours_used(self) -> bool:
        """Whether the study's GPU-hours are."""
        hours, gpus = self.study.spec.budget.gpu_hours, self.study.spec.resources.gpus
        return hours is not None and sum(m.seconds for m in self.measurements) * gpus >= hours * 3600
