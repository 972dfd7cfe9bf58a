"""The engine runs segments on workers: Ray, or the simulator.

The conductor names workers, decides how many there are and what each does; the engine places and starts them, and
reports. Events reach the conductor through the callback that the engine was built with, in order per worker.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType, Protocol

from searchd.domain.evaluation import Evaluation
from searchd.domain.failure import Failure
from searchd.domain.parent import Heritage
from searchd.domain.space import Parameters
from searchd.domain.study import Dataset, Resources, StudyName
from searchd.domain.trial import FoldRunKey, TrialNumber

WorkerId = NewType("WorkerId", str)


@dataclass(frozen=True, slots=True)
class PoolKey:
    """Workers of one pool are interchangeable: the same code and the same resources.

    ``code`` is the fingerprint of the trainable's module, ``code_id`` that of the uploaded code which has it; empty if
    the server knows the module by itself.
    """

    code: str
    resources: Resources
    code_id: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """What all segments of a study share.

    Attributes:
        study: Name of the study.
        trainable: Registered name.
        fixed: Parameters that every trial has.
        dataset: The dataset, or None.
        data: Its fingerprint.
        evaluation: Folds, splits and epochs.
        seed: The study's seed; trial and fold seeds are derived from it.
        metrics: Metrics without which a report is refused (the objective's).
        born: When the study was created, which tells it from an earlier one of the same name.
        heritage: What it knows of the study that it builds on; None if there is none.
    """

    study: StudyName
    trainable: str
    fixed: Parameters
    dataset: Dataset | None
    data: str
    evaluation: Evaluation
    seed: int
    metrics: tuple[str, ...]
    born: str = ""
    heritage: Heritage | None = None


@dataclass(frozen=True, slots=True)
class Donor:
    """Another trial of the study whose fold run, of the same repeat and fold, left a checkpoint after ``epoch``."""

    trial: TrialNumber
    parameters: Parameters
    epoch: int


@dataclass(frozen=True, slots=True)
class Segment:
    """The unit of work: advance one fold run to ``target`` epochs (from wherever its checkpoint is).

    One that has a ``donor`` and no checkpoint yet begins from the donor's. Checkpoints of the epochs in ``keep`` stay,
    as others may begin from them.
    """

    task: Task
    trial: TrialNumber
    parameters: Parameters
    repeat: int
    fold: int
    attempt: int
    target: int
    donor: Donor | None = None
    keep: tuple[int, ...] = ()

    @property
    def key(self) -> FoldRunKey:
        """The fold run."""
        return FoldRunKey(self.task.study, self.trial, self.repeat, self.fold, self.task.born)


class Outcome(StrEnum):
    """How a segment ended."""

    REACHED = "reached"
    """It reached its target; its state is saved if there are epochs left."""
    FINISHED = "finished"
    """The trainable returned before the target: the fold run is complete at its last epoch."""
    INFEASIBLE = "infeasible"
    """A NaN or infinite objective, or the trainable gave up."""
    FAILED = "failed"
    """The trainable raised, reported no metric that it must, or never reported."""
    CANCELLED = "cancelled"
    """Cancelled on request; nothing was saved."""
    DRAINED = "drained"
    """The server is leaving: saved at the last epoch and set aside."""


@dataclass(frozen=True, slots=True)
class Report:
    """Metrics of one epoch (from 1); ``seconds`` of training since the report before."""

    epoch: int
    metrics: Mapping[str, float]
    seconds: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a segment: how, at which epoch, why (one line), and the last log lines if it failed.

    ``failure`` is what went wrong, if the outcome is INFEASIBLE or FAILED, else None.
    """

    outcome: Outcome
    epoch: int
    reason: str = ""
    log_tail: str = ""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker that was asked for can take segments. Not sent for an adopted one, which can already."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class WorkerAdopted:
    """At start: a worker of an earlier server lives; ``holding`` is what it runs or has queued, as (key, attempt).

    What its outbox held follows as SegmentReported events. A worker that cannot answer is adopted with what is known
    of it from outside, which may include segments whose end it has yet to report; its outbox then follows later.
    """

    worker: WorkerId
    pool: PoolKey
    holding: tuple[tuple[FoldRunKey, int], ...]


class LossCause(StrEnum):
    """Why a worker is gone."""

    RETIRED = "retired"
    """The conductor retired it."""
    KILLED = "killed"
    """The conductor killed it, after a deadline."""
    DIED = "died"
    """Its process ended or its node was lost."""
    UNPLACED = "unplaced"
    """It never became ready: it could not be placed in time, or could not start."""


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker is gone, with everything it held that it had not reported; ``reason`` is one line.

    ``running`` is the segment that it ran, as (key, attempt): the first of those that had reached it and whose end it
    had not told; None if there was none. ``failure`` says what its death counts as for that; both mean something if
    the cause is DIED.
    """

    worker: WorkerId
    cause: LossCause
    reason: str
    log_tail: str = ""
    failure: Failure = Failure.WORKER_KILLED
    running: tuple[FoldRunKey, int] | None = None


@dataclass(frozen=True, slots=True)
class SegmentStarted:
    """A segment is running for more than a moment. ``elapsed`` since it began. Brief ones never send this."""

    worker: WorkerId
    key: FoldRunKey
    attempt: int
    elapsed: timedelta


@dataclass(frozen=True, slots=True)
class SegmentReported:
    """Epochs of a segment since the last such event, and its end if it ended.

    ``sequence`` counts a worker's messages from 1; once what it led to is committed, it is acknowledged up to there.
    """

    worker: WorkerId
    sequence: int
    key: FoldRunKey
    attempt: int
    reports: tuple[Report, ...]
    ended: Ended | None


@dataclass(frozen=True, slots=True)
class Node:
    """What a node of the cluster offers in total."""

    name: str
    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class CapacityChanged:
    """The nodes there are now. Sent at start before anything else, and whenever they change."""

    nodes: tuple[Node, ...]


EngineEvent = WorkerReady | WorkerAdopted | WorkerLost | SegmentStarted | SegmentReported | CapacityChanged


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start a worker; WorkerReady or WorkerLost follows."""

    worker: WorkerId
    pool: PoolKey


@dataclass(frozen=True, slots=True)
class RetireWorker:
    """End a worker that holds nothing; WorkerLost(RETIRED) follows."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class KillWorker:
    """End a worker at once, whatever it does; WorkerLost(KILLED) with this reason follows."""

    worker: WorkerId
    reason: str


@dataclass(frozen=True, slots=True)
class RunSegments:
    """Queue segments on a worker, to be run in order."""

    worker: WorkerId
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class CancelSegment:
    """Cancel a segment, queued or running, at its next yield; it reports CANCELLED unless it ended before."""

    worker: WorkerId
    key: FoldRunKey
    attempt: int


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Messages of a worker up to ``sequence`` are committed; it may forget them."""

    worker: WorkerId
    sequence: int


@dataclass(frozen=True, slots=True)
class Drain:
    """All workers: save at the next epoch, report DRAINED for everything held."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Checkpoints and scratch files of fold runs that ended are no longer needed: of one trial, or of a whole study
    (trial None), whose logs and artifacts go too."""

    study: StudyName
    trial: TrialNumber | None


EngineCommand = StartWorker | RetireWorker | KillWorker | RunSegments | CancelSegment | Acknowledge | Drain | Forget


class Engine(Protocol):
    """Runs segments. ``perform`` returns at once; outcomes arrive as events."""

    def start(self, epoch: int) -> None:
        """Connect, adopt the workers of earlier servers under the writer's ``epoch``, and begin to send events:
        CapacityChanged, then WorkerAdopted for each adopted worker with its outbox. All of these are sent before
        this returns, so that what no worker holds can be handed out again.

        Called again under a newer epoch, it does the same for its own workers: how a service whose write failed
        learns anew where its segments are."""
        ...

    def perform(self, commands: Sequence[EngineCommand]) -> None:
        """Carry out commands, in order per worker."""
        ...

    def close(self, *, leave_workers: bool) -> None:
        """Disconnect; workers live on if ``leave_workers``, else they end."""
        ...
