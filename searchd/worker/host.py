"""What stands behind a trainable's context in a worker: data, splits, checkpoints, artifacts."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchd.domain.evaluation import TEST_FOLD
from searchd.domain.study import Dataset
from searchd.ports.engine import Segment
from searchd.trainable import Context, ParentTrial, TrainedModel
from searchd.trainable.parent import PREDICTIONS
from searchd.worker.checkpoint import Checkpoint
from searchd.worker.files import Storage
from searchd.worker.heritage import parent_trials
from searchd.worker.inheritance import options_of
from searchd.worker.predictions import Predictions, write_predictions
from searchd.worker.provider import DatasetProvider
from searchd.worker.randomness import fold_run_seed, restore_states

_KEPT_LOADS = 4


class Loads:
    """What authors' own ``load`` functions returned, for the whole process; only the last few are kept."""

    def __init__(self) -> None:
        self._values: OrderedDict[tuple[Any, str | None, str], Any] = OrderedDict()

    def get(self, load: Callable[[str | None], Any], source: str | None, data: str, check: Callable[[], object]) -> Any:
        """What ``load(source)`` returns, from memory if it was called before.

        Args:
            load: The author's function.
            source: Name or path of the dataset, or None.
            data: Fingerprint of what is there.
            check: Called around ``load``; raises if something else is there.
        """
        # A lambda in a trainable is another function each time, but the same code.
        code = getattr(load, "__code__", None)
        plain = code is not None and not load.__closure__ and not load.__defaults__
        key = (code if plain else load, source, data)
        if key not in self._values:
            check()
            value = load(source)
            check()
            self._values[key] = value
            if len(self._values) > _KEPT_LOADS:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all fold runs of a worker share."""

    datasets: DatasetProvider
    storage: Storage
    device: str
    loads: Loads


class FoldRunHost:
    """Implements searchd.trainable.Host for one fold run.

    Attributes:
        resumed: Epochs that had been trained when the state was restored; 0 if it was not.
        handed_over: The model, if the trainable has handed one over.
    """

    def __init__(self, segment: Segment, surroundings: Surroundings, checkpoint: Checkpoint | None) -> None:
        self._segment = segment
        self._surroundings = surroundings
        self._checkpoint = checkpoint
        self._kept: dict[str, Any] | None = None
        self._split: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None
        self._predictions: Predictions | None = None
        self.resumed = 0
        self.handed_over: TrainedModel | None = None

    @property
    def keeps(self) -> bool:
        """Whether ``keep`` has been called."""
        return self._kept is not None

    def context(self) -> Context:
        """The context to hand to the trainable."""
        segment, task = self._segment, self._segment.task
        return Context(
            {**task.fixed, **segment.parameters},
            segment.repeat,
            segment.fold,
            fold_run_seed(task.seed, segment.trial, segment.repeat, segment.fold),
            self._surroundings.device,
            task.evaluation.epochs,
            self,
        )

    def dataset(self) -> Any:
        """See Host.

        Raises:
            RuntimeError: the study names no dataset.
            DataChanged: it is not what the study was created with.
        """
        return self._surroundings.datasets.load(self._named_dataset("ctx.dataset()"), self._segment.task.data)

    def load(self, load: Callable[[str | None], Any]) -> Any:
        """See Host.

        Raises:
            DataChanged: the dataset is not what the study was created with.
        """
        dataset, loads = self._segment.task.dataset, self._surroundings.loads
        if dataset is None:
            return loads.get(load, None, "", lambda: None)
        return loads.get(load, dataset.uri or dataset.builtin, self._segment.task.data, self.dataset)

    def split(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """See Host.

        Raises:
            RuntimeError: the study names no dataset.
            DataChanged: it is not what the study was created with.
        """
        if self._split is None:
            segment, task = self._segment, self._segment.task
            dataset = self._named_dataset("ctx.train_index")
            self._split = self._surroundings.datasets.split(
                dataset, task.evaluation, segment.repeat, segment.fold, task.data
            )
        return self._split

    def keep(self, objects: Mapping[str, Any]) -> Mapping[str, Any]:
        """See Host."""
        values = dict(objects)
        if self._checkpoint is not None:
            for name in values.keys() & self._checkpoint.state.keys():
                put_back = options_of(values[name]) if self._checkpoint.donated else None
                values[name] = _restored(values[name], *self._checkpoint.state[name])
                if put_back is not None:
                    put_back()
            restore_states(self._checkpoint.random)
            self.resumed = self._checkpoint.epoch
        self._kept = {**(self._kept or {}), **values}
        return values

    def begin(self) -> int:
        """See Host."""
        self._checkpoint = None
        return self.resumed

    def artifact(self, name: str) -> Path:
        """See Host."""
        path = self._surroundings.storage.artifacts(self._segment.key) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def predict(self, predictions: Predictions) -> None:
        """See Host."""
        self._predictions = predictions

    def model(self, model: TrainedModel) -> None:
        """See Host."""
        self.handed_over = model

    def keep_predictions(self) -> None:
        """Write what there is to keep of predictions.

        Raises:
            ValueError: they are not one for each row.
            Exception: whatever the author's function raises.
        """
        if self._predictions is not None:
            train, valid = self.split()
            dataset = self._named_dataset("ctx.predict")
            aside = np.array([], dtype=np.intp)
            if dataset.test is not None and self._segment.fold != TEST_FOLD:
                task = self._segment.task
                aside = self._surroundings.datasets.split(dataset, task.evaluation, 0, TEST_FOLD, task.data)[1]
            write_predictions(self.artifact(PREDICTIONS), self._predictions, train, valid, aside)

    def parents(self) -> Sequence[ParentTrial]:
        """See Host."""
        return parent_trials(self._segment, self._surroundings.storage)

    def kept(self) -> dict[str, tuple[bool, Any]]:
        """What to put into a checkpoint: by name, whether it is a ``state_dict``, and the state or value."""
        return {
            name: (True, value.state_dict()) if _has_state(value) else (False, value)
            for name, value in (self._kept or {}).items()
        }

    def _named_dataset(self, asked: str) -> Dataset:
        dataset = self._segment.task.dataset
        if dataset is None:
            raise RuntimeError(f"{asked} needs a dataset and the study names none; add `dataset` to the study")
        return dataset


def _has_state(value: Any) -> bool:
    return callable(getattr(value, "state_dict", None)) and callable(getattr(value, "load_state_dict", None))


def _restored(value: Any, is_state: bool, saved: Any) -> Any:
    if not is_state:
        return saved
    value.load_state_dict(saved)
    return value
