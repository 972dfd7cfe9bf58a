"""The client with a leader and servers that stand by, over real gRPC on the loopback interface."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from searchd.client import Backoff, Client
from searchd.client.connection import TAKEOVER_PATIENCE
from searchd.domain.errors import (
    InvalidArgument,
    NotLeader,
    Overloaded,
    SearchdError,
    ServerStopping,
    ServerUnreachable,
    StoreFull,
    StudyNotFound,
)
from searchd.domain.facts import Event, StudyPut, TrialPut
from searchd.domain.study import StudyState
from searchd.v1 import study_service_pb2, trial_service_pb2
from searchd.wire.codec import encode_event, encode_study
from tests.unit.client import samples
from tests.unit.client.front import Front, refuse, serving

STOPPING = study_service_pb2.StopStudyResponse(study=encode_study(samples.study(StudyState.STOPPING)))


@pytest.fixture
def sleeps() -> list[float]:
    """Pauses that were asked for; none is taken."""
    return []


@pytest.fixture
def backoff(sleeps: list[float]) -> Backoff:
    return Backoff(sleep=sleeps.append, rng=random.Random(1))


@pytest.fixture
def leader() -> Iterator[Front]:
    with serving(Front()) as front:
        yield front


@pytest.fixture
def standby(leader: Front) -> Iterator[Front]:
    """A server that refuses changes and knows who leads."""
    with serving(Front()) as front:
        refuses(front, "StopStudy", NotLeader(leader.address))
        yield front


def refuses(front: Front, rpc: str, error: SearchdError) -> None:
    front.answers[rpc] = lambda _, context: refuse(context, error)


def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def event(revision: int, *, ended: bool = False) -> study_service_pb2.WatchStudyResponse:
    fact = StudyPut(samples.study(StudyState.SUCCEEDED)) if ended else TrialPut(samples.trial(revision))
    return encode_event(Event(revision, samples.START, fact), {})


def watches(front: Front) -> list[int]:
    """The revisions after which watches of a server began."""
    return [r.after_revision for r in front.requests if isinstance(r, study_service_pb2.WatchStudyRequest)]


@pytest.mark.parametrize("known", [True, False], ids=["among the addresses", "named by the standby only"])
def test_changes_find_the_leader(
    standby: Front, leader: Front, backoff: Backoff, sleeps: list[float], known: bool
) -> None:
    """A standby is asked once and sends the change on to the leader, at once and under the same request_id."""
    address = f"{standby.address},{nobody()},{leader.address}" if known else standby.address
    with Client(address, backoff=backoff) as client:
        assert client.study("digits-cnn").get().id == "digits-cnn"
        assert client.study("digits-cnn").stop().state is StudyState.STOPPING
        client.study("digits-cnn").stop()
    refused, taken, again = standby.requests[1], *leader.requests
    assert refused.request_id == taken.request_id != again.request_id
    assert len(standby.requests) == 2
    assert not sleeps


def test_reads_go_to_whoever_answers(leader: Front, backoff: Backoff, sleeps: list[float]) -> None:
    """An address where nobody listens costs no pause, and is not asked again while another answers."""
    with Client(f"{nobody()},{leader.address}", backoff=backoff) as client:
        assert client.server_info().version == "0.1.0"
        assert [trial.number for trial in client.study("digits-cnn").trials()] == [1, 2, 3]
        assert [chunk.text for chunk in client.study("digits-cnn").logs(1)] == ["one\ntwo\n"]
    assert not sleeps


def test_a_change_waits_for_a_standby_to_take_over(backoff: Backoff, sleeps: list[float]) -> None:
    """While the leader is gone the same change is offered to the others again and again, until one of them leads."""
    dead = nobody()

    def answer(_: Any, context: grpc.ServicerContext) -> Any:
        if len(front.requests) < 9:
            refuse(context, NotLeader(dead))
        return STOPPING

    with serving(Front()) as front, Client(f"{dead},{front.address}", backoff=backoff) as client:
        front.answers["StopStudy"] = answer
        assert client.study("digits-cnn").stop().state is StudyState.STOPPING
        assert len({request.request_id for request in front.requests}) == 1
    assert len(front.requests) == 9
    assert len(sleeps) == 8


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotLeader(""), "{dead}: Connection refused; {front}: only stands by"),
        (ServerUnreachable("elsewhere", "gone"), "{dead}: Connection refused; {front}: "),
    ],
)
def test_patience_ends_with_all_addresses(
    standby: Front, backoff: Backoff, sleeps: list[float], error: SearchdError, reason: str
) -> None:
    """Where nobody takes a change for long enough, the error names every server and what is the matter with it."""
    refuses(standby, "StopStudy", error)
    dead = nobody()
    with Client(f"{dead},{standby.address}", backoff=backoff) as client, pytest.raises(ServerUnreachable) as raised:
        client.study("digits-cnn").stop()
    assert raised.value.address == f"{dead} or {standby.address}"
    assert raised.value.reason.startswith(reason.format(dead=dead, front=standby.address))
    assert 0 < sum(sleeps) < TAKEOVER_PATIENCE.total_seconds() + 10


def test_the_leaders_own_trouble_is_what_is_told(standby: Front, leader: Front, backoff: Backoff) -> None:
    """That the others stand by is no news where the leader itself says why it takes nothing."""
    refuses(leader, "StopStudy", Overloaded("the inbox", 1024))
    with Client(f"{standby.address},{leader.address}", backoff=backoff) as client, pytest.raises(Overloaded):
        client.study("digits-cnn").stop()
    assert standby.requests


@pytest.mark.parametrize("error", [StoreFull("no space left"), StudyNotFound("x")], ids=lambda e: type(e).__name__)
def test_a_refusal_is_not_offered_to_others(
    standby: Front, leader: Front, backoff: Backoff, sleeps: list[float], error: SearchdError
) -> None:
    """What another server could not change, a full disk included, is raised at once."""
    refuses(standby, "StopStudy", error)
    with Client(f"{standby.address},{leader.address}", backoff=backoff) as client, pytest.raises(type(error)):
        client.study("digits-cnn").stop()
    assert (len(standby.requests), leader.requests, sleeps) == (1, [], [])


@pytest.mark.parametrize("how", ["killed", "stopping"])
def test_a_watch_goes_on_at_another_server(leader: Front, backoff: Backoff, how: str) -> None:
    """When its server goes, a watch goes on elsewhere where it was: no revision is missing, none comes twice."""
    gone = threading.Event()

    def first(_: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        context.add_callback(gone.set)
        yield event(3)
        yield event(4)
        if how == "stopping":
            refuse(context, ServerStopping())
        gone.wait()

    def others(request: Any, _: Any) -> Iterator[Any]:
        later = (event(4), event(5), event(6, ended=True))
        return (e for e in later if e.revision > request.after_revision)

    leader.answers["WatchStudy"] = others
    with ExitStack() as stack:
        front = stack.enter_context(serving(Front()))
        front.answers["WatchStudy"] = first
        with Client(f"{front.address},{leader.address}", backoff=backoff) as client:
            seen = []
            for happened in client.study("digits-cnn").watch():
                seen.append(happened.revision)
                if happened.revision == 4 and how == "killed":
                    stack.close()
    assert seen == [3, 4, 5, 6]
    assert gone.is_set()
    assert (watches(front), watches(leader)) == ([0], [4])


def test_logs_are_begun_again_but_never_repeated(leader: Front, standby: Front, backoff: Backoff) -> None:
    """A stream of lines that breaks off is an error: begun again elsewhere, it would tell the same lines twice."""

    def broken(_: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield trial_service_pb2.StreamLogsResponse(text="one\n")
        refuse(context, ServerStopping())

    standby.answers["StreamLogs"] = broken
    with Client(f"{nobody()},{standby.address},{leader.address}", backoff=backoff) as client:
        chunks = client.study("digits-cnn").logs(1)
        assert next(chunks).text == "one\n"
        with pytest.raises(ServerStopping):
            next(chunks)
    assert not leader.requests


def test_addresses_are_written_with_commas() -> None:
    """Blanks and repetitions are left out, and an address that names nobody is refused."""
    with Client(" a:1 ,b:2,,a:1") as client:
        assert client.address == "a:1,b:2"
    with pytest.raises(InvalidArgument, match="names no server"):
        Client(" , ")
