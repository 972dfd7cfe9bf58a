"""The client against real gRPC on the loopback interface."""

import random
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from searchd.client import Backoff, Client, Deleted, Event
from searchd.domain import errors
from searchd.domain.errors import (
    InvalidArgument,
    InvalidStudy,
    RevisionExpired,
    SearchdError,
    ServerUnreachable,
    StoreUnavailable,
    StudyChanged,
    StudyExists,
    StudyNotFound,
    Violation,
)
from searchd.domain.facts import Event as DomainEvent
from searchd.domain.facts import StudyDeleted, StudyPut, TrialPut
from searchd.domain.failure import Failure
from searchd.domain.measurement import Measurement
from searchd.domain.study import StudyState
from searchd.domain.trial import TrialState
from searchd.v1 import study_service_pb2, system_service_pb2, trial_service_pb2
from searchd.wire.codec import encode_event, encode_measurement, encode_study, encode_trial
from tests.unit.client import samples
from tests.unit.client.front import Front, refuse, serving


class Sleeps(list[float]):
    """Pauses that were asked for; none is taken."""

    def backoff(self) -> Backoff:
        return Backoff(sleep=self.append, rng=random.Random(1))


@pytest.fixture
def front() -> Iterator[Front]:
    with serving(Front()) as front:
        yield front


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
def client(front: Front, sleeps: Sleeps) -> Iterator[Client]:
    with Client(front.address, backoff=sleeps.backoff()) as client:
        yield client


def event(revision: int, fact: Any) -> study_service_pb2.WatchStudyResponse:
    return encode_event(DomainEvent(revision, samples.START, fact), {})


def trial_event(revision: int) -> study_service_pb2.WatchStudyResponse:
    return event(revision, TrialPut(samples.trial(revision)))


def ended_event(revision: int) -> study_service_pb2.WatchStudyResponse:
    return event(revision, StudyPut(samples.study(StudyState.SUCCEEDED)))


def test_a_study_is_created_from_a_file_a_mapping_and_keywords(client: Client, front: Front, tmp_path: Path) -> None:
    """The three ways to write a study reach the server as one and the same definition."""
    file = tmp_path / "digits.yaml"
    file.write_text("study_id: digits-cnn\ntrainable: torch_cnn\nsearch_space: {lr: {loguniform: [1e-4, 1e-1]}}\n")
    mapping: dict[str, Any] = {"trainable": "torch_cnn", "search_space": {"lr": {"loguniform": [1e-4, 1e-1]}}}
    handles = [
        client.create_study(file),
        client.create_study(mapping, study_id="digits-cnn"),
        client.create_study(study_id="digits-cnn", **mapping),
    ]
    assert {handle.name for handle in handles} == {samples.NAME}
    assert {request.study_id for request in front.requests} == {"digits-cnn"}
    assert len({request.study.SerializeToString(deterministic=True) for request in front.requests}) == 1
    assert front.requests[0].study.search_space.parameters[0].loguniform.low == 1e-4
    assert len({request.request_id for request in front.requests}) == 3


def test_violations_of_the_file_and_of_the_server_come_together(client: Client, front: Front) -> None:
    """Everything that is wrong is raised at once, nothing is stored, and nothing is said twice."""
    theirs = (
        Violation("budget.trials", "-1 is below 1", "use at least 1"),
        Violation("objectives[0].goal", "is not set", "give one"),
    )
    front.answers["CreateStudy"] = lambda _, context: refuse(context, InvalidStudy(theirs))
    with pytest.raises(InvalidStudy) as raised:
        client.create_study(trainable="torch_cnn", objectives={"metric": "a", "goal": "up"}, budget={"trials": -1})
    paths = [violation.path for violation in raised.value.violations]
    assert paths == ["objectives[0].goal", "budget.trials"]
    assert theirs[0] in raised.value.violations
    assert theirs[1] not in raised.value.violations
    assert front.requests[0].validate_only


