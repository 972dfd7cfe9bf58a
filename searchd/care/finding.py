"""What a check found."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SHOWN: Final = 10
"""Things that a finding names; of more it says how many."""

RESTORE: Final = (
    "stop the server, keep a copy of the data directory, and `searchd restore` the newest backup into a new one"
)


class Verdict(StrEnum):
    """OK; WARNING is worth knowing and loses nothing; PROBLEM needs somebody."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        check: What was looked at, one or two words.
        verdict: See Verdict.
        message: What was found, one line.
        remedy: What to do about it; empty if nothing is to be done.
        details: What it is about, by name; at most SHOWN and a line that says how many more.
    """

    check: str
    verdict: Verdict
    message: str
    remedy: str = ""
    details: tuple[str, ...] = ()

    @property
    def problem(self) -> bool:
        """Whether it needs somebody."""
        return self.verdict is Verdict.PROBLEM


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, message)


def warning(check: str, message: str, remedy: str, details: Sequence[str] = ()) -> Finding:
    """Worth knowing."""
    return Finding(check, Verdict.WARNING, message, remedy, bounded(details))


def problem(check: str, message: str, remedy: str, details: Sequence[str] = ()) -> Finding:
    """It needs somebody."""
    return Finding(check, Verdict.PROBLEM, message, remedy, bounded(details))


def bounded(details: Sequence[str]) -> tuple[str, ...]:
    """The first few, printable whatever they hold, and how many more there are."""
    more = (f"and {len(details) - SHOWN:,} more",) if len(details) > SHOWN else ()
    return (*map(printable, details[:SHOWN]), *more)


def printable(text: str) -> str:
    """Text of which no character moves the cursor or cannot be encoded."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
