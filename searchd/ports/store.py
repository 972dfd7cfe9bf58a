"""The store: the log of facts and what they add up to. The store is the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from searchd.domain.facts import Event, Fact
from searchd.domain.measurement import Measurement
from searchd.domain.study import Study, StudyName, StudyState
from searchd.domain.trial import Trial, TrialNumber, TrialState


@dataclass(frozen=True, slots=True)
class LiveStudy:
    """A study that has not ended, with what the conductor needs to go on: all trials in number order, and the
    measurements of the fold runs that are handed out."""

    study: Study
    trials: Sequence[Trial]
    measurements: Sequence[Measurement]


@dataclass(frozen=True, slots=True)
class DamagedStudy:
    """A study that has not ended and cannot be read; ``reason`` says what is wrong, in one line."""

    name: StudyName
    reason: str


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may write to the store.

    Attributes:
        epoch: Counts the writers, from 1; 0 if there was none yet.
        holder: Id of the server that writes; empty if it has given the lease up, or there was none.
        address: Where that server takes requests.
        beats: Counts its signs of life, over all epochs: each ``beat`` is one, and each commit. A lease whose beats
            stand still for long enough has lapsed: whoever waits measures that by a clock of its own, so that no two
            machines' clocks are ever compared.
    """

    epoch: int
    holder: str
    address: str
    beats: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What is remembered of a request_id."""

    digest: str
    study: Study
    trial: Trial | None = None

    @property
    def answer(self) -> Study | Trial:
        """What the caller was given."""
        return self.study if self.trial is None else self.trial


class Store(Protocol):
    """Durable state. Methods block; the service calls those that write on one writer thread and reads on others.

    All methods raise StoreUnavailable when the database cannot be reached or refuses, and StoreDamaged when what is
    stored cannot be understood; those that write raise StoreFull (a StoreUnavailable) when there is no room.
    """

    def identity(self) -> str:
        """A random id (32 hex digits) made when the store was created; never changes."""
        ...

    def lease(self) -> Lease:
        """Who may write, as of now."""
        ...

    def begin_epoch(self, holder: str = "", address: str = "", seen: Lease | None = None) -> int:
        """Take the lease: count the writer's epoch up by one, durably, and return it (from 1).

        Args:
            holder: Id of the server that takes it.
            address: Where that server takes requests.
            seen: What the lease was when it was found free, lapsed or one's own; None takes it whatever it is.

        Raises:
            LeaseLost: the lease is not what was seen any more.
            StoreUnavailable: it was not taken; or, if it says so, nobody knows, and then ``lease`` tells who has it.
        """
        ...

    def beat(self) -> None:
        """Give a sign of life.

        Raises:
            LeaseLost: another writer has begun a later epoch.
        """
        ...

    def give_up(self) -> None:
        """Leave the lease to whoever wants it; nothing happens if another writer has begun a later epoch."""
        ...

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:
        """Write all facts in one durable transaction, numbering them contiguously; all or nothing.

        If the connection breaks so that nobody knows whether the transaction took place, that is found out by reading
        back before this returns or raises.

        Raises:
            LeaseLost: another writer has begun a later epoch; found out inside the transaction.
            StoreUnavailable: nothing was written; or, if it says so, nobody could be asked whether it was.

        Returns:
            The revision of the last fact (of the log's end if there are none).
        """
        ...

    def revision(self) -> int:
        """The revision of the newest event, 0 if there is none."""
        ...

    def events(self, after: int, study: StudyName | None, limit: int) -> Sequence[Event]:
        """Up to ``limit`` events with a revision above ``after``, in order; of one study if given (a study's
        events end with its StudyDeleted). RequestAnswered facts are not listed.

        Raises:
            RevisionExpired: events right after ``after`` are no longer kept.
        """
        ...

    def trim_events(self, keep: int) -> None:
        """Forget the oldest events so that ``keep`` remain; state is untouched."""
        ...

    def study(self, name: StudyName) -> Study:
        """The study with its current progress.

        Raises:
            StudyNotFound: there is none of that name.
        """
        ...

    def studies(
        self,
        project: str,
        states: frozenset[StudyState] | None,
        labels: dict[str, str],
        after: StudyName | None,
        limit: int,
    ) -> Sequence[Study]:
        """Up to ``limit`` studies of a project in name order, from the one after ``after``; in any of ``states``
        (None: all) and bearing all ``labels``.

        Studies that cannot be understood are left out, and the page is filled with those that follow; ``study`` says
        what is wrong with one.
        """
        ...

    def uses_code(self, code_id: str) -> bool:
        """Whether there is a study whose definition names the uploaded code of that id, damaged or not."""
        ...

    def trial(self, study: StudyName, number: TrialNumber) -> Trial:
        """One trial.

        Raises:
            StudyNotFound: there is no such study.
            TrialNotFound: the study has no trial of that number.
        """
        ...

    def trials(self, study: StudyName, states: frozenset[TrialState] | None, after: int, limit: int) -> Sequence[Trial]:
        """Up to ``limit`` trials with numbers above ``after``, in number order; in any of ``states`` (None: all).

        Raises:
            StudyNotFound: there is no such study.
        """
        ...

    def ranked(self, study: StudyName, limit: int) -> Sequence[Trial]:
        """Up to ``limit`` trials that completed a rung, best first: more completed rungs, then those that keep all
        limits, then the better mean of the highest rung (in the study's direction), then the lower number.
        Confirmations and tests are not among them.

        Raises:
            StudyNotFound: there is no such study.
        """
        ...

    def measurements(
        self, study: StudyName, trial: TrialNumber | None, after: tuple[int, int, int, int] | None, limit: int
    ) -> Sequence[Measurement]:
        """Up to ``limit`` measurements of a trial (None: of all), ordered by (trial, repeat, fold, epoch), after
        that key; of each only the newest attempt's.

        Raises:
            StudyNotFound: there is no such study.
        """
        ...

    def answered(self, request_id: str) -> Answered | None:
        """What was answered to that request_id, or None."""
        ...

    def live(self) -> Sequence[LiveStudy | DamagedStudy]:
        """All studies that have not ended, in creation order; one that cannot be read keeps no other from it."""
        ...

    def close(self) -> None:
        """Release everything; the store cannot be used afterwards."""
        ...
