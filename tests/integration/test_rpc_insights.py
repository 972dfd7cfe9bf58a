"""Fronts, importances and curves over gRPC, called as any client would."""

from collections.abc import AsyncIterator

import grpc
import pytest

from searchd.rpc.server import RpcSettings
from searchd.service.system import Limits
from searchd.v1.leaderboard_service_pb2 import GetCurveRequest, GetImportanceRequest, ListParetoTrialsRequest
from searchd.v1.study_pb2 import GOAL_MAXIMIZE
from searchd.v1.study_service_pb2 import CreateStudyRequest, GetStudyRequest, WatchStudyRequest
from tests.unit.rpc.rpc_house import House, definition, house, refused

NAME = "projects/default/studies/one"
NOBODY = "projects/default/studies/nobody"

TWO = """
trainable: net
objectives: [{metric: loss, goal: minimize}, {metric: accuracy, goal: maximize}]
fixed: {width: 16}
search: {algorithm: random}
scheduler: {algorithm: none}
evaluation: {folds: 3, epochs: 2}
resources: {cpus: 2}
budget: {trials: 12}
"""


@pytest.fixture
async def here() -> AsyncIterator[House]:
    async with house(RpcSettings("127.0.0.1:0"), Limits()) as here:
        await here.studies.CreateStudy(CreateStudyRequest(study_id="one", study=definition(TWO)))
        async for _ in here.studies.WatchStudy(WatchStudyRequest(name=NAME)):
            pass
        yield here


async def test_the_front_comes_in_pages(here: House) -> None:
    """Each trial of the front once, by number, with values in the objectives' order and the study's fixed parameters;
    the token of another list is refused."""
    progress = (await here.studies.GetStudy(GetStudyRequest(name=NAME))).study.progress
    request, members = ListParetoTrialsRequest(parent=NAME, page_size=1), []
    while True:
        page = await here.leaderboards.ListParetoTrials(request)
        members += page.trials
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert [(m.trial.number, list(m.values)) for m in members] == [(p.trial, list(p.values)) for p in progress.front]
    assert all(m.trial.parameters["width"].int_value == 16 for m in members)
    assert [(o.metric, o.goal == GOAL_MAXIMIZE) for o in page.objectives] == [("loss", False), ("accuracy", True)]
    assert list(page.reference) == list(progress.worst)
    loss, accuracy = members[0].values
    assert len(members) == 1
    assert page.hypervolume == pytest.approx((progress.worst[0] - loss) * (accuracy - progress.worst[1]))
    error, _ = await refused(here.leaderboards.ListParetoTrials(ListParetoTrialsRequest(parent=NAME, page_token="x")))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_importance_says_how_it_was_found(here: House) -> None:
    """Evaluator, rung, trials and shares of the searched parameters, for the asked objective."""
    found = await here.leaderboards.GetImportance(GetImportanceRequest(name=NAME, metric="accuracy"))
    assert (found.metric, found.evaluator, found.trials) == ("accuracy", "even", 12)
    assert (found.rung.folds, found.rung.epochs) == (3, 2)
    assert [(p.parameter, p.share) for p in found.parameters] == [("lr", 1.0)]
    assert found.best_share == pytest.approx(5 / 12)


async def test_a_curve_tells_what_it_took(here: House) -> None:
    """Counts, seconds of training, and the same times what a fold run occupies."""
    curve = await here.leaderboards.GetCurve(GetCurveRequest(name=NAME))
    last = curve.points[-1]
    assert (curve.study.name, last.trials, last.fold_epochs) == (NAME, 12, 12 * 3 * 2)
    assert last.train_seconds == pytest.approx(12 * 3 * 2 * 0.01)
    assert (last.cpu_seconds, last.gpu_seconds) == (pytest.approx(2 * last.train_seconds), 0.0)
    assert list(curve.reference) == list(curve.study.progress.worst)
    assert curve.points[-2].value == last.value


async def test_what_is_not_there_is_refused(here: House) -> None:
    """An unknown study is not found by any of them, a malformed name and an unknown metric are mistakes."""
    calls = here.leaderboards
    for call in (
        calls.ListParetoTrials(ListParetoTrialsRequest(parent=NOBODY)),
        calls.GetImportance(GetImportanceRequest(name=NOBODY)),
        calls.GetCurve(GetCurveRequest(name=NOBODY)),
    ):
        assert (await refused(call))[1].reason == "STUDY_NOT_FOUND"
    for call, field in (
        (calls.GetCurve(GetCurveRequest()), "name"),
        (calls.GetImportance(GetImportanceRequest(name=NAME, metric="f1")), "metric"),
        (calls.ListParetoTrials(ListParetoTrialsRequest(parent=NAME, page_size=-1)), "page_size"),
    ):
        assert (await refused(call))[1].metadata["field"] == field
