"""Trains a fold run again in this very process: to have its model, or to see whether its scores come out the same."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchd.domain.errors import SearchdError
from searchd.domain.evaluation import TEST_FOLD, Evaluation
from searchd.domain.study import Dataset
from searchd.ports.clock import Clock
from searchd.ports.engine import Ended, Outcome, Report, Segment
from searchd.trainable import Registration, TrainedModel
from searchd.worker.failures import reason_of
from searchd.worker.fold_run import LiveFoldRun, Order
from searchd.worker.host import Surroundings
from searchd.worker.provider import DatasetProvider
from searchd.worker.randomness import restore_states, save_states

Rows = NDArray[np.intp]


class RetrainingFailed(SearchdError):  # noqa: N818  # named for what went wrong
    """A fold run that is trained again does not get to its end; ``reason`` is one line."""

    def __init__(self, trial: int, repeat: int, fold: int, reason: str) -> None:
        super().__init__(trial, repeat, fold, reason)
        self.trial = trial
        self.repeat = repeat
        self.fold = fold
        self.reason = reason

    def __str__(self) -> str:
        where = "all rows" if self.fold == TEST_FOLD else f"repeat {self.repeat}, fold {self.fold}"
        return f"trial {self.trial} does not train again on {where}: {self.reason}"


class NoModel(SearchdError):  # noqa: N818  # named for what went wrong
    """A trainable hands over no model."""

    def __init__(self, trainable: str) -> None:
        super().__init__(trainable)
        self.trainable = trainable

    def __str__(self) -> str:
        return f"{self.trainable} hands over no model; have it call ctx.model(make, rows), see docs/models.md"


@dataclass(frozen=True, slots=True)
class MadeModel:
    """A trained model, and what its trainable said of it.

    Attributes:
        model: A fitted scikit-learn estimator, or a torch module.
        handed: How it was handed over.
    """

    model: Any
    handed: TrainedModel


class AllRows:
    """Implements DatasetProvider: all rows of the folds train. Those that are set aside validate; if there are none,
    the same rows do, and their scores say nothing about other rows."""

    def __init__(self, datasets: DatasetProvider) -> None:
        self._datasets = datasets

    def load(self, dataset: Dataset, fingerprint: str) -> Any:
        """See DatasetProvider."""
        return self._datasets.load(dataset, fingerprint)

    def split(
        self,
        dataset: Dataset,
        evaluation: Evaluation,
        repeat: int,  # noqa: ARG002  # the same for every one
        fold: int,  # noqa: ARG002
        fingerprint: str,
    ) -> tuple[Rows, Rows]:
        """See DatasetProvider."""
        if dataset.test is not None:
            return self._datasets.split(dataset, evaluation, 0, TEST_FOLD, fingerprint)
        rows = np.arange(len(self.load(dataset, fingerprint)))
        return rows, rows


def train_again(
    segment: Segment, registration: Registration, surroundings: Surroundings, clock: Clock
) -> tuple[Report, ...]:
    """The reports of all epochs up to the segment's target; the process's random generators stay as they were.

    Raises:
        RetrainingFailed: it does not get there.
    """
    reports, _ = _trained(segment, registration, surroundings, clock, wanted=False)
    return reports


def train_model(
    segment: Segment, registration: Registration, surroundings: Surroundings, clock: Clock
) -> tuple[tuple[Report, ...], MadeModel]:
    """The reports of all epochs, and the model as it is then.

    Raises:
        RetrainingFailed: it does not get there, or making the model raises.
        NoModel: the trainable hands over none.
    """
    reports, made = _trained(segment, registration, surroundings, clock, wanted=True)
    if made is None:
        raise NoModel(registration.name)
    return reports, made


def _trained(
    segment: Segment, registration: Registration, surroundings: Surroundings, clock: Clock, *, wanted: bool
) -> tuple[tuple[Report, ...], MadeModel | None]:
    states = save_states()
    run = LiveFoldRun(segment, registration, surroundings, clock)
    reports: list[Report] = []
    last: Ended | None = None
    try:
        for report, ended in run.advance(segment, lambda: Order.GO_ON):
            reports += [report] if report is not None else []
            last = ended
        if last is None or last.outcome not in {Outcome.REACHED, Outcome.FINISHED}:
            raise _failed(segment, last.reason if last is not None else "it ended without a word")
        handed = run.model if wanted else None
        made = MadeModel(_made(segment, handed), handed) if handed is not None else None
    finally:
        run.close()
        restore_states(states)
    return tuple(reports), made


def _made(segment: Segment, handed: TrainedModel) -> Any:
    try:
        return handed.make()
    except Exception as error:  # an author's function raises what it likes
        raise _failed(segment, f"what makes its model raises {reason_of(error, '')}") from error


def _failed(segment: Segment, reason: str) -> RetrainingFailed:
    return RetrainingFailed(segment.trial, segment.repeat, segment.fold, reason)
