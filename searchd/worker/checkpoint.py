"""Checkpoints of fold runs: each a folder with a state file and, written last, a manifest."""

import contextlib
import json
import pickle
import re
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

from searchd.domain.trial import FoldRunKey
from searchd.failpoints import reach
from searchd.ports.engine import Report, Segment
from searchd.worker.checkpoint_store import CheckpointStore
from searchd.worker.failures import first_line, is_out_of_memory
from searchd.worker.manifest import MANIFEST, DamagedCheckpoint, Manifest, Measured, decoded, verify


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A fold run at the end of an epoch.

    Attributes:
        identity: What it belongs to; see ``identity``.
        report: The report of that epoch, to be sent again if it never arrived.
        state: What the form of trainable needs to continue.
        random: States of the random generators, as bytes: they must not be moved to a GPU with the rest.
        donated: Whether it is another trial's, so that it was made with other parameters.
    """

    identity: str
    report: Report
    state: Any
    random: bytes
    donated: bool = False

    @property
    def epoch(self) -> int:
        """Epochs trained."""
        return self.report.epoch


def identity(segment: Segment) -> str:
    """What must be equal for a fold run to continue from a checkpoint: a study of the same name may be another one."""
    task = segment.task
    parts = [task.trainable, task.seed, task.data, task.evaluation, dict(task.fixed), dict(segment.parameters)]
    return json.dumps(parts, sort_keys=True, default=repr)


class _Place(NamedTuple):
    """Which checkpoint of a fold run; the order is that of the training they hold."""

    epoch: int
    attempt: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.attempt}"


class FoldRunCheckpoints:
    """The checkpoints of one fold run as one worker sees them. The newest is kept, and the one before it.

    Another worker may still be at an older attempt of the same fold run, cut off from the server. So each attempt
    writes folders of its own, and deletes none of a later attempt's.

    Args:
        store: Where they lie.
        key: The fold run.
        device: Where tensors that are read belong.
    """

    def __init__(self, store: CheckpointStore, key: FoldRunKey, device: str) -> None:
        self._store = store
        self._folder = f"{key.study}/{key.trial}/{key.repeat}-{key.fold}"
        self._device = device
        self._newest: _Place | None = None
        self._unread: set[_Place] = set()
        self._unlisted = False

    def save(self, checkpoint: Checkpoint, attempt: int, keep: Collection[int] = ()) -> None:
        """Write one; a crash at any moment leaves it whole, or not there and the one before untouched. Those of the
        epochs in ``keep`` stay.

        Raises:
            OSError: the store cannot take it.
            Exception: whatever pickling the state raises.
        """
        place = _Place(checkpoint.epoch, attempt)
        folder = f"{self._folder}/{place}"
        name = "state.pt" if "torch" in sys.modules else "state.pickle"
        try:
            with self._store.put(f"{folder}/{name}") as file:
                measured = Measured(file)
                _dump({"state": checkpoint.state, "random": checkpoint.random}, measured)
            reach("checkpoint.written")
            with self._store.put(f"{folder}/{MANIFEST}") as file:
                file.write(Manifest(checkpoint.identity, checkpoint.report, {name: measured.content}).encoded())
        except BaseException:
            with contextlib.suppress(OSError):
                self._store.delete(folder)
            raise
        kept = {place, self._newest, *self._unread}
        self._newest = place
        if not self._unlisted:  # else there may be better ones than this
            with contextlib.suppress(OSError):
                there = [old for old in self._there() if old.epoch not in keep]
                self._delete([old for old in there if old not in kept and old.attempt <= attempt])
        reach("checkpoint.done")

    def newest(self, belongs_to: str, note: Callable[[str], None], most: int | None = None) -> Checkpoint | None:
        """The one with the most epochs that is whole and has that identity; None if there is none.

        Args:
            belongs_to: The identity.
            note: Gets a line for each that had to be passed over, and one for what that costs.
            most: Most epochs that are wanted; None for any.

        Raises:
            MemoryError: or whatever else says that there is no memory for it.
        """
        lost = 0
        try:
            there = sorted((at for at in self._there() if most is None or at.epoch <= most), reverse=True)
        except OSError as error:
            note(f"searchd: the checkpoints in {self._store} cannot be listed: {first_line(error)}")
            self._unlisted, there = True, []
        for place in there:
            try:
                checkpoint = self._read(place, belongs_to, note)
            except DamagedCheckpoint as damaged:
                note(f"searchd: the checkpoint of epoch {place.epoch} is damaged: {damaged}")
            except OSError as error:
                # It may be whole, and the storage out of reach for a while.
                self._unread.add(place)
                note(f"searchd: the checkpoint of epoch {place.epoch} cannot be read: {first_line(error)}")
            else:
                if checkpoint is None:
                    continue
                self._newest = place
                if lost:
                    epochs = f"{lost - place.epoch} epochs are trained again"
                    note(f"searchd: going on from the checkpoint of epoch {place.epoch}; {epochs}")
                return checkpoint
            lost = max(lost, place.epoch)
        if lost:
            note(f"searchd: starting over; {lost} epochs are trained again")
        return None

    def _there(self) -> list[_Place]:
        names = self._store.folders(self._folder)
        return [_Place(*map(int, name.split("-"))) for name in names if re.fullmatch(r"\d+-\d+", name)]

    def _read(self, place: _Place, belongs_to: str, note: Callable[[str], None]) -> Checkpoint | None:
        """None if it was never finished or is of something else."""
        folder = f"{self._folder}/{place}"
        try:
            with self._store.open(f"{folder}/{MANIFEST}") as file:
                manifest = decoded(file.read())
        except FileNotFoundError:
            return None
        if manifest.identity != belongs_to:
            note(f"searchd: the checkpoint of epoch {place.epoch} is passed over: it is of another configuration")
            return None
        [(name, expected)] = manifest.files.items()
        try:
            with self._store.open(f"{folder}/{name}") as file:
                verify(file, name, expected)
                content = _load(file, name, self._device)
            return Checkpoint(belongs_to, manifest.report, content["state"], content["random"])
        except FileNotFoundError as error:
            raise DamagedCheckpoint(f"{name} is missing") from error
        except (DamagedCheckpoint, OSError):
            raise
        except Exception as error:  # unpickling raises what it likes
            if is_out_of_memory(error):
                raise
            raise DamagedCheckpoint(f"{type(error).__name__}: {first_line(error)}") from error

    def _delete(self, places: list[_Place]) -> None:
        for place in places:
            with contextlib.suppress(OSError):  # it is tried again after the next one
                self._store.delete(f"{self._folder}/{place}")


def _dump(content: dict[str, Any], file: Measured) -> None:
    torch = sys.modules.get("torch")
    if torch is None:
        pickle.dump(content, file, protocol=pickle.HIGHEST_PROTOCOL)
        return
    try:
        torch.save(content, file)
    except RuntimeError:
        if file.refused is not None:  # torch tells only of the confusion that this left it in
            raise file.refused from None
        raise


def _load(file: IO[bytes], name: str, device: str) -> dict[str, Any]:
    if name.endswith(".pt"):
        import torch  # noqa: PLC0415  # only a trainable that uses torch has left such a file

        content: dict[str, Any] = torch.load(file, map_location=device, weights_only=False)
    else:
        content = pickle.load(file)  # noqa: S301  # written by a worker of this cluster
    return content
