"""TensorBoard: a run for each trial, with its parameters and means, and below it one for each of its folds.

Event files are written record by record, without TensorFlow. TensorBoard never takes anything back, but it forgets what
a run showed from a step on when it reads that the run was started again at that step. So whatever may have been shown
before is begun with such a record, and shown again.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from google.protobuf.struct_pb2 import Value
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS, STATUS_UNKNOWN
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.plugins.text import metadata as text
from tensorboard.summary.writer.record_writer import RecordWriter

from searchd.domain.measurement import Measurement
from searchd.domain.space import ParameterValue
from searchd.domain.study import Study
from searchd.domain.trial import Trial, TrialState
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

_STATUS = {TrialState.FAILED: STATUS_FAILURE, TrialState.INFEASIBLE: STATUS_FAILURE}


def open_sink(study: Study, around: Surroundings) -> "TensorBoardSink":
    """A sink of one study, in ``{folder}/{project}/{study}-{when it was created}``."""
    return TensorBoardSink(study, around)


class TensorBoardSink:
    """Shows a study to TensorBoard."""

    def __init__(self, study: Study, around: Surroundings) -> None:
        self._around = around
        self._folder = around.folder / project_of(study) / title(study)
        self._runs: dict[Path, _Run] = {}
        self._shown: dict[int, Trial] = {}
        self._told: Study | None = None

    @property
    def place(self) -> str:
        """The study's folder."""
        return str(self._folder)

    def write(self, news: News) -> None:
        """Show the news.

        Raises:
            OSError: a file cannot be written.
        """
        for trial in news.trials:
            self._trial(news.study, trial)
        for measurement in news.measurements:
            self._measurement(news.study, measurement)
        if self._told is None or (news.study.state.ended and news.study != self._told):
            self._study(news.study)
            self._told = news.study
        for run in self._runs.values():
            run.flush()

    def close(self) -> None:
        """Nothing is held between two news."""

    def _run(self, *parts: str) -> "_Run":
        folder = self._folder.joinpath(*parts)
        if folder not in self._runs:
            self._runs[folder] = _Run(folder)
        return self._runs[folder]

    def _study(self, study: Study) -> None:
        at = study.ended_at or study.created_at
        values = [_text("study file", f"```yaml\n{study_file(study)}\n```"), _text("study", _table(_facts(study)))]
        if study.state.ended:
            values += [_scalar(name, value) for name, value in results(study).items()]
        self._run().add(0, at, values)

    def _trial(self, study: Study, trial: Trial) -> None:
        known = self._shown.get(trial.number)
        if known is not None and known.scores == trial.scores and known.state.ended == trial.state.ended:
            return
        self._shown[trial.number] = trial
        run = self._run(_trial_title(trial.number))
        at = trial.ended_at or trial.started_at or trial.created_at
        if known is None:
            run.add(0, trial.created_at, [_session_start(study, trial)])
        for step, scores in means(study, trial)[len(known.scores) if known else 0 :]:
            run.add(step, at, [_scalar(metric, score) for metric, score in scores.items()])
        if trial.state.ended:
            links = self._around.links(trial)
            shown = _table({**parameters(study, trial), **facts_of(study, trial), **links})
            run.add(run.newest + 1, at, [_session_end(trial, at), _text("trial", shown)])

    def _measurement(self, study: Study, found: Measurement) -> None:
        run = self._run(_trial_title(found.trial), fold_title(study, found.repeat, found.fold))
        values = [_scalar(metric, value) for metric, value in found.metrics.items()]
        run.add(found.epoch, found.at, values)


class _Run:
    """A run's newest event file; open only while news are being written to it, since a study may have thousands."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: Path | None = None
        self._waiting: list[Event] = []
        self._again = folder.is_dir() and any(folder.glob("events.out.tfevents.*"))
        self.newest = -1

    def add(self, step: int, at: datetime, values: Iterable[Summary.Value]) -> None:
        """Show values at a step, in place of what was shown from there on."""
        seconds = at.timestamp()
        if self._again or step <= self.newest:
            start = SessionLog(status=SessionLog.START)
            self._waiting.append(Event(wall_time=seconds, step=step, session_log=start))
        self._again, self.newest = False, step
        self._waiting.append(Event(wall_time=seconds, step=step, summary=Summary(value=values)))

    def flush(self) -> None:
        """Write what waits, in one file for the life of this run."""
        if not self._waiting:
            return
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            before = len(list(self._folder.glob("events.out.tfevents.*")))
            self._file = self._folder / f"events.out.tfevents.{before:010d}.searchd"
            self._waiting.insert(0, Event(wall_time=self._waiting[0].wall_time, file_version="brain.Event:2"))
        with self._file.open("ab") as file:
            records = RecordWriter(file)
            for event in self._waiting:
                records.write(event.SerializeToString())
        self._waiting.clear()


def _trial_title(number: int) -> str:
    return f"trial-{number:04d}"


def _scalar(tag: str, value: float) -> Summary.Value:
    return Summary.Value(tag=tag, simple_value=value)


def _text(tag: str, markdown: str) -> Summary.Value:
    tensor = TensorProto(dtype=DT_STRING, string_val=[markdown.encode()], tensor_shape=TensorShapeProto())
    return Summary.Value(tag=tag, metadata=text.create_summary_metadata(tag, ""), tensor=tensor)


def _session_start(study: Study, trial: Trial) -> Summary.Value:
    info = SessionStartInfo(
        group_name=key(study, trial.number),
        start_time_secs=(trial.started_at or trial.created_at).timestamp(),
    )
    for name, value in parameters(study, trial).items():
        info.hparams[name].CopyFrom(_value(value))
    data = HParamsPluginData(session_start_info=info)
    return _session(hparams.SESSION_START_INFO_TAG, data)


def _session_end(trial: Trial, at: datetime) -> Summary.Value:
    status = STATUS_SUCCESS if trial.state is TrialState.COMPLETED else _STATUS.get(trial.state, STATUS_UNKNOWN)
    info = SessionEndInfo(status=status, end_time_secs=at.timestamp())
    return _session(hparams.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def _session(tag: str, data: HParamsPluginData) -> Summary.Value:
    described: SummaryMetadata = hparams.create_summary_metadata(data)
    return Summary.Value(tag=tag, metadata=described, tensor=hparams.NULL_TENSOR)


def _value(value: ParameterValue) -> Value:
    shown = plain(value)
    if isinstance(shown, bool):
        return Value(bool_value=shown)
    return Value(string_value=shown) if isinstance(shown, str) else Value(number_value=shown)


def _facts(study: Study) -> Mapping[str, str]:
    return {**facts_of_study(study), **{f"label {name}": value for name, value in study.spec.labels.items()}}


def _table(rows: Mapping[str, ParameterValue]) -> str:
    lines = [f"| {name} | {str(plain(value)).replace('|', chr(92) + '|')} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *(line.replace("\n", " ") for line in lines)])
