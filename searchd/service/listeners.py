"""Who waits to hear that something about a study has been committed."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence, Set

from searchd.domain.facts import Fact, StudyPut, study_of
from searchd.domain.study import StudyName
from searchd.ports.tracker import NoTracker, Tracker


class Listeners:
    """Events by study, and the tracker; used on the event loop only."""

    def __init__(self) -> None:
        self.tracker: Tracker = NoTracker()
        self._studies: dict[asyncio.Event, StudyName] = {}

    @contextlib.contextmanager
    def listening(self, study: StudyName) -> Iterator[asyncio.Event]:
        """An event that is set whenever something about the study has been committed."""
        heard = asyncio.Event()
        self._studies[heard] = study
        try:
            yield heard
        finally:
            del self._studies[heard]

    def tell(self, facts: Sequence[Fact]) -> None:
        """Wake those who listen to the studies that these facts are about, and have studies tracked that changed."""
        self.wake({study_of(fact) for fact in facts})
        for fact in facts:
            if isinstance(fact, StudyPut):
                self.tracker.follow(fact.study)

    def wake(self, studies: Set[StudyName | None] | None = None) -> None:
        """Wake those who listen to these studies; all if None."""
        for heard, study in self._studies.items():
            if studies is None or study in studies:
                heard.set()
