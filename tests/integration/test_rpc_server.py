"""The gRPC server over the real use cases, called as any client would."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from searchd.domain.study import StudyName
from searchd.domain.trial import TrialNumber
from searchd.rpc.server import RpcSettings
from searchd.service.system import Limits
from searchd.v1 import leaderboard_service_pb2, study_pb2, system_service_pb2, trial_service_pb2
from searchd.v1.study_service_pb2 import (
    CreateStudyRequest,
    DeleteStudyRequest,
    GetStudyRequest,
    ListStudiesRequest,
    StopStudyRequest,
    WatchStudyRequest,
    WatchStudyResponse,
)
from searchd.v1.trainable_service_pb2 import GetTrainableRequest, ListTrainablesRequest
from searchd.wire import codec
from tests.unit.rpc.rpc_house import NET, House, definition, house, refused, status_in

NAME = "projects/default/studies/one"
ANY = RpcSettings("127.0.0.1:0")


@pytest.fixture
async def here() -> AsyncIterator[House]:
    async with house(ANY, Limits()) as here:
        yield here


async def _watched(here: House, name: str, after: int = 0) -> list[WatchStudyResponse]:
    return [r async for r in here.studies.WatchStudy(WatchStudyRequest(name=name, after_revision=after))]


async def _finished(here: House, study_id: str = "one") -> list[WatchStudyResponse]:
    await here.studies.CreateStudy(CreateStudyRequest(study_id=study_id, study=definition()))
    return await _watched(here, f"projects/default/studies/{study_id}")


async def test_a_study_runs_from_submission_to_its_best_configuration(here: House) -> None:
    """A client submits a study, watches it end, and reads trials, measurements, the leaderboard and the best."""
    events = await _finished(here)
    assert [e.revision for e in events] == sorted({e.revision for e in events})
    assert {e.WhichOneof("event") for e in events} == {"study", "progress", "trial", "measurement"}
    assert events[-1].study.state == study_pb2.STUDY_STATE_SUCCEEDED

    study = (await here.studies.GetStudy(GetStudyRequest(name=NAME))).study
    assert study.state == study_pb2.STUDY_STATE_SUCCEEDED
    assert (study.progress.rungs[-1] > 0, study.code_fingerprint) == (True, NET.code)
    trials = (await here.trials.ListTrials(trial_service_pb2.ListTrialsRequest(parent=NAME))).trials
    assert [t.number for t in trials] == [1, 2, 3, 4, 5, 6]
    assert all(codec.decode_parameters(t.parameters)["width"] == 16 for t in trials)

    request = leaderboard_service_pb2.GetLeaderboardRequest(parent=NAME, top=3)
    board = codec.decode_leaderboard(await here.leaderboards.GetLeaderboard(request))
    assert len(board.entries) == 3
    assert board.entries[0].rank == 1
    assert "loss" in board.entries[0].metrics
    best = codec.decode_best(
        await here.leaderboards.GetBestConfig(leaderboard_service_pb2.GetBestConfigRequest(name=NAME))
    )
    assert best.best.trial.number == board.entries[0].trial.number == study.progress.best_trial
    assert best.parameters["width"] == 16

    trial = (await here.trials.GetTrial(trial_service_pb2.GetTrialRequest(name=f"{NAME}/trials/1"))).trial
    request_of_one = trial_service_pb2.ListMeasurementsRequest(parent=trial.name)
    measured = (await here.trials.ListMeasurements(request_of_one)).measurements
    assert {m.trial for m in measured} == {1}
    assert max(m.epoch for m in measured) == 3


async def test_a_watch_resumes_after_a_revision(here: House) -> None:
    """Watching again after a revision gives exactly the events that follow it."""
    events = await _finished(here)
    middle = events[len(events) // 2].revision
    assert await _watched(here, NAME, middle) == [e for e in events if e.revision > middle]


async def test_a_trial_in_an_event_has_the_fixed_parameters(here: House) -> None:
    """A watcher sees the whole configuration, as a reader of the trial does."""
    trials = [e.trial for e in await _finished(here) if e.WhichOneof("event") == "trial"]
    assert all(codec.decode_parameters(t.parameters)["width"] == 16 for t in trials)


async def test_pages_hold_every_item_once(here: House) -> None:
    """Following the tokens lists all studies, trials and measurements in order, and each once."""
    for study_id in ("a", "b", "one"):
        await _finished(here, study_id)
    names, token = [], None
    while token != "":
        page = await here.studies.ListStudies(ListStudiesRequest(page_size=2, page_token=token or ""))
        names += [s.name.rsplit("/", 1)[1] for s in page.studies]
        token = page.next_page_token
    assert names == ["a", "b", "one"]

    numbers, token = [], None
    while token != "":
        request = trial_service_pb2.ListTrialsRequest(parent=NAME, page_size=4, page_token=token or "")
        trials = await here.trials.ListTrials(request)
        numbers += [t.number for t in trials.trials]
        token = trials.next_page_token
    assert numbers == [1, 2, 3, 4, 5, 6]

    everything = await here.trials.ListMeasurements(
        trial_service_pb2.ListMeasurementsRequest(parent=NAME, page_size=1000)
    )
    measured, token = [], None
    while token != "":
        of_study = trial_service_pb2.ListMeasurementsRequest(parent=NAME, page_size=7, page_token=token or "")
        measurements = await here.trials.ListMeasurements(of_study)
        measured += list(measurements.measurements)
        token = measurements.next_page_token
    assert measured == list(everything.measurements)
    assert len(measured) > 7


async def test_lists_are_filtered(here: House) -> None:
    """Studies are found by state and label, trials by state."""
    study = definition()
    study.labels["team"] = "vision"
    await here.studies.CreateStudy(CreateStudyRequest(study_id="labelled", study=study))
    await _watched(here, "projects/default/studies/labelled")
    await _finished(here)

    async def found(text: str) -> list[str]:
        answer = await here.studies.ListStudies(ListStudiesRequest(filter=text))
        return [s.name.rsplit("/", 1)[1] for s in answer.studies]

    assert await found("labels.team=vision AND state=SUCCEEDED") == ["labelled"]
    assert await found("state=SUCCEEDED") == ["labelled", "one"]
    assert await found("state=RUNNING") == []
    request = trial_service_pb2.ListTrialsRequest(parent=NAME, filter="state=COMPLETED")
    trials = (await here.trials.ListTrials(request)).trials
    assert trials
    assert all(len(t.rung_scores) for t in trials)


async def test_a_repeated_request_gets_the_first_answer(here: House) -> None:
    """A mutation with the same request_id is done once; the same id with another body is refused."""
    request = CreateStudyRequest(study=definition(), request_id="r1")
    names = {(await here.studies.CreateStudy(request)).study.name for _ in range(3)}
    assert names == {"projects/default/studies/net-1"}
    request.study.seed = 9
    error, info = await refused(here.studies.CreateStudy(request))
    assert (error.code(), info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_REUSED")


async def test_an_existing_study_is_given_back_or_refused(here: House) -> None:
    """The same definition under the same id gives the existing study; another is refused, naming what differs."""
    request = CreateStudyRequest(study_id="one", study=definition())
    first = (await here.studies.CreateStudy(request)).study
    assert (await here.studies.CreateStudy(request)).study.create_time == first.create_time
    request.study.seed = 9
    error, info = await refused(here.studies.CreateStudy(request))
    assert (error.code(), info.metadata["differing"]) == (grpc.StatusCode.ALREADY_EXISTS, "seed")


async def test_validation_alone_stores_nothing(here: House) -> None:
    """With validate_only the answer is the complete definition, and no study exists afterwards."""
    request = CreateStudyRequest(study_id="one", study=study_pb2.Study(trainable="net"), validate_only=True)
    study = (await here.studies.CreateStudy(request)).study
    assert study.objectives[0].metric == "accuracy"
    assert len(study.search_space.parameters) == 2
    assert not (await here.studies.ListStudies(ListStudiesRequest())).studies


async def test_all_violations_come_at_once(here: House) -> None:
    """What decoding finds, what the checks find and a bad id are reported together, and nothing is stored."""
    study = definition("trainable: net\nevaluation: {folds: 1}\nbudget: {trials: -3}")
    study.search.algorithm = study_pb2.SEARCH_ALGORITHM_UNSPECIFIED
    study.dataset.builtin = "nope"
    error, info = await refused(here.studies.CreateStudy(CreateStudyRequest(study_id="ONE", study=study)))
    assert (error.code(), info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_STUDY")
    request = error_details_pb2.BadRequest()
    assert status_in(error).details[1].Unpack(request)
    assert {v.field for v in request.field_violations} == {
        *("study_id", "search.algorithm", "evaluation.folds", "budget.trials", "dataset.builtin")
    }
    assert not (await here.studies.ListStudies(ListStudiesRequest())).studies


async def test_a_thousand_violations_still_reach_a_client(here: House) -> None:
    """A status that grows with the mistakes stays within what a client accepts."""
    study = definition()
    for i in range(1000):
        study.search_space.parameters.add(name=f"ü{i}")
    error, info = await refused(here.studies.CreateStudy(CreateStudyRequest(study=study)))
    assert (error.code(), info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_STUDY")


async def test_a_running_study_is_stopped_and_then_deleted(here: House) -> None:
    """Deleting a running study is refused; after stopping it goes, and a watcher is told."""
    here.going.clear()
    await here.studies.CreateStudy(CreateStudyRequest(study_id="one", study=definition()))
    error, info = await refused(here.studies.DeleteStudy(DeleteStudyRequest(name=NAME)))
    assert (error.code(), info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STUDY_ACTIVE")
    here.going.set()
    stopped = (await here.studies.StopStudy(StopStudyRequest(name=NAME))).study
    assert stopped.state in (study_pb2.STUDY_STATE_STOPPING, study_pb2.STUDY_STATE_STOPPED)
    await _watched(here, NAME)
    await here.studies.DeleteStudy(DeleteStudyRequest(name=NAME))
    error, info = await refused(here.studies.GetStudy(GetStudyRequest(name=NAME)))
    assert (error.code(), info.metadata["study"]) == (grpc.StatusCode.NOT_FOUND, NAME)


async def test_what_does_not_exist_is_not_found(here: House) -> None:
    """Unknown studies, trials and trainables are NOT_FOUND, on every method that names one."""
    await _finished(here)
    nobody, board = "projects/default/studies/nobody", leaderboard_service_pb2
    calls = [
        here.studies.GetStudy(GetStudyRequest(name=nobody)),
        here.studies.StopStudy(StopStudyRequest(name=nobody)),
        here.studies.DeleteStudy(DeleteStudyRequest(name=nobody)),
        here.studies.WatchStudy(WatchStudyRequest(name=nobody)),
        here.trials.GetTrial(trial_service_pb2.GetTrialRequest(name=f"{NAME}/trials/99")),
        here.trials.ListTrials(trial_service_pb2.ListTrialsRequest(parent=nobody)),
        here.trials.ListMeasurements(trial_service_pb2.ListMeasurementsRequest(parent=nobody)),
        here.trials.ListMeasurements(trial_service_pb2.ListMeasurementsRequest(parent=f"{NAME}/trials/99")),
        here.trials.StreamLogs(trial_service_pb2.StreamLogsRequest(name=f"{NAME}/trials/99")),
        here.leaderboards.GetLeaderboard(board.GetLeaderboardRequest(parent=nobody)),
        here.leaderboards.GetBestConfig(board.GetBestConfigRequest(name=nobody)),
        here.trainables.GetTrainable(GetTrainableRequest(name="nobody")),
    ]
    for call in calls:
        error, info = await refused(call)
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert info.reason.endswith("_NOT_FOUND")


async def test_malformed_fields_are_invalid_on_every_method(here: House) -> None:
    """A name, number or token that cannot be right is INVALID_ARGUMENT and names its field."""
    board = leaderboard_service_pb2
    calls = {
        "parent": here.studies.CreateStudy(CreateStudyRequest(parent="x", study=definition())),
        "request_id": here.studies.StopStudy(StopStudyRequest(name=NAME, request_id="x" * 129)),
        "name": here.studies.GetStudy(GetStudyRequest()),
        "page_size": here.studies.ListStudies(ListStudiesRequest(page_size=-1)),
        "page_token": here.trials.ListTrials(trial_service_pb2.ListTrialsRequest(parent=NAME, page_token="x")),
        "filter": here.studies.ListStudies(ListStudiesRequest(filter="what?")),
        "after_revision": here.studies.WatchStudy(WatchStudyRequest(name=NAME, after_revision=-1)),
        "top": here.leaderboards.GetLeaderboard(board.GetLeaderboardRequest(parent=NAME, top=1001)),
        "study": here.studies.CreateStudy(CreateStudyRequest(study=study_pb2.Study(trainable="x" * 2**20))),
    }
    for field, call in calls.items():
        error, info = await refused(call)
        assert (error.code(), info.metadata["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, field)


async def test_the_best_of_a_study_without_a_complete_trial_is_refused(here: House) -> None:
    """Asking too early is a failed precondition, not an empty answer."""
    here.going.clear()
    await here.studies.CreateStudy(CreateStudyRequest(study_id="one", study=definition()))
    request = leaderboard_service_pb2.GetBestConfigRequest(name=NAME)
    error, info = await refused(here.leaderboards.GetBestConfig(request))
    assert (error.code(), info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_COMPLETE_TRIAL")
    board = leaderboard_service_pb2.GetLeaderboardRequest(parent=NAME)
    assert not (await here.leaderboards.GetLeaderboard(board)).entries


async def test_logs_are_streamed(here: House, tmp_path: Path) -> None:
    """What fold runs printed comes by repeat and fold."""
    await _finished(here)
    file = tmp_path / "log"
    file.write_text("epoch 1\nepoch 2\n")
    here.papers.files[StudyName(NAME), TrialNumber(2)] = [(0, 1, file)]
    request = trial_service_pb2.StreamLogsRequest(name=f"{NAME}/trials/2", follow=True)
    chunks = [chunk async for chunk in here.trials.StreamLogs(request)]
    assert [(c.repeat, c.fold, c.text) for c in chunks] == [(0, 1, "epoch 1\nepoch 2\n")]


async def test_cards_and_the_cluster_are_shown(here: House) -> None:
    """Trainables come as their cards; the server tells its version, limits, nodes, pools and studies."""
    cards = (await here.trainables.ListTrainables(ListTrainablesRequest())).trainables
    assert [codec.decode_card(card) for card in cards] == [NET]
    assert (await here.trainables.GetTrainable(GetTrainableRequest(name="net"))).trainable == cards[0]
    info = await here.system.GetServerInfo(system_service_pb2.GetServerInfoRequest())
    assert (info.version, info.max_page_size, "search:tpe" in info.features) == ("0.0.test", 1000, True)
    here.going.clear()
    await here.studies.CreateStudy(CreateStudyRequest(study_id="one", study=definition()))
    cluster = await here.system.GetCluster(system_service_pb2.GetClusterRequest())
    assert [(n.name, n.cpus) for n in cluster.nodes] == [("n1", 4.0)]
    assert [s.name for s in cluster.studies] == [NAME]
    assert [(p.code_fingerprint, p.cpus) for p in cluster.pools] == [(NET.code, 1.0)]
