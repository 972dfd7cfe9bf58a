"""Trials and measurements between wire and domain."""

from typing import Any

from searchd.domain.failure import Failure
from searchd.domain.measurement import Measurement
from searchd.domain.space import Parameters
from searchd.domain.study import StudyName
from searchd.domain.trial import FoldRun, FoldRunState, Origin, Trial, TrialNumber, TrialState
from searchd.v1 import trial_pb2
from searchd.wire.values import decode_enum, decode_parameters, decode_time, encode_enum, encode_parameters, encode_time


def trial_name(study: StudyName, number: int) -> str:
    """The full name of a trial."""
    return f"{study}/trials/{number}"


def encode_trial(trial: Trial, fixed: Parameters) -> trial_pb2.Trial:
    """The trial as callers see it; ``fixed`` are its study's, shown with its own parameters."""
    return trial_pb2.Trial(
        name=trial_name(trial.study, trial.number),
        number=trial.number,
        parameters=encode_parameters({**fixed, **trial.parameters}),
        origin=encode_enum(trial_pb2.TrialOrigin.DESCRIPTOR, trial.origin),
        state=encode_enum(trial_pb2.TrialState.DESCRIPTOR, trial.state),
        rung_scores=trial.scores,
        fold_runs=map(_encode_fold_run, trial.fold_runs),
        reason=trial.reason,
        log_tail=trial.log_tail,
        create_time=encode_time(trial.created_at),
        start_time=encode_time(trial.started_at),
        end_time=encode_time(trial.ended_at),
        train_seconds=trial.train_seconds,
        failure=_encode_failure(trial.failure) if trial.failure else trial_pb2.FAILURE_UNSPECIFIED,
        other_values=trial.others,
        breaks_limits=not trial.feasible,
        note=trial.note,
        of_trial=trial.of or 0,
        of_epoch=trial.of_epoch,
    )


def decode_trial(message: trial_pb2.Trial) -> Trial:
    """A trial that a server sent. Its parameters include the study's fixed ones.

    Of a fold run only what is shown is known: its newest score stands at its epoch, and a run that no worker has is
    READY before its first score and WAITING after.

    Raises:
        ValueError: its state, origin or a failure is unknown to this version, or its name is none.
    """
    study, separator, _ = message.name.rpartition("/trials/")
    if not separator:
        raise ValueError(f"{message.name!r} is not the name of a trial")
    state = decode_enum(trial_pb2.TrialState.DESCRIPTOR, message.state, TrialState)
    return Trial(
        study=StudyName(study),
        number=TrialNumber(message.number),
        parameters=decode_parameters(message.parameters),
        origin=decode_enum(trial_pb2.TrialOrigin.DESCRIPTOR, message.origin, Origin),
        created_at=decode_time(message.create_time),
        state=state,
        scores=tuple(message.rung_scores),
        fold_runs=tuple(_decode_fold_run(run, state) for run in message.fold_runs),
        reason=message.reason,
        log_tail=message.log_tail,
        started_at=decode_time(message.start_time) if message.HasField("start_time") else None,
        ended_at=decode_time(message.end_time) if message.HasField("end_time") else None,
        train_seconds=message.train_seconds,
        failure=decode_failure(message.failure) if message.failure else None,
        others=tuple(message.other_values),
        feasible=not message.breaks_limits,
        note=message.note,
        of=TrialNumber(message.of_trial) if message.of_trial else None,
        of_epoch=message.of_epoch,
    )


def decode_failure(number: int) -> Failure:
    """What went wrong.

    Raises:
        ValueError: the number is the unspecified one, or none that this version knows.
    """
    return decode_enum(trial_pb2.Failure.DESCRIPTOR, number, Failure)


def encode_measurement(measurement: Measurement) -> trial_pb2.Measurement:
    """Metrics of one fold run at one epoch."""
    return trial_pb2.Measurement(
        trial=measurement.trial,
        repeat=measurement.repeat,
        fold=measurement.fold,
        epoch=measurement.epoch,
        attempt=measurement.attempt,
        metrics=measurement.metrics,
        seconds=measurement.seconds,
        report_time=encode_time(measurement.at),
    )


def decode_measurement(message: trial_pb2.Measurement) -> Measurement:
    """Metrics of one fold run at one epoch."""
    return Measurement(
        trial=message.trial,
        repeat=message.repeat,
        fold=message.fold,
        epoch=message.epoch,
        attempt=message.attempt,
        metrics=dict(sorted(message.metrics.items())),
        seconds=message.seconds,
        at=decode_time(message.report_time),
    )


def _encode_fold_run(run: FoldRun) -> trial_pb2.FoldRun:
    return trial_pb2.FoldRun(
        repeat=run.repeat,
        fold=run.fold,
        epoch=run.epoch,
        attempt=run.attempt,
        running=run.state is FoldRunState.HANDED_OUT,
        score=run.scores[-1][1] if run.scores else None,
        failures=map(_encode_failure, run.failures),
    )


def _encode_failure(failure: Failure) -> Any:  # each wire enum is an int type of its own
    return encode_enum(trial_pb2.Failure.DESCRIPTOR, failure)


def _decode_fold_run(message: trial_pb2.FoldRun, trial: TrialState) -> FoldRun:
    scored = message.HasField("score")
    if message.running:
        state = FoldRunState.HANDED_OUT
    elif trial.ended:
        state = FoldRunState.FINISHED
    else:
        state = FoldRunState.WAITING if scored else FoldRunState.READY
    return FoldRun(
        repeat=message.repeat,
        fold=message.fold,
        state=state,
        target=message.epoch,
        epoch=message.epoch,
        attempt=message.attempt,
        failures=tuple(map(decode_failure, message.failures)),
        scores=((message.epoch, message.score),) if scored else (),
    )
