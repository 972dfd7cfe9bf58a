"""Batches whose rows are mixtures of two: mixup and CutMix."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Beta

from trainables.torch_parameters import Parameters


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to train on.

    Attributes:
        inputs: Shape (n, ...).
        target: What the rows are to give, shape (n,).
        partner: What the rows mixed into them are to give, shape (n,); None if they are not mixed.
        share: How much of each row is its own, in [0, 1].
    """

    inputs: Tensor
    target: Tensor
    partner: Tensor | None = None
    share: float = 1.0

    def weighed(self, measure: Callable[[Tensor], Tensor]) -> Tensor:
        """What ``measure`` makes of the targets, those of both rows in proportion."""
        if self.partner is None:
            return measure(self.target)
        return self.share * measure(self.target) + (1 - self.share) * measure(self.partner)


def mixed(p: Parameters, batch: Batch) -> Batch:
    """The batch, mixed as ``mixup`` and ``cutmix`` say: parameters of Beta distributions, 0 for none.

    If both are above 0, a coin decides for each batch. What it draws comes from PyTorch's generator.
    """
    ways = [way for way, strength in ((mixup, p["mixup"]), (cutmix, p.get("cutmix", 0.0))) if strength > 0]
    if not ways:
        return batch
    way = ways[int(torch.randint(len(ways), ()))]
    strength = torch.tensor(float(p[way.__name__]), dtype=torch.float64)
    order = torch.randperm(len(batch.target)).to(batch.target.device)
    return way(batch, order, float(Beta(strength, strength).sample()))


def mixup(batch: Batch, order: Tensor, share: float) -> Batch:
    """Weighted means of rows and their partners (Zhang and others, ICLR 2018).

    Args:
        batch: Rows that are not mixed.
        order: The partner of each row, shape (n,).
        share: The weight of the row itself.
    """
    inputs = share * batch.inputs + (1 - share) * batch.inputs[order]
    return Batch(inputs, batch.target, batch.target[order], share)


def cutmix(batch: Batch, order: Tensor, share: float) -> Batch:
    """Images with a rectangle of their partners, the same place for the whole batch (Yun and others, ICCV 2019).

    Args:
        batch: Images, shape (n, c, h, w), that are not mixed.
        order: The partner of each row, shape (n,).
        share: The part of the area that is to stay; what is cut off at the border stays too, and counts.
    """
    height, width = batch.inputs.shape[2:]
    top, bottom = _extent(height, share)
    left, right = _extent(width, share)
    inputs = batch.inputs.clone()
    inputs[:, :, top:bottom, left:right] = batch.inputs[order, :, top:bottom, left:right]
    stays = 1 - (bottom - top) * (right - left) / (height * width)
    return Batch(inputs, batch.target, batch.target[order], stays)


def _extent(size: int, share: float) -> tuple[int, int]:
    """Where a side of the rectangle begins and ends, in pixels."""
    half = size * math.sqrt(1 - share) / 2
    middle = float(torch.rand(())) * size
    return max(0, round(middle - half)), min(size, round(middle + half))
