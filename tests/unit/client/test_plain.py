"""Messages as plain JSON values."""

import json

from searchd.client.plain import plain_message
from searchd.v1 import study_pb2, study_service_pb2, trial_pb2
from searchd.wire.codec import encode_study, encode_trial
from tests.unit.client import samples


def test_parameters_are_the_values_that_they_hold() -> None:
    """Integers stay integers, floats floats, and nesting is kept."""
    trial = encode_trial(samples.trial(1), {"nested": {"a": [1, 2.5, None, True]}})
    assert plain_message(trial)["parameters"] == {
        "channels": 32,
        "layers": 2,
        "lr": 0.0031,
        "nested": {"a": [1, 2.5, None, True]},
        "optimizer": "adam",
    }
    assert isinstance(plain_message(trial)["parameters"]["channels"], int)


def test_names_enums_times_and_durations_are_those_of_the_protos() -> None:
    """Field names are snake_case; enums are names; times are RFC 3339; 64-bit integers are numbers."""
    plain = plain_message(encode_study(samples.study()))
    assert plain["state"] == "STUDY_STATE_RUNNING"
    assert plain["create_time"] == "2026-05-01T12:00:00Z"
    assert plain["retry"]["segment_timeout"] == "600s"
    assert plain["progress"]["epochs"] == 390
    assert plain["search_space"]["parameters"][1] == {"name": "channels", "choice": {"values": [8, 16, 32]}, "when": []}
    assert "end_time" not in plain
    assert json.loads(json.dumps(plain)) == plain


def test_counts_of_zero_are_there_and_unset_options_are_not() -> None:
    """A field without presence is printed at its default, an optional one only if it is set."""
    plain = plain_message(study_pb2.StudyProgress())
    assert plain["busy"] == 0
    assert plain["trials"] == {}
    assert "best_trial" not in plain


def test_what_is_no_json_number_is_text() -> None:
    """NaN and infinities are the strings that protobuf's mapping has for them."""
    message = trial_pb2.Measurement(metrics={"a": float("nan"), "b": float("inf"), "c": float("-inf")})
    assert plain_message(message)["metrics"] == {"a": "NaN", "b": "Infinity", "c": "-Infinity"}


def test_an_enum_value_of_a_newer_server_stays_a_number() -> None:
    """What this version cannot name is passed on."""
    message = study_pb2.Study()
    message.ParseFromString(b"\x80\x01\x63")  # field 16, state, 99
    assert plain_message(message)["state"] == 99


def test_a_chosen_event_is_shown_even_if_it_is_empty() -> None:
    """Of a oneof, the member that is set appears, and only that."""
    message = study_service_pb2.WatchStudyResponse(revision=3)
    message.deleted.SetInParent()
    assert plain_message(message) == {"revision": 3, "deleted": {}}
