"""The codec: what the domain holds survives the wire."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import HealthCheck, given, settings

from searchd.domain.card import Card
from searchd.domain.errors import InvalidStudy
from searchd.domain.facts import Bookmark, Event, RequestAnswered
from searchd.domain.failure import Failure
from searchd.domain.leaderboard import BestConfig, Leaderboard
from searchd.domain.measurement import Measurement
from searchd.domain.objective import Goal, Objective
from searchd.domain.search import Algorithm
from searchd.domain.space import ParameterValue, SearchSpace
from searchd.domain.study import Study, StudySpec
from searchd.domain.trial import Origin, Trial, TrialNumber
from searchd.v1 import study_pb2, study_service_pb2, trial_pb2
from searchd.wire import codec
from searchd.wire.trials import decode_failure
from searchd.wire.values import decode_duration, decode_enum, encode_duration, encode_enum, short_names
from tests.unit.wire import wire_strategies as some

relaxed = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@relaxed
@given(some.json_values)
def test_parameter_values_round_trip(value: ParameterValue) -> None:
    """Any JSON value comes back equal and of the same type."""
    back = codec.decode_value(codec.encode_value(value))
    assert back == value
    assert type(back) is type(value)


def test_integers_stay_integers() -> None:
    """8 comes back as the integer 8, 8.0 as the float, and True as neither."""
    back = [codec.decode_value(codec.encode_value(value)) for value in (8, 8.0, True)]
    assert [type(value) for value in back] == [int, float, bool]


def test_what_is_no_json_is_refused() -> None:
    """A value that JSON has not raises TypeError."""
    with pytest.raises(TypeError, match="datetime is not a JSON value"):
        codec.encode_value(datetime(2026, 1, 1, tzinfo=UTC))


@relaxed
@given(some.studies)
def test_studies_round_trip(study: Study) -> None:
    """A study that a client decodes equals the server's."""
    assert codec.decode_study(codec.encode_study(study)) == study


@relaxed
@given(some.specs)
def test_definitions_round_trip_as_drafts(spec: StudySpec) -> None:
    """A study's definition sent back decodes into a draft without violations that asks for the same study."""
    draft, violations = codec.decode_draft(codec.encode_spec(spec))
    assert violations == ()
    assert (draft.space, draft.evaluation, draft.split) == (spec.space, spec.evaluation, spec.evaluation.split)
    assert draft.mode is spec.scheduler.mode
    assert (draft.objectives, draft.limits, draft.warm_start) == (spec.objectives, spec.limits, spec.warm_start)
    assert draft.parent == spec.parent
    assert draft.track == spec.track


def test_a_study_shows_the_rungs_in_force() -> None:
    """The message lists the derived ladder, which the definition does not give."""
    spec = StudySpec("t", (Objective("accuracy", Goal.MAXIMIZE),))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    message = codec.encode_study(Study(some.STUDY, spec, "", "", at))
    assert [(rung.folds, rung.epochs) for rung in message.rungs] == [(1, 1)]
    assert not message.evaluation.ladder


@relaxed
@given(some.trials)
def test_a_decoded_trial_shows_the_same(trial: Trial) -> None:
    """A decoded trial encodes into the same message, although fold runs on the wire show less than there is."""
    message = codec.encode_trial(trial, {"dropout": 0.1})
    assert codec.encode_trial(codec.decode_trial(message), {}) == message


@relaxed
@given(some.shown_trials)
def test_trials_round_trip_as_far_as_they_are_shown(trial: Trial) -> None:
    """Everything that callers are told of a trial survives."""
    assert codec.decode_trial(codec.encode_trial(trial, {})) == trial


def test_a_failure_of_a_later_version_is_refused() -> None:
    """A way to fail that this client does not know raises ValueError instead of passing for another one."""
    for number in (0, 99):
        with pytest.raises(ValueError, match="is not a Failure"):
            decode_failure(number)
    enum = trial_pb2.Failure.DESCRIPTOR
    assert set(short_names(enum)) == {failure.value for failure in Failure}


