"""Watches: what happens to a study, from any revision on, each event once and in order.

A watch reads the log in the store and is woken by commits. The log is its queue: a slow reader costs no memory, loses
nothing, and is never cut.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from searchd.domain.errors import InvalidArgument, Overloaded, ServerStopping
from searchd.domain.facts import Bookmark, Event, StudyDeleted, StudyPut
from searchd.domain.study import StudyName
from searchd.ports.clock import Clock
from searchd.ports.store import Store
from searchd.service.loop import Loop

PAGE = 500

PACE = timedelta(milliseconds=20)
"""Shortest time between two reads of one watch, so that busy studies are read in batches."""

QUIET = timedelta(seconds=15)
"""A watch that has been quiet for so long sends a bookmark."""


class Watches:
    """Use cases of watching."""

    def __init__(self, store: Store, loop: Loop, clock: Clock, limit: int, quiet: timedelta = QUIET) -> None:
        self._store = store
        self._loop = loop
        self._clock = clock
        self._limit = limit
        self._quiet = quiet
        self._open = 0

    async def watch(self, name: StudyName, after_revision: int) -> AsyncIterator[Event | Bookmark]:
        """Events of a study after a revision; ends when the study has ended or is deleted, and for no other reason.

        Raises:
            ServerStopping: the server is leaving; the watch goes on after the last revision that was seen, elsewhere.
            StudyNotFound: there is none of that name.
            InvalidArgument: the revision is one that the log has not reached.
            RevisionExpired: events right after that revision are no longer kept.
            Overloaded: too many watches are open.
        """
        if self._open >= self._limit:
            raise Overloaded("the list of watches", self._limit)
        self._open += 1
        try:
            with self._loop.listeners.listening(name) as heard:
                newest = await asyncio.to_thread(self._store.revision)
                if after_revision > newest:
                    remedy = "give one that a watch of this server has shown"
                    raise InvalidArgument("after_revision", f"is beyond the newest revision {newest}", remedy)
                study = await asyncio.to_thread(self._store.study, name)
                from_the_first = after_revision == 0
                while not self._loop.stopping:
                    heard.clear()
                    events = await asyncio.to_thread(self._store.events, after_revision, name, PAGE)
                    for event in events:
                        after_revision = event.revision
                        if from_the_first and event.revision <= newest and isinstance(event.fact, StudyDeleted):
                            continue  # of an earlier study of that name: this one was there afterwards
                        yield event
                        if _is_last(event):
                            return
                    if events:
                        await asyncio.sleep(PACE.total_seconds())
                        continue
                    if study.state.ended:
                        return
                    try:
                        await asyncio.wait_for(heard.wait(), self._quiet.total_seconds())
                    except TimeoutError:
                        after_revision = await asyncio.to_thread(self._quiet_revision, name, after_revision)
                        yield Bookmark(after_revision, self._clock.now())
                raise ServerStopping
        finally:
            self._open -= 1

    def _quiet_revision(self, name: StudyName, after: int) -> int:
        """The newest revision up to which nothing of the study was missed."""
        newest = self._store.revision()
        return after if self._store.events(after, name, 1) else newest


def _is_last(event: Event) -> bool:
    match event.fact:
        case StudyPut(study):
            return study.state.ended
        case StudyDeleted():
            return True
        case _:
            return False
