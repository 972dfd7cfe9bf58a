"""A trial and its fold runs: one configuration under evaluation."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, NewType

from searchd.domain.failure import Failure
from searchd.domain.space import Parameters
from searchd.domain.study import StudyName, StudySpec

TrialNumber = NewType("TrialNumber", int)
"""Number of a trial in its study, from 1."""


class Origin(StrEnum):
    """Why a trial exists.

    DEFAULT is the trainable's default configuration, SEARCH the searcher's proposal, REQUESTED a caller's, WARM_START
    the best of an earlier study. CONFIRMATION evaluates the configuration of another trial once more, TEST evaluates it
    on the rows that were set aside, and DESCENT goes on from another trial's checkpoint.
    """

    DEFAULT = "default"
    SEARCH = "search"
    REQUESTED = "requested"
    WARM_START = "warm_start"
    CONFIRMATION = "confirmation"
    TEST = "test"
    DESCENT = "descent"

    @property
    def repeats(self) -> bool:
        """Whether the trial only repeats another's configuration, and is no candidate itself."""
        return self in (Origin.CONFIRMATION, Origin.TEST)

    @property
    def informs(self) -> bool:
        """Whether the trial's scores say something of its parameters: a descendant's are its donor's work, too."""
        return not self.repeats and self is not Origin.DESCENT


class TrialState(StrEnum):
    """STOPPED is the scheduler's or the race's decision; CANCELLED comes from ending the study."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    STOPPED = "stopped"
    INFEASIBLE = "infeasible"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the trial can no longer change."""
        return self not in (TrialState.PENDING, TrialState.RUNNING, TrialState.PAUSED)


class FoldRunState(StrEnum):
    """READY waits for a worker, HANDED_OUT is a worker's, WAITING reached its rung, FINISHED trains no further."""

    READY = "ready"
    HANDED_OUT = "handed_out"
    WAITING = "waiting"
    FINISHED = "finished"


class FoldRunKey(NamedTuple):
    """Identifies a fold run. ``born`` tells its study from an earlier one of the same name, which has been deleted."""

    study: StudyName
    trial: TrialNumber
    repeat: int
    fold: int
    born: str = ""


