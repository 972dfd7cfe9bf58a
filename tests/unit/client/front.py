"""A front door without a house: real gRPC on the loopback interface, answers from memory."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
from grpc_status import rpc_status

from searchd.domain.code import SourceFile, code_id
from searchd.domain.errors import SearchdError, StudyNotFound
from searchd.domain.insight import ParetoTrial
from searchd.domain.study import StudyState
from searchd.rpc.status import status_of
from searchd.v1 import (
    leaderboard_service_pb2,
    leaderboard_service_pb2_grpc,
    study_service_pb2,
    study_service_pb2_grpc,
    system_service_pb2,
    system_service_pb2_grpc,
    trainable_service_pb2,
    trainable_service_pb2_grpc,
    trial_service_pb2,
    trial_service_pb2_grpc,
)
from searchd.wire.codec import (
    encode_best,
    encode_card,
    encode_curve,
    encode_importance,
    encode_leaderboard,
    encode_objective,
    encode_pareto_trial,
    encode_study,
    encode_trial,
)
from tests.unit.client import samples

Answer = Callable[[Any, grpc.ServicerContext], Any]


def refuse(context: grpc.ServicerContext, error: SearchdError) -> NoReturn:
    """End a call with an error, as the server does."""
    context.abort_with_status(rpc_status.to_status(status_of(error)))
    raise AssertionError("abort raises")


def _not_found(name: str, context: grpc.ServicerContext) -> NoReturn:
    refuse(context, StudyNotFound(name))


class Front(
    study_service_pb2_grpc.StudyServiceServicer,
    trial_service_pb2_grpc.TrialServiceServicer,
    leaderboard_service_pb2_grpc.LeaderboardServiceServicer,
    trainable_service_pb2_grpc.TrainableServiceServicer,
    system_service_pb2_grpc.SystemServiceServicer,
):
    """Knows one study, ``digits-cnn``, with three trials. Every request is kept; any answer can be replaced.

    Attributes:
        requests: All requests, oldest first.
        answers: By RPC name, what to do instead of the usual.
    """

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.answers: dict[str, Answer] = {}
        self.address = ""

    def _answer(self, rpc: str, request: Any, context: grpc.ServicerContext, usual: Callable[[], Any]) -> Any:
        self.requests.append(request)
        return self.answers[rpc](request, context) if rpc in self.answers else usual()

    def CreateStudy(self, request: Any, context: Any) -> Any:  # noqa: N802
        study = encode_study(samples.study())
        return self._answer("CreateStudy", request, context, lambda: study_service_pb2.CreateStudyResponse(study=study))

    def GetStudy(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.name != samples.NAME:
            _not_found(request.name, context)
        study = encode_study(samples.study())
        return self._answer("GetStudy", request, context, lambda: study_service_pb2.GetStudyResponse(study=study))

    def ListStudies(self, request: Any, context: Any) -> Any:  # noqa: N802
        studies = [encode_study(samples.study())]
        return self._answer(
            "ListStudies", request, context, lambda: study_service_pb2.ListStudiesResponse(studies=studies)
        )

    def UpdateStudy(self, request: Any, context: Any) -> Any:  # noqa: N802
        study = encode_study(samples.study(StudyState.RUNNING))
        return self._answer("UpdateStudy", request, context, lambda: study_service_pb2.UpdateStudyResponse(study=study))

    def StopStudy(self, request: Any, context: Any) -> Any:  # noqa: N802
        study = encode_study(samples.study(StudyState.STOPPING))
        return self._answer("StopStudy", request, context, lambda: study_service_pb2.StopStudyResponse(study=study))

    def DeleteStudy(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("DeleteStudy", request, context, study_service_pb2.DeleteStudyResponse)

    def WatchStudy(self, request: Any, context: Any) -> Any:  # noqa: N802
        yield from self._answer("WatchStudy", request, context, lambda: iter(()))

    def GetTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        trial = encode_trial(samples.trial(17), {})
        return self._answer("GetTrial", request, context, lambda: trial_service_pb2.GetTrialResponse(trial=trial))

    def CreateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        trial = encode_trial(samples.trial(18), {})
        return self._answer("CreateTrial", request, context, lambda: trial_service_pb2.CreateTrialResponse(trial=trial))

    def ListTrials(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Two pages."""
        if request.page_token:
            page = trial_service_pb2.ListTrialsResponse(trials=[encode_trial(samples.trial(3), {})])
        else:
            first = [encode_trial(samples.trial(n), {}) for n in (1, 2)]
            page = trial_service_pb2.ListTrialsResponse(trials=first, next_page_token="more")
        return self._answer("ListTrials", request, context, lambda: page)

    def ListMeasurements(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("ListMeasurements", request, context, trial_service_pb2.ListMeasurementsResponse)

    def StreamLogs(self, request: Any, context: Any) -> Any:  # noqa: N802
        chunks = [trial_service_pb2.StreamLogsResponse(repeat=0, fold=1, text="one\ntwo\n")]
        yield from self._answer("StreamLogs", request, context, lambda: iter(chunks))

    def GetLeaderboard(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("GetLeaderboard", request, context, lambda: encode_leaderboard(samples.LEADERBOARD))

    def GetBestConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("GetBestConfig", request, context, lambda: encode_best(samples.BEST))

    def ListParetoTrials(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The best alone, as of a study with one objective."""
        front = leaderboard_service_pb2.ListParetoTrialsResponse(
            objectives=[encode_objective(samples.SPEC.objective)],
            trials=[encode_pareto_trial(ParetoTrial(samples.trial(17), (0.9833,)), {})],
        )
        return self._answer("ListParetoTrials", request, context, lambda: front)

    def GetImportance(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("GetImportance", request, context, lambda: encode_importance(samples.IMPORTANCE))

    def GetCurve(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._answer("GetCurve", request, context, lambda: encode_curve(samples.CURVE))

    def ListTrainables(self, request: Any, context: Any) -> Any:  # noqa: N802
        cards = [encode_card(samples.CARD)]
        return self._answer(
            "ListTrainables", request, context, lambda: trainable_service_pb2.ListTrainablesResponse(trainables=cards)
        )

    def GetTrainable(self, request: Any, context: Any) -> Any:  # noqa: N802
        card = encode_card(samples.CARD)
        return self._answer(
            "GetTrainable", request, context, lambda: trainable_service_pb2.GetTrainableResponse(trainable=card)
        )

    def UploadCode(self, request: Any, context: Any) -> Any:  # noqa: N802
        files = [SourceFile(file.path, file.content) for file in request.files]
        return self._answer(
            "UploadCode", request, context, lambda: trainable_service_pb2.UploadCodeResponse(code_id=code_id(files))
        )

    def GetServerInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        info = system_service_pb2.GetServerInfoResponse(
            version="0.1.0",
            role=system_service_pb2.SERVER_ROLE_LEADER,
            leader_address="10.0.0.1:50051",
            epoch=3,
            problems=["the store takes no writes: the disk is full"],
        )
        return self._answer("GetServerInfo", request, context, lambda: info)

    def GetCluster(self, request: Any, context: Any) -> Any:  # noqa: N802
        cluster = system_service_pb2.GetClusterResponse(
            nodes=[system_service_pb2.ClusterNode(name="node-1", cpus=2, gpus=0)],
            pools=[system_service_pb2.ClusterPool(code_fingerprint="9c1e00000000", cpus=1, idle=1, busy=1)],
            studies=[system_service_pb2.ClusterStudy(name=samples.NAME, busy=1, waiting=True)],
        )
        return self._answer("GetCluster", request, context, lambda: cluster)


@contextmanager
def serving(front: Front, port: int = 0) -> Iterator[Front]:
    """The front door, open; ``front.address`` says where."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    study_service_pb2_grpc.add_StudyServiceServicer_to_server(front, server)
    trial_service_pb2_grpc.add_TrialServiceServicer_to_server(front, server)
    leaderboard_service_pb2_grpc.add_LeaderboardServiceServicer_to_server(front, server)
    trainable_service_pb2_grpc.add_TrainableServiceServicer_to_server(front, server)
    system_service_pb2_grpc.add_SystemServiceServicer_to_server(front, server)
    front.address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    server.start()
    try:
        yield front
    finally:
        server.stop(None).wait()
