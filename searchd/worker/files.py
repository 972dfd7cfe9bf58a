"""Where workers put files, so that the server finds the logs that they wrote."""

import logging
import shutil
from pathlib import Path

from searchd.domain.study import StudyName
from searchd.domain.trial import FoldRunKey, TrialNumber
from searchd.worker.checkpoint_store import checkpoint_store

_logger = logging.getLogger(__name__)


class Storage:
    """Path rules under ``root``, which all nodes share; asking for a path creates nothing.

    Attributes:
        root: Of logs and artifacts.
        checkpoints: The checkpoints.
    """

    def __init__(self, root: Path, checkpoints: str | None = None) -> None:
        """Name the places.

        Args:
            root: Of logs and artifacts.
            checkpoints: Root of the checkpoints, a folder or a URI; None means a folder under ``root``.

        Raises:
            InvalidArgument: the URI cannot be used.
        """
        self.root = root
        self.checkpoints = checkpoint_store(checkpoints or str(root / "checkpoints"))

    def log(self, key: FoldRunKey) -> Path:
        """What a fold run printed, all attempts after each other; there is no file if it printed nothing."""
        return self._trial("logs", key.study, key.trial) / f"{key.repeat}-{key.fold}.log"

    def logs(self, study: StudyName, trial: TrialNumber) -> list[tuple[int, int, Path]]:
        """(repeat, fold, log) of each fold run of a trial that printed something, in that order."""
        found = []
        for log in self._trial("logs", study, trial).glob("*-*.log"):
            repeat, fold = log.stem.split("-", 1)  # a test's fold is -1
            found.append((int(repeat), int(fold), log))
        return sorted(found)

    def artifacts(self, key: FoldRunKey) -> Path:
        """The folder of the files that a fold run leaves."""
        return self._trial("artifacts", key.study, key.trial) / f"{key.repeat}-{key.fold}"

    def places(self, study: StudyName, trial: TrialNumber, *, ended: bool) -> dict[str, str]:
        """Where files of a trial are, by what they are: ``artifacts`` and ``logs`` if there are any, ``checkpoints``
        while it has not ended, since they are forgotten then."""
        folders = {kind: self._trial(kind, study, trial) for kind in ("artifacts", "logs")}
        found = {kind: str(folder) for kind, folder in folders.items() if folder.exists()}
        return found if ended else {**found, "checkpoints": f"{self.checkpoints}/{study}/{trial}"}

    def forget(self, study: StudyName, trial: TrialNumber | None) -> None:
        """Delete the checkpoints of one trial; or everything of a study (trial None). What is not there is no error,
        and what cannot be deleted is only logged."""
        try:
            self.checkpoints.delete(study if trial is None else f"{study}/{trial}")
        except OSError as error:
            _logger.warning("checkpoints of %s in %s cannot be deleted: %s", study, self.checkpoints, error)
        if trial is None:
            for kind in ("logs", "artifacts"):
                shutil.rmtree(self.root / kind / study, ignore_errors=True)

    def _trial(self, kind: str, study: StudyName, trial: TrialNumber) -> Path:
        return self.root / kind / study / str(trial)
