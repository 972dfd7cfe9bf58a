"""The services: check the request's fields, call the use case, encode the answer."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from searchd.domain.code import SourceFile
from searchd.domain.errors import InvalidArgument, Violation
from searchd.domain.facts import Event, StudyPut
from searchd.domain.study import StudyName
from searchd.domain.trial import TrialNumber
from searchd.rpc import filters, names
from searchd.rpc.paging import Pages, fill_page, size_of
from searchd.service import Services
from searchd.v1 import leaderboard_service_pb2 as leaderboards
from searchd.v1 import study_service_pb2 as studies
from searchd.v1 import system_service_pb2 as system
from searchd.v1 import trainable_service_pb2 as trainables
from searchd.v1 import trial_service_pb2 as trials
from searchd.v1.study_pb2 import Study as Definition
from searchd.wire import codec, likeness
from searchd.wire.values import decode_parameters, encode_enum

DEFAULT_TOP = 10
MAX_DEFINITION_BYTES = 1024 * 1024

T = TypeVar("T")


class StudyServicer:
    """searchd.v1.StudyService."""

    def __init__(self, services: Services) -> None:
        self._studies = services.studies
        self._watches = services.watches
        self._info = services.system.info()

    async def create_study(self, request: studies.CreateStudyRequest) -> studies.CreateStudyResponse:
        """Start a study, or only check its definition."""
        project = names.project_of(request.parent)
        size = request.study.ByteSize()
        if size > MAX_DEFINITION_BYTES:
            reason = f"the definition takes {size} bytes"
            raise InvalidArgument("study", reason, f"keep it below {MAX_DEFINITION_BYTES}; data belongs into files")
        definition, of_like = await self._likened(project, request.study)
        draft, violations = codec.decode_draft(definition)
        of_id = names.study_id_violations(request.study_id)
        study = await self._studies.create(
            project,
            "" if of_id else request.study_id,
            draft,
            (*of_id, *of_like, *violations),
            request_id=names.request_id_of(request.request_id),
            digest=names.digest_of(request),
            validate_only=request.validate_only,
        )
        return studies.CreateStudyResponse(study=codec.encode_study(study))

    async def _likened(self, project: str, study: Definition) -> tuple[Definition, tuple[Violation, ...]]:
        """The definition with what it takes over from the study that it is like."""
        if not study.like:
            return study, ()
        base = await self._studies.named(project, study.like)
        if base is None:
            remedy = "name a study that `searchd ls` lists, or leave it out"
            return study, (Violation("like", f"there is no study {study.like!r}", remedy),)
        return likeness.overlaid(codec.encode_spec(base.spec), base.name, study), ()

    async def get_study(self, request: studies.GetStudyRequest) -> studies.GetStudyResponse:
        """Read a study."""
        study = await self._studies.get(names.study_of("name", request.name))
        tracked = await self._studies.tracked(study)
        return studies.GetStudyResponse(study=codec.encode_study(study, tracked))

    async def list_studies(self, request: studies.ListStudiesRequest) -> studies.ListStudiesResponse:
        """List studies in name order, a page at a time."""
        project = names.project_of(request.parent)
        states, labels = filters.study_filter(request.filter)
        size = size_of(request.page_size, self._info.max_page_size)
        pages = Pages("studies", project, request.filter)
        after = pages.after_text(request.page_token)
        found = await self._studies.list(project, states, labels, None if after is None else StudyName(after), size + 1)
        page, more = await asyncio.to_thread(
            fill_page, found, size, codec.encode_study, _page_bytes(self._info.max_message_bytes)
        )
        token = pages.token(page[-1].name) if more else ""
        return studies.ListStudiesResponse(studies=page, next_page_token=token)

    async def stop_study(self, request: studies.StopStudyRequest) -> studies.StopStudyResponse:
        """End a study with what it has."""
        study = await self._studies.stop(
            names.study_of("name", request.name),
            request_id=names.request_id_of(request.request_id),
            digest=names.digest_of(request),
        )
        return studies.StopStudyResponse(study=codec.encode_study(study))

    async def update_study(self, request: studies.UpdateStudyRequest) -> studies.UpdateStudyResponse:
        """Change the budget, the priority or the labels of a study."""
        study = await self._studies.change(
            names.study_of("study.name", request.study.name),
            codec.decode_changes(request.study, request.update_mask.paths),
            request_id=names.request_id_of(request.request_id),
            digest=names.digest_of(request),
        )
        return studies.UpdateStudyResponse(study=codec.encode_study(study))

    async def delete_study(self, request: studies.DeleteStudyRequest) -> studies.DeleteStudyResponse:
        """Delete an ended study."""
        await self._studies.delete(
            names.study_of("name", request.name),
            request_id=names.request_id_of(request.request_id),
            digest=names.digest_of(request),
        )
        return studies.DeleteStudyResponse()

    async def watch_study(self, request: studies.WatchStudyRequest) -> AsyncIterator[studies.WatchStudyResponse]:
        """Stream what happens to a study."""
        name = names.study_of("name", request.name)
        if request.after_revision < 0:
            raise InvalidArgument("after_revision", f"{request.after_revision} is negative", "use 0 for all events")
        fixed = (await self._studies.get(name)).spec.fixed
        async with _closing(self._watches.watch(name, request.after_revision)) as items:
            async for item in items:
                if isinstance(item, Event):
                    if isinstance(item.fact, StudyPut):
                        fixed = item.fact.study.spec.fixed
                    yield codec.encode_event(item, fixed)
                else:
                    yield codec.encode_bookmark(item.revision, item.at)


class TrialServicer:
    """searchd.v1.TrialService."""

    def __init__(self, services: Services) -> None:
        self._studies = services.studies
        self._trials = services.trials
        self._info = services.system.info()

    async def get_trial(self, request: trials.GetTrialRequest) -> trials.GetTrialResponse:
        """Read a trial."""
        study, number = names.trial_of("name", request.name)
        fixed = (await self._studies.get(study)).spec.fixed
        return trials.GetTrialResponse(trial=codec.encode_trial(await self._trials.get(study, number), fixed))

    async def create_trial(self, request: trials.CreateTrialRequest) -> trials.CreateTrialResponse:
        """Have a configuration of the caller's tried."""
        study = names.study_of("parent", request.parent)
        trial = await self._studies.enqueue(
            study,
            decode_parameters(request.trial.parameters),
            request_id=names.request_id_of(request.request_id),
            digest=names.digest_of(request),
        )
        fixed = (await self._studies.get(study)).spec.fixed
        return trials.CreateTrialResponse(trial=codec.encode_trial(trial, fixed))

    async def list_trials(self, request: trials.ListTrialsRequest) -> trials.ListTrialsResponse:
        """List trials in number order, a page at a time."""
        study = names.study_of("parent", request.parent)
        states = filters.trial_filter(request.filter)
        size = size_of(request.page_size, self._info.max_page_size)
        pages = Pages("trials", study, request.filter)
        (after,) = pages.after_numbers(request.page_token, 1) or (0,)
        fixed = (await self._studies.get(study)).spec.fixed
        found = await self._trials.list(study, states, after, size + 1)
        page, more = await asyncio.to_thread(
            fill_page,
            found,
            size,
            lambda trial: codec.encode_trial(trial, fixed),
            _page_bytes(self._info.max_message_bytes),
        )
        token = pages.token([page[-1].number]) if more else ""
        return trials.ListTrialsResponse(trials=page, next_page_token=token)

    async def list_measurements(self, request: trials.ListMeasurementsRequest) -> trials.ListMeasurementsResponse:
        """List measurements of a trial or a study, a page at a time."""
        study, trial = names.trial_or_study_of("parent", request.parent)
        size = size_of(request.page_size, self._info.max_page_size)
        pages = Pages("measurements", request.parent)
        after = None
        if (key := pages.after_numbers(request.page_token, 4)) is not None:
            after = (key[0], key[1], key[2], key[3])
        if trial is not None:
            await self._trials.get(study, trial)  # a list of an unknown trial is not an empty list
        found = await self._trials.measurements(study, trial, after, size + 1)
        page, more = await asyncio.to_thread(
            fill_page, found, size, codec.encode_measurement, _page_bytes(self._info.max_message_bytes)
        )
        last = page[-1] if page else None
        token = pages.token([last.trial, last.repeat, last.fold, last.epoch]) if more and last is not None else ""
        return trials.ListMeasurementsResponse(measurements=page, next_page_token=token)

    async def stream_logs(self, request: trials.StreamLogsRequest) -> AsyncIterator[trials.StreamLogsResponse]:
        """Stream what a trial printed."""
        study, number = names.trial_of("name", request.name)
        async with _closing(self._trials.logs(study, TrialNumber(number), request.follow)) as chunks:
            async for chunk in chunks:
                yield trials.StreamLogsResponse(repeat=chunk.repeat, fold=chunk.fold, text=chunk.text)


