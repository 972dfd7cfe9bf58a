"""Where the service finds what trainables printed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from searchd.domain.study import StudyName
from searchd.domain.trial import TrialNumber


class Logs(Protocol):
    """The log files of fold runs, on storage that the server shares with its workers."""

    def logs(self, study: StudyName, trial: TrialNumber) -> Sequence[tuple[int, int, Path]]:
        """(repeat, fold, file) of each fold run of a trial that printed something so far, in that order."""
        ...
