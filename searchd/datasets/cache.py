"""The datasets of one node: each read once, kept as memory-mapped files, and split once per process."""

import fcntl
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from searchd.datasets import inspection, reading, source, splits
from searchd.datasets.loaded import Array, LoadedDataset
from searchd.domain.errors import InvalidStudy, SearchdError
from searchd.domain.evaluation import TEST_FOLD, Evaluation
from searchd.domain.study import Dataset
from searchd.ports.catalog import Inspection

KEPT = 16
"""Opened datasets, and repeats of split indices, that a process keeps; the least recently used one goes first."""

T = TypeVar("T")


class Recent(Generic[T]):
    """The values used last, by key; safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[object, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: object, make: Callable[[], T]) -> T:
        """The value of ``key``, made first if it is not kept. What ``make`` raises is not kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._limit:
                self._values.popitem(last=False)
        return value


class DataChanged(SearchdError):  # noqa: N818  # named for what went wrong
    """A dataset is not what the study was created with; ``expected`` and ``found`` are fingerprints."""

    def __init__(self, source: str, expected: str, found: str) -> None:
        super().__init__(source, expected, found)
        self.source = source
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return (
            f"the data of {self.source!r} has changed: its fingerprint is {self.found}, that of the study's data "
            f"{self.expected}; put the data back, or create another study"
        )


class DatasetCache:
    """Implements the Datasets port, and gives workers their rows.

    Args:
        root: Directory of this node for the cached files; made if missing. Every process of the node may share it.
        allowed_roots: Directories that files may come from; empty allows the bundled datasets alone.
    """

    def __init__(self, root: Path, allowed_roots: tuple[Path, ...]) -> None:
        self._root = root
        self._allowed_roots = allowed_roots
        self._opened: Recent[LoadedDataset] = Recent(KEPT)
        self._splits: Recent[splits.Splits] = Recent(KEPT)

    def load(self, dataset: Dataset, fingerprint: str = "") -> LoadedDataset:
        """The dataset, memory-mapped; read and written to the cache first unless some process of the node has done so.

        A file that has changed (size or modification time) is read again.

        Args:
            dataset: The dataset.
            fingerprint: What its fingerprint must be; empty admits any.

        Raises:
            InvalidStudy: it cannot be found, read or encoded; all reasons at once.
            DataChanged: it has another fingerprint.
        """
        found = source.find(dataset, self._allowed_roots)
        key = found.key(dataset)
        loaded = self._opened.get(key, lambda: self._open(key, found, dataset))
        if fingerprint and loaded.fingerprint != fingerprint:
            raise DataChanged(dataset.uri or dataset.builtin or "", fingerprint, loaded.fingerprint)
        return loaded

    def split(
        self, dataset: Dataset, evaluation: Evaluation, repeat: int, fold: int, fingerprint: str = ""
    ) -> tuple[Array, Array]:
        """Row indices (train, valid) of a fold run, each int64 and read-only; see ``splits`` for the seeds.

        Args:
            dataset: The dataset.
            evaluation: Folds or hold-out, kind of split, and its seed.
            repeat: From 0.
            fold: From 0; 0 for a hold-out; TEST_FOLD for the rows that the dataset sets aside.
            fingerprint: What the dataset's fingerprint must be; empty admits any.

        Raises:
            InvalidStudy: the dataset cannot be loaded.
            DataChanged: it has another fingerprint.
            ValueError: the dataset cannot be split so.
        """
        data = self.load(dataset, fingerprint)
        test = dataset.test
        how = (evaluation.split, evaluation.folds, evaluation.folds or evaluation.holdout, evaluation.split_seed, test)
        if fold == TEST_FOLD and test is not None:
            return self._splits.get((data.fingerprint, how, fold), lambda: (splits.tested(data, evaluation, test),))[0]
        key = (data.fingerprint, how, repeat)
        return self._splits.get(key, lambda: splits.compute(data, evaluation, repeat, test))[fold]

    def texts(self, dataset: Dataset) -> dict[str, tuple[str, ...]]:
        """What the codes of each feature that holds codes of text stand for, from code 0 on.

        Raises:
            InvalidStudy: the dataset cannot be found or read.
        """
        coded = self.load(dataset).coded
        return reading.texts(source.find(dataset, self._allowed_roots), coded) if coded else {}

    def inspect(self, dataset: Dataset, evaluation: Evaluation) -> Inspection:
        """What is wrong with the dataset and how it is to be split; see the Datasets port."""
        found = inspection.of_fields(dataset, evaluation)
        try:
            data = self.load(dataset)
        except InvalidStudy as error:
            return Inspection("", 0, (*error.violations, *found), classification=False)
        sensible = inspection.is_sensible(evaluation)
        if sensible:
            found += inspection.of_rows(data, dataset, evaluation)
        if sensible and not found:
            found += inspection.of_split(evaluation, lambda: splits.compute(data, evaluation, 0, dataset.test))
        return Inspection(data.fingerprint, len(data), tuple(found), classification=data.task == "classification")

    def _open(self, key: str, found: source.Source, dataset: Dataset) -> LoadedDataset:
        folder = self._root / key
        try:
            return LoadedDataset.open(folder)
        except (OSError, ValueError, KeyError):
            pass  # not there yet, or damaged by a full disk or a cleaner of temporary files: made below
        with self._locked(key):
            try:
                return LoadedDataset.open(folder)
            except (OSError, ValueError, KeyError):
                self._write(folder, reading.read(found, dataset))
        return LoadedDataset.open(folder)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """One maker at a time on this node; the lock goes with the process that holds it."""
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / f"{key}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @staticmethod
    def _write(folder: Path, data: LoadedDataset) -> None:
        """Put the dataset in place in one step. Whoever has mapped a damaged predecessor keeps what it mapped."""
        draft = folder.with_name(f"{folder.name}.draft")
        for old in (draft, folder):
            shutil.rmtree(old, ignore_errors=True)
        draft.mkdir()
        data.save(draft)
        draft.replace(folder)
