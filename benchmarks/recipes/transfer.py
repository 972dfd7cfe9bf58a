"""What fine-tuning is worth against training from scratch, and distillation, label smoothing and mixup against none.

Accuracies are in points, on a fifth of the rows that is held out; each seed holds out others and draws other weights.
Fine-tuning: a convolutional network that has learnt half of the ten digits begins to learn the other half, with 10%,
30% or all of their training rows; the network from scratch is the same, with as many epochs and the same rows. Both
ways round, a task each. Students: a network with one hidden layer of 8 units learns all digits; its teacher is a
convolutional one, trained on the same rows. The learning rate of every arm, and the strength of what it adds, were
chosen on seeds that are not reported, by the mean over these. A gain is the mean of paired differences over the seeds,
with its corrected 95% interval from low to high.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.recipes.hold_outs import HoldOuts, gain
from benchmarks.report import Figure, Ratio
from searchd.domain.parent import Heritage
from searchd.domain.study import Dataset
from trainables import distill, fine_tune, torch_cnn, torch_mlp

TRAINABLES = (distill, fine_tune, torch_cnn, torch_mlp)
"""Imported to be registered."""

EPOCHS = 15
SHARES = (0.1, 0.3, 1.0)
DIGITS = Dataset(builtin="digits")
HALVES = {"0-4": Dataset(uri="low.npz"), "5-9": Dataset(uri="high.npz")}
CNN = {"lr": 3e-3, "batch_size": 32}
STUDENT = {"layers": 1, "width": 8, "dropout": 0.0, "batch_size": 32}
TUNING_SEEDS = (1001, 1002)
"""Those on which the arms were chosen."""

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Arm:
    """A trainable with fixed parameters, and what is chosen for it."""

    trainable: str
    fixed: Params
    choices: Mapping[str, Sequence[Any]]

    def configurations(self) -> list[Params]:
        """Every combination."""
        names = list(self.choices)
        return [{**self.fixed, **dict(zip(names, values, strict=True))} for values in product(*self.choices.values())]


RATES = {"lr": (3e-3, 1e-2, 3e-2)}
ADDED: Mapping[str, Arm] = {
    "none": Arm("torch_mlp", STUDENT, RATES),
    "label_smoothing": Arm("torch_mlp", STUDENT, {**RATES, "label_smoothing": (0.05, 0.1, 0.2)}),
    "mixup": Arm("torch_mlp", STUDENT, {**RATES, "mixup": (0.1, 0.2, 0.4)}),
    "distillation": Arm("distill", STUDENT, {**RATES, "weight": (0.5, 0.9), "temperature": (2.0, 5.0)}),
}
"""What a small student may be given."""


def measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]:
    """Compare with ten seeds, or two."""
    seeds = range(2 if quick else 10)
    tuning = TUNING_SEEDS[:1] if quick else TUNING_SEEDS
    with TemporaryDirectory(prefix="searchd-recipes-") as folder:
        write_halves(Path(folder))
        hold_outs = HoldOuts(Path(folder), 3 if quick else EPOCHS)
        return (), (*_transfer(hold_outs, tuning, seeds), *_students(hold_outs, tuning, seeds))


def write_halves(folder: Path) -> None:
    """The digits as two datasets that have neither classes nor rows in common."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    for name, rows in (("low.npz", labels < 5), ("high.npz", labels >= 5)):
        images = pixels[rows].reshape(-1, 8, 8).astype(np.uint8)
        np.savez_compressed(folder / name, X=images, y=labels[rows].astype(np.int64))


def _transfer(hold_outs: HoldOuts, tuning: Sequence[int], seeds: Sequence[int]) -> list[Figure]:
    figures: list[Figure] = []
    for theirs, own in (("0-4", "5-9"), ("5-9", "0-4")):
        origins = {seed: _parent(hold_outs, HALVES[theirs], seed, same_rows=False) for seed in (*tuning, *seeds)}
        for share in SHARES:
            found = {}
            for name, from_scratch in (("scratch", True), ("tuned", False)):
                arm = Arm("fine_tune", {"batch_size": 32, "share": share, "from_scratch": from_scratch}, RATES)
                found[name] = _scored(hold_outs, HALVES[own], arm, origins, tuning, seeds)
            figures += _cells(f"fine-tuning {theirs} to {own}", f"{share:.0%} of rows", found, "tuned", "scratch")
    return figures


def _students(hold_outs: HoldOuts, tuning: Sequence[int], seeds: Sequence[int]) -> list[Figure]:
    teachers = {seed: _parent(hold_outs, DIGITS, seed, same_rows=True) for seed in (*tuning, *seeds)}
    found = {name: _scored(hold_outs, DIGITS, arm, teachers, tuning, seeds) for name, arm in ADDED.items()}
    figures: list[Figure] = []
    for name in list(ADDED)[1:]:
        arms = {"without": found["none"], "with": found[name]}
        figures += _cells("small student", name, arms, "with", "without")
    return figures


def _parent(hold_outs: HoldOuts, dataset: Dataset, seed: int, *, same_rows: bool) -> Heritage:
    """A convolutional network that has been trained with that seed."""
    hold_outs.accuracy("torch_cnn", dataset, CNN, seed)
    return hold_outs.heritage("torch_cnn", same_rows=same_rows)


def _scored(
    hold_outs: HoldOuts,
    dataset: Dataset,
    arm: Arm,
    parents: Mapping[int, Heritage],
    tuning: Sequence[int],
    seeds: Sequence[int],
) -> list[float]:
    """Accuracies of an arm, seed by seed, in the configuration that is the best on the seeds for tuning."""

    def accuracy(params: Params, seed: int) -> float:
        heritage = None if arm.trainable == "torch_mlp" else parents[seed]
        return hold_outs.accuracy(arm.trainable, dataset, params, seed, heritage)

    chosen = max(arm.configurations(), key=lambda params: fmean(accuracy(params, seed) for seed in tuning))
    print(f"  chosen: {arm.trainable} {dict(chosen)}", flush=True)
    return [accuracy(chosen, seed) for seed in seeds]


def _cells(title: str, row: str, found: Mapping[str, Sequence[float]], ours: str, other: str) -> list[Figure]:
    """A row of a grid: both means, and the gain with its interval."""
    difference = gain(found[ours], found[other])
    cells = {name: fmean(scores) for name, scores in found.items()}
    cells |= {"gain": difference.mean, "low": difference.low, "high": difference.high}
    return [Figure(f"{title}/{row}/{name}", value, "points") for name, value in cells.items()]
