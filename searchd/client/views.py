"""What the client hands out: the server's resources as typed, plain values.

Each keeps the message that it was read from, whose JSON ``to_dict`` gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from google.protobuf.message import Message

from searchd.client.plain import plain_message
from searchd.domain.failure import Failure
from searchd.domain.fidelity import Fidelity
from searchd.domain.leaderboard import PairedDifference
from searchd.domain.objective import Goal, Limit, Objective
from searchd.domain.space import Parameters
from searchd.domain.study import Confirmed, Progress, Resources, StudyName, StudyState
from searchd.domain.trial import Origin, TrialState
from searchd.ports.tracker import Tracked
from searchd.v1 import leaderboard_service_pb2, study_pb2, trial_pb2
from searchd.wire.codec import decode_progress
from searchd.wire.study_file import write_study
from searchd.wire.study_mapping import study_to_mapping
from searchd.wire.trials import decode_failure
from searchd.wire.values import decode_enum, decode_parameters, decode_time


@dataclass(frozen=True, slots=True)
class View:
    """Something that the server answered."""

    message: Message = field(repr=False, compare=False, kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """The message as JSON values, with the protos' field names."""
        return plain_message(self.message)


@dataclass(frozen=True, slots=True)
class Study(View):
    """A study as it stood when it was read.

    Attributes:
        name: ``projects/{project}/studies/{study}``.
        trainable: Registered name.
        metric: Name of the metric that rankings go by.
        goal: Which direction of it is better.
        objectives: All that it optimises, in order.
        limits: What its trials must keep to.
        other_metrics: The metrics besides ``metric`` whose means are kept with each trial, in order.
        state: Where it stands.
        reason: Why, if there is something to say.
        max_trials: Trials of its budget.
        slots: Fold runs at once at most; None means no limit.
        resources: What a fold run occupies.
        parameters: Names of what it searches, in the space's order.
        folds: Fold runs of a full evaluation.
        rungs: The ladder, lowest first.
        progress: Counts so far.
        labels: For finding it again.
        seed: Of the search and of all trials.
        split_seed: Of the splits.
        code: Fingerprint of the trainable's code.
        data: Fingerprint of the dataset; empty without one.
        created_at: UTC, as all times.
        started_at: When its first segment was handed out, or None.
        ended_at: When it ended, or None.
        tracked: How far it is in the other places that it names; only where one study was asked for.
    """

    message: study_pb2.Study = field(repr=False, compare=False, kw_only=True)
    name: StudyName
    trainable: str
    metric: str
    goal: Goal
    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...]
    other_metrics: tuple[str, ...]
    state: StudyState
    reason: str
    max_trials: int
    slots: int | None
    resources: Resources
    parameters: tuple[str, ...]
    folds: int
    rungs: tuple[Fidelity, ...]
    progress: Progress
    labels: Mapping[str, str]
    seed: int
    split_seed: int
    code: str
    data: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    tracked: tuple[Tracked, ...] = ()

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rsplit("/", 1)[-1]

    def definition(self) -> dict[str, Any]:
        """Its definition as what a study file holds, with every default filled in; it can be changed and submitted."""
        return study_to_mapping(self.message)

    def to_file(self) -> str:
        """Its definition as the text of a study file, with every default filled in."""
        return write_study(self.message)


