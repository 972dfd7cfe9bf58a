"""Calls of the API: any mutations that a caller may think of, and what a call comes to."""

from typing import Any

import grpc
from google.rpc import error_details_pb2
from hypothesis import strategies as st

from searchd.v1 import study_pb2
from searchd.v1.study_service_pb2 import CreateStudyRequest, DeleteStudyRequest, StopStudyRequest
from tests.unit.rpc.api_model import Mutation, Outcome
from tests.unit.rpc.rpc_house import definition, status_in

SEARCH = """
trainable: net
search: {algorithm: random}
scheduler: {algorithm: none}
evaluation: {folds: 2, epochs: 2}
budget: {trials: 3}
"""

PROJECT = "projects/default/studies/"
REQUEST_IDS = ("", "", "r1", "r2", "ü☃\U0001f600", "a\0b", "x" * 128, "x" * 129)
ids = st.sampled_from(("a", "b", "c"))
names = ids.map(PROJECT.__add__)
request_ids = st.sampled_from(REQUEST_IDS)


def definition_of(seed: int) -> study_pb2.Study:
    """One of several definitions; that of seed 0 is invalid."""
    study = definition(SEARCH)
    study.seed = seed
    study.labels["team"] = "red" if seed % 2 else "blue"
    if seed == 0:
        study.budget.trials = -3
    return study


creations = st.builds(
    CreateStudyRequest,
    study_id=st.one_of(ids, st.just("")),
    study=st.sampled_from((1, 1, 2, 0)).map(definition_of),
    request_id=request_ids,
    validate_only=st.sampled_from((False, False, False, True)),
)
stops = st.builds(StopStudyRequest, name=names, request_id=request_ids)
deletions = st.builds(DeleteStudyRequest, name=names, request_id=request_ids)
mutations: st.SearchStrategy[Mutation] = st.one_of(creations, stops, deletions)


def called(studies: Any, request: Mutation) -> Any:
    """A call of the method that takes such a request."""
    match request:
        case CreateStudyRequest():
            return studies.CreateStudy(request)
        case StopStudyRequest():
            return studies.StopStudy(request)
        case DeleteStudyRequest():
            return studies.DeleteStudy(request)


async def outcome_of(call: Any) -> Outcome:
    """What a call comes to."""
    try:
        return Outcome("OK", "", await call)
    except grpc.aio.AioRpcError as error:
        return refusal(error)


def refusal(error: grpc.aio.AioRpcError) -> Outcome:
    """The outcome of a call that was refused, in the way that all refusals are."""
    info = error_details_pb2.ErrorInfo()
    assert status_in(error).details[0].Unpack(info)
    return Outcome(error.code().name, info.reason)


async def pages(method: Any, request: Any, field: str) -> Any:
    """All items of a list, or why there are none."""
    items: list[Any] = []
    while True:
        outcome = await outcome_of(method(request))
        if outcome.answer is None:
            return outcome
        items += getattr(outcome.answer, field)
        request.page_token = outcome.answer.next_page_token  # type: ignore[attr-defined]
        if not request.page_token:
            return items
