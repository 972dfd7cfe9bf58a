"""What a network learns to predict: classes, or numbers."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from trainables import metrics, torch_losses
from trainables.torch_inputs import Rows
from trainables.torch_losses import Loss
from trainables.torch_parameters import Parameters

CLASSIFICATION = {**metrics.CLASSIFICATION, "loss": "minimize", **metrics.with_training("accuracy")}
"""What ``Classes`` reports."""

REGRESSION = {**metrics.REGRESSION, "loss": "minimize", **metrics.with_training("rmse")}
"""What ``Numbers`` reports."""

Artifact = Callable[[str], Path]
"""Where a file of that name belongs."""


class Target(Protocol):
    """What is predicted.

    Attributes:
        outputs: How many numbers the network gives for a row.
        values: What it is to learn, for each row of the dataset, shape (n,).
        readout: What makes predictions of the network's outputs, shape (n, outputs), as ``predictions`` does.
        classes: What the classes stand for; empty for numbers.
    """

    outputs: int
    values: Tensor
    readout: nn.Module
    classes: Sequence[Any]

    def loss(self, p: Parameters) -> Loss:
        """What training makes small."""
        ...

    def answers(self, outputs: Tensor) -> Tensor:
        """What the network gives, shape (n, outputs), as losses and scores take it."""
        ...

    def measured(self, given: Tensor, target: Tensor) -> Tensor:
        """How good or bad each of the network's answers is, shape (n,)."""
        ...

    def training(self, mean: float, scores: Mapping[str, float]) -> dict[str, float]:
        """The training score, from the mean of what was measured, and ``gap``: by how much it is better than that
        among ``scores``."""
        ...

    def scores(self, given: Tensor, rows: Tensor) -> dict[str, float]:
        """The metrics of the network's answers for some rows, ``loss`` among them."""
        ...

    def predictions(self, given: Tensor) -> NDArray[np.float64]:
        """The network's answers as others take them: probabilities, shape (n, k), or numbers, shape (n,)."""
        ...

    def write(self, given: Tensor, rows: Tensor, artifact: Artifact) -> None:
        """Write down what metrics cannot say about the answers."""
        ...


def target_of(data: Any, train_index: Rows, device: str) -> Target:
    """Classes or numbers, as the dataset has them."""
    return Classes(data, device) if data.task == "classification" else Numbers(data, train_index, device)


class Probabilities(nn.Module):
    """Scores, shape (n, k), as probabilities of the same shape."""

    def forward(self, outputs: Tensor) -> Tensor:
        """Those of a row add up to 1."""
        return outputs.double().softmax(1)


class OwnUnits(nn.Module):
    """Outputs, shape (n, 1), in the target's own units, shape (n,)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float64))

    def forward(self, outputs: Tensor) -> Tensor:
        """Not rounded in between."""
        return torch.as_tensor(outputs.squeeze(1).double() * self.deviation + self.mean)


class Classes:
    """Class codes. ``loss`` is the mean cross-entropy, whatever is trained on."""

    def __init__(self, data: Any, device: str) -> None:
        self.outputs = len(data.classes)
        self.values = torch.tensor(np.array(data.y), device=device)
        self.readout: nn.Module = Probabilities()
        self.classes: Sequence[Any] = data.classes

    def loss(self, p: Parameters) -> Loss:
        """See Target."""
        return torch_losses.of_classes(p)

    def answers(self, outputs: Tensor) -> Tensor:
        """As it is."""
        return outputs

    def measured(self, given: Tensor, target: Tensor) -> Tensor:
        """1 where the highest score is the class's own, else 0."""
        return (given.argmax(1) == target).float()

    def training(self, mean: float, scores: Mapping[str, float]) -> dict[str, float]:
        """Accuracies."""
        return metrics.training("accuracy", mean, scores["accuracy"])

    def scores(self, given: Tensor, rows: Tensor) -> dict[str, float]:
        """See Target."""
        truth = self.values[rows]
        loss = float(functional.cross_entropy(given, truth))
        return {**metrics.classification(truth.cpu().numpy(), given.argmax(1).cpu().numpy()), "loss": loss}

    def predictions(self, given: Tensor) -> NDArray[np.float64]:
        """Probabilities, shape (n, k)."""
        probabilities: NDArray[np.float64] = given.double().softmax(1).cpu().numpy()
        return probabilities

    def write(self, given: Tensor, rows: Tensor, artifact: Artifact) -> None:
        """The confusion matrix."""
        truth, predicted = self.values[rows].cpu().numpy(), given.argmax(1).cpu().numpy()
        metrics.write_confusion_matrix(artifact("confusion_matrix.json"), truth, predicted, self.classes)


class Numbers:
    """Numbers, learnt with mean 0 and deviation 1 over the training rows.

    ``loss`` is the mean squared error in that scale, whatever is trained on: 1 is as good as always saying the mean.
    """

    outputs = 1
    classes: Sequence[Any] = ()

    def __init__(self, data: Any, train_index: Rows, device: str) -> None:
        self._numbers: NDArray[np.float64] = np.asarray(data.y, dtype=np.float64)
        trained = self._numbers[train_index]
        self._mean, self._deviation = float(trained.mean()), float(trained.std()) or 1.0
        scaled = (self._numbers - self._mean) / self._deviation
        self.values = torch.tensor(scaled, dtype=torch.float32, device=device)
        self.readout: nn.Module = OwnUnits(self._mean, self._deviation)

    def loss(self, p: Parameters) -> Loss:
        """See Target."""
        return torch_losses.of_numbers(p)

    def answers(self, outputs: Tensor) -> Tensor:
        """Shape (n,)."""
        return outputs.squeeze(1)

    def measured(self, given: Tensor, target: Tensor) -> Tensor:
        """Squared errors."""
        return torch.square(given - target)

    def training(self, mean: float, scores: Mapping[str, float]) -> dict[str, float]:
        """Root mean squared errors."""
        return metrics.training("rmse", math.sqrt(mean) * self._deviation, scores["rmse"])

    def scores(self, given: Tensor, rows: Tensor) -> dict[str, float]:
        """Errors in the target's own units."""
        loss = float(functional.mse_loss(given, self.values[rows]))
        truth = self._numbers[rows.cpu().numpy()]
        predicted = self.predictions(given)
        if not np.isfinite(predicted).all():
            return {"loss": loss}
        return {**metrics.regression(truth, predicted), "loss": loss}

    def predictions(self, given: Tensor) -> NDArray[np.float64]:
        """In the target's own units, shape (n,)."""
        scaled: NDArray[np.float64] = given.cpu().double().numpy()
        return scaled * self._deviation + self._mean

    def write(self, given: Tensor, rows: Tensor, artifact: Artifact) -> None:
        """Nothing."""
