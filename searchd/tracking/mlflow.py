"""MLflow: an experiment for each project, a run for each study, and below it one for each trial.

Runs are found again by their tags, so nothing has to be remembered. Points carry the time of their measurement, by
which MLflow's databases know those that they already have.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlsplit

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported; a server calls nobody by itself

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

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
    plain,
    project_of,
    results,
    study_file,
    title,
)

KEY = "searchd.key"
"""Tag by which a run is found again: 16 hex digits."""

MOST_METRICS = 1000
MOST_TAGS = 100
"""Most of each in one call."""

LONGEST = 5000
"""Characters of a tag or parameter, below MLflow's own bounds."""

_OF_TRIAL = {TrialState.COMPLETED: "FINISHED", TrialState.STOPPED: "FINISHED", TrialState.CANCELLED: "KILLED"}
_OF_STUDY = {StudyState.SUCCEEDED: "FINISHED", StudyState.STOPPED: "KILLED"}

logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table that it makes


def open_sink(study: Study, around: Surroundings) -> "MlflowSink":
    """A sink of one study, on the server that MLFLOW_TRACKING_URI names, or in a database in the folder.

    Raises:
        MlflowException: there is no such server, or it refuses.
    """
    return MlflowSink(study, around)


class MlflowSink:
    """Shows a study to MLflow."""

    def __init__(self, study: Study, around: Surroundings) -> None:
        self._around = around
        given = os.environ.get("MLFLOW_TRACKING_URI", "")
        if not given:
            around.folder.mkdir(parents=True, exist_ok=True)
        uri = given or f"sqlite:///{around.folder.absolute() / 'mlflow.db'}"
        self._place = public(uri)
        self._client = MlflowClient(uri)
        files = None if given else (around.folder.absolute() / "artifacts").as_uri()
        self._experiment = self._experiment_of(f"searchd/{project_of(study)}", files)
        self._runs: dict[TrialNumber | None, str | None] = {}
        self._shown: dict[TrialNumber, Trial] = {}
        self._ended: Study | None = None

    @property
    def place(self) -> str:
        """The tracking URI, without a password."""
        return self._place

    def write(self, news: News) -> None:
        """Show the news.

        Raises:
            MlflowException: MLflow refuses, or cannot be reached.
        """
        study = news.study
        for trial in news.trials:
            self._trial(study, trial)
        points: dict[TrialNumber, list[Metric]] = {}
        for m in news.measurements:
            fold = fold_title(study, m.repeat, m.fold)
            points.setdefault(TrialNumber(m.trial), []).extend(
                Metric(_name(f"{fold}/{metric}"), value, _millis(m.at), m.epoch) for metric, value in m.metrics.items()
            )
        for number, metrics in points.items():
            self._log(self._known(study, number), metrics)
        if study.state.ended and study != self._ended:
            self._end(study)
            self._ended = study

    def close(self) -> None:
        """Nothing is held that needs closing."""

    def _experiment_of(self, name: str, files: str | None) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name, artifact_location=files))
            except MlflowException:  # somebody else was faster
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _study(self, study: Study) -> str | None:
        if None not in self._runs and (found := self._found(study, None)):
            self._runs[None] = _writable(found)
        if None not in self._runs:
            tags = {KEY: key(study), "mlflow.note.content": f"```yaml\n{study_file(study)[: LONGEST - 20]}\n```"}
            tags |= {**_tags(facts_of_study(study)), **_labels(study)}
            run = self._client.create_run(self._experiment, _millis(study.created_at), _cut(tags), title(study))
            self._runs[None] = str(run.info.run_id)
        return self._runs[None]

    def _trial(self, study: Study, trial: Trial) -> None:
        known = self._shown.get(trial.number)
        if known is not None and known.scores == trial.scores and known.state.ended == trial.state.ended:
            return
        run = self._known(study, trial.number) or self._begun(study, trial)
        self._shown[trial.number] = trial
        at = _millis(trial.created_at)  # the same each time, by which a repeated point is known
        points = [Metric(_name(n), v, at, step) for step, scores in means(study, trial) for n, v in scores.items()]
        self._log(run, points)
        if run is not None and trial.state.ended:
            said = {"searchd.checkpoints": "forgotten when the trial ended", **_tags(facts_of(study, trial))}
            said |= _tags(self._around.links(trial))
            self._client.log_batch(run, tags=_as_tags(said))
            self._client.set_terminated(run, _OF_TRIAL.get(trial.state, "FAILED"), _millis(trial.ended_at))

    def _begun(self, study: Study, trial: Trial) -> str | None:
        """A new run for a trial; None if its run has been deleted by hand."""
        parent = self._study(study)
        if trial.number in self._runs or parent is None:
            return None
        tags = {KEY: key(study, trial.number), "mlflow.parentRunId": parent}
        tags |= {**_tags(facts_of(study, trial)), **_tags(self._around.links(trial)), **_labels(study)}
        name = f"trial {trial.number}"
        run = self._client.create_run(self._experiment, _millis(trial.created_at), _cut(tags), name)
        run_id = self._runs[trial.number] = str(run.info.run_id)
        params = [Param(_name(n), str(plain(v))[:LONGEST]) for n, v in parameters(study, trial).items()]
        for start in range(0, len(params), MOST_TAGS):
            self._client.log_batch(run_id, params=params[start : start + MOST_TAGS])
        return run_id

    def _known(self, study: Study, number: TrialNumber) -> str | None:
        """The run of a trial; None if there is none, or if it has been deleted by hand."""
        if number not in self._runs and (found := self._found(study, number)):
            self._runs[number] = _writable(found)
        return self._runs.get(number)

    def _found(self, study: Study, number: TrialNumber | None) -> Run | None:
        wanted = f"tags.`{KEY}` = '{key(study, number)}'"
        found = self._client.search_runs([self._experiment], wanted, ViewType.ALL, max_results=1)
        return found[0] if found else None

    def _log(self, run: str | None, points: Sequence[Metric]) -> None:
        if run is None:
            return
        for start in range(0, len(points), MOST_METRICS):
            self._client.log_batch(run, metrics=points[start : start + MOST_METRICS])

    def _end(self, study: Study) -> None:
        run = self._study(study)
        if run is None:
            return
        at = _millis(study.ended_at)
        self._log(run, [Metric(name, value, at, 0) for name, value in results(study).items()])
        self._client.log_batch(run, tags=_as_tags({**_tags(facts_of_study(study)), **_labels(study)}))
        self._client.set_terminated(run, _OF_STUDY.get(study.state, "FAILED"), at)


def _writable(run: Run) -> str | None:
    return str(run.info.run_id) if run.info.lifecycle_stage == "active" else None


def public(uri: str) -> str:
    """The URI without user and password."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else uri


def _millis(at: datetime | None) -> int:
    return 0 if at is None else int(at.timestamp() * 1000)


def _name(text: str) -> str:
    """A name as MLflow allows them."""
    return re.sub(r"[^\w\-. :/]", "_", text)[:250]


def _tags(facts: Mapping[str, str]) -> dict[str, str]:
    return {f"searchd.{name}": value for name, value in facts.items()}


def _labels(study: Study) -> dict[str, str]:
    return dict(study.spec.labels)


def _cut(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value[:LONGEST] for name, value in tags.items()}


def _as_tags(tags: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(name, value) for name, value in _cut(tags).items()][:MOST_TAGS]
