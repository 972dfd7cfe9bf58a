"""Searchers propose configurations; they are rebuilt from stored trials and never pickled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from searchd.domain.space import Parameters
from searchd.domain.study import StudySpec
from searchd.domain.trial import Origin, TrialNumber, TrialState


@dataclass(frozen=True, slots=True)
class Observation:
    """What a searcher may know of a trial.

    Attributes:
        number: The trial.
        parameters: Its configuration.
        state: Its state; a PAUSED or STOPPED trial was evaluated only up to its last completed rung.
        scores: Mean score at each completed rung of the ladder, lowest first, in the metric's own sign. Always finite.
        others: Means of the study's other metrics (``StudySpec.others``) at the highest completed rung; shape
            (n_others,), or empty if there are none yet.
        feasible: Whether they keep all limits; True while nothing is known.
        seconds: Seconds that it was trained for so far, over all its fold runs.
        note: What the searcher noted when it suggested the trial.
        origin: Why the trial exists.
    """

    number: TrialNumber
    parameters: Parameters
    state: TrialState
    scores: tuple[float, ...] = ()
    others: tuple[float, ...] = ()
    feasible: bool = True
    seconds: float = 0.0
    note: str = ""
    origin: Origin = Origin.SEARCH

    @property
    def score(self) -> float | None:
        """Mean score at the highest completed rung; None if there is none."""
        return self.scores[-1] if self.scores else None

    @property
    def inherited(self) -> bool:
        """Whether its configuration is the best of an earlier study."""
        return self.origin is Origin.WARM_START


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A configuration to try.

    Attributes:
        parameters: The configuration.
        note: What the searcher needs to be told again with this trial when it is rebuilt, and cannot see in the trials
            themselves; JSON, or empty.
        remark: For people: how the searcher goes about it now and why; empty for one that has no choice.
        origin: SEARCH, or WARM_START if the configuration is the best of an earlier study.
    """

    parameters: Parameters
    note: str = ""
    remark: str = ""
    origin: Origin = Origin.SEARCH


class Searcher(Protocol):
    """Proposes configurations for one study."""

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; the newest observation of a trial replaces older ones."""
        ...

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """What to try as trial ``number``, or None when the space is exhausted.

        The randomness of suggestion n depends only on the study's seed and n, so a rebuilt searcher told the same
        trials gives the same answer and repeats nothing.
        """
        ...


@dataclass(frozen=True, slots=True)
class OpenSearch:
    """Start a searcher for a study with what is known of it so far."""

    study: str
    spec: StudySpec
    observations: tuple[Observation, ...] = ()


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell a study's searcher about trials."""

    study: str
    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for configurations for these trial numbers; the answer is one Suggested."""

    study: str
    numbers: tuple[TrialNumber, ...]


@dataclass(frozen=True, slots=True)
class CloseSearch:
    """The study needs no more suggestions."""

    study: str


SearchCommand = OpenSearch | Tell | Ask | CloseSearch


@dataclass(frozen=True, slots=True)
class Suggested:
    """The answer to an Ask: suggestions in the asked order, fewer when the space is exhausted."""

    study: str
    numbers: tuple[TrialNumber, ...]
    suggestions: tuple[Suggestion, ...]
    exhausted: bool


@dataclass(frozen=True, slots=True)
class SearchFailed:
    """The searcher of a study raised; the study cannot get suggestions."""

    study: str
    reason: str


class Searchers(Protocol):
    """Hosts the searchers of all studies, away from the loop; answers arrive through the callback given to it."""

    def perform(self, command: SearchCommand) -> None:
        """Carry out a command, in order per study; returns at once."""
        ...

    def close(self) -> None:
        """End the host."""
        ...
