"""How the trials of a study stand: the best of each rung, the Pareto front, the targets, what went wrong."""

import statistics
from collections import Counter
from dataclasses import dataclass

from searchd.domain.fidelity import Ladder
from searchd.domain.leaderboard import rung_scores
from searchd.domain.objective import dominates, signed_values
from searchd.domain.space import Parameters
from searchd.domain.study import Best, FrontPoint, Progress, StudySpec
from searchd.domain.trial import Origin, Trial, TrialNumber, TrialState, keeps_limits, objective_values


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The best trial that completed a rung and keeps all limits: its mean and its fold scores, shape (rung.folds,)."""

    trial: TrialNumber
    mean: float
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trial at the top rung that may be the one to choose."""

    trial: TrialNumber
    score: float
    parameters: Parameters
    feasible: bool = True


class Standing:
    """Taken in trial by trial, in any order and as often as one likes; starts from what is stored."""

    def __init__(self, spec: StudySpec, ladder: Ladder, progress: Progress) -> None:
        self._spec = spec
        self._ladder = ladder
        self.incumbents: list[Incumbent | None] = [None] * len(ladder)
        self.candidates: list[Candidate] = []
        """The best trials at the top rung that keep all limits, best first, as many as may be confirmed."""
        self.default: Candidate | None = None
        """The default configuration, if it has completed the top rung."""
        self.best = progress.best
        self.default_score = progress.default_score
        self.on_target = False
        """Whether a trial has reached every target."""
        self.failures: Counter[str] = Counter()
        """How many trials failed or were infeasible for each reason."""
        self.failed_before = 0
        """How many had when the study, which had ended, was taken up again."""
        self._front = {point.trial: point.values for point in progress.front}
        self.worst = progress.worst
        self.improvements = 0
        """How often the best has been bettered, or with several objectives the front, since this began."""

    @property
    def front(self) -> tuple[FrontPoint, ...]:
        """The Pareto front, by number; empty with one objective."""
        return tuple(FrontPoint(number, values) for number, values in sorted(self._front.items()))

    def consider(self, trial: Trial, known: int) -> None:
        """Take in a trial that changed; of its completed rungs the first ``known`` have been taken in before."""
        if trial.origin.repeats:
            return
        for rung in range(known, trial.rung):
            self._consider(trial, rung)
        if trial.state in (TrialState.FAILED, TrialState.INFEASIBLE):
            self.failures[trial.reason] += 1

    def commonest_failure(self) -> str:
        """What most trials failed of, and how many did; empty if none has failed."""
        if not self.failures:
            return ""
        reason, count = self.failures.most_common(1)[0]
        return f"{count} of {self.failures.total()} failures: {reason}"

    def _consider(self, trial: Trial, rung: int) -> None:
        """Compare with the best of a rung; of equals the lower number wins, so that the order does not matter."""
        mean = trial.scores[rung]
        top = rung == len(self._ladder) - 1
        feasible = self._feasible_at(trial, rung)
        candidate = Candidate(trial.number, mean, trial.parameters, feasible)
        if top and trial.origin is Origin.DEFAULT:
            self.default_score = mean
            self.default = candidate
        if not feasible:
            return
        incumbent = self.incumbents[rung]
        if incumbent is None or self._beats(trial, mean, incumbent.trial, incumbent.mean):
            scores = rung_scores(trial, self._ladder[rung])
            if scores is not None:
                self.incumbents[rung] = Incumbent(trial.number, mean, scores)
        if top:
            self._rank(candidate)
            if self.best is None or self._beats(trial, mean, self.best.trial, self.best.score):
                self.best = Best(trial.number, mean)
                self.improvements += len(self._spec.objectives) == 1
            self.on_target = self.on_target or self._reaches_targets(trial)
            self._consider_front(trial)

    def _feasible_at(self, trial: Trial, rung: int) -> bool:
        """Whether the trial kept all limits at a rung; ``trial.feasible`` says so of its highest one only."""
        if not self._spec.limits or rung == trial.rung - 1:
            return trial.feasible
        at = self._ladder[rung]
        beside = [run.others_at(at.epochs) for run in trial.fold_runs[: at.folds]]
        if not all(beside):
            return trial.feasible
        return keeps_limits(self._spec, tuple(map(statistics.fmean, zip(*beside, strict=True))))

    def _rank(self, candidate: Candidate) -> None:
        confirm, goal = self._spec.evaluation.confirm, self._spec.objective.goal
        ranked = [known for known in self.candidates if known.trial != candidate.trial]
        ranked.append(candidate)
        ranked.sort(key=lambda known: (-goal.signed(known.score), known.trial))
        self.candidates = ranked[: confirm.top if confirm is not None else 1]

    def _beats(self, trial: Trial, mean: float, other: int, other_mean: float) -> bool:
        goal = self._spec.objective.goal
        return goal.better(mean, other_mean) or (mean == other_mean and trial.number < other)

    def _reaches_targets(self, trial: Trial) -> bool:
        """Whether the trial is as good as every target there is, of which there must be any."""
        objectives = self._spec.objectives
        values = objective_values(self._spec, trial)
        aimed = [(o, value) for o, value in zip(objectives, values, strict=True) if o.target is not None]
        return bool(aimed) and all(o.reached(value) for o, value in aimed)

    def _consider_front(self, trial: Trial) -> None:
        """Take the trial into the Pareto front if nobody there dominates it, and drop whom it dominates."""
        objectives = self._spec.objectives
        if len(objectives) == 1:
            return
        values = objective_values(self._spec, trial)
        signed = signed_values(objectives, values)
        worst = signed_values(objectives, self.worst or values)
        self.worst = signed_values(objectives, tuple(map(min, signed, worst)))
        front = {number: signed_values(objectives, point) for number, point in self._front.items()}
        if not any(dominates(point, signed) for point in front.values()):
            self._front = {number: self._front[number] for number in front if not dominates(signed, front[number])}
            self._front[trial.number] = values
            self.improvements += signed not in front.values()
