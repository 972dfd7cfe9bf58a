"""Where workers put files, so that the server finds the logs that they wrote."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from searchd.domain.study import StudyName
from searchd.domain.trial import FoldRunKey, TrialNumber


@dataclass(frozen=True, slots=True)
class Storage:
    """Path rules under ``root``, which all nodes share; asking for a path creates nothing."""

    root: Path

    def checkpoint(self, key: FoldRunKey) -> Path:
        """The checkpoint of a fold run."""
        return self._trial("checkpoints", key.study, key.trial) / f"{key.repeat}-{key.fold}.ckpt"

    def log(self, key: FoldRunKey) -> Path:
        """What a fold run printed, all attempts after each other; there is no file if it printed nothing."""
        return self._trial("logs", key.study, key.trial) / f"{key.repeat}-{key.fold}.log"

    def logs(self, study: StudyName, trial: TrialNumber) -> list[tuple[int, int, Path]]:
        """(repeat, fold, log) of each fold run of a trial that printed something, in that order."""
        found = []
        for log in self._trial("logs", study, trial).glob("*-*.log"):
            repeat, fold = log.stem.split("-")
            found.append((int(repeat), int(fold), log))
        return sorted(found)

    def artifacts(self, key: FoldRunKey) -> Path:
        """The folder of the files that a fold run leaves."""
        return self._trial("artifacts", key.study, key.trial) / f"{key.repeat}-{key.fold}"

    def forget(self, study: StudyName, trial: TrialNumber | None) -> None:
        """Delete the checkpoints of one trial; or everything of a study (trial None). What is not there is no error."""
        if trial is not None:
            shutil.rmtree(self._trial("checkpoints", study, trial), ignore_errors=True)
            return
        for kind in ("checkpoints", "logs", "artifacts"):
            shutil.rmtree(self.root / kind / study, ignore_errors=True)

    def _trial(self, kind: str, study: StudyName, trial: TrialNumber) -> Path:
        return self.root / kind / study / str(trial)
