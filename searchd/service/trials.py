"""Trials of a study: read them, their measurements and their logs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from searchd.domain.measurement import Measurement
from searchd.domain.study import StudyName
from searchd.domain.trial import Trial, TrialNumber, TrialState
from searchd.ports.logs import Logs
from searchd.ports.store import Store

POLL = timedelta(milliseconds=300)
CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Whole lines of one fold run's log."""

    repeat: int
    fold: int
    text: str


class Trials:
    """Use cases of trials."""

    def __init__(self, store: Store, logs: Logs) -> None:
        self._store = store
        self._logs = logs

    async def get(self, study: StudyName, number: TrialNumber) -> Trial:
        """A trial.

        Raises:
            StudyNotFound: there is no such study.
            TrialNotFound: the study has no trial of that number.
        """
        return await asyncio.to_thread(self._store.trial, study, number)

    async def list(
        self, study: StudyName, states: frozenset[TrialState] | None, after: int, limit: int
    ) -> Sequence[Trial]:
        """Up to ``limit`` trials in number order.

        Raises:
            StudyNotFound: there is no such study.
        """
        return await asyncio.to_thread(self._store.trials, study, states, after, limit)

    async def measurements(
        self, study: StudyName, trial: TrialNumber | None, after: tuple[int, int, int, int] | None, limit: int
    ) -> Sequence[Measurement]:
        """Up to ``limit`` measurements of a trial (None: of all), by (trial, repeat, fold, epoch).

        Raises:
            StudyNotFound: there is no such study.
        """
        return await asyncio.to_thread(self._store.measurements, study, trial, after, limit)

    async def logs(self, study: StudyName, number: TrialNumber, follow: bool) -> AsyncIterator[LogChunk]:
        """What a trial printed so far; with ``follow`` until it ends.

        Raises:
            StudyNotFound: there is no such study.
            TrialNotFound: the study has no trial of that number.
        """
        read: dict[tuple[int, int], int] = {}
        while True:
            ended = (await self.get(study, number)).state.ended
            more = True
            while more:
                chunks = await asyncio.to_thread(self._unread, study, number, read, ended or not follow)
                for chunk in chunks:
                    yield chunk
                more = bool(chunks)
            if ended or not follow:
                return
            await asyncio.sleep(POLL.total_seconds())

    def _unread(
        self, study: StudyName, number: TrialNumber, read: dict[tuple[int, int], int], whole: bool
    ) -> Sequence[LogChunk]:
        """Lines beyond what was read; the last one without its newline only if ``whole``."""
        chunks = []
        for repeat, fold, path in self._logs.logs(study, number):
            try:
                with path.open("rb") as file:
                    file.seek(read.get((repeat, fold), 0))
                    data = file.read(CHUNK_BYTES)
            except FileNotFoundError:
                continue  # the study was deleted a moment ago
            end = data.rfind(b"\n") + 1
            if (whole and len(data) < CHUNK_BYTES) or (not end and len(data) == CHUNK_BYTES):
                end = len(data)
            if end:
                read[repeat, fold] = read.get((repeat, fold), 0) + end
                chunks.append(LogChunk(repeat, fold, data[:end].decode("utf-8", "replace")))
        return chunks
