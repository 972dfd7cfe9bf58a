"""A trial of a study in this very process: its task, its data and its code, as far as they are here."""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from searchd.client.ancestry import heritage_of
from searchd.client.handle import StudyHandle
from searchd.client.views import Study, Trial
from searchd.datasets import DatasetCache, LoadedDataset
from searchd.domain.study import Dataset, StudySpec
from searchd.domain.trial import TrialNumber
from searchd.ports.engine import Report, Segment, Task
from searchd.trainable import Registration
from searchd.wire.codec import decode_study
from searchd.worker.files import Storage
from searchd.worker.host import Loads, Surroundings
from searchd.worker.loading import installed_modules, load_trainable
from searchd.worker.provider import DatasetProvider
from searchd.worker.retraining import AllRows, MadeModel, Rows, train_again, train_model
from searchd.worker.sources import fingerprint, source_files


@dataclass(frozen=True, slots=True)
class Here:
    """Where on this machine there is what a study's trials need.

    Attributes:
        trainables: Modules that register trainables, beside the installed ones; looked for in the current folder too.
        data_roots: Folders under which dataset files may lie.
        storage: The server's storage, where fold runs of a parent have left their files; None if it is not here.
    """

    trainables: tuple[str, ...] = ()
    data_roots: tuple[Path, ...] = (Path(),)
    storage: Path | None = None


def here(
    trainables: Sequence[str],
    data_roots: Sequence[str | os.PathLike[str]],
    storage: str | os.PathLike[str] | None,
) -> Here:
    """What a caller says of where things are."""
    return Here(tuple(trainables), tuple(map(Path, data_roots)), Path(storage) if storage is not None else None)


@dataclass(frozen=True, slots=True, eq=False)
class Again:
    """A trial that can be trained again.

    Attributes:
        study: Its study.
        spec: The study's definition.
        trial: It.
        task: What its fold runs share.
        data: The study's dataset as it is here; None without one.
        texts: What the codes of coded features stand for, by feature.
        code: Fingerprint of the trainable's code as it is here.
        device: ``"cpu"`` or ``"cuda"``.
    """

    study: Study
    spec: StudySpec
    trial: Trial
    task: Task
    data: LoadedDataset | None
    texts: Mapping[str, tuple[str, ...]]
    code: str
    device: str
    _registration: Registration = field(repr=False)
    _datasets: DatasetCache = field(repr=False)
    _storage: Storage = field(repr=False)

    def scores(self, repeat: int, fold: int, epochs: int) -> tuple[Report, ...]:
        """Train a fold run up to an epoch.

        Raises:
            RetrainingFailed: it does not get there.
        """
        segment = self.segment(repeat, fold, epochs)
        return train_again(segment, self._registration, self._surroundings(self._datasets), Now())

    def model(self, repeat: int, fold: int, *, whole: bool) -> tuple[tuple[Report, ...], MadeModel]:
        """Train a fold run with all epochs, ``whole`` on all rows that folds use; the model that it makes.

        Raises:
            RetrainingFailed: it does not get there.
            NoModel: the trainable hands over none.
        """
        provider: DatasetProvider = AllRows(self._datasets) if whole else self._datasets
        segment = self.segment(repeat, fold, self.spec.evaluation.epochs)
        return train_model(segment, self._registration, self._surroundings(provider), Now())

    def rows(self, repeat: int, fold: int, *, whole: bool) -> tuple[Rows, Rows]:
        """The numbers of the rows that train and that validate; none without a dataset."""
        dataset = self.spec.dataset
        if dataset is None:
            return np.array([], dtype=np.intp), np.array([], dtype=np.intp)
        provider: DatasetProvider = AllRows(self._datasets) if whole else self._datasets
        return provider.split(dataset, self.spec.evaluation, repeat, fold, self.task.data)

    def segment(self, repeat: int, fold: int, epochs: int) -> Segment:
        """A fold run up to an epoch, as a worker is told."""
        return Segment(self.task, TrialNumber(self.trial.number), self.trial.params, repeat, fold, 1, epochs)

    def _surroundings(self, datasets: DatasetProvider) -> Surroundings:
        return Surroundings(datasets, self._storage, self.device, Loads())


class Now:
    """The machine's clock."""

    def now(self) -> datetime:
        """The current time, UTC."""
        return datetime.now(UTC)


@contextmanager
def again(handle: StudyHandle, number: int, place: Here, *, same_data: bool) -> Iterator[Again]:
    """A trial of a study, ready to be trained again; what that writes is gone afterwards.

    Args:
        handle: The study.
        number: Of the trial.
        place: Where what it needs is on this machine.
        same_data: Whether the data must be what the study was created with.

    Raises:
        StudyNotFound: there is no such study.
        TrialNotFound: it has no such trial.
        TrainableNotFound: none of the modules registers its trainable.
        InvalidStudy: its data is not here.
        DataChanged: its data is not what the study was created with.
        InvalidArgument: it builds on another study, and the server's storage is not given.
    """
    study, trial = handle.get(), handle.trial(number)
    decoded = decode_study(study.message)
    spec = decoded.spec
    with _importable(Path.cwd()), TemporaryDirectory(prefix="searchd-again-") as scratch:
        registration = load_trainable(spec.trainable, place.trainables, installed=True)
        datasets = DatasetCache(Path(scratch) / "datasets", tuple(root.absolute() for root in place.data_roots))
        data, texts = _loaded(datasets, spec.dataset, study.data if same_data else "")
        storage = Path(scratch) / "storage"
        heritage = heritage_of(handle, decoded, place.storage, storage)
        task = Task(
            study=study.name,
            trainable=spec.trainable,
            fixed=spec.fixed,
            dataset=spec.dataset,
            data=data.fingerprint if data is not None else "",
            evaluation=spec.evaluation,
            seed=spec.seed,
            metrics=(spec.objective.metric, *spec.others),
            born=decoded.created_at.isoformat(),
            heritage=heritage,
        )
        code = _code(registration, place.trainables, study.code)
        device = _device(spec)
        yield Again(
            study, spec, trial, task, data, texts, code, device, registration, datasets, Storage(storage.absolute())
        )


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Modules in the folder can be imported, also by a trainable while it trains."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _loaded(
    datasets: DatasetCache, dataset: Dataset | None, expected: str
) -> tuple[LoadedDataset | None, dict[str, tuple[str, ...]]]:
    if dataset is None:
        return None, {}
    return datasets.load(dataset, expected), datasets.texts(dataset)


def _code(registration: Registration, modules: Sequence[str], wanted: str) -> str:
    """The fingerprint of the code, of whichever module has that of the study."""
    own = registration.target.__module__
    candidates = [installed_modules().get(registration.name), *modules, own]
    found = [fingerprint(source_files(module)) for module in candidates if module is not None]
    return wanted if wanted in found else found[0]


def _device(spec: StudySpec) -> str:
    if not spec.resources.gpus:
        return "cpu"
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"
