"""Facts: what has happened. State changes only by applying one; the store numbers them with revisions.

Each fact carries the whole new value of what it changes, so applying one is putting it in place, and a watcher needs
no earlier event to understand a later one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from searchd.domain.measurement import Measurement
from searchd.domain.study import Progress, Study, StudyName
from searchd.domain.trial import Trial


@dataclass(frozen=True, slots=True)
class StudyPut:
    """A study was created or changed state."""

    study: Study


@dataclass(frozen=True, slots=True)
class StudyDeleted:
    """A study and everything in it is gone."""

    study: StudyName


@dataclass(frozen=True, slots=True)
class ProgressPut:
    """The counts of a study as of this batch; at most one per study and batch."""

    study: StudyName
    progress: Progress


@dataclass(frozen=True, slots=True)
class TrialPut:
    """A trial was created or changed."""

    trial: Trial


@dataclass(frozen=True, slots=True)
class MeasurementAdded:
    """A fold run reported an epoch."""

    study: StudyName
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    """A mutation with a request_id was answered; a repeat of the same request gets the same study back, or the same
    trial if it was about one."""

    request_id: str
    digest: str
    study: Study
    trial: Trial | None = None


Fact = StudyPut | StudyDeleted | ProgressPut | TrialPut | MeasurementAdded | RequestAnswered


def study_of(fact: Fact) -> StudyName | None:
    """The study that a fact is about; None for an answered request, which no watch of a study shows."""
    match fact:
        case StudyPut(study):
            return study.name
        case TrialPut(trial):
            return trial.study
        case StudyDeleted(name) | ProgressPut(name) | MeasurementAdded(name):
            return name
        case RequestAnswered():
            return None
        case _:
            assert_never(fact)


@dataclass(frozen=True, slots=True)
class Event:
    """A fact with its place in the log.

    Attributes:
        revision: From 1, contiguous over the whole store.
        at: When the batch was committed, UTC.
        fact: What happened.
    """

    revision: int
    at: datetime
    fact: Fact


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Nothing happened up to ``revision``; a watch can be resumed after it. ``at`` is when that was found, UTC."""

    revision: int
    at: datetime
