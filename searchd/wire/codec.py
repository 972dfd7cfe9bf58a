"""The codec in one place: ``encode_x`` makes the message of a domain value, ``decode_x`` the value of a message."""

from searchd.wire.cards import decode_card, encode_card
from searchd.wire.changes import decode_changes
from searchd.wire.drafts import decode_draft
from searchd.wire.events import decode_event, encode_bookmark, encode_event
from searchd.wire.insight import encode_curve, encode_importance, encode_pareto_trial
from searchd.wire.leaderboards import decode_best, decode_leaderboard, encode_best, encode_leaderboard
from searchd.wire.spaces import decode_space, encode_space
from searchd.wire.studies import (
    decode_objective,
    decode_progress,
    decode_spec,
    decode_study,
    encode_objective,
    encode_progress,
    encode_spec,
    encode_study,
)
from searchd.wire.trials import decode_measurement, decode_trial, encode_measurement, encode_trial, trial_name
from searchd.wire.values import decode_parameters, decode_value, encode_parameters, encode_value

__all__ = [
    "decode_best",
    "decode_card",
    "decode_changes",
    "decode_draft",
    "decode_event",
    "decode_leaderboard",
    "decode_measurement",
    "decode_objective",
    "decode_parameters",
    "decode_progress",
    "decode_space",
    "decode_spec",
    "decode_study",
    "decode_trial",
    "decode_value",
    "encode_best",
    "encode_bookmark",
    "encode_card",
    "encode_curve",
    "encode_event",
    "encode_importance",
    "encode_leaderboard",
    "encode_measurement",
    "encode_objective",
    "encode_parameters",
    "encode_pareto_trial",
    "encode_progress",
    "encode_space",
    "encode_spec",
    "encode_study",
    "encode_trial",
    "encode_value",
    "trial_name",
]
