"""One sink of all studies that name it, kept up with the store's log."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from searchd.domain.errors import RevisionExpired, SearchdError, StudyNotFound
from searchd.domain.facts import Event, MeasurementAdded, StudyDeleted, TrialPut
from searchd.domain.measurement import Measurement
from searchd.domain.study import Study, StudyName
from searchd.domain.trial import Trial, TrialNumber
from searchd.ports.store import Store
from searchd.tracking.ledger import Cursor, Ledger, born
from searchd.tracking.sink import History, News, Sink

log = logging.getLogger(__name__)

PAGE = 1000
"""Events in one write."""

TRIALS = 200
"""Trials in one write where the log does not reach back far enough."""

LONGEST_PAUSE = 60.0
"""Seconds after which a sink that failed is tried again, at most; the first time it is one second."""

OpenSink = Callable[[str, Study, History], Sink]
"""Opens a sink of a study, by the sink's name."""


@dataclass(slots=True)
class _Following:
    """A study that is followed: its sink while one is open, and when it is tried again after failures, in seconds."""

    sink: Sink | None = None
    failures: int = 0
    again: float = 0.0


class Recorder:
    """Shows all followed studies in one sink, each page of their logs once; or again, if it is not certain that it was
    shown.

    Used by one thread, since a sink that hangs keeps it for ever; others may only ``complain``.
    """

    def __init__(
        self, name: str, store: Store, ledger: Ledger, open_sink: OpenSink, seconds: Callable[[], float]
    ) -> None:
        """Nothing happens yet.

        Args:
            name: The sink's.
            store: The truth; only read.
            ledger: Where the cursors are.
            open_sink: Opens it.
            seconds: A steady clock.
        """
        self.name = name
        self._store = store
        self._ledger = ledger
        self._open_sink = open_sink
        self._seconds = seconds
        self._following: dict[StudyName, _Following] = {}
        self._attending: tuple[StudyName, float] | None = None  # and since when; None between two studies
        self._noting = threading.Lock()

    def step(self) -> bool:
        """Show each followed study one page of what it has not been shown; whether there was anything.

        Raises:
            SearchdError: the store cannot be read.
            OSError: nor can the ledger.
        """
        busy = False
        for study in list(self._ledger.followed(self.name)):
            following = self._following.setdefault(study, _Following())
            if following.again <= self._seconds():
                self._attending = (study, self._seconds())
                try:
                    busy |= self._attend(study, following)
                finally:
                    self._attending = None
        return busy

    def complain(self, seconds: float) -> None:
        """If the sink has been at it for that long without an answer, note that it hangs.

        Raises:
            OSError: the ledger cannot be written.
        """
        with self._noting:
            attending = self._attending
            if attending is None or self._seconds() - attending[1] < seconds:
                return
            cursor, problem = self._ledger.cursor(self.name, attending[0]), f"has not answered for {seconds:g} s"
            if cursor is not None and cursor.problem != problem:
                log.warning("%s does not get into %s: %s", attending[0], self.name, problem)
                self._ledger.save(self.name, attending[0], replace(cursor, problem=problem))

    def _attend(self, name: StudyName, following: _Following) -> bool:
        """Show a study one page; whether there was one."""
        try:
            study = self._store.study(name)
        except StudyNotFound:
            return self._leave(name)
        cursor = self._ledger.cursor(self.name, name)
        if cursor is None or cursor.born != born(study):
            self._close(following)
            cursor = Cursor(born(study), 0, str(self._ledger.folder(self.name)))
            self._save(name, cursor)
        elif following.sink is None and cursor.revision > self._store.revision():
            cursor = replace(cursor, revision=0)  # of a store that was put back since
        nothing = True
        try:
            for news, revision in self._news(study, cursor):
                nothing = False
                cursor = self._written(following, news, replace(cursor, revision=revision, problem=""))
            if nothing and study.state.ended:
                self._written(following, News(study), replace(cursor, problem=""))
                return self._leave(name)
        except StudyNotFound:
            return self._leave(name)
        except SearchdError:
            self._close(following)
            raise
        except Exception as error:
            self._failed(name, following, cursor, error)
            return False
        return not nothing

    def _written(self, following: _Following, news: News, cursor: Cursor) -> Cursor:
        """The cursor after news that it stands for have been shown."""
        name = news.study.name
        if following.sink is None:
            following.sink = self._open_sink(self.name, news.study, lambda trial: self._history(name, trial))
        following.sink.write(news)
        following.failures = 0
        cursor = replace(cursor, place=following.sink.place)
        self._save(name, cursor)
        return cursor

    def _save(self, name: StudyName, cursor: Cursor) -> None:
        with self._noting:
            self._ledger.save(self.name, name, cursor)
            self._attending = (name, self._seconds())  # whoever has answered does not hang

    def _failed(self, name: StudyName, following: _Following, cursor: Cursor, error: Exception) -> None:
        """Try again later, with another sink, what is not certain to have been shown."""
        problem = (str(error).strip() or type(error).__name__).splitlines()[0]
        if problem != cursor.problem:
            log.warning("%s does not get into %s: %s", name, self.name, problem)
        self._save(name, replace(cursor, problem=problem))
        self._close(following)
        following.again = self._seconds() + min(2.0**following.failures, LONGEST_PAUSE)
        following.failures = min(following.failures + 1, 10)

    def _leave(self, name: StudyName) -> bool:
        """Nothing is left to show of a study, unless it goes on at this very moment; returns False, for nothing."""
        self._ledger.leave(self.name, name)
        self._close(self._following.pop(name, _Following()))
        with contextlib.suppress(StudyNotFound):
            if not self._store.study(name).state.ended:
                self._ledger.follow(self.name, name)
        return False

    def _close(self, following: _Following) -> None:
        sink, following.sink = following.sink, None
        if sink is not None:
            try:
                sink.close()
            except Exception:
                log.exception("a sink of %s cannot be closed", self.name)

    # What is new

    def _news(self, study: Study, cursor: Cursor) -> Iterator[tuple[News, int]]:
        """(news, revision up to which all is shown after it): one page of the log, or everything where the log is not
        known or kept from where the sink is.

        Raises:
            StudyNotFound: the study has been deleted meanwhile.
            StoreUnavailable: the store cannot be read.
        """
        try:
            events = self._store.events(cursor.revision, study.name, PAGE) if cursor.revision else None
        except RevisionExpired:
            events = None
        if events is None:
            yield from self._everything(study)
        elif events:
            yield _compact(study, events), events[-1].revision

    def _everything(self, study: Study) -> Iterator[tuple[News, int]]:
        revision = self._store.revision()  # what comes later may be shown now and then once more
        after = 0
        while trials := self._store.trials(study.name, None, after, TRIALS):
            numbers = [trial.number for trial in trials]
            measured = [m for number in numbers for m in self._history(study.name, number)]
            yield News(study, trials, measured), 0
            after = numbers[-1]
        yield News(study), revision

    def _history(self, study: StudyName, trial: TrialNumber) -> Sequence[Measurement]:
        found: list[Measurement] = []
        after: tuple[int, int, int, int] | None = None
        while page := self._store.measurements(study, trial, after, PAGE):
            found += page
            last = page[-1]
            after = (last.trial, last.repeat, last.fold, last.epoch)
        return found


def _compact(study: Study, events: Sequence[Event]) -> News:
    """What events say that later ones of them do not say again.

    Raises:
        StudyNotFound: the study has been deleted.
    """
    trials: dict[int, Trial] = {}
    measured: list[Measurement] = []
    for event in events:
        match event.fact:
            case TrialPut(trial):
                trials[trial.number] = trial
            case MeasurementAdded(_, measurement):
                measured.append(measurement)
            case StudyDeleted(name):
                raise StudyNotFound(name)
    return News(study, [trials[number] for number in sorted(trials)], measured)
