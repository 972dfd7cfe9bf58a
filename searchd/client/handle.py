"""One study, from afar."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask

from searchd.client.connection import Connection
from searchd.client.insight import Curve, Importance, ParetoFront, read_curve, read_importance
from searchd.client.leaderboard import Leaderboard
from searchd.client.names import full_study_name
from searchd.client.rows import measurement_row, trial_row
from searchd.client.table import Table
from searchd.client.views import BestConfig, Study, Trial, read_best, read_study, read_trial
from searchd.client.watch import Event, watch
from searchd.domain.errors import InvalidStudy, Violation
from searchd.domain.measurement import Measurement
from searchd.domain.study import StudyName
from searchd.domain.trial import TrialState
from searchd.v1 import leaderboard_service_pb2, study_service_pb2, trial_pb2, trial_service_pb2
from searchd.wire.codec import decode_measurement, encode_parameters
from searchd.wire.study_file import study_from_mapping

if TYPE_CHECKING:
    from searchd.client.model_export import Exported
    from searchd.client.reproduction import Reproduction

PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Whole lines that one fold run printed."""

    repeat: int
    fold: int
    text: str


class StudyHandle:
    """A study on the server. Nothing is read before a method asks for it.

    Every method raises StudyNotFound if there is no such study, and ServerUnreachable.
    """

    def __init__(self, connection: Connection, name: StudyName) -> None:
        self._connection = connection
        self.name = name

    def __repr__(self) -> str:
        return f"<study {self.name} at {self._connection.address}>"

    def get(self) -> Study:
        """The study as it stands now."""
        request = study_service_pb2.GetStudyRequest(name=self.name)
        return read_study(self._connection.call(lambda at: at.studies.GetStudy, request).study)

    def watch(self, after: int = 0) -> Iterator[Event]:
        """What happens to the study, in order, until it has ended; goes on by itself after a lost connection.

        Args:
            after: Revision to start after; 0 means from the oldest that is kept.

        Raises:
            RevisionExpired: the events after ``after`` are no longer kept.
        """
        return watch(self._connection, self.name, after)

    def wait(self, *, progress: bool | None = None, timeout: timedelta | None = None) -> Study:
        """Wait until the study has ended.

        Args:
            progress: Whether to show a live table; None means on a terminal or in a notebook.
            timeout: For how long to wait; None means for ever.

        Returns:
            The study as it ended.

        Raises:
            TimeoutError: it has not ended within ``timeout``; the study goes on.
        """
        from searchd.client.live import live_console, show_live  # noqa: PLC0415  # loads rich, only to show something

        console = live_console(progress)
        events = watch(self._connection, self.name, 0, gaps=True, within=timeout)
        if console is not None:
            show_live(self, events, console)
        else:
            for event in events:
                if isinstance(event.value, Study) and event.value.state.ended:
                    break
        return self.get()

    def trials(self, state: TrialState | None = None) -> Table[Trial]:
        """The trials in number order; with ``state`` only those that are in it."""
        wanted = f"state={state.name}" if state is not None else ""

        def page(token: str) -> tuple[list[Trial], str]:
            request = trial_service_pb2.ListTrialsRequest(
                parent=self.name, page_size=PAGE_SIZE, page_token=token, filter=wanted
            )
            response = self._connection.call(lambda at: at.trials.ListTrials, request)
            return [read_trial(trial) for trial in response.trials], response.next_page_token

        return Table(page, trial_row)

    def trial(self, number: int) -> Trial:
        """One trial.

        Raises:
            TrialNotFound: the study has no trial of that number.
        """
        request = trial_service_pb2.GetTrialRequest(name=self._trial_name(number))
        return read_trial(self._connection.call(lambda at: at.trials.GetTrial, request).trial)

    def measurements(self, trial: int | None = None) -> Table[Measurement]:
        """What fold runs reported, by trial, repeat, fold and epoch.

        Args:
            trial: Only of this trial; None means of all.

        Raises:
            TrialNotFound: the study has no trial of that number; raised when the first page is read.
        """
        parent = self.name if trial is None else self._trial_name(trial)

        def page(token: str) -> tuple[list[Measurement], str]:
            request = trial_service_pb2.ListMeasurementsRequest(parent=parent, page_size=PAGE_SIZE, page_token=token)
            response = self._connection.call(lambda at: at.trials.ListMeasurements, request)
            return [decode_measurement(m) for m in response.measurements], response.next_page_token

        return Table(page, measurement_row)

    def logs(self, trial: int, *, follow: bool = False) -> Iterator[LogChunk]:
        """What the trial printed.

        Args:
            trial: Its number.
            follow: Whether to go on as lines come, until the trial ends.

        Raises:
            TrialNotFound: the study has no trial of that number.
        """
        request = trial_service_pb2.StreamLogsRequest(name=self._trial_name(trial), follow=follow)
        for chunk in self._connection.stream(lambda at: at.trials.StreamLogs, request):
            yield LogChunk(chunk.repeat, chunk.fold, chunk.text)

    def parent(self) -> "StudyHandle | None":
        """The study that it builds on, or None."""
        study = self.get().message
        if not study.HasField("parent"):
            return None
        project = self.name.removeprefix("projects/").partition("/")[0]
        return StudyHandle(self._connection, full_study_name(study.parent.study, project))

    def leaderboard(self, top: int = 10) -> Leaderboard:
        """The ranking: trials at the top rung, best first, then partial ones; at most ``top`` (1 to 1000) in all."""
        request = leaderboard_service_pb2.GetLeaderboardRequest(parent=self.name, top=top)
        return Leaderboard(self._connection.call(lambda at: at.leaderboards.GetLeaderboard, request))

    def best(self) -> BestConfig:
        """The best configuration at the top rung.

        Raises:
            NoCompleteTrial: no trial has completed the top rung yet.
        """
        request = leaderboard_service_pb2.GetBestConfigRequest(name=self.name)
        return read_best(self._connection.call(lambda at: at.leaderboards.GetBestConfig, request))

    def pareto(self) -> ParetoFront:
        """The trials that no other dominates in the study's objectives; with one objective the best alone."""

        def page(token: str) -> leaderboard_service_pb2.ListParetoTrialsResponse:
            request = leaderboard_service_pb2.ListParetoTrialsRequest(
                parent=self.name, page_size=PAGE_SIZE, page_token=token
            )
            return self._connection.call(lambda at: at.leaderboards.ListParetoTrials, request)

        return ParetoFront(page)

    def importance(self, metric: str = "") -> Importance:
        """How much each parameter matters for being among the best trials.

        Args:
            metric: One of the study's objectives; empty means the one that rankings go by.

        Raises:
            InvalidArgument: the metric is no objective of the study.
            ImportanceUnknown: its space or its trials do not tell.
            Overloaded: too many ask at once.
        """
        request = leaderboard_service_pb2.GetImportanceRequest(name=self.name, metric=metric)
        return read_importance(self._connection.call(lambda at: at.leaderboards.GetImportance, request))

    def curve(self) -> Curve:
        """How good the best was after how much work: the anytime curve."""
        request = leaderboard_service_pb2.GetCurveRequest(name=self.name)
        return read_curve(self._connection.call(lambda at: at.leaderboards.GetCurve, request))

    def export_model(
        self,
        folder: str | os.PathLike[str],
        *,
        trial: int | None = None,
        fold: int | None = None,
        formats: Sequence[str] = (),
        force: bool = False,
        trainables: Sequence[str] = (),
        data_roots: Sequence[str | os.PathLike[str]] = (".",),
        storage: str | os.PathLike[str] | None = None,
    ) -> "Exported":
        """Train a trial again in this process, with all its epochs, and write its model and a card into a folder.

        Args:
            folder: Where to; made if it is not there.
            trial: Number of the trial; None means the best.
            fold: Number of the fold run, from 0, on whose rows it is trained; None means all rows that folds use.
            formats: ``skops``, ``torch``, ``onnx``, ``safetensors``; empty means the usual one for the model.
            force: Whether files of an earlier model may be replaced.
            trainables: Modules that register trainables, beside the installed ones.
            data_roots: Folders under which dataset files may lie.
            storage: The server's storage, for a study that builds on another.

        Raises:
            InvalidArgument: the folder is not empty, or there is no such fold or format.
            SearchdError: as ``searchd.client.model_export.export_model``.
        """
        from searchd.client import model_export  # noqa: PLC0415  # loads what trains, which watching does not need
        from searchd.client.again import here  # noqa: PLC0415
        from searchd.worker.model_formats import formats_of  # noqa: PLC0415

        wanted = model_export.Wanted(trial, fold, formats_of(formats), force)
        return model_export.export_model(self, Path(folder), wanted, here(trainables, data_roots, storage))

    def reproduce(
        self,
        trial: int,
        *,
        trainables: Sequence[str] = (),
        data_roots: Sequence[str | os.PathLike[str]] = (".",),
        storage: str | os.PathLike[str] | None = None,
    ) -> "Reproduction":
        """Train a trial again in this process, and compare its scores with the stored ones.

        Args:
            trial: Its number.
            trainables: See ``export_model``.
            data_roots: See ``export_model``.
            storage: See ``export_model``.

        Raises:
            SearchdError: as ``searchd.client.reproduction.reproduce``.
        """
        from searchd.client import reproduction  # noqa: PLC0415  # loads what trains, which watching does not need
        from searchd.client.again import here  # noqa: PLC0415

        return reproduction.reproduce(self, trial, here(trainables, data_roots, storage))

    def enqueue(self, parameters: Mapping[str, Any]) -> Trial:
        """Have a configuration tried next.

        Args:
            parameters: A value for every parameter of the study's space that is active.

        Raises:
            InvalidStudy: it is not a configuration of the space; every violation is listed.
            StudyEnded: the study has ended; extend it first.
            BudgetUsed: all trials of its budget are given away; extend it first.
        """
        trial = trial_pb2.Trial(parameters=encode_parameters(parameters))
        request = trial_service_pb2.CreateTrialRequest(parent=self.name, trial=trial, request_id=str(uuid4()))
        return read_trial(self._connection.call(lambda at: at.trials.CreateTrial, request).trial)

    def update(
        self,
        *,
        budget: Mapping[str, Any] | None = None,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        etag: str = "",
    ) -> Study:
        """Change the study; what is None stays. An ended study goes on if its budget then has room for more trials.

        Args:
            budget: Some of its fields, as a study file has them, such as ``{"trials": 100, "wall_time": "2h"}``.
            priority: The new one.
            labels: The new ones, in place of all that there were.
            etag: That of the study as it was read, if nobody else may have changed it meanwhile.

        Raises:
            InvalidStudy: a new value is none; every violation is listed.
            StudyChanged: the etag is another now.
        """
        written = {"budget": dict(budget) if budget is not None else None, "labels": labels, "priority": priority}
        file = study_from_mapping({name: value for name, value in written.items() if value is not None})
        if file.violations:
            raise InvalidStudy(file.violations)
        paths = [f"budget.{name}" for name in budget or {}] + [
            n for n in ("priority", "labels") if written[n] is not None
        ]
        file.study.name, file.study.etag = self.name, etag
        request = study_service_pb2.UpdateStudyRequest(
            study=file.study, update_mask=FieldMask(paths=paths), request_id=str(uuid4())
        )
        return read_study(self._connection.call(lambda at: at.studies.UpdateStudy, request).study)

    def extend(self, trials: int) -> Study:
        """Give the study ``trials`` trials in all, those it has had included; an ended one goes on.

        Raises:
            InvalidStudy: that is not more than it has.
            StudyChanged: somebody else changed it at the same moment.
        """
        known = self.get()
        if trials <= known.max_trials:
            problem = f"{trials} is not more than the {known.max_trials} that the study has"
            raise InvalidStudy([Violation("budget.trials", problem, "use more: they are counted from its first")])
        return self.update(budget={"trials": trials}, etag=known.message.etag)

    def stop(self) -> Study:
        """End the study with what it has; stopping an ended study changes nothing. Returns it, STOPPING or ended."""
        request = study_service_pb2.StopStudyRequest(name=self.name, request_id=str(uuid4()))
        return read_study(self._connection.call(lambda at: at.studies.StopStudy, request).study)

    def delete(self) -> None:
        """Delete the study and everything in it.

        Raises:
            StudyActive: it has not ended.
        """
        request = study_service_pb2.DeleteStudyRequest(name=self.name, request_id=str(uuid4()))
        self._connection.call(lambda at: at.studies.DeleteStudy, request)

    def _trial_name(self, number: int) -> str:
        return f"{self.name}/trials/{number}"
