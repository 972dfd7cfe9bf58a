"""A study: one search, what defines it, and how far it is."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from searchd.domain.evaluation import Evaluation
from searchd.domain.failure import RETRIES, Failure
from searchd.domain.fidelity import Ladder, derived_ladder, population_ladder, spaced_ladder
from searchd.domain.objective import Limit, Objective
from searchd.domain.parent import Heritage, Parent
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.search import Algorithm, Precedent, Search
from searchd.domain.space import Parameters, SearchSpace

StudyName = NewType("StudyName", str)
"""Full resource name: ``projects/{project}/studies/{study}``."""

ID_PATTERN = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Where the rows come from: exactly one of ``builtin`` and ``uri``.

    Attributes:
        builtin: Name of a dataset bundled with scikit-learn.
        uri: Path of a CSV, Parquet or NPZ file under a root that the server allows.
        target: Column (or NPZ array) to predict; None means ``target`` of a bundled dataset, ``y`` of an NPZ.
        drop: Columns that are not features.
        groups: Column of group labels; implies a group split.
        order_by: Column that orders rows in time; needed by ``timeseries``.
        fold_column: Column of given fold numbers; needed by the split of the same name.
        test: Share of rows, in (0, 1), that no fold sees, on which the best configuration is tested at the end; None
            for no test.
    """

    builtin: str | None = None
    uri: str | None = None
    target: str | None = None
    drop: tuple[str, ...] = ()
    groups: str | None = None
    order_by: str | None = None
    fold_column: str | None = None
    test: float | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """What one fold run occupies; GPUs may be fractional."""

    cpus: float = 1.0
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a study; None is no limit.

    Attributes:
        trials: Trials to start, confirmation and test not counted.
        slots: Fold runs at once.
        wall_time: From its creation; what runs is cancelled then.
        gpu_hours: GPU-hours of training; no new segment starts then.
        patience: Trials that ended in a row without a better best one, or with several objectives without adding to the
            front; no new trial starts then.
    """

    trials: int = 20
    slots: int | None = None
    wall_time: timedelta | None = None
    gpu_hours: float | None = None
    patience: int | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """How long segments may take, and how often a fold run is tried again.

    Attributes:
        attempts: Attempts per fold run whose worker is killed, at least 1.
        segment_timeout: A segment that takes longer, counted from its start, is ended with its worker.
        report_timeout: So is one that reports nothing for so long; None means that segment_timeout is all there is.
        retries: Retries per fold run by failure, 0 or more, in place of the usual ones.
    """

    attempts: int = 3
    segment_timeout: timedelta = timedelta(minutes=10)
    report_timeout: timedelta | None = None
    retries: Mapping[Failure, int] = field(default_factory=dict)

    def of(self, failure: Failure) -> int:
        """How often a fold run is handed out again after this failure."""
        usual = self.attempts - 1 if failure is Failure.WORKER_KILLED else RETRIES[failure]
        return self.retries.get(failure, usual)


@dataclass(frozen=True, slots=True)
class StudySpec:
    """What a caller defines. After creation only the budget may grow.

    ``limits`` are what trials must keep to beside the objectives, ``warm_start`` names earlier studies whose best
    configurations are tried first and searched around. What was read of them at creation are ``inherited``, the best
    configuration of each, and ``precedents``, how others did, shape (n_studies, n_trials). ``parent`` is the study
    that this one builds on, and ``heritage`` what was read of that. ``track`` names where it is to appear besides,
    such as ``tensorboard``. ``code_id`` is that of the uploaded code which registers the trainable; empty for one that
    the server knows by itself.
    """

    trainable: str
    objectives: tuple[Objective, ...]
    space: SearchSpace = field(default_factory=SearchSpace)
    dataset: Dataset | None = None
    fixed: Parameters = field(default_factory=dict)
    seed: int = 0
    search: Search = field(default_factory=Search)
    scheduler: Scheduler = field(default_factory=Scheduler)
    evaluation: Evaluation = field(default_factory=Evaluation)
    resources: Resources = field(default_factory=Resources)
    budget: Budget = field(default_factory=Budget)
    retry: Retry = field(default_factory=Retry)
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    warm_start: tuple[str, ...] = ()
    precedents: tuple[tuple[Precedent, ...], ...] = ()
    inherited: tuple[Parameters, ...] = ()
    code_id: str = ""
    parent: Parent | None = None
    heritage: Heritage | None = None
    track: tuple[str, ...] = ()

    @property
    def objective(self) -> Objective:
        """The objective that rungs, races and rankings go by."""
        metric = self.scheduler.metric
        return next((o for o in self.objectives if o.metric == metric), self.objectives[0])

    @property
    def others(self) -> tuple[str, ...]:
        """The metrics besides that objective's whose values are kept with a trial: those of the other objectives, of
        the limits, and the gradients that a gradient search goes by."""
        names = [o.metric for o in self.objectives] + [limit.metric for limit in self.limits]
        if self.search.algorithm is Algorithm.GRADIENT:
            names += [gradient_name(self.objective.metric, p.name) for p in self.space.continuous()]
        return tuple(dict.fromkeys(name for name in names if name != self.objective.metric))

    @property
    def ladder(self) -> Ladder:
        """The rungs trials climb, lowest first; without a scheduler only the top."""
        if self.scheduler.algorithm is SchedulerAlgorithm.NONE:
            return (self.evaluation.top,)
        if self.scheduler.algorithm is SchedulerAlgorithm.POPULATION and not self.evaluation.ladder:
            return population_ladder(self.evaluation.fold_runs, self.evaluation.epochs, self.scheduler.min_epochs)
        if self.scheduler.algorithm is SchedulerAlgorithm.MEDIAN and not self.evaluation.ladder:
            return spaced_ladder(self.evaluation.fold_runs, self.evaluation.epochs, self.scheduler.min_epochs)
        return self.evaluation.ladder or derived_ladder(
            self.evaluation.fold_runs,
            self.evaluation.epochs,
            self.scheduler.eta,
            self.scheduler.min_epochs,
            self.budget.trials,
        )

    def differing(self, other: "StudySpec") -> tuple[str, ...]:
        """Names of the fields in which the two differ; what was read of earlier studies is not compared."""
        names = [f.name for f in fields(self) if f.name not in ("precedents", "inherited", "heritage")]
        return tuple(name for name in names if getattr(self, name) != getattr(other, name))

    @property
    def etag(self) -> str:
        """Another one whenever something that can change has; 16 hex digits."""
        changeable = repr((self.budget, self.priority, sorted(self.labels.items())))
        return hashlib.sha256(changeable.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to change in a study's definition.

    Attributes:
        fields: Names of what changes: ``priority``, ``labels``, and fields of Budget.
        budget: Where the new values of those are.
        priority: The new priority, if it changes.
        labels: The new labels, all of them, if they change.
        etag: The definition's as the caller knew it; empty if that does not matter.
    """

    fields: frozenset[str]
    budget: Budget
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    etag: str = ""

    def applied(self, spec: StudySpec) -> StudySpec:
        """The definition with the changes; its ladder stays what it was."""
        limits = {f.name: getattr(self.budget, f.name) for f in fields(Budget) if f.name in self.fields}
        changed = replace(spec, budget=replace(spec.budget, **limits))
        if changed.ladder != spec.ladder:
            changed = replace(changed, evaluation=replace(spec.evaluation, ladder=spec.ladder))
        if "priority" in self.fields:
            changed = replace(changed, priority=self.priority)
        return replace(changed, labels=self.labels) if "labels" in self.fields else changed