class LeaderboardServicer:
    """searchd.v1.LeaderboardService."""

    def __init__(self, services: Services) -> None:
        self._leaderboards = services.leaderboards
        self._insight = services.insight
        self._info = services.system.info()

    async def get_leaderboard(self, request: leaderboards.GetLeaderboardRequest) -> leaderboards.GetLeaderboardResponse:
        """Rank the trials of a study."""
        study = names.study_of("parent", request.parent)
        most = self._info.max_page_size
        if not 0 <= request.top <= most:
            raise InvalidArgument("top", f"{request.top} is out of range", f"use 1 to {most}, or 0 for {DEFAULT_TOP}")
        leaderboard = await self._leaderboards.leaderboard(study, request.top or DEFAULT_TOP)
        return await asyncio.to_thread(codec.encode_leaderboard, leaderboard)

    async def get_best_config(self, request: leaderboards.GetBestConfigRequest) -> leaderboards.GetBestConfigResponse:
        """The best configuration of a study."""
        return codec.encode_best(await self._leaderboards.best(names.study_of("name", request.name)))

    async def list_pareto_trials(
        self, request: leaderboards.ListParetoTrialsRequest
    ) -> leaderboards.ListParetoTrialsResponse:
        """List the Pareto front by number, a page at a time."""
        study = names.study_of("parent", request.parent)
        size = size_of(request.page_size, self._info.max_page_size)
        pages = Pages("pareto", study)
        (after,) = pages.after_numbers(request.page_token, 1) or (0,)
        front = await self._insight.front(study, after, size + 1)
        spec = front.study.spec
        page, more = await asyncio.to_thread(
            fill_page,
            front.trials,
            size,
            lambda member: codec.encode_pareto_trial(member, spec.fixed),
            _page_bytes(self._info.max_message_bytes),
        )
        return leaderboards.ListParetoTrialsResponse(
            objectives=map(codec.encode_objective, spec.objectives),
            trials=page,
            next_page_token=pages.token([page[-1].trial.number]) if more else "",
            hypervolume=front.hypervolume,
            reference=front.study.progress.worst,
        )

    async def get_importance(self, request: leaderboards.GetImportanceRequest) -> leaderboards.GetImportanceResponse:
        """How much each parameter of a study matters."""
        study = names.study_of("name", request.name)
        return codec.encode_importance(await self._insight.importance(study, request.metric))

    async def get_curve(self, request: leaderboards.GetCurveRequest) -> leaderboards.GetCurveResponse:
        """The anytime curve of a study."""
        return codec.encode_curve(await self._insight.curve(names.study_of("name", request.name)))