@dataclass(frozen=True, slots=True)
class FoldRun:
    """One trial on one fold.

    Attributes:
        repeat: From 0.
        fold: In the repeat, from 0.
        epoch: Epochs trained when its last segment ended.
        attempt: Hand-outs to workers so far.
        running: Whether a worker has it now.
        score: Its newest score at a rung, or None.
        failures: What ended earlier attempts that were retried, in order.
    """

    repeat: int
    fold: int
    epoch: int
    attempt: int
    running: bool
    score: float | None
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Trial(View):
    """A trial as it stood when it was read.

    Attributes:
        study: Name of its study.
        number: From 1.
        params: Its active parameters and the study's fixed ones.
        origin: Why it exists.
        state: Where it stands.
        rung_scores: Mean score at each completed rung, lowest first; shape (n_completed_rungs,).
        fold_runs: Its fold runs so far.
        reason: Why it ended, if not by completing.
        log_tail: Last log lines, if it failed.
        created_at: UTC, as all times.
        started_at: When its first segment was handed out, or None.
        ended_at: When it ended, or None.
        train_seconds: Seconds of training so far, over all fold runs.
        failure: What went wrong, if it failed or is infeasible by an attempt's fault, else None.
        other_values: Means of the study's ``other_metrics`` at the highest completed rung; empty before the first.
        breaks_limits: Whether those break a limit of the study.
        of: Number of the trial that it confirms, tests or descends from, or None.
    """

    message: trial_pb2.Trial = field(repr=False, compare=False, kw_only=True)
    study: StudyName
    number: int
    params: Parameters
    origin: Origin
    state: TrialState
    rung_scores: tuple[float, ...]
    fold_runs: tuple[FoldRun, ...]
    reason: str
    log_tail: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    train_seconds: float
    failure: Failure | None
    other_values: tuple[float, ...]
    breaks_limits: bool
    of: int | None

    @property
    def retries(self) -> int:
        """How often its fold runs were handed out again after a failure, all together."""
        return sum(len(run.failures) for run in self.fold_runs)


@dataclass(frozen=True, slots=True)
class Entry(View):
    """One line of a leaderboard.

    Attributes:
        rank: Place among the trials at the top rung, from 1; 0 for partial ones.
        trial: The trial.
        mean: Mean score over the folds of the highest rung that it completed.
        standard_error: Corrected for shared training rows; None with fewer than 2 folds.
        versus_first: This one against the first on the same folds, positive where this one is better, or None.
        tied: Whether it cannot be told from the first.
        rung: The rung it completed.
        metrics: Means of all metrics at that rung.
    """

    rank: int
    trial: Trial
    mean: float
    standard_error: float | None
    versus_first: PairedDifference | None
    tied: bool
    rung: Fidelity
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class BestConfig(View):
    """The best configuration at the top rung, with how sure it is.

    Attributes:
        study: The study.
        best: Its line on the leaderboard.
        params: The parameters with the fixed ones, ready to use.
        default: The default configuration's line, or None.
        gain: Best against default on the same folds; None without a default, or if they are one trial.
        tied: Numbers of the trials that cannot be told from it.
        remarks: What a reader should know, one sentence each.
    """

    study: Study
    best: Entry
    params: Parameters
    default: Entry | None
    gain: PairedDifference | None
    tied: tuple[int, ...]
    remarks: tuple[str, ...]

    @property
    def confirmed(self) -> Confirmed | None:
        """How it did on fresh splits and on the test rows; None if it was neither confirmed nor tested."""
        return next((c for c in self.study.progress.confirmed if c.trial == self.best.trial.number), None)

    @property
    def optimism(self) -> float | None:
        """What its score promised too much, by its confirmation: positive where it was too good to be true."""
        found = self.confirmed
        if found is None or found.mean is None:
            return None
        return self.study.goal.signed(found.selected) - self.study.goal.signed(found.mean)


def _optional_moment(message: study_pb2.Study | trial_pb2.Trial, name: str) -> datetime | None:
    return decode_time(getattr(message, name)) if message.HasField(name) else None  # type: ignore[arg-type]


def read_objective(message: study_pb2.Objective) -> Objective:
    """An objective; a direction that this version does not know is upwards."""
    goal = Goal.MINIMIZE if message.goal == study_pb2.GOAL_MINIMIZE else Goal.MAXIMIZE
    return Objective(message.metric, goal, message.target if message.HasField("target") else None)


def _limit(message: study_pb2.Constraint) -> Limit:
    return Limit(
        message.metric,
        message.at_most if message.HasField("at_most") else None,
        message.at_least if message.HasField("at_least") else None,
    )


