"""One flat row for each kind of item, for data frames."""

from collections.abc import Mapping
from typing import Any

from searchd.client.cluster import Trainable
from searchd.client.views import Entry, Study, Trial
from searchd.domain.measurement import Measurement
from searchd.domain.trial import TrialState


def study_row(study: Study) -> dict[str, Any]:
    """Columns of a study."""
    best = study.progress.best
    return {
        "name": study.name,
        "trainable": study.trainable,
        "state": study.state.value,
        "metric": study.metric,
        "best": best.score if best else None,
        "best_trial": best.trial if best else None,
        "default": study.progress.default_score,
        "trials": sum(study.progress.trials.values()),
        "completed": study.progress.trials.get(TrialState.COMPLETED.value, 0),
        "epochs": study.progress.epochs,
        "train_seconds": study.progress.train_seconds,
        "created_at": study.created_at,
        "started_at": study.started_at,
        "ended_at": study.ended_at,
        "reason": study.reason,
        **_prefixed("labels", study.labels),
    }


def trial_row(trial: Trial) -> dict[str, Any]:
    """Columns of a trial."""
    return {
        "number": trial.number,
        "state": trial.state.value,
        "origin": trial.origin.value,
        "of": trial.of,
        "rungs": len(trial.rung_scores),
        "score": trial.rung_scores[-1] if trial.rung_scores else None,
        "epochs": sum(run.epoch for run in trial.fold_runs),
        "train_seconds": trial.train_seconds,
        "created_at": trial.created_at,
        "started_at": trial.started_at,
        "ended_at": trial.ended_at,
        "failure": trial.failure.value if trial.failure else None,
        "retries": trial.retries,
        "reason": trial.reason,
        **_prefixed("params", trial.params),
    }


def measurement_row(measurement: Measurement) -> dict[str, Any]:
    """Columns of a measurement."""
    return {
        "trial": measurement.trial,
        "repeat": measurement.repeat,
        "fold": measurement.fold,
        "epoch": measurement.epoch,
        "attempt": measurement.attempt,
        "seconds": measurement.seconds,
        "at": measurement.at,
        **_prefixed("metrics", measurement.metrics),
    }


def entry_row(entry: Entry) -> dict[str, Any]:
    """Columns of a leaderboard's line."""
    versus = entry.versus_first
    return {
        "rank": entry.rank or None,
        "trial": entry.trial.number,
        "state": entry.trial.state.value,
        "mean": entry.mean,
        "standard_error": entry.standard_error,
        "versus_first": versus.mean if versus else None,
        "versus_first_low": versus.low if versus else None,
        "versus_first_high": versus.high if versus else None,
        "tied": entry.tied,
        "folds": entry.rung.folds,
        "epochs": entry.rung.epochs,
        "train_seconds": entry.trial.train_seconds,
        **_prefixed("metrics", entry.metrics),
        **_prefixed("params", entry.trial.params),
    }


def trainable_row(trainable: Trainable) -> dict[str, Any]:
    """Columns of a trainable."""
    return {
        "name": trainable.name,
        "description": trainable.description,
        "form": trainable.form.value,
        "checkpoints": trainable.checkpoints,
        "folds": trainable.folds,
        "code": trainable.code,
        **_prefixed("metrics", {name: goal.value for name, goal in trainable.metrics.items()}),
        **_prefixed("default", trainable.default or {}),
    }


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in values.items()}
