"""The port of tracking: what a sink is told of a study, and names that all sinks share."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from searchd.domain.measurement import Measurement
from searchd.domain.space import Parameters, ParameterValue
from searchd.domain.study import Study, study_id
from searchd.domain.trial import Trial, TrialNumber
from searchd.wire.codec import encode_study
from searchd.wire.study_file import write_study


@dataclass(frozen=True, slots=True)
class News:
    """What has happened to a study, each value whole.

    Attributes:
        study: As it stands.
        trials: Those that have changed, as they stand, by number.
        measurements: Those that have come, in order. The first of a trial comes after the trial itself, in the same
            news at the earliest. An epoch that was trained again is there again.
    """

    study: Study
    trials: Sequence[Trial] = ()
    measurements: Sequence[Measurement] = ()


class Sink(Protocol):
    """A place that shows one study.

    News that were written before may be written again, by another sink of the same place, and change nothing then: that
    is how a sink goes on after any interruption, from a moment that is not later than what it had shown.
    """

    @property
    def place(self) -> str:
        """Where the study appears: a folder, or a server's address; holds no secrets."""
        ...

    def write(self, news: News) -> None:
        """Show the news; on return they will survive this process.

        Raises:
            Exception: whatever the vendor raises. The sink is closed then, and another one is given the same news.
        """
        ...

    def close(self) -> None:
        """Release everything; the sink cannot be used afterwards."""
        ...


History = Callable[[TrialNumber], Sequence[Measurement]]
"""All measurements of a trial, ordered by repeat, fold and epoch; of each epoch only the newest attempt's."""

Links = Callable[[Trial], Mapping[str, str]]
"""Where files of a trial are, by what they are, such as artifacts; those that there are."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a sink has around it.

    Attributes:
        folder: Where it keeps its files, unless the vendor's own settings say otherwise.
        history: Reads measurements.
        links: Finds files.
    """

    folder: Path
    history: History
    links: Links


def no_links(trial: Trial) -> Mapping[str, str]:  # noqa: ARG001  # Links
    """Where files are of which nobody knows where they are."""
    return {}


def project_of(study: Study) -> str:
    """The project of a study."""
    return study.name.split("/")[1]


def title(study: Study) -> str:
    """A study's id and when it was created: another study of the same name, after this one was deleted, has another."""
    return f"{study_id(study.name)}-{study.created_at:%Y%m%d-%H%M%S}"


def key(study: Study, trial: TrialNumber | None = None) -> str:
    """16 hex digits that belong to a trial, or to the study itself, and never to anything else."""
    text = json.dumps([study.name, study.created_at.isoformat(), trial])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fold_title(study: Study, repeat: int, fold: int) -> str:
    """How a fold is called beside the others of its trial; rows that were set aside are the fold -1."""
    if fold < 0:
        return "test"
    return f"fold-{repeat}.{fold}" if study.spec.evaluation.repeats > 1 or repeat else f"fold-{fold}"


def parameters(study: Study, trial: Trial) -> Parameters:
    """All that the trial was trained with, fixed parameters included."""
    return {**study.spec.fixed, **trial.parameters}


def plain(value: ParameterValue) -> bool | int | float | str:
    """The value as what every vendor shows; lists, mappings and nothing as JSON."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def means(study: Study, trial: Trial) -> list[tuple[int, dict[str, float]]]:
    """(step, mean over folds by metric) of each completed rung, in order; a step counts the epochs of all folds.
    Metrics besides the objective that ranks are known of the highest rung only."""
    metric = study.spec.objective.metric
    if trial.origin.repeats:  # of one rung, which is on no ladder
        steps = [sum(run.epoch for run in trial.fold_runs)] * len(trial.scores)
    else:
        steps = [rung.folds * rung.epochs for rung in study.spec.ladder]
    found = [(step, {metric: score}) for step, score in zip(steps, trial.scores, strict=False)]
    if found:
        found[-1][1].update(zip(study.spec.others, trial.others, strict=False))
    return found


def facts_of(study: Study, trial: Trial) -> dict[str, str]:
    """What there is to say of a trial besides numbers."""
    known = {"study": study.name, "trial": str(trial.number), "state": trial.state.value, "origin": trial.origin.value}
    if trial.of is not None:
        known["of"] = str(trial.of)
    if trial.reason:
        known["reason"] = trial.reason
    return known


def facts_of_study(study: Study) -> dict[str, str]:
    """What there is to say of a study besides numbers."""
    known = {"study": study.name, "state": study.state.value, "trainable": study.spec.trainable, "code": study.code}
    if study.data:
        known["data"] = study.data
    if study.reason:
        known["reason"] = study.reason
    if study.progress.best is not None:
        known["best_trial"] = str(study.progress.best.trial)
    return known


def results(study: Study) -> dict[str, float]:
    """Numbers of a study as it stands: its best and default score, how many trials, for how long it trained."""
    progress = study.progress
    found = {"trials": float(sum(progress.trials.values())), "train_seconds": progress.train_seconds}
    if progress.best is not None:
        found["best"] = progress.best.score
    if progress.default_score is not None:
        found["default"] = progress.default_score
    return found


def study_file(study: Study) -> str:
    """The definition as a study file."""
    return write_study(encode_study(study))
