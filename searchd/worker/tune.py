"""Runs Ray Tune's own forms, unmodified: ``ray.tune.Trainable`` classes and functions that call ``tune.report``.

Ray gives both a folder of their own as working directory, so they get one here: that of their artifacts.
"""

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray.train._internal.session import _TrainingResult, get_session
from ray.train._internal.storage import StorageContext
from ray.tune import Checkpoint as TuneCheckpoint
from ray.tune.result import AUTO_RESULT_KEYS, DONE, RESULT_DUPLICATE, SHOULD_CHECKPOINT, TRIAL_ID, TRIAL_INFO
from ray.tune.trainable import wrap_function

from searchd.domain.card import Form
from searchd.domain.study import study_id
from searchd.ports.engine import Segment
from searchd.trainable import Context, Registration
from searchd.worker.checkpoint import Checkpoint
from searchd.worker.metrics import as_number
from searchd.worker.randomness import restore_states

BOOKKEEPING = frozenset({*AUTO_RESULT_KEYS, DONE, SHOULD_CHECKPOINT, TRIAL_ID, "timers", "perf", "experiment_id"})
"""What Ray adds to a result by itself."""

_RESTORED_KEYS = ("training_iteration", "time_total_s", "timesteps_total", "episodes_total")
_THREAD_SECONDS = 2.0


class _Folders(StorageContext):
    """Ray's storage in local folders, which needs no running Ray."""

    def __init__(self, scratch: Path, working: Path) -> None:
        self._scratch = scratch
        self._working = working
        super().__init__(storage_path=str(scratch), experiment_dir_name="tune", trial_dir_name="trial")

    def _get_session_path(self) -> str:
        return str(self._scratch)

    @property
    def trial_working_directory(self) -> str:
        return str(self._working)


class TuneRun:
    """A Ray Tune class or function; implements searchd.worker.forms.Running."""

    def __init__(
        self, registration: Registration, context: Context, checkpoint: Checkpoint | None, segment: Segment
    ) -> None:
        self._home = Path.cwd()
        self._scratch = Path(tempfile.mkdtemp(prefix="searchd-tune-"))
        self._is_function = registration.form is Form.TUNE_FUNCTION
        self._saveable = registration.checkpoints and not self._is_function
        self._required = segment.task.metrics
        self._reported: Any = None
        self._done = False
        self.resumed = 0
        try:
            cls = wrap_function(registration.target) if self._is_function else registration.target
            self._trainable: Any = cls(
                config={**context.params, TRIAL_INFO: _trial_info(segment)},
                storage=_Folders(self._scratch, context.artifact("")),
            )
            if checkpoint is not None:
                self._restore(checkpoint)
        except BaseException:
            self._leave()
            raise

    @property
    def keeps(self) -> bool:
        """See Running: a function's state can be saved only at an epoch at which it reported a checkpoint."""
        return self._saveable

    def step(self) -> Mapping[str, Any] | None:
        """See Running."""
        if self._done:
            return None
        result = self._trainable.train()
        if RESULT_DUPLICATE in result:
            self._done = True
            return None
        self._done = bool(result.get(DONE))
        if self._is_function:
            self._note_checkpoint(self._trainable._last_training_result.checkpoint)
        return dict(self._numbers(result, ""))

    def state(self) -> Any:
        """See Running: the files of Ray's checkpoint, and the counters that Ray restores."""
        folder = self._scratch / "save"
        saved: Any = self._trainable.save(None if self._is_function else str(folder))
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(saved.checkpoint.path, arcname=".")
        if not self._is_function:
            shutil.rmtree(saved.checkpoint.path, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
        counters = {key: saved.metrics[key] for key in _RESTORED_KEYS if saved.metrics.get(key) is not None}
        return {"files": packed.getvalue(), "counters": counters}

    def close(self) -> None:
        """See Running."""
        session: Any = get_session() if self._is_function else None
        try:
            self._trainable.stop()
            if session is not None and session.training_started:
                session.training_thread.join(timeout=_THREAD_SECONDS)
        finally:
            self._leave()

    def _restore(self, checkpoint: Checkpoint) -> None:
        folder = self._scratch / "restored"
        with tarfile.open(fileobj=io.BytesIO(checkpoint.state["files"])) as archive:
            archive.extractall(folder, filter="data")
        files = TuneCheckpoint.from_directory(str(folder))
        self._trainable.restore(_TrainingResult(files, checkpoint.state["counters"]))
        restore_states(checkpoint.random)
        self.resumed = checkpoint.epoch

    def _numbers(self, result: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
        for key, value in result.items():
            name = f"{prefix}{key}"
            if name in BOOKKEEPING and name not in self._required:
                continue
            if isinstance(value, Mapping):
                yield from self._numbers(value, f"{name}/")
            elif (number := as_number(value)) is not None:
                yield name, number

    def _note_checkpoint(self, reported: Any) -> None:
        self._saveable = reported is not None
        if reported is not None:
            if self._reported is not None:
                shutil.rmtree(self._reported.path, ignore_errors=True)
            self._reported = reported

    def _leave(self) -> None:
        os.chdir(self._home)
        shutil.rmtree(self._scratch, ignore_errors=True)


def _trial_info(segment: Segment) -> SimpleNamespace:
    label = f"{study_id(segment.task.study)}_{segment.trial}_{segment.repeat}-{segment.fold}"
    return SimpleNamespace(trial_name=label, trial_id=label, trial_resources=None)
