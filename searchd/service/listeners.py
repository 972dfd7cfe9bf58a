"""Who waits to hear that something about a study has been committed."""

import asyncio
import contextlib
from collections.abc import Iterator, Set

from searchd.domain.study import StudyName


class Listeners:
    """Events by study; used on the event loop only."""

    def __init__(self) -> None:
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

    def wake(self, studies: Set[StudyName | None] | None = None) -> None:
        """Wake those who listen to these studies; all if None."""
        for heard, study in self._studies.items():
            if studies is None or study in studies:
                heard.set()