def test_fixed_parameters_are_shown_with_the_trials_own() -> None:
    """A trial's message has the study's fixed parameters beside its own."""
    trial = codec.decode_trial(
        codec.encode_trial(
            Trial(some.STUDY, TrialNumber(1), {"lr": 0.1}, Origin.SEARCH, datetime(2026, 1, 1, tzinfo=UTC)),
            {"dropout": 0.1},
        )
    )
    assert trial.parameters == {"lr": 0.1, "dropout": 0.1}


@relaxed
@given(some.measurements)
def test_measurements_round_trip(measurement: Measurement) -> None:
    """A measurement survives, infinite metrics included."""
    assert codec.decode_measurement(codec.encode_measurement(measurement)) == measurement


@relaxed
@given(some.events)
def test_events_round_trip(event: Event) -> None:
    """An event of a study survives, whatever has happened."""
    assert codec.decode_event(codec.encode_event(event, {}), some.STUDY) == event


def test_bookmarks_round_trip() -> None:
    """A bookmark keeps the revision to resume from."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert codec.decode_event(codec.encode_bookmark(7, at), some.STUDY) == Bookmark(7, at)


def test_an_event_of_a_later_version_is_a_bookmark() -> None:
    """A kind of event that this version does not know can still be resumed from."""
    message = study_service_pb2.WatchStudyResponse(revision=9)
    assert isinstance(codec.decode_event(message, some.STUDY), Bookmark)


@settings(max_examples=1, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(some.studies)
def test_answers_to_requests_are_not_events(study: Study) -> None:
    """What is remembered of a request is never sent to a watcher."""
    event = Event(1, study.created_at, RequestAnswered("id", "digest", study))
    with pytest.raises(ValueError, match="not an event"):
        codec.encode_event(event, {})


@relaxed
@given(some.leaderboards)
def test_leaderboards_round_trip(leaderboard: Leaderboard) -> None:
    """A ranking survives with its errors, differences and ties."""
    assert codec.decode_leaderboard(codec.encode_leaderboard(leaderboard)) == leaderboard


@relaxed
@given(some.bests)
def test_best_configurations_round_trip(best: BestConfig) -> None:
    """The best configuration survives with all that is said of it."""
    assert codec.decode_best(codec.encode_best(best)) == best


@relaxed
@given(some.cards)
def test_cards_round_trip(card: Card) -> None:
    """A card survives, and its metrics keep their order: the first is the default objective."""
    back = codec.decode_card(codec.encode_card(card))
    assert back == card
    assert list(back.metrics) == list(card.metrics)


@relaxed
@given(some.durations)
def test_durations_round_trip(duration: timedelta) -> None:
    """A duration survives to the microsecond."""
    message = encode_duration(duration)
    assert message is not None
    assert decode_duration(message) == duration


@pytest.mark.parametrize(
    "message",
    [Duration(seconds=1, nanos=-1), Duration(nanos=1_000_000_000), Duration(seconds=2**62)],
    ids=["mixed signs", "too many nanos", "too long"],
)
def test_broken_durations_are_refused(message: Duration) -> None:
    """A duration that protobuf forbids or Python cannot hold raises ValueError."""
    with pytest.raises(ValueError, match=r"nanos|too long"):
        decode_duration(message)


def test_the_unspecified_value_has_no_meaning() -> None:
    """Zero and numbers of later versions are refused; all others have their name."""
    enum = study_pb2.SearchAlgorithm.DESCRIPTOR
    assert set(short_names(enum)) == {member.value for member in Algorithm}
    assert decode_enum(enum, encode_enum(enum, Algorithm.TPE), Algorithm) is Algorithm.TPE
    for number in (0, 99):
        with pytest.raises(ValueError, match="is not a SearchAlgorithm"):
            decode_enum(enum, number, Algorithm)


def test_a_study_of_a_later_version_is_refused() -> None:
    """A study with an algorithm that this client does not know raises InvalidStudy instead of guessing."""
    spec = StudySpec("t", (Objective("accuracy", Goal.MAXIMIZE),), SearchSpace())
    message = codec.encode_spec(spec)
    message.search.algorithm = 99  # type: ignore[assignment]
    with pytest.raises(InvalidStudy, match=r"search\.algorithm: 99"):
        codec.decode_spec(message)
