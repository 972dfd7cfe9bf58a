"""Studies that are changed, continued and fed over gRPC."""

from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from searchd.rpc.server import RpcSettings
from searchd.service.system import Limits
from searchd.v1 import study_pb2, trial_pb2
from searchd.v1.study_service_pb2 import CreateStudyRequest, GetStudyRequest, UpdateStudyRequest, WatchStudyRequest
from searchd.v1.trial_service_pb2 import CreateTrialRequest, ListTrialsRequest
from searchd.wire import codec
from tests.unit.rpc.rpc_house import House, definition, house, refused

NAME = "projects/default/studies/one"


@pytest.fixture
async def here() -> AsyncIterator[House]:
    async with house(RpcSettings("127.0.0.1:0"), Limits()) as here:
        yield here


async def ended(here: House, name: str = NAME) -> study_pb2.Study:
    """The study once it has ended."""
    async for _ in here.studies.WatchStudy(WatchStudyRequest(name=name)):
        pass
    study: study_pb2.Study = (await here.studies.GetStudy(GetStudyRequest(name=name))).study
    return study


async def created(here: House, study: study_pb2.Study | None = None, study_id: str = "one") -> None:
    """Start a study."""
    await here.studies.CreateStudy(CreateStudyRequest(study_id=study_id, study=study or definition()))


async def test_an_ended_study_is_continued(here: House) -> None:
    """More trials for an ended study are run, once however often the request is repeated; its etag changes."""
    await created(here)
    before = await ended(here)
    new = study_pb2.Study(name=NAME, budget=study_pb2.Budget(trials=9), etag=before.etag)
    request = UpdateStudyRequest(study=new, request_id="r-1")
    first = await here.studies.UpdateStudy(request)
    assert first.study.state == study_pb2.STUDY_STATE_RUNNING
    assert (await here.studies.UpdateStudy(request)).study == first.study
    after = await ended(here)
    assert (after.state, after.budget.trials) == (study_pb2.STUDY_STATE_SUCCEEDED, 9)
    assert len((await here.trials.ListTrials(ListTrialsRequest(parent=NAME))).trials) == 9
    error, info = await refused(here.studies.UpdateStudy(UpdateStudyRequest(study=new)))
    assert (error.code(), info.reason) == (grpc.StatusCode.ABORTED, "STUDY_CHANGED")
    assert after.etag != before.etag


async def test_only_what_the_mask_names_changes(here: House) -> None:
    """Values beside the mask are left alone, and fields that cannot change are refused by name."""
    await created(here)
    new = study_pb2.Study(name=NAME, priority=4, labels={"team": "vision"}, budget=study_pb2.Budget(trials=99))
    mask = FieldMask(paths=["priority", "labels"])
    study = (await here.studies.UpdateStudy(UpdateStudyRequest(study=new, update_mask=mask))).study
    assert (study.priority, dict(study.labels), study.budget.trials) == (4, {"team": "vision"}, 6)
    for paths in (["seed"], ["budget.nonsense"]):
        wrong = UpdateStudyRequest(study=new, update_mask=FieldMask(paths=paths))
        error, _ = await refused(here.studies.UpdateStudy(wrong))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert paths[0] in str(error.details())
    empty, _ = await refused(here.studies.UpdateStudy(UpdateStudyRequest(study=study_pb2.Study(name=NAME))))
    assert empty.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_configuration_of_the_callers_is_tried(here: House) -> None:
    """A configuration is tried once however often its request is repeated; one outside the space is refused."""
    await created(here, definition("trainable: net\nsearch: {algorithm: random}\nbudget: {trials: 40, slots: 1}"))
    trial = trial_pb2.Trial(parameters=codec.encode_parameters({"lr": 0.01, "width": 8}))
    request = CreateTrialRequest(parent=NAME, trial=trial, request_id="r-2")
    first = (await here.trials.CreateTrial(request)).trial
    assert first.origin == trial_pb2.TRIAL_ORIGIN_REQUESTED
    assert (await here.trials.CreateTrial(request)).trial.number == first.number
    wrong = trial_pb2.Trial(parameters=codec.encode_parameters({"lr": 7.0, "depth": 1}))
    error, info = await refused(here.trials.CreateTrial(CreateTrialRequest(parent=NAME, trial=wrong)))
    assert (error.code(), info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_STUDY")
    await ended(here)
    trials = (await here.trials.ListTrials(ListTrialsRequest(parent=NAME))).trials
    assert sum(t.origin == trial_pb2.TRIAL_ORIGIN_REQUESTED for t in trials) == 1
    error, info = await refused(here.trials.CreateTrial(CreateTrialRequest(parent=NAME, trial=trial)))
    assert (error.code(), info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STUDY_ENDED")


async def test_a_study_like_another(here: House) -> None:
    """What is not set comes from the other study, whose best configuration is tried second."""
    await created(here)
    before = await ended(here)
    await created(here, study_pb2.Study(like="one", seed=11, budget=study_pb2.Budget(trials=3)), "two")
    after = await ended(here, "projects/default/studies/two")
    assert (after.trainable, after.seed, after.budget.trials) == (before.trainable, 11, 3)
    assert list(after.warm_start) == [NAME]
    trials = (await here.trials.ListTrials(ListTrialsRequest(parent=after.name))).trials
    assert trial_pb2.TRIAL_ORIGIN_WARM_START in [t.origin for t in trials]
    error, _ = await refused(here.studies.CreateStudy(CreateStudyRequest(study=study_pb2.Study(like="gone"))))
    assert "like" in str(error.details())
