"""Learning curves of real networks; ``python -m benchmarks.search.curve_table`` recorded them in ``data/curves.npz``.

256 configurations of a network with one hidden layer, each trained with 12 seeds on scikit-learn's digits with SGD and
cosine annealing, and the validation log loss after each of 27 epochs. Annealing makes curves cross: a high learning
rate looks bad until late. All seeds of a configuration are trained at once, as one batched network.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import qmc
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

PATH = Path(__file__).parent / "data" / "curves.npz"
CONFIGURATIONS = 256
SEEDS = 12
EPOCHS = 27
PARAMETERS = 6
SCALE = 2**14
"""A loss is stored as this many parts of one, up to the largest that two bytes hold, which also stands for NaN."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Hyperparameters of a training."""

    learning_rate: float
    momentum: float
    width: int
    batch: int
    weight_decay: float
    dropout: float


def configuration(point: NDArray[np.float64]) -> Configuration:
    """The configuration at a point of the unit cube, shape (6,)."""
    rate, momentum, width, batch, decay, dropout = map(float, point)
    return Configuration(
        learning_rate=10 ** (-3 + 3 * rate),
        momentum=0.98 * momentum,
        width=round(8 * 16**width),
        batch=round(32 * 8**batch),
        weight_decay=10 ** (-6 + 4 * decay),
        dropout=0.6 * dropout,
    )


@dataclass(frozen=True, slots=True)
class Rows:
    """Digits, divided: 1,198 to train on and 599 to validate with."""

    train: torch.Tensor
    train_labels: torch.Tensor
    valid: torch.Tensor
    valid_labels: torch.Tensor


def rows() -> Rows:
    """The rows, always divided in the same way."""
    features, labels = load_digits(return_X_y=True)
    train, valid, train_labels, valid_labels = train_test_split(
        (features / 16).astype(np.float32), labels, test_size=1 / 3, stratify=labels, random_state=0
    )
    return Rows(*map(torch.from_numpy, (train, train_labels, valid, valid_labels)))


def losses(chosen: Configuration, data: Rows, seed: int) -> NDArray[np.float64]:
    """Validation log losses after each epoch; shape (SEEDS, EPOCHS)."""
    generator = torch.Generator().manual_seed(seed)
    sizes = ((64, chosen.width), (chosen.width, 10))
    weights = [
        (torch.randn(SEEDS, inner, outer, generator=generator) * math.sqrt(2 / inner)).requires_grad_()
        for inner, outer in sizes
    ]
    biases = [torch.zeros(SEEDS, 1, outer, requires_grad=True) for _, outer in sizes]
    optimiser = torch.optim.SGD(
        [*weights, *biases], chosen.learning_rate, chosen.momentum, weight_decay=chosen.weight_decay
    )
    batches = len(data.train) // chosen.batch
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS * batches)

    def forward(inputs: torch.Tensor, dropout: float) -> torch.Tensor:
        hidden = torch.relu(torch.baddbmm(biases[0], inputs, weights[0]))
        if dropout:
            kept = torch.rand(hidden.shape, generator=generator) >= dropout
            hidden = hidden * kept / (1 - dropout)
        return torch.baddbmm(biases[1], hidden, weights[1])

    found = np.empty((SEEDS, EPOCHS))
    for epoch in range(EPOCHS):
        order = torch.rand(SEEDS, len(data.train), generator=generator).argsort(dim=1)
        for batch in range(batches):
            picked = order[:, batch * chosen.batch : (batch + 1) * chosen.batch]
            optimiser.zero_grad()
            outputs = forward(data.train[picked], chosen.dropout)
            loss = torch.nn.functional.cross_entropy(outputs.flatten(0, 1), data.train_labels[picked].flatten())
            torch.autograd.backward(loss * SEEDS)
            optimiser.step()
            annealing.step()
        with torch.no_grad():
            outputs = forward(data.valid.expand(SEEDS, -1, -1), 0.0)
            labels = data.valid_labels.expand(SEEDS, -1)
            each = torch.nn.functional.cross_entropy(outputs.transpose(1, 2), labels, reduction="none")
            found[:, epoch] = each.mean(dim=1).double().numpy()
    return found


def main() -> None:
    """Train everything and write the table: the points of the cube, and the losses in parts of SCALE."""
    torch.set_num_threads(1)
    data = rows()
    points = qmc.Sobol(PARAMETERS, rng=0).random(CONFIGURATIONS)
    table = np.empty((CONFIGURATIONS, SEEDS, EPOCHS), np.uint16)
    began = time.process_time()
    for number, point in enumerate(points):
        most = np.iinfo(np.uint16).max
        found = np.nan_to_num(losses(configuration(point), data, seed=number), nan=math.inf)
        table[number] = np.minimum(np.rint(np.minimum(found, most) * SCALE), most)
        if number % 16 == 15:
            print(f"{number + 1} configurations, {time.process_time() - began:.0f} processor seconds", flush=True)
    PATH.parent.mkdir(exist_ok=True)
    np.savez_compressed(PATH, points=points.astype(np.float32), losses=table)
    print(f"{PATH.name}: {PATH.stat().st_size / 2**10:.0f} KiB")


if __name__ == "__main__":
    main()
