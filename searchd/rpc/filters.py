"""Filters of lists: terms such as ``state=RUNNING`` and ``labels.team=vision``, joined by AND."""

import re
from enum import StrEnum
from typing import TypeVar

from searchd.domain.errors import InvalidArgument
from searchd.domain.study import StudyState
from searchd.domain.trial import TrialState

MAX_FILTER_CHARACTERS = 2000

E = TypeVar("E", bound=StrEnum)

_TERM = re.compile(r'\s*(?P<field>[A-Za-z_][\w.-]*)\s*=\s*(?P<value>"[^"]*"|[^\s"=<>]+)\s*')
_AND = re.compile(r"(?<=\s)AND(?=\s)")
_REMEDY = "write terms such as state=RUNNING AND labels.team=vision, with quotes around values that hold spaces"


def study_filter(text: str) -> tuple[frozenset[StudyState] | None, dict[str, str]]:
    """The states (None: any) and labels that a filter of studies asks for.

    Raises:
        InvalidArgument: it cannot be read, or names something that studies cannot be filtered by.
    """
    terms = _terms(text)
    states = _states(terms.pop("state", None), StudyState)
    labels = {}
    for field, value in terms.items():
        if not field.startswith("labels.") or field == "labels.":
            raise InvalidArgument("filter", f"studies cannot be filtered by {field!r}", "use state or labels.<name>")
        labels[field.removeprefix("labels.")] = value
    return states, labels


def trial_filter(text: str) -> frozenset[TrialState] | None:
    """The states (None: any) that a filter of trials asks for.

    Raises:
        InvalidArgument: it cannot be read, or names something that trials cannot be filtered by.
    """
    terms = _terms(text)
    states = _states(terms.pop("state", None), TrialState)
    for field in terms:
        raise InvalidArgument("filter", f"trials cannot be filtered by {field!r}", "use state=COMPLETED, or nothing")
    return states


def _terms(text: str) -> dict[str, str]:
    if len(text) > MAX_FILTER_CHARACTERS:
        raise InvalidArgument("filter", f"has {len(text)} characters", f"use at most {MAX_FILTER_CHARACTERS}")
    terms: dict[str, str] = {}
    position = 0
    while text.strip() and position <= len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise _unreadable(text[position:])
        field, value = match["field"], match["value"].strip('"')
        if field in terms:
            raise InvalidArgument("filter", f"names {field} twice", "name it once")
        terms[field] = value
        if match.end() == len(text):
            break
        joint = _AND.match(text, match.end())
        if joint is None:
            raise _unreadable(text[match.end() :])
        position = joint.end()
    return terms


def _unreadable(rest: str) -> InvalidArgument:
    return InvalidArgument("filter", f"cannot be read from {rest[:40].strip()!r} on", _REMEDY)


def _states(value: str | None, kind: type[E]) -> frozenset[E] | None:
    if value is None:
        return None
    try:
        return frozenset({kind(value.lower())})
    except ValueError:
        known = ", ".join(state.name for state in kind)
        raise InvalidArgument("filter", f"there is no state {value!r}", f"use one of {known}") from None
