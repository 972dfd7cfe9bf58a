"""Weights of 8 bits: each row of a matrix, or kernel of a convolution, becomes integers and one scale, by torchao.

Linear layers compute on the integers as torchao does. It has no such convolutions (nor recurrent units) on a CPU: their
weights are 8 bits wide in a file, and numbers again when they are read.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainables.torch_parameters import unknown

QUANTISATIONS = ("none", "int8", "int8_dynamic")
"""``int8``: weights alone. ``int8_dynamic``: also what goes into a linear layer, row by row while it computes."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """Weights of 8 bits.

    Attributes:
        integers: In [-128, 127], of the weights' shape.
        scales: What 1 stands for in each row, shape (rows,).
    """

    integers: Tensor
    scales: Tensor


def required(quantisation: str) -> None:
    """Refuse what cannot be done here.

    Raises:
        ValueError: there is none of that name, or it needs torchao, which is not installed.
    """
    if quantisation not in QUANTISATIONS:
        raise unknown("quantisation", quantisation, QUANTISATIONS)
    if quantisation != "none":
        _torchao(quantisation)


def quantised(quantisation: str, name: str, weights: Tensor) -> Quantised:
    """The weights, each row with a scale of its own.

    Args:
        quantisation: One of ``QUANTISATIONS`` but ``none``.
        name: Of the weights, for the error.
        weights: Shape (rows, ...).

    Raises:
        ValueError: a weight is not finite.
    """
    if not torch.isfinite(weights).all():
        raise ValueError(
            f"quantisation {quantisation!r} cannot give integers for {name}: it has weights like nan or inf"
        )
    torchao = _torchao(quantisation)
    rows = weights.detach().flatten(1).contiguous()
    found = torchao.Int8Tensor.from_hp(rows, torchao.PerRow())
    return Quantised(found.qdata.view_as(weights), found.scale.flatten())


def dequantised(weights: Quantised) -> Tensor:
    """The numbers that the integers stand for."""
    shape = (-1, *[1] * (weights.integers.dim() - 1))
    return weights.integers.float() * weights.scales.view(shape)


def compute_in_integers(net: nn.Module, name: str, weights: Quantised, quantisation: str) -> None:
    """Let the layer that has the weights of this name compute on integers, if torchao can.

    Args:
        net: The network, changed in place; its weights have been ``dequantised``.
        name: Of the weights.
        weights: The same in integers.
        quantisation: One of ``QUANTISATIONS`` but ``none``.
    """
    owner, _, leaf = name.rpartition(".")
    layer = net.get_submodule(owner)
    # Not subclasses: attention has one, whose weights it reads itself.
    if type(layer) is not nn.Linear or leaf != "weight":
        return
    torchao = _torchao(quantisation)
    row_by_row = None
    if quantisation == "int8_dynamic":
        from torchao.quantization.quantize_ import workflows  # noqa: PLC0415  # as in _torchao

        row_by_row = workflows.QuantizeTensorToInt8Kwargs(granularity=torchao.PerRow())
    scales = weights.scales[:, None]
    integers = torchao.Int8Tensor(
        weights.integers,
        scales,
        [1, weights.integers.shape[1]],
        torch.float32,
        zero_point=torch.zeros_like(scales, dtype=torch.int8),
        act_quant_kwargs=row_by_row,
    )
    layer.weight = nn.Parameter(integers, requires_grad=False)


def _torchao(quantisation: str) -> Any:
    try:
        # Only when it is asked for: it takes a second.
        import torchao.quantization  # noqa: PLC0415
    except ImportError as error:
        raise ValueError(
            f"quantisation {quantisation!r} needs torchao, which cannot be imported: {error}; "
            "pip install 'searchd[compression]', or set quantisation to none"
        ) from error
    return torchao.quantization
