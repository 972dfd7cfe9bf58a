"""Networks as others can use them: with what happens to rows before them, and to what they give after."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from searchd.trainable import Context
from trainables import torch_inputs
from trainables.torch_inputs import Rows, Scale
from trainables.torch_targets import Target


class Standardised(nn.Module):
    """Rows as a network takes them: with mean 0 and deviation 1, missing values as 0.

    Args:
        scale: Means and deviations.
        precision: The network's.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, scale: Scale, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        mean, deviation = scale
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float64))
        self._precision = precision

    def forward(self, rows: Tensor) -> Tensor:
        """Of the same shape."""
        scaled = (rows.double() - self.mean) / self.deviation
        return torch.where(torch.isfinite(scaled), scaled, 0.0).to(self._precision)


class ChannelsFirst(nn.Module):
    """Images of shape (n, h, w, c) as (n, c, h, w)."""

    def forward(self, images: Tensor) -> Tensor:
        """The same pixels."""
        return images.permute(0, 3, 1, 2)


class Steps(nn.Module):
    """Rows of shape (n, columns) as sequences, shape (n, steps, values)."""

    def __init__(self, steps: int, values: int) -> None:
        super().__init__()
        self._shape = (-1, steps, values)

    def forward(self, rows: Tensor) -> Tensor:
        """The same numbers."""
        return rows.reshape(self._shape)


def of_images(ctx: Context, data: Any, net: nn.Module, target: Target) -> None:
    """Hand a network over that was trained on ``torch_inputs.images``: its model takes images, (n, h, w, c)."""

    def make() -> nn.Module:
        scale = torch_inputs.image_scale(data.images, ctx.train_index)
        return nn.Sequential(Standardised(scale), ChannelsFirst(), net.cpu(), target.readout)

    ctx.model(make, lambda rows: np.asarray(data.images[rows], dtype=np.float64), target.classes)


def of_table(ctx: Context, data: Any, net: nn.Module, target: Target) -> None:
    """Hand a network over that was trained on ``torch_inputs.table``: its model takes rows, (n, columns)."""

    def make() -> nn.Module:
        return nn.Sequential(_standardised(ctx, data), net.cpu(), target.readout)

    ctx.model(make, _rows(data), target.classes)


def of_sequences(ctx: Context, data: Any, steps: int, values: int, net: nn.Module, target: Target) -> None:
    """Hand a network over that was trained on ``torch_inputs.sequences``: its model takes rows, (n, columns)."""

    def make() -> nn.Module:
        return nn.Sequential(_standardised(ctx, data), Steps(steps, values), net.cpu(), target.readout)

    ctx.model(make, _rows(data), target.classes)


def _standardised(ctx: Context, data: Any) -> nn.Module:
    return Standardised(torch_inputs.table_scale(data.table, ctx.train_index))


def _rows(data: Any) -> Callable[[Rows], NDArray[np.float64]]:
    return lambda rows: np.asarray(data.table[rows], dtype=np.float64)
