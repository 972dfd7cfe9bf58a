"""A study: one search, what defines it, and how far it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from searchd.domain.failure import RETRIES, Failure
from searchd.domain.fidelity import Fidelity, Ladder, derived_ladder
from searchd.domain.space import Parameters, SearchSpace

StudyName = NewType("StudyName", str)
"""Full resource name: ``projects/{project}/studies/{study}``."""

ID_PATTERN = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"


class Goal(StrEnum):
    """Which direction of a metric is better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"

    def better(self, a: float, b: float) -> bool:
        """Whether ``a`` is strictly better than ``b``."""
        return a > b if self is Goal.MAXIMIZE else a < b

    def signed(self, value: float) -> float:
        """The value with the sign that makes larger better."""
        return value if self is Goal.MAXIMIZE else -value


class Algorithm(StrEnum):
    """How configurations are proposed."""

    GRID = "grid"
    RANDOM = "random"
    SOBOL = "sobol"
    TPE = "tpe"

    @property
    def adaptive(self) -> bool:
        """Whether suggestions depend on how trials turn out, so that the searcher must be told of their results."""
        return self is Algorithm.TPE


class SchedulerAlgorithm(StrEnum):
    """Which trials climb the ladder."""

    NONE = "none"
    ASHA = "asha"


class SchedulerMode(StrEnum):
    """How ASHA decides: stop a trial at a rung, or pause all and promote the best."""

    STOPPING = "stopping"
    PROMOTION = "promotion"


class Racing(StrEnum):
    """Whether the remaining folds of a rung are worth running, decided after each fold."""

    NONE = "none"
    FORGIVING = "forgiving"
    AGGRESSIVE = "aggressive"


class Split(StrEnum):
    """How rows are divided into folds."""

    KFOLD = "kfold"
    STRATIFIED = "stratified"
    GROUP = "group"
    STRATIFIED_GROUP = "stratified_group"
    TIMESERIES = "timeseries"
    FOLD_COLUMN = "fold_column"


class Score(StrEnum):
    """Which epoch's metric stands for a fold run at a rung: the last, or the best so far (optimistic)."""

    LAST = "last"
    BEST = "best"


@dataclass(frozen=True, slots=True)
class Objective:
    """The metric to optimise and its direction."""

    metric: str
    goal: Goal


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
    """

    builtin: str | None = None
    uri: str | None = None
    target: str | None = None
    drop: tuple[str, ...] = ()
    groups: str | None = None
    order_by: str | None = None
    fold_column: str | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """How configurations are proposed; ``default_first`` makes the trainable's default configuration trial 1."""

    algorithm: Algorithm = Algorithm.TPE
    default_first: bool = True


@dataclass(frozen=True, slots=True)
class Scheduler:
    """Which trials climb: ``eta`` (at least 2) is the reduction factor, ``min_epochs`` the lowest rung's epochs."""

    algorithm: SchedulerAlgorithm = SchedulerAlgorithm.ASHA
    eta: int = 3
    mode: SchedulerMode = SchedulerMode.PROMOTION
    min_epochs: int = 1


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a trial is evaluated.

    Attributes:
        folds: Folds of the cross-validation, at least 2; or 0 for a single hold-out split.
        holdout: Share of rows held out for validation when ``folds`` is 0, in (0, 1).
        split: How rows are divided.
        split_seed: Seed of the splits, apart from the study's, so that studies on one dataset are comparable.
        repeats: Repeats of the cross-validation with other splits, at least 1.
        epochs: Epochs of a full evaluation, at least 1.
        score: Which epoch's metric counts at a rung.
        racing: The racing rule.
        ladder: Given rungs, lowest first, the top being all folds and epochs; empty means derived.
    """

    folds: int = 0
    holdout: float = 0.2
    split: Split = Split.KFOLD
    split_seed: int = 0
    repeats: int = 1
    epochs: int = 1
    score: Score = Score.LAST
    racing: Racing = Racing.NONE
    ladder: Ladder = ()

    @property
    def fold_runs(self) -> int:
        """Fold runs of a full evaluation."""
        return max(self.folds, 1) * self.repeats

    @property
    def top(self) -> Fidelity:
        """The fidelity of a full evaluation."""
        return Fidelity(self.fold_runs, self.epochs)

    def place(self, index: int) -> tuple[int, int]:
        """The (repeat, fold) of the fold run at ``index``: all folds of repeat 0 first."""
        return divmod(index, max(self.folds, 1))


@dataclass(frozen=True, slots=True)
class Resources:
    """What one fold run occupies; GPUs may be fractional."""

    cpus: float = 1.0
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a study: trials to start, fold runs at once (None: no limit), wall time (None: no limit)."""

    trials: int = 20
    slots: int | None = None
    wall_time: timedelta | None = None


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
    """What a caller defines; never changes after creation."""

    trainable: str
    objective: Objective
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

    @property
    def ladder(self) -> Ladder:
        """The rungs trials climb, lowest first; without a scheduler only the top."""
        if self.scheduler.algorithm is SchedulerAlgorithm.NONE:
            return (self.evaluation.top,)
        return self.evaluation.ladder or derived_ladder(
            self.evaluation.fold_runs,
            self.evaluation.epochs,
            self.scheduler.eta,
            self.scheduler.min_epochs,
            self.budget.trials,
        )

    def differing(self, other: "StudySpec") -> tuple[str, ...]:
        """Names of the fields in which the two differ."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name))


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
    """

    trials: Mapping[str, int] = field(default_factory=dict)
    rungs: tuple[int, ...] = ()
    best: Best | None = None
    default_score: float | None = None
    busy: int = 0
    epochs: int = 0
    full_epochs: int = 0
    train_seconds: float = 0.0


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

    def _moved(self, to: StudyState, legal: tuple[StudyState, ...], **changes: object) -> "Study":
        if self.state not in legal:
            raise ValueError(f"{self.name} cannot go from {self.state} to {to}")
        return replace(self, state=to, **changes)  # type: ignore[arg-type]


def study_name(project: str, study: str) -> StudyName:
    """The full name of a study from its two ids."""
    return StudyName(f"projects/{project}/studies/{study}")


def study_id(name: StudyName) -> str:
    """The last segment of a study's name."""
    return name.rsplit("/", 1)[-1]