def read_study(message: study_pb2.Study) -> Study:
    """A study; every default is filled in by the server."""
    objectives = tuple(map(read_objective, message.objectives)) or (Objective("", Goal.MAXIMIZE),)
    decisive = next((o for o in objectives if o.metric == message.scheduler.metric), objectives[0])
    rungs = tuple(Fidelity(rung.folds, rung.epochs) for rung in message.rungs)
    return Study(
        name=StudyName(message.name),
        trainable=message.trainable,
        metric=decisive.metric,
        goal=decisive.goal,
        objectives=objectives,
        limits=tuple(_limit(constraint) for constraint in message.constraints if constraint.metric),
        other_metrics=tuple(message.other_metrics),
        state=decode_enum(study_pb2.StudyState.DESCRIPTOR, message.state, StudyState),
        reason=message.reason,
        max_trials=message.budget.trials,
        slots=message.budget.slots if message.budget.HasField("slots") else None,
        resources=Resources(message.resources.cpus, message.resources.gpus),
        parameters=tuple(parameter.name for parameter in message.search_space.parameters),
        folds=rungs[-1].folds if rungs else 1,
        rungs=rungs,
        progress=decode_progress(message.progress),
        labels=dict(message.labels),
        seed=message.seed,
        split_seed=message.evaluation.split_seed,
        code=message.code_fingerprint,
        data=message.data_fingerprint,
        created_at=decode_time(message.create_time),
        started_at=_optional_moment(message, "start_time"),
        ended_at=_optional_moment(message, "end_time"),
        tracked=tuple(Tracked(t.sink, t.place, t.problem) for t in message.tracked),
        message=message,
    )


def read_trial(message: trial_pb2.Trial) -> Trial:
    """A trial."""
    study, _, _ = message.name.partition("/trials/")
    return Trial(
        study=StudyName(study),
        number=message.number,
        params=decode_parameters(message.parameters),
        origin=decode_enum(trial_pb2.TrialOrigin.DESCRIPTOR, message.origin, Origin),
        state=decode_enum(trial_pb2.TrialState.DESCRIPTOR, message.state, TrialState),
        rung_scores=tuple(message.rung_scores),
        fold_runs=tuple(map(_fold_run, message.fold_runs)),
        reason=message.reason,
        log_tail=message.log_tail,
        created_at=decode_time(message.create_time),
        started_at=_optional_moment(message, "start_time"),
        ended_at=_optional_moment(message, "end_time"),
        train_seconds=message.train_seconds,
        failure=decode_failure(message.failure) if message.failure else None,
        other_values=tuple(message.other_values),
        breaks_limits=message.breaks_limits,
        of=message.of_trial or None,
        message=message,
    )


def _fold_run(message: trial_pb2.FoldRun) -> FoldRun:
    return FoldRun(
        repeat=message.repeat,
        fold=message.fold,
        epoch=message.epoch,
        attempt=message.attempt,
        running=message.running,
        score=message.score if message.HasField("score") else None,
        failures=tuple(map(decode_failure, message.failures)),
    )


def read_difference(message: leaderboard_service_pb2.PairedDifference) -> PairedDifference:
    """A paired difference with its interval."""
    return PairedDifference(message.mean, message.low, message.high, message.folds)


def read_entry(message: leaderboard_service_pb2.LeaderboardEntry) -> Entry:
    """A line of a leaderboard."""
    return Entry(
        rank=message.rank,
        trial=read_trial(message.trial),
        mean=message.mean,
        standard_error=message.standard_error if message.HasField("standard_error") else None,
        versus_first=read_difference(message.versus_first) if message.HasField("versus_first") else None,
        tied=message.tied,
        rung=Fidelity(message.rung.folds, message.rung.epochs),
        metrics=dict(message.metrics),
        message=message,
    )


def read_best(message: leaderboard_service_pb2.GetBestConfigResponse) -> BestConfig:
    """The best configuration."""
    default = read_entry(message.default_configuration) if message.HasField("default_configuration") else None
    study = read_study(message.study)
    params = decode_parameters(message.parameters)
    return BestConfig(
        study=study,
        best=read_entry(message.best),
        params={n: params[n] for n in (*study.parameters, *params) if n in params},
        default=default,
        gain=read_difference(message.gain) if message.HasField("gain") else None,
        tied=tuple(message.tied_trials),
        remarks=tuple(message.remarks),
        message=message,
    )
