"""Searchers propose configurations; they are rebuilt from stored trials and never pickled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from searchd.domain.space import Parameters
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber, TrialState


@dataclass(frozen=True, slots=True)
class Observation:
    """What a searcher may know of a trial.

    Attributes:
        number: The trial.
        parameters: Its configuration.
        state: Its state; a PAUSED or STOPPED trial was evaluated only up to its last completed rung.
        rung: Completed rungs; 0 if none.
        score: Mean score at the highest completed rung in the metric's own sign; None if there is none. Always finite.
    """

    number: TrialNumber
    parameters: Parameters
    state: TrialState
    rung: int
    score: float | None


class Searcher(Protocol):
    """Proposes configurations for one study."""

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; the newest observation of a trial replaces older ones."""
        ...

    def suggest(self, number: TrialNumber) -> Parameters | None:
        """The configuration for trial ``number``, or None when the space is exhausted.

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
    """The answer to an Ask: configurations in the asked order, fewer when the space is exhausted."""

    study: str
    numbers: tuple[TrialNumber, ...]
    configurations: tuple[Parameters, ...]
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
