"""Schedulers decide which trials climb the ladder; pure, and rebuilt by replaying stored scores."""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from searchd.domain.trial import TrialNumber


class Verdict(Enum):
    """What becomes of a trial that completed a rung below the top."""

    CLIMB = "climb"
    PAUSE = "pause"
    STOP = "stop"


class Scheduler(Protocol):
    """Decides for one study. Scores are signed so that larger is better, and always finite. Rungs count from 0."""

    def completed(self, trial: TrialNumber, rung: int, score: float) -> Verdict:
        """Record that a trial completed a rung below the top, and say what becomes of it; at most logarithmic time."""
        ...

    def recorded(self, trial: TrialNumber, rung: int, score: float, climbed: bool) -> None:
        """Replay a stored completion without a verdict; ``climbed`` if the trial went on to the next rung."""
        ...

    def forget(self, trial: TrialNumber, rung: int) -> None:
        """The trial, paused after ``rung``, can no longer climb (it was ended); its score still counts for others."""
        ...

    def promotable(self) -> tuple[TrialNumber, int] | None:
        """A paused trial that has earned the next rung, and the rung it completed; highest rung first. None if none."""
        ...

    def best_paused(self) -> tuple[TrialNumber, int] | None:
        """The best paused trial of the highest rung that has any, whether or not it has earned promotion; to finish a
        study whose new trials have run out. None if nobody is paused."""
        ...

    def donors(self, trial: TrialNumber, rung: int) -> Sequence[TrialNumber]:
        """Better trials that a trial which is paused after ``rung`` should rather go on from than from itself, those to
        be preferred first; they may have ended meanwhile. Empty for a trial that is to go on by itself."""
        ...

    def promoted(self, trial: TrialNumber, rung: int) -> None:
        """The paused trial climbs from ``rung``."""
        ...
