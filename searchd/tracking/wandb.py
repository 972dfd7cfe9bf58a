"""Weights & Biases: a run for each trial, grouped by study, and one for the study itself.

Their runs only grow and number their rows themselves, so a trial is written in one go when it has ended: then it is
there whole, and once, whatever happened before.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import wandb

from searchd.domain.study import Study, StudyState
from searchd.domain.trial import Trial, TrialNumber, TrialState
from searchd.tracking.sink import (
    News,
    Surroundings,
    facts_of,
    facts_of_study,
    fold_title,
    key,
    means,
    parameters,
    project_of,
    results,
    study_file,
    title,
)

LONGEST_TAG = 64

_FAILED = (TrialState.FAILED, TrialState.INFEASIBLE)


def open_sink(study: Study, around: Surroundings) -> "WandbSink":
    """A sink of one study: in the folder, whose name must be wandb, to be sent with ``wandb sync``, unless WANDB_MODE
    says otherwise."""
    return WandbSink(study, around)


class WandbSink:
    """Shows a study to Weights & Biases."""

    def __init__(self, study: Study, around: Surroundings) -> None:
        self._around = around
        self._project = project_of(study)
        self._mode = os.environ.get("WANDB_MODE", "offline")
        self._shown: set[TrialNumber] = set()
        self._ended: Study | None = None

    @property
    def place(self) -> str:
        """The folder, or the project on their server."""
        return str(self._around.folder) if self._mode == "offline" else f"wandb project {self._project}"

    def write(self, news: News) -> None:
        """Show the trials that have ended, and the study when it has.

        Raises:
            wandb.Error: they refuse, or cannot be reached.
            OSError: a file cannot be written.
        """
        ended = [t for t in news.trials if t.state.ended and t.number not in self._shown]
        for trial in ended:
            self._trial(news.study, trial)
            self._shown.add(trial.number)
        over = news.study.state.ended and news.study != self._ended
        if over:
            self._study(news.study)
            self._ended = news.study
        if ended or over:
            wandb.teardown()  # a run that has been finished is still being written by another process of theirs

    def close(self) -> None:
        """Nothing is open between two news."""

    def _trial(self, study: Study, trial: Trial) -> None:
        said = {**facts_of(study, trial), **self._around.links(trial)}
        began = trial.started_at or trial.created_at
        with self._run(study, trial.number, f"trial {trial.number}", trial.origin.value, began) as run:
            run.config.update({**parameters(study, trial), "searchd": said, "labels": dict(study.spec.labels)})
            run.define_metric("epoch", hidden=True)
            run.define_metric("*", step_metric="epoch")
            for row in self._rows(study, trial):
                run.log(row)
            for _, scores in means(study, trial)[-1:]:
                run.summary.update(scores)
            run.summary.update({"state": trial.state.value, "train_seconds": trial.train_seconds})
            run.finish(exit_code=int(trial.state in _FAILED))

    def _rows(self, study: Study, trial: Trial) -> Iterator[Mapping[str, float]]:
        """What all folds reported, a row for each epoch."""
        rows: dict[int, dict[str, float]] = {}
        for found in self._around.history(trial.number):
            fold = fold_title(study, found.repeat, found.fold)
            row = rows.setdefault(found.epoch, {"epoch": found.epoch})
            row |= {f"{fold}/{metric}": value for metric, value in found.metrics.items()}
        return (rows[epoch] for epoch in sorted(rows))

    def _study(self, study: Study) -> None:
        with self._run(study, None, title(study), "study", study.created_at) as run:
            run.config.update({**facts_of_study(study), "labels": dict(study.spec.labels), "file": study_file(study)})
            run.summary.update(results(study))
            run.finish(exit_code=int(study.state is StudyState.FAILED))

    def _run(self, study: Study, number: TrialNumber | None, name: str, kind: str, began: datetime) -> Any:
        """A new run in place of one of the same id that may be there, perhaps in part."""
        run_id = key(study, number)
        self._around.folder.mkdir(parents=True, exist_ok=True)
        for earlier in self._around.folder.glob(f"*run-*-{run_id}"):
            shutil.rmtree(earlier)
        return wandb.init(
            id=run_id,
            name=name,
            project=self._project,
            group=title(study),
            job_type=kind,
            tags=[f"{label}={value}"[:LONGEST_TAG] for label, value in study.spec.labels.items()],
            dir=self._around.folder.parent,  # in which they make the folder wandb
            mode=self._mode,  # type: ignore[arg-type]
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                symlink=False,
                disable_git=True,
                disable_code=True,
                x_start_time=began.timestamp(),
                x_disable_stats=True,  # the figures would be those of this machine now, not of the training
                x_disable_meta=True,
            ),
        )
