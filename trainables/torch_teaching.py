"""What a network learns from another model: targets that hold its answers beside the true ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from trainables.torch_inputs import Rows
from trainables.torch_losses import Loss
from trainables.torch_parameters import Parameters
from trainables.torch_targets import Artifact, Classes, Target

TEACHING: Parameters = {"temperature": 4.0, "weight": 0.5}
"""How much a teacher counts, and how soft its probabilities are made."""


class Taught:
    """A target with what a teacher says of the rows that train; Hinton, Vinyals and Dean, 2015.

    Its values have the true one of each row first and then the teacher's answers, which are NaN for all rows that do
    not train, so that none of them can be learnt from.
    """

    def __init__(self, target: Target, predictions: NDArray[Any], train: Rows) -> None:
        """Join the two.

        Args:
            target: What is true of all rows.
            predictions: The teacher's probabilities, shape (n_train, k), or numbers, shape (n_train,).
            train: Numbers of the rows that train, shape (n_train,).
        """
        said = target.taken(predictions)
        everywhere = torch.full((len(target.values), said.shape[1]), torch.nan, device=said.device)
        everywhere[torch.tensor(train, device=said.device)] = said
        self.outputs = target.outputs
        self.readout = target.readout
        self.classes = target.classes
        self.values = torch.cat([target.values[:, None].to(said.dtype), everywhere], 1)
        self._target = target

    def loss(self, p: Parameters) -> Loss:
        """The usual loss and, by ``weight``, that of what the teacher says.

        For classes the latter is the divergence of the teacher's probabilities from the network's, both at
        ``temperature``, times its square, so that gradients do not become smaller with it. For numbers it is the
        squared error, and there is no temperature.
        """
        usual, weight = self._target.loss(p), p["weight"]
        apart = _soft(p["temperature"]) if isinstance(self._target, Classes) else _squared

        def both(given: Tensor, values: Tensor) -> Tensor:
            alone = usual(given, self._true(values))
            return (1 - weight) * alone + weight * apart(given, values[:, 1:]) if weight else alone

        return both

    def _true(self, values: Tensor) -> Tensor:
        return values[:, 0].to(self._target.values.dtype)

    def answers(self, outputs: Tensor) -> Tensor:
        """See Target."""
        return self._target.answers(outputs)

    def measured(self, given: Tensor, target: Tensor) -> Tensor:
        """See Target: by what is true."""
        return self._target.measured(given, self._true(target))

    def training(self, mean: float, scores: Mapping[str, float]) -> dict[str, float]:
        """See Target."""
        return self._target.training(mean, scores)

    def scores(self, given: Tensor, rows: Tensor) -> dict[str, float]:
        """See Target."""
        return self._target.scores(given, rows)

    def predictions(self, given: Tensor) -> NDArray[np.float64]:
        """See Target."""
        return self._target.predictions(given)

    def taken(self, predictions: NDArray[Any]) -> Tensor:
        """See Target."""
        return self._target.taken(predictions)

    def write(self, given: Tensor, rows: Tensor, artifact: Artifact) -> None:
        """See Target."""
        self._target.write(given, rows, artifact)


def checked_predictions(predictions: NDArray[Any], train: Rows, data: Any) -> NDArray[Any]:
    """A teacher's predictions of the rows that train, if one can learn from them.

    Args:
        predictions: Shape (n_train, k) or (n_train,).
        train: Numbers of the rows, shape (n_train,).
        data: The dataset.

    Raises:
        ValueError: they are of other classes or of another kind, or are no probabilities, or not finite.
    """
    classes = data.task == "classification"
    expected = f"{len(data.classes)} probabilities for each row" if classes else "one number for each row"
    if predictions.shape != ((len(train), len(data.classes)) if classes else (len(train),)):
        found = "one number" if predictions.ndim == 1 else f"{predictions.shape[1]} numbers"
        raise ValueError(
            f"the teacher has kept {found} for each row, and this dataset needs {expected}; "
            "name a parent that was trained on the same target"
        )
    rows = predictions.reshape(len(train), -1)
    finite = np.isfinite(rows).all(1)
    if not finite.all():
        raise ValueError(
            f"the teacher's prediction of row {train[~finite][0]} is not finite, as of {(~finite).sum()} in all; "
            "name another trial of the parent"
        )
    odd = ((rows < 0).any(1) | (abs(rows.sum(1) - 1) > TOLERANCE)) & classes
    if odd.any():
        raise ValueError(
            f"what the teacher has kept of row {train[odd][0]} are no probabilities: they have the sum "
            f"{rows[odd][0].sum():.4g} and the least is {rows[odd][0].min():.4g}; let the parent keep probabilities"
        )
    return predictions


TOLERANCE = 1e-3
"""By how much the sum of a row's probabilities may differ from 1; they are stored in single precision."""


def _soft(temperature: float) -> Loss:
    def divergence(given: Tensor, said: Tensor) -> Tensor:
        softened = functional.log_softmax(said / temperature, 1)
        own = functional.log_softmax(given / temperature, 1)
        return temperature**2 * functional.kl_div(own, softened, reduction="batchmean", log_target=True)

    return divergence


def _squared(given: Tensor, said: Tensor) -> Tensor:
    return functional.mse_loss(given, said[:, 0])
