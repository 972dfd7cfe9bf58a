"""A watch that survives its connection."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from searchd.client.connection import PATIENCE, Connection, Tries
from searchd.client.views import Study, Trial, View, read_study, read_trial
from searchd.domain.errors import RevisionExpired, SearchdError, ServerStopping
from searchd.domain.measurement import Measurement
from searchd.domain.study import Progress, StudyName
from searchd.v1 import study_service_pb2
from searchd.wire.codec import decode_measurement, decode_progress
from searchd.wire.values import decode_time

LOST_PATIENCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Deleted:
    """The study was deleted; nothing follows."""


@dataclass(frozen=True, slots=True)
class Event(View):
    """Something that happened to a study.

    Attributes:
        revision: A watch after this one goes on with what came next.
        at: When it was committed, UTC.
        value: The whole new value: of the study, of its counts, of a trial, of a measurement; or that it is deleted.
    """

    revision: int
    at: datetime
    value: Study | Progress | Trial | Measurement | Deleted


def watch(
    connection: Connection, study: StudyName, after: int, *, gaps: bool = False, within: timedelta | None = None
) -> Iterator[Event]:
    """What happens to a study, each revision once and in order, until the study has ended or was deleted.

    After a lost connection it goes on where it was, at another server if there is one, for up to five minutes.

    Args:
        connection: To the servers.
        study: Full name.
        after: Revision to start after; 0 means from the oldest that is kept.
        gaps: Whether to go on with the oldest that is kept when those in between are gone.
        within: For how long; None means until the study has ended.

    Raises:
        StudyNotFound: there is no such study.
        RevisionExpired: events after ``after`` are gone and ``gaps`` is false.
        ServerUnreachable: no server came back.
        TimeoutError: ``within`` has passed.
    """
    backoff = connection.backoff
    deadline = None if within is None else backoff.monotonic() + within.total_seconds()
    revision, tries = after, Tries(connection, PATIENCE)
    while True:
        left = None if deadline is None else timedelta(seconds=deadline - backoff.monotonic())
        if left is not None and left <= timedelta(0):
            raise TimeoutError(f"{study} has not ended within {within}")
        channel = connection.channel
        request = study_service_pb2.WatchStudyRequest(name=study, after_revision=revision)
        interruption: SearchdError = ServerStopping()
        try:
            for response in channel.stream(lambda at: at.studies.WatchStudy, request, left):
                revision, tries = response.revision, Tries(connection, LOST_PATIENCE)
                event = _event(response)
                if event is not None:
                    yield event
                    if _is_last(event):
                        return
            if _has_ended(connection, study):
                return
        except TimeoutError:
            raise TimeoutError(f"{study} has not ended within {within}") from None
        except RevisionExpired as expired:
            if not gaps and revision > 0:
                raise
            revision = max(expired.oldest - 1, revision)
            continue
        except SearchdError as error:
            interruption = error
        tries.go_on(channel, interruption)


def _is_last(event: Event) -> bool:
    match event.value:
        case Study() as study:
            return study.state.ended
        case Deleted():
            return True
        case _:
            return False


def _has_ended(connection: Connection, study: StudyName) -> bool:
    """Tells a watch that has nothing left to say from one that a stopping server let go."""
    response = connection.call(lambda at: at.studies.GetStudy, study_service_pb2.GetStudyRequest(name=study))
    return read_study(response.study).state.ended


def _event(response: study_service_pb2.WatchStudyResponse) -> Event | None:
    value: Study | Progress | Trial | Measurement | Deleted
    match response.WhichOneof("event"):
        case "study":
            value = read_study(response.study)
        case "progress":
            value = decode_progress(response.progress)
        case "trial":
            value = read_trial(response.trial)
        case "measurement":
            value = decode_measurement(response.measurement)
        case "deleted":
            value = Deleted()
        case _:  # a bookmark, or something that a newer server tells
            return None
    return Event(response.revision, decode_time(response.event_time), value, message=response)