def test_a_file_with_mistakes_is_refused_even_if_the_server_finds_none(client: Client, front: Front) -> None:
    """The server is only asked to validate, and its consent does not hide what the file reader found."""
    with pytest.raises(InvalidStudy, match="nope"):
        client.create_study(trainable="torch_cnn", nope=1)
    assert [request.validate_only for request in front.requests] == [True]


def test_a_mutation_is_repeated_with_the_same_request_id(client: Client, front: Front, sleeps: Sleeps) -> None:
    """While the store is away for a moment, the request is sent again as it was, after growing pauses."""

    def answer(_: Any, context: grpc.ServicerContext) -> Any:
        if len(front.requests) < 3:
            refuse(context, StoreUnavailable("disk full"))
        return study_service_pb2.StopStudyResponse(study=encode_study(samples.study(StudyState.STOPPING)))

    front.answers["StopStudy"] = answer
    assert client.study("digits-cnn").stop().state is StudyState.STOPPING
    assert len(front.requests) == 3
    assert len({request.request_id for request in front.requests}) == 1
    assert len(sleeps) == 2
    assert sleeps[0] < 0.16


def test_a_refusal_is_not_repeated(client: Client, front: Front, sleeps: Sleeps) -> None:
    """An error that will not go away is raised at once, as the error that it was on the server."""
    front.answers["CreateStudy"] = lambda _, context: refuse(context, StudyExists(samples.NAME, ["seed", "budget"]))
    with pytest.raises(StudyExists) as raised:
        client.create_study(trainable="torch_cnn")
    assert raised.value.differing == ("seed", "budget")
    assert len(front.requests) == 1
    assert not sleeps