class TrainableServicer:
    """searchd.v1.TrainableService."""

    def __init__(self, services: Services) -> None:
        self._trainables = services.trainables

    async def list_trainables(self, _: trainables.ListTrainablesRequest) -> trainables.ListTrainablesResponse:
        """List the cards of all trainables."""
        cards = await self._trainables.list()
        return trainables.ListTrainablesResponse(trainables=map(codec.encode_card, cards))

    async def get_trainable(self, request: trainables.GetTrainableRequest) -> trainables.GetTrainableResponse:
        """Read the card of a trainable."""
        if not request.name:
            raise InvalidArgument("name", "is not set", "write the name of a registered trainable")
        return trainables.GetTrainableResponse(trainable=codec.encode_card(await self._trainables.get(request.name)))

    async def upload_code(self, request: trainables.UploadCodeRequest) -> trainables.UploadCodeResponse:
        """Keep Python files for studies that name them."""
        files = [SourceFile(file.path, file.content) for file in request.files]
        return trainables.UploadCodeResponse(code_id=await self._trainables.upload(files))


class SystemServicer:
    """searchd.v1.SystemService."""

    def __init__(self, services: Services) -> None:
        self._system = services.system

    async def get_server_info(self, _: system.GetServerInfoRequest) -> system.GetServerInfoResponse:
        """Version, limits and features."""
        info = self._system.info()
        return system.GetServerInfoResponse(
            version=info.version,
            max_message_bytes=info.max_message_bytes,
            max_page_size=info.max_page_size,
            max_trials=info.max_trials,
            max_watches=info.max_watches,
            max_pending_requests=info.max_pending_requests,
            features=info.features,
            role=encode_enum(system.ServerRole.DESCRIPTOR, info.role),
            leader_address=info.leader,
            epoch=info.epoch,
            problems=info.problems,
        )

    async def get_cluster(self, _: system.GetClusterRequest) -> system.GetClusterResponse:
        """Nodes, workers and who uses them."""
        view = await self._system.cluster()
        return system.GetClusterResponse(
            nodes=[system.ClusterNode(name=node.name, cpus=node.cpus, gpus=node.gpus) for node in view.nodes],
            pools=[
                system.ClusterPool(
                    code_fingerprint=pool.pool.code,
                    cpus=pool.pool.resources.cpus,
                    gpus=pool.pool.resources.gpus,
                    starting=pool.starting,
                    idle=pool.idle,
                    busy=pool.busy,
                )
                for pool in view.pools
            ],
            studies=[
                system.ClusterStudy(name=study.name, busy=study.busy, waiting=study.waiting) for study in view.studies
            ],
        )


@contextlib.asynccontextmanager
async def _closing(items: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Ends a use case's stream with the call, not whenever it is collected."""
    try:
        yield items
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()


def _page_bytes(max_message_bytes: int) -> int:
    """Room for the items of a page: the rest is for the token and the framing."""
    return max_message_bytes - 4096
