"""A fold run as its trainable sees it: what it is handed, what it asks for, and how it gives up."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from searchd.trainable.parent import ParentTrial

    IntArray = NDArray[np.intp]
    FloatArray = NDArray[np.floating[Any]]


class Infeasible(Exception):  # noqa: N818  # named for what went wrong
    """Raised by a trainable to give up on its configuration: the trial is INFEASIBLE, and nothing is retried."""


class Params(Mapping[str, Any]):
    """The parameters of a trial together with the study's fixed ones, read as ``p.lr`` or ``p["lr"]``."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            known = ", ".join(self._values) or "none"
            raise AttributeError(
                f"this trial has no parameter {name!r}, only {known}; .get() takes a default"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model as its trainable hands it over; see ``Context.model``."""

    make: Callable[[], Any]
    rows: "Callable[[IntArray], Any]"
    classes: tuple[Any, ...] = ()


class Host(Protocol):
    """What a Context asks of whoever runs it: a worker, or a few lines in a test."""

    def dataset(self) -> Any:
        """The study's dataset."""
        ...

    def load(self, load: Callable[[str | None], Any]) -> Any:
        """What ``load`` makes of the dataset's name or path, once per process."""
        ...

    def split(self) -> tuple["IntArray", "IntArray"]:
        """Row numbers to train on and to validate on, shapes (n_train,) and (n_valid,)."""
        ...

    def keep(self, objects: Mapping[str, Any]) -> Mapping[str, Any]:
        """Restore the objects, and save them from now on; the restored ones."""
        ...

    def begin(self) -> int:
        """The loop over epochs begins; the number of epochs trained before."""
        ...

    def artifact(self, name: str) -> Path:
        """Where a file of this fold run belongs."""
        ...

    def predict(self, predictions: "FloatArray | Callable[[IntArray], FloatArray]") -> None:
        """What to keep of predictions when the fold run has been evaluated in full."""
        ...

    def model(self, model: TrainedModel) -> None:
        """The model, for whoever wants it when the fold run has been evaluated in full."""
        ...

    def parents(self) -> "Sequence[ParentTrial]":
        """Trials of the parent study, the chosen one first; none without a parent."""
        ...


class Context:
    """One fold run, as its trainable sees it.

    Attributes:
        params: The configuration, fixed parameters included.
        fold: Fold within the repeat, from 0.
        repeat: Repeat of the cross-validation, from 0.
        seed: In [0, 2**31), derived from the study's seed, the trial, the repeat and the fold. Python, numpy and torch
            are seeded with it before the trainable begins.
        device: ``"cuda"`` if GPUs are assigned, else ``"cpu"``.
        max_epochs: Epochs of a full evaluation; a schedule should span these, however early the trial may be stopped.
    """

    __slots__ = ("_host", "device", "fold", "max_epochs", "params", "repeat", "seed")

    def __init__(
        self, params: Mapping[str, Any], repeat: int, fold: int, seed: int, device: str, max_epochs: int, host: Host
    ) -> None:
        self.params = Params(params)
        self.repeat = repeat
        self.fold = fold
        self.seed = seed
        self.device = device
        self.max_epochs = max_epochs
        self._host = host

    def dataset(self, load: Callable[[str | None], Any] | None = None) -> Any:
        """The study's dataset, or what ``load(source)`` returns for it: anything with ``len()``.

        ``source`` is the dataset's path or bundled name, None if the study names none. ``load`` is called once per
        process and source, so it must not depend on the trial.
        """
        return self._host.dataset() if load is None else self._host.load(load)

    @property
    def train_index(self) -> "IntArray":
        """Row numbers to train on, shape (n_train,)."""
        return self._host.split()[0]

    @property
    def valid_index(self) -> "IntArray":
        """Row numbers to validate on, shape (n_valid,)."""
        return self._host.split()[1]

    def epochs(self) -> Iterator[int]:
        """Epoch numbers from 1 to ``max_epochs``; after a restore, from the one after the checkpoint's."""
        yield from range(self._host.begin() + 1, self.max_epochs + 1)

    def keep(self, **objects: Any) -> Mapping[str, Any]:
        """Name what a checkpoint holds, and restore it at once if there is a checkpoint.

        Call it before the loop over epochs, when the objects are ready. Objects with ``state_dict`` and
        ``load_state_dict`` are restored in place; any other value is pickled as it is when the checkpoint is saved,
        and the restored one is in the answer. The random states of Python, numpy and torch are restored too. Inside
        the loop, ``keep`` restores nothing and replaces the value noted under a name.

        Returns:
            By name, the objects given, or the values restored in their place.
        """
        return self._host.keep(objects)

    def artifact(self, name: str) -> Path:
        """The path at which to write a file that stays with the trial; its folder exists."""
        return self._host.artifact(name)

    def predict(self, predictions: "FloatArray | Callable[[IntArray], FloatArray]") -> None:
        """Have predictions kept for studies that build on this one: ensembles need them, and students of a teacher.

        What was said last counts, and only if the fold run is evaluated in full.

        Args:
            predictions: Of the rows of ``valid_index``, shape (n_valid, n_classes) of probabilities, or (n_valid,) of
                numbers. Better a function that predicts the rows that it is given: it is called once, at the end, also
                for rows that the dataset sets aside, and with small datasets for those trained on.
        """
        self._host.predict(predictions)

    def model(self, make: Callable[[], Any], rows: "Callable[[IntArray], Any]", classes: "Sequence[Any]" = ()) -> None:
        """Hand the trained model over to those who want it as a file: ``searchd export STUDY --model``.

        What was said last counts, and only if the fold run is evaluated in full. In the fold runs of a study nobody
        wants the model, and ``make`` is not called.

        Args:
            make: Called once, at the end; returns a fitted scikit-learn estimator or a ``torch.nn.Module`` that takes
                rows as they are: with all that happens to them before the model, and with what makes probabilities
                (n, n_classes) or numbers (n,) of its outputs.
            rows: The rows of these numbers as the model takes them: an array, shape (n, ...).
            classes: What each of the model's classes stands for, in its own order; empty if it predicts numbers.
        """
        self._host.model(TrainedModel(make, rows, tuple(classes)))

    @property
    def parent(self) -> "ParentTrial":
        """The trial that the study builds on.

        Raises:
            RuntimeError: the study has no parent.
        """
        return self.parents[0]

    @property
    def parents(self) -> "Sequence[ParentTrial]":
        """That trial and the best others of its study, at least one.

        Raises:
            RuntimeError: the study has no parent.
        """
        found = self._host.parents()
        if not found:
            raise RuntimeError(
                "ctx.parent needs a study to build on and this one names none; add `parent` to the study"
            )
        return found


_running: list[Context] = []


def current() -> Context:
    """The context of the fold run that this process runs; for Ray Tune trainables, which are handed none.

    Raises:
        RuntimeError: nothing is being run here.
    """
    if not _running:
        raise RuntimeError("there is no current fold run; current() works only inside a trainable that searchd runs")
    return _running[-1]


def set_current(context: Context | None) -> None:
    """Say what ``current`` returns. For those who run trainables, not for their authors."""
    _running[:] = [] if context is None else [context]