ERRORS: list[SearchdError] = [
    InvalidStudy([Violation("search_space.lr", "is empty", "give bounds"), Violation("seed", "is -1", "use 0; or 1")]),
    InvalidArgument("page_size", "is -1", "use 0 to 1000"),
    StudyNotFound(samples.NAME),
    errors.TrialNotFound(samples.NAME, 7),
    errors.TrainableNotFound("torch_cn", ["sklearn_classifier", "torch_cnn"]),
    errors.CodeNotFound("0" * 64),
    errors.CodeRefused(),
    StudyExists(samples.NAME, ["seed", "budget"]),
    errors.RequestReused("r-1"),
    errors.StudyActive(samples.NAME, "running"),
    errors.StudyEnded(samples.NAME, "succeeded"),
    errors.BudgetUsed(samples.NAME, 20),
    errors.StudyChanged(samples.NAME),
    errors.NoCompleteTrial(samples.NAME),
    errors.ImportanceUnknown(samples.NAME, "3 trials have completed a rung, and it takes 10; wait"),
    errors.Overloaded("the inbox", 1024),
    RevisionExpired(3, 50),
    StoreUnavailable("disk full"),
    errors.StoreFull("disk full"),
    errors.LeaseLost(3, 4),
    errors.StoreDamaged("study x", "no JSON"),
    errors.NotLeader(""),
    errors.TrainableQuarantined("torch_cnn", "it crashed 8 workers"),
    errors.StoreTooNew("0009", "0003"),
    errors.ServerStopping(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_servers_errors_arrive_as_themselves(client: Client, front: Front, error: SearchdError) -> None:
    """What the server's table makes of an error, the client turns back into the same error with the same fields."""
    front.answers["GetTrial"] = lambda _, context: refuse(context, error)
    with pytest.raises(type(error)) as raised:
        client.study("digits-cnn").trial(7)
    assert type(raised.value) is type(error)
    assert str(raised.value) == str(error).replace("use 0; or 1", "use 0, or 1")
    assert front.requests


def test_of_many_trainables_only_the_nearest_is_named(client: Client, front: Front) -> None:
    """The message stays short; where the list was cut short on its way, half a name is never taken for a name."""
    known = ["torch_cnn", *(f"net_{number:03}" for number in range(100))]
    front.answers["GetTrial"] = lambda _, context: refuse(context, errors.TrainableNotFound("torch_cn", known))
    with pytest.raises(errors.TrainableNotFound) as raised:
        client.study("digits-cnn").trial(7)
    assert str(raised.value) == (
        "no trainable 'torch_cn'; did you mean torch_cnn? `searchd trainables` lists all there are"
    )
    assert set(raised.value.known) < set(known)


def test_every_error_that_a_server_can_answer_is_tried_above() -> None:
    """A new domain error needs a line in the client's table, and a sample here."""
    known = {c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, SearchdError)}
    raised_by_clients = {ServerUnreachable, errors.UnknownAnswer}
    assert {type(error) for error in ERRORS} == known - raised_by_clients - {SearchdError}


def test_an_answer_that_is_unknown_is_told_with_its_code(client: Client, front: Front) -> None:
    """A refusal by something between client and server, without details, keeps its code and message."""
    front.answers["GetTrial"] = lambda _, context: context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such\nthing")
    with pytest.raises(errors.UnknownAnswer, match="UNIMPLEMENTED: no such thing"):
        client.study("digits-cnn").trial(7)


def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def test_no_server_is_one_error_with_the_address(sleeps: Sleeps) -> None:
    """Where nobody listens, every call raises ServerUnreachable after a short patience."""
    address = nobody()
    with Client(address, backoff=sleeps.backoff()) as client:
        with pytest.raises(ServerUnreachable, match=address):
            client.server_info()
        with pytest.raises(ServerUnreachable, match=address):
            next(client.study("digits-cnn").watch())
    assert 0 < sum(sleeps) < 8


def test_the_address_comes_from_the_environment(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument SEARCHD_ADDRESS is used, and without that localhost:50051."""
    monkeypatch.setenv("SEARCHD_ADDRESS", front.address)
    with Client() as client:
        assert client.server_info().version == "0.1.0"
    monkeypatch.delenv("SEARCHD_ADDRESS")
    with Client() as client:
        assert client.address == "localhost:50051"


def test_a_watch_goes_on_after_a_lost_connection(client: Client, front: Front) -> None:
    """Each revision comes once and in order, across a broken stream and a stopping server in both of its ways."""

    def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        after = request.after_revision
        if after == 0:
            yield trial_event(3)
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        if after == 3:
            yield trial_event(4)
            bookmark = study_service_pb2.WatchStudyResponse(revision=9)
            bookmark.bookmark.SetInParent()
            yield bookmark
            return
        if after == 9:
            yield trial_event(10)
            refuse(context, errors.ServerStopping())
        yield ended_event(11)

    front.answers["WatchStudy"] = answer
    events = list(client.study("digits-cnn").watch())
    assert [event.revision for event in events] == [3, 4, 10, 11]
    watches = [r.after_revision for r in front.requests if isinstance(r, study_service_pb2.WatchStudyRequest)]
    assert watches == [0, 3, 9, 10]


def test_a_watch_ends_with_the_study(client: Client, front: Front) -> None:
    """The last event is the study's end or its deletion; a watch of an ended study that says nothing ends as well."""
    front.answers["WatchStudy"] = lambda *_: iter([trial_event(1), ended_event(2), trial_event(3)])
    assert [event.revision for event in client.study("digits-cnn").watch()] == [1, 2]
    front.answers["WatchStudy"] = lambda *_: iter([event(5, StudyDeleted(samples.NAME))])
    assert [event.value for event in client.study("digits-cnn").watch()] == [Deleted()]
    front.answers["WatchStudy"] = lambda *_: iter(())
    front.answers["GetStudy"] = lambda *_: study_service_pb2.GetStudyResponse(
        study=encode_study(samples.study(StudyState.STOPPED))
    )
    assert list(client.study("digits-cnn").watch(after=7)) == []


def test_a_time_limit_holds_where_no_server_answers() -> None:
    """Waiting for a study ends in time although the server is away for longer than that."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    backoff = Backoff(sleep=sleep, monotonic=lambda: now[0], rng=random.Random(1))
    with Client(nobody(), backoff=backoff) as client, pytest.raises(TimeoutError, match="0:00:01"):
        client.study("digits-cnn").wait(progress=False, timeout=timedelta(seconds=1))
    assert now[0] >= 1


def test_an_expired_revision_is_told_unless_nothing_was_seen_before(client: Client, front: Front) -> None:
    """A watch from the beginning starts with the oldest event kept; one from a revision does not skip silently."""

    def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        if request.after_revision < 49:
            refuse(context, RevisionExpired(request.after_revision, 50))
        yield ended_event(50)

    front.answers["WatchStudy"] = answer
    assert [event.revision for event in client.study("digits-cnn").watch()] == [50]
    with pytest.raises(RevisionExpired):
        list(client.study("digits-cnn").watch(after=7))


def test_wait_returns_the_ended_study(client: Client, front: Front) -> None:
    """It returns the study as it ended, and raises TimeoutError if it does not end in time."""
    front.answers["WatchStudy"] = lambda *_: iter([ended_event(1)])
    front.answers["GetStudy"] = lambda *_: study_service_pb2.GetStudyResponse(
        study=encode_study(samples.study(StudyState.SUCCEEDED))
    )
    assert client.study("digits-cnn").wait(progress=False).state is StudyState.SUCCEEDED

    def silent(_: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        gone = threading.Event()
        context.add_callback(gone.set)
        yield trial_event(1)
        gone.wait()

    front.answers["WatchStudy"] = silent
    with pytest.raises(TimeoutError, match=r"0:00:00\.2"):
        client.study("digits-cnn").wait(progress=False, timeout=timedelta(seconds=0.2))


def test_lists_read_all_pages_only_when_needed(client: Client, front: Front) -> None:
    """The first trial costs one page; all trials cost all pages; a data frame has flat columns."""
    trials = client.study("digits-cnn").trials(TrialState.COMPLETED)
    assert trials[0].number == 1
    assert (trials[0].failure, trials[0].retries) == (None, 0)
    assert len(front.requests) == 1
    assert front.requests[0].filter == "state=COMPLETED"
    assert [trial.number for trial in trials] == [1, 2, 3]
    frame = trials.to_pandas()
    assert len(frame) == 3
    assert frame["params.lr"].tolist() == [0.0031] * 3
    assert frame["params.channels"].tolist() == [32] * 3
    assert len(front.requests) == 2


def test_measurements_are_rows_of_metrics(client: Client, front: Front) -> None:
    """A study's or a trial's measurements, one row each."""
    measurement = Measurement(2, 0, 1, 3, 1, {"accuracy": 0.9}, 0.5, samples.START)
    front.answers["ListMeasurements"] = lambda *_: trial_service_pb2.ListMeasurementsResponse(
        measurements=[encode_measurement(measurement)]
    )
    study = client.study("digits-cnn")
    assert list(study.measurements()) == [measurement]
    assert study.measurements(2).to_pandas()["metrics.accuracy"].tolist() == [0.9]
    assert [request.parent for request in front.requests] == [samples.NAME, f"{samples.NAME}/trials/2"]


def test_the_ranking_and_the_best(client: Client) -> None:
    """The leaderboard says what is tied and what is partial; the best configuration holds the fixed parameters too."""
    study = client.study("digits-cnn")
    board = study.leaderboard(top=10)
    assert [(entry.rank, entry.trial.number, entry.tied) for entry in board] == [
        (1, 17, False),
        (2, 29, True),
        (0, 41, False),
    ]
    assert board.to_pandas()["params.lr"].tolist() == [0.0031, 0.0022, 0.04]
    best = study.best()
    assert best.params == {"lr": 0.0031, "channels": 32, "optimizer": "adam", "layers": 2, "dropout": 0.1}
    assert best.gain == samples.BEST.gain


def test_names_may_be_short_or_full(client: Client) -> None:
    """A short name belongs to the project that is given; an impossible one is refused before anything is sent."""
    assert client.study("a", project="team").name == "projects/team/studies/a"
    assert client.study("projects/team/studies/a").name == "projects/team/studies/a"
    with pytest.raises(InvalidArgument, match="digits-cnn"):
        client.study("Not A Name")


def test_an_unknown_study_is_not_found(client: Client) -> None:
    """The error names the study that was asked for."""
    with pytest.raises(StudyNotFound) as raised:
        client.study("nowhere").get()
    assert raised.value.study == "projects/default/studies/nowhere"


def test_studies_are_filtered_by_the_server(client: Client, front: Front) -> None:
    """State and labels become one filter."""
    found = client.studies(state=StudyState.RUNNING, labels={"team": "vision"})
    assert [study.id for study in found] == ["digits-cnn"]
    assert front.requests[0].filter == 'state=RUNNING AND labels.team="vision"'
    assert found.to_pandas()["labels.team"].tolist() == ["vision"]


def test_a_trial_tells_its_failures(client: Client, front: Front) -> None:
    """What ended it, and what ended the attempts of each fold run that were retried; in a data frame their number."""
    retried = (Failure.OUT_OF_MEMORY, Failure.HUNG)
    failed = samples.trial(4, state=TrialState.FAILED, failure=Failure.HUNG, retried=retried)
    page = trial_service_pb2.ListTrialsResponse(trials=[encode_trial(failed, {})])
    front.answers["ListTrials"] = lambda *_: page
    trials = client.study("digits-cnn").trials()
    assert [run.failures for run in trials[0].fold_runs] == [retried, (), (), (), ()]
    assert (trials[0].failure, trials[0].retries) == (Failure.HUNG, 2)
    frame = trials.to_pandas()
    assert (frame["failure"].tolist(), frame["retries"].tolist()) == (["hung"], [2])


def test_the_server_tells_its_role(client: Client, front: Front) -> None:
    """Role, leader, epoch and problems; a server that does not say has none."""
    info = client.server_info()
    assert (info.role, info.leader, info.epoch) == ("leader", "10.0.0.1:50051", 3)
    assert info.problems == ("the store takes no writes: the disk is full",)
    front.answers["GetServerInfo"] = lambda *_: system_service_pb2.GetServerInfoResponse(version="0.1.0")
    old = client.server_info()
    assert (old.role, old.leader, old.epoch, old.problems) == ("", "", 0, ())


def test_more_trials_are_asked_for_of_the_study_as_it_was_read(client: Client, front: Front) -> None:
    """The etag goes with them, so that the larger of two extensions at once is not undone; it is refused otherwise."""
    read = encode_study(samples.study())
    read.etag = "as-read"
    front.answers["GetStudy"] = lambda *_: study_service_pb2.GetStudyResponse(study=read)
    client.study("digits-cnn").extend(201)
    sent = front.requests[-1]
    assert (sent.study.budget.trials, sent.study.etag, list(sent.update_mask.paths)) == (
        201,
        "as-read",
        ["budget.trials"],
    )
    with pytest.raises(InvalidStudy, match="200 is not more than the 200 that the study has"):
        client.study("digits-cnn").extend(200)
    assert sum(isinstance(request, study_service_pb2.UpdateStudyRequest) for request in front.requests) == 1
    front.answers["UpdateStudy"] = lambda _, context: refuse(context, StudyChanged(samples.NAME))
    with pytest.raises(StudyChanged):
        client.study("digits-cnn").extend(201)


def test_trainables_and_the_cluster(client: Client) -> None:
    """The card has its space in the domain's words, and the cluster its nodes, workers and users."""
    card = client.trainable("torch_cnn")
    assert card.space == samples.SPACE
    assert [c.name for c in client.trainables()] == ["torch_cnn"]
    cluster = client.cluster()
    assert (cluster.nodes[0].cpus, cluster.pools[0].busy, cluster.studies[0].waiting) == (2, 1, True)


def test_an_event_knows_its_wire_form(client: Client, front: Front) -> None:
    """Events turn into the protos' JSON."""
    front.answers["WatchStudy"] = lambda *_: iter([ended_event(2)])
    [last] = client.study("digits-cnn").watch()
    assert isinstance(last, Event)
    assert last.to_dict()["study"]["state"] == "STUDY_STATE_SUCCEEDED"
