"""What a watch sends, between wire and domain."""

from datetime import datetime
from typing import assert_never

from searchd.domain.facts import (
    Bookmark,
    Event,
    MeasurementAdded,
    ProgressPut,
    RequestAnswered,
    StudyDeleted,
    StudyPut,
    TrialPut,
)
from searchd.domain.space import Parameters
from searchd.domain.study import StudyName
from searchd.v1 import study_service_pb2
from searchd.wire.studies import decode_progress, decode_study, encode_progress, encode_study
from searchd.wire.trials import decode_measurement, decode_trial, encode_measurement, encode_trial
from searchd.wire.values import decode_time, encode_time


def encode_event(event: Event, fixed: Parameters) -> study_service_pb2.WatchStudyResponse:
    """An event of one study; ``fixed`` are the study's, shown with each trial's parameters.

    Raises:
        ValueError: it is the answer to a request, which watchers are not told.
    """
    message = study_service_pb2.WatchStudyResponse(revision=event.revision, event_time=encode_time(event.at))
    fact = event.fact
    match fact:
        case StudyPut():
            message.study.CopyFrom(encode_study(fact.study))
        case ProgressPut():
            message.progress.CopyFrom(encode_progress(fact.progress))
        case TrialPut():
            message.trial.CopyFrom(encode_trial(fact.trial, fixed))
        case MeasurementAdded():
            message.measurement.CopyFrom(encode_measurement(fact.measurement))
        case StudyDeleted():
            message.deleted.SetInParent()
        case RequestAnswered():
            raise ValueError("the answer to a request is not an event of a study")
        case _:
            assert_never(fact)
    return message


def encode_bookmark(revision: int, at: datetime) -> study_service_pb2.WatchStudyResponse:
    """A resume point."""
    message = study_service_pb2.WatchStudyResponse(revision=revision, event_time=encode_time(at))
    message.bookmark.SetInParent()
    return message


def decode_event(message: study_service_pb2.WatchStudyResponse, study: StudyName) -> Event | Bookmark:
    """What a watch of ``study`` received.

    An event of a kind that a newer server sends and this version does not know is a bookmark: it can be resumed from.
    """
    at = decode_time(message.event_time)
    match message.WhichOneof("event"):
        case "study":
            return Event(message.revision, at, StudyPut(decode_study(message.study)))
        case "progress":
            return Event(message.revision, at, ProgressPut(study, decode_progress(message.progress)))
        case "trial":
            return Event(message.revision, at, TrialPut(decode_trial(message.trial)))
        case "measurement":
            return Event(message.revision, at, MeasurementAdded(study, decode_measurement(message.measurement)))
        case "deleted":
            return Event(message.revision, at, StudyDeleted(study))
        case _:
            return Bookmark(message.revision, at)
