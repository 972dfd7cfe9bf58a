"""A worker's results until the server says that they are committed."""

from collections import deque
from dataclasses import dataclass

from searchd.domain.trial import FoldRunKey
from searchd.ports.engine import Ended, Report
from searchd.worker.messages import SegmentMessage


@dataclass(slots=True)
class _Entry:
    sequence: int
    key: FoldRunKey
    attempt: int
    reports: list[Report]
    ended: Ended | None


class Outbox:
    """Messages in order, each handed over once per epoch of the server. Not thread-safe: the worker locks it."""

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()
        self._sequence = 0
        self._delivered = 0
        self._ever_delivered = 0

    @property
    def undelivered(self) -> bool:
        """Whether there is a message that this epoch's server has not been handed."""
        return self._sequence > self._delivered

    def post(self, key: FoldRunKey, attempt: int, report: Report | None, ended: Ended | None) -> None:
        """Add a report, an end, or both; they join the last message if that is the same segment's and never left."""
        reports = [] if report is None else [report]
        last = self._entries[-1] if self._entries else None
        if (
            last is not None
            and last.sequence > self._ever_delivered
            and last.ended is None
            and last.attempt == attempt
            and last.key == key
        ):
            last.reports += reports
            last.ended = ended
            return
        self._sequence += 1
        self._entries.append(_Entry(self._sequence, key, attempt, reports, ended))

    def take(self) -> tuple[SegmentMessage, ...]:
        """Hand over what is undelivered."""
        fresh = [e for e in self._entries if e.sequence > self._delivered]
        self._delivered = self._sequence
        self._ever_delivered = self._sequence
        return tuple(SegmentMessage(e.sequence, e.key, e.attempt, tuple(e.reports), e.ended) for e in fresh)

    def acknowledge(self, sequence: int) -> None:
        """Messages up to ``sequence`` are committed: forget them."""
        while self._entries and self._entries[0].sequence <= sequence:
            self._entries.popleft()
        self._delivered = max(self._delivered, min(sequence, self._sequence))

    def begin_epoch(self) -> None:
        """Another server reads from now on: everything that is not acknowledged is undelivered again."""
        self._delivered = self._entries[0].sequence - 1 if self._entries else self._sequence
