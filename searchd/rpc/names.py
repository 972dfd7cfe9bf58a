"""Names and small fields of requests, checked where they come in."""

import hashlib
import re

from google.protobuf.message import Message

from searchd.domain.errors import InvalidArgument, Violation
from searchd.domain.study import ID_PATTERN, StudyName
from searchd.domain.trial import TrialNumber

DEFAULT_PROJECT = "default"
MAX_REQUEST_ID_CHARACTERS = 128
MAX_TRIAL_NUMBER = 2**31 - 1

_PROJECT = re.compile(f"projects/(?P<project>{ID_PATTERN})")
_STUDY = re.compile(f"projects/{ID_PATTERN}/studies/{ID_PATTERN}")
_TRIAL = re.compile(f"(?P<study>{_STUDY.pattern})/trials/(?P<number>[1-9][0-9]{{0,9}})")
_IDS = f"with ids that match {ID_PATTERN}"


def project_of(parent: str) -> str:
    """The project's id in ``projects/{project}``; the default one if unset.

    Raises:
        InvalidArgument: it is no such name.
    """
    if not parent:
        return DEFAULT_PROJECT
    match = _PROJECT.fullmatch(parent)
    if match is None:
        raise _no_name("parent", parent, "project", "projects/{project}")
    return match["project"]


def study_of(field: str, name: str) -> StudyName:
    """A study's full name.

    Raises:
        InvalidArgument: it is no such name.
    """
    if not _STUDY.fullmatch(name):
        raise _no_name(field, name, "study", "projects/{project}/studies/{study}")
    return StudyName(name)


def trial_of(field: str, name: str) -> tuple[StudyName, TrialNumber]:
    """The study and the number in a trial's full name.

    Raises:
        InvalidArgument: it is no such name.
    """
    match = _TRIAL.fullmatch(name)
    if match is None or int(match["number"]) > MAX_TRIAL_NUMBER:
        raise _no_name(field, name, "trial", "projects/{project}/studies/{study}/trials/{number}")
    return StudyName(match["study"]), TrialNumber(int(match["number"]))


def trial_or_study_of(field: str, name: str) -> tuple[StudyName, TrialNumber | None]:
    """The study in a trial's or a study's full name, and the trial's number or None.

    Raises:
        InvalidArgument: it is neither.
    """
    return trial_of(field, name) if "/trials/" in name else (study_of(field, name), None)


def study_id_violations(study_id: str) -> list[Violation]:
    """What is wrong with a new study's id; unset is right: the server makes one."""
    if not study_id or re.fullmatch(ID_PATTERN, study_id):
        return []
    remedy = f"use an id that matches {ID_PATTERN}, or leave it out"
    return [Violation("study_id", f"{_shown(study_id)} is not an id", remedy)]


def request_id_of(request_id: str) -> str:
    """A request's id, which may be empty.

    Raises:
        InvalidArgument: it is too long.
    """
    if len(request_id) > MAX_REQUEST_ID_CHARACTERS:
        reason = f"has {len(request_id)} characters"
        raise InvalidArgument("request_id", reason, f"use at most {MAX_REQUEST_ID_CHARACTERS}")
    return request_id


def digest_of(request: Message) -> str:
    """SHA-256 of a request as hex digits, apart from its request_id: equal for equal requests."""
    body = type(request)()
    body.CopyFrom(request)
    body.ClearField("request_id")
    kind = body.DESCRIPTOR.full_name.encode()
    return hashlib.sha256(kind + b"\n" + body.SerializeToString(deterministic=True)).hexdigest()


def _no_name(field: str, name: str, kind: str, pattern: str) -> InvalidArgument:
    reason = f"{_shown(name)} is not the name of a {kind}" if name else "is not set"
    return InvalidArgument(field, reason, f"write {pattern} {_IDS}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