class StudyState(StrEnum):
    """PENDING until its first trial runs; PAUSED after an internal fault; STOPPING while fold runs are cancelled."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether the study can no longer change."""
        return self in (StudyState.SUCCEEDED, StudyState.STOPPED, StudyState.FAILED)


@dataclass(frozen=True, slots=True)
class Best:
    """The best trial at the top rung so far."""

    trial: int
    score: float


@dataclass(frozen=True, slots=True)
class Confirmed:
    """How a trial did when its configuration was evaluated once more.

    Attributes:
        trial: The trial that was the candidate.
        selected: The mean that it was chosen by.
        mean: Mean over the fresh fold runs; None if they failed or are not through.
        standard_error: Its corrected standard error; None with fewer than 2 fold runs.
        shrunk: The mean, moved towards that of all candidates by as much as the noise suggests; None without a mean.
        test: Score on the rows that were set aside; None without.
    """

    trial: int
    selected: float
    mean: float | None = None
    standard_error: float | None = None
    shrunk: float | None = None
    test: float | None = None


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A trial of the Pareto front: its values, in the objectives' order and own signs."""

    trial: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of a study, kept incrementally.

    Attributes:
        trials: Number of trials by state name.
        rungs: Trials that completed each rung, lowest first; shape (n_rungs,).
        best: The best trial at the top rung, or None.
        default_score: Mean score of the default configuration at the top rung, or None.
        busy: Fold runs that are running now.
        epochs: Fold epochs trained so far.
        full_epochs: Fold epochs that full evaluation would have taken of the trials that have ended.
        train_seconds: Seconds of training so far, summed over fold runs.
        front: Trials at the top rung that keep all limits and that no other such trial dominates, by number; empty
            with one objective.
        worst: The worst value of each objective among trials at the top rung, in the objectives' order; empty with one.
        search_log: What the searcher chose and why, oldest first.
        confirmed: The candidates that are or were evaluated once more, the winner first.
        since_best: Trials that have ended since the best one did, or since the beginning.
        follow_ups: How many of the trials confirm or test others.
    """

    trials: Mapping[str, int] = field(default_factory=dict)
    rungs: tuple[int, ...] = ()
    best: Best | None = None
    default_score: float | None = None
    busy: int = 0
    epochs: int = 0
    full_epochs: int = 0
    train_seconds: float = 0.0
    front: tuple[FrontPoint, ...] = ()
    worst: tuple[float, ...] = ()
    search_log: tuple[str, ...] = ()
    since_best: int = 0
    confirmed: tuple[Confirmed, ...] = ()
    follow_ups: int = 0


@dataclass(frozen=True, slots=True)
class Study:
    """A study as it stands. Moves between states only through its methods, which know the legal moves."""

    name: StudyName
    spec: StudySpec
    code: str
    """Fingerprint of the trainable's code when the study was created."""
    data: str
    """Fingerprint of the dataset when the study was created; empty without one."""
    created_at: datetime
    state: StudyState = StudyState.PENDING
    reason: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    progress: Progress = field(default_factory=Progress)

    def started(self, at: datetime) -> "Study":
        """PENDING becomes RUNNING."""
        return self._moved(StudyState.RUNNING, (StudyState.PENDING,), started_at=at)

    def paused(self, reason: str) -> "Study":
        """An internal fault pauses the study, with the reason; it can be stopped."""
        return self._moved(StudyState.PAUSED, (StudyState.PENDING, StudyState.RUNNING), reason=reason)

    def stopping(self, reason: str) -> "Study":
        """A caller or a budget ends the study; running fold runs are being cancelled."""
        return self._moved(
            StudyState.STOPPING, (StudyState.PENDING, StudyState.RUNNING, StudyState.PAUSED), reason=reason
        )

    def stopped(self, at: datetime) -> "Study":
        """STOPPING becomes STOPPED."""
        return self._moved(StudyState.STOPPED, (StudyState.STOPPING,), ended_at=at)

    def succeeded(self, at: datetime, reason: str) -> "Study":
        """All trials ended and at least one completed the top rung."""
        return self._moved(StudyState.SUCCEEDED, (StudyState.RUNNING, StudyState.STOPPING), ended_at=at, reason=reason)

    def failed(self, at: datetime, reason: str) -> "Study":
        """All trials ended and none completed the top rung."""
        return self._moved(
            StudyState.FAILED, (StudyState.PENDING, StudyState.RUNNING, StudyState.STOPPING), ended_at=at, reason=reason
        )

    def reopened(self) -> "Study":
        """An ended study goes on."""
        ended = (StudyState.SUCCEEDED, StudyState.STOPPED, StudyState.FAILED)
        to = StudyState.RUNNING if self.started_at is not None else StudyState.PENDING
        return self._moved(to, ended, ended_at=None, reason="")

    def _moved(self, to: StudyState, legal: tuple[StudyState, ...], **changes: object) -> "Study":
        if self.state not in legal:
            raise ValueError(f"{self.name} cannot go from {self.state} to {to}")
        return replace(self, state=to, **changes)  # type: ignore[arg-type]


def gradient_name(metric: str, parameter: str) -> str:
    """The metric under which a trainable reports the derivative of ``metric`` by ``parameter``."""
    return f"d {metric}/d {parameter}"


def study_name(project: str, study: str) -> StudyName:
    """The full name of a study from its two ids."""
    return StudyName(f"projects/{project}/studies/{study}")


def study_id(name: StudyName) -> str:
    """The last segment of a study's name."""
    return name.rsplit("/", 1)[-1]