@dataclass(frozen=True, slots=True)
class FoldRun:
    """One trial on one fold of one repeat.

    Attributes:
        repeat: Repeat of the cross-validation, from 0.
        fold: Fold within the repeat, from 0.
        state: See FoldRunState.
        target: Epoch the current or next segment advances to.
        epoch: Epochs trained when the last segment ended.
        attempt: Counts up each time the fold run is handed out; 0 before the first.
        failures: What ended earlier attempts that were retried, in order.
        scores: (epoch, score) at the ladder's epochs reached, and where it was set aside in between, in order.
        others: Values of the study's other metrics (``StudySpec.others``) beside each of ``scores``; empty without any.
    """

    repeat: int
    fold: int
    state: FoldRunState = FoldRunState.READY
    target: int = 0
    epoch: int = 0
    attempt: int = 0
    failures: tuple[Failure, ...] = ()
    scores: tuple[tuple[int, float], ...] = ()
    others: tuple[tuple[float, ...], ...] = ()

    def score_at(self, epochs: int) -> float | None:
        """The score at a rung of that many epochs, or None if it is not reached.

        A run that returned early keeps its last score; one whose report of that epoch was lost with its worker has the
        score of the next rung's epochs.
        """
        index = self._index_at(epochs)
        return None if index is None else self.scores[index][1]

    def others_at(self, epochs: int) -> tuple[float, ...]:
        """The other metrics' values beside that score; empty if there is none."""
        index = self._index_at(epochs)
        return () if index is None or not self.others else self.others[index]

    def _index_at(self, epochs: int) -> int | None:
        for index, (epoch, _) in enumerate(self.scores):
            if epoch >= epochs:
                return index
        return len(self.scores) - 1 if self.state is FoldRunState.FINISHED and self.scores else None


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial as it stands.

    Attributes:
        study: Name of its study.
        number: From 1.
        parameters: Active searched parameters; the study's ``fixed`` ones are not repeated here.
        origin: Why it exists.
        created_at: When it was created, UTC.
        state: See TrialState.
        scores: Mean score at each completed rung, lowest first; shape (n_completed_rungs,).
        fold_runs: Fold runs so far, in fold order.
        reason: Why it ended, for STOPPED, INFEASIBLE, FAILED and CANCELLED.
        log_tail: Last log lines of the fold run that failed.
        started_at: When the first segment was handed out.
        ended_at: When it reached a final state.
        train_seconds: Training time so far over all its fold runs, in seconds.
        failure: What went wrong, for INFEASIBLE and FAILED; None otherwise, or if it was no attempt's fault.
        others: Means of the study's other metrics (``StudySpec.others``) at the highest completed rung; empty without.
        feasible: Whether those means keep all of the study's limits; True while nothing is known.
        note: What the searcher wants to be told again of this trial when it is rebuilt; JSON, or empty.
        of: The trial that this one confirms, tests or descends from; None for others.
        of_epoch: Epochs of that trial which a DESCENT goes on from: it has their scores, and trains only the rest. 0
            for others.
    """

    study: StudyName
    number: TrialNumber
    parameters: Parameters
    origin: Origin
    created_at: datetime
    state: TrialState = TrialState.PENDING
    scores: tuple[float, ...] = ()
    fold_runs: tuple[FoldRun, ...] = ()
    reason: str = ""
    log_tail: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    train_seconds: float = 0.0
    failure: Failure | None = None
    others: tuple[float, ...] = ()
    feasible: bool = True
    note: str = ""
    of: TrialNumber | None = None
    of_epoch: int = 0

    @property
    def rung(self) -> int:
        """Number of completed rungs; its current rung is ``ladder[trial.rung]``."""
        return len(self.scores)

    def with_fold_run(self, index: int, run: FoldRun) -> "Trial":
        """The trial with ``run`` in place of the fold run at ``index`` (repeat times folds plus fold)."""
        return replace(self, fold_runs=(*self.fold_runs[:index], run, *self.fold_runs[index + 1 :]))

    def running(self, at: datetime) -> "Trial":
        """A segment was handed out; also how a paused trial climbs."""
        if self.state.ended:
            raise ValueError(f"trial {self.number} is {self.state} and cannot run")
        return replace(self, state=TrialState.RUNNING, started_at=self.started_at or at)

    def climbed(self, score: float, others: tuple[float, ...] = (), feasible: bool = True) -> "Trial":
        """One more rung is complete, with its mean score and those of the study's other metrics."""
        return replace(self, scores=(*self.scores, score), others=others, feasible=feasible)

    def paused(self) -> "Trial":
        """It completed a rung and waits for promotion."""
        if self.state is not TrialState.RUNNING:
            raise ValueError(f"trial {self.number} is {self.state} and cannot pause")
        return replace(self, state=TrialState.PAUSED)

    def ended(
        self, state: TrialState, at: datetime, reason: str = "", log_tail: str = "", failure: Failure | None = None
    ) -> "Trial":
        """A final state, with the reason; fold runs end with it."""
        if self.state.ended or not state.ended:
            raise ValueError(f"trial {self.number} cannot go from {self.state} to {state}")
        runs = tuple(
            r if r.state is FoldRunState.FINISHED else replace(r, state=FoldRunState.FINISHED) for r in self.fold_runs
        )
        return replace(
            self, state=state, ended_at=at, reason=reason, log_tail=log_tail, fold_runs=runs, failure=failure
        )


def objective_values(spec: StudySpec, trial: Trial) -> tuple[float, ...]:
    """Means of the study's objectives at the trial's highest completed rung, which it must have; in their order and own
    signs, shape (n_objectives,)."""
    means = {spec.objective.metric: trial.scores[-1], **dict(zip(spec.others, trial.others, strict=True))}
    return tuple(means[objective.metric] for objective in spec.objectives)


def keeps_limits(spec: StudySpec, others: tuple[float, ...]) -> bool:
    """Whether the means of the study's other metrics, shape (n_others,), keep all of its limits."""
    means = dict(zip(spec.others, others, strict=True))
    return all(limit.excess(means[limit.metric]) <= 0 for limit in spec.limits if limit.metric in means)
