"""A network in one small file that needs no code of its own to be read, and the network that is read from it.

The file is a safetensors file, compressed as a whole by gzip at level 9. Its metadata hold the blueprint. A matrix or
kernel in which enough numbers are 0 is stored as those that are not, and a bit for each place; weights of 8 bits as
integers, and a scale for each row. The same network always gives the same bytes.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from trainables.torch_architectures import Blueprint, blueprint_of
from trainables.torch_narrowing import fit
from trainables.torch_quantisation import Quantised, compute_in_integers, dequantised, quantised

PLACES = "|places"
"""Ends the name of the bits that say where a tensor is not 0."""

SCALES = "|scales"
"""Ends the name of the scales of weights of 8 bits."""

METADATA = "network"
"""The one key of the metadata: of several the order would be left to chance."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a file says beside its tensors.

    Attributes:
        blueprint: What the network is built from; its layers may have become narrower since.
        quantisation: One of ``QUANTISATIONS``.
    """

    blueprint: Blueprint
    quantisation: str


@dataclass(frozen=True, slots=True)
class Packed:
    """A network as its file has it.

    Attributes:
        content: Of the file.
        parameters: How many numbers other than 0 its weights, biases and scales of normalisation are, as stored.
    """

    content: bytes
    parameters: int

    def write(self, path: Path) -> None:
        """Replace the file at once or not at all."""
        half = path.with_name(f"{path.name}.part")
        half.write_bytes(self.content)
        half.replace(path)


def packed(description: Description, net: nn.Module) -> Packed:
    """A network as its file would have it.

    Args:
        description: What it is; with a quantisation, matrices and kernels become integers.
        net: The network, its weights float.

    Raises:
        ValueError: a weight that is to become an integer is not finite.
    """
    quantisation = description.quantisation
    tensors: dict[str, Tensor] = {}
    shapes: dict[str, list[int]] = {}
    learnt = dict(net.named_parameters())
    parameters = 0
    for name, values in net.state_dict().items():
        stored = values.detach().cpu()
        if quantisation != "none" and stored.is_floating_point() and stored.dim() > 1:
            weights = quantised(quantisation, name, stored)
            stored, tensors[name + SCALES] = weights.integers, weights.scales
        few = stored[stored != 0]
        parameters += few.numel() if name in learnt else 0
        if stored.dim() > 1 and few.numel() * few.itemsize + stored.numel() / 8 < stored.numel() * stored.itemsize:
            tensors[name + PLACES] = torch.from_numpy(np.packbits((stored != 0).numpy()))
            shapes[name] = list(stored.shape)
            stored = few
        tensors[name] = stored.contiguous()
    said = {"blueprint": description.blueprint.described(), "quantisation": quantisation, "shapes": shapes}
    metadata = {METADATA: json.dumps(said, sort_keys=True, separators=(",", ":"))}
    return Packed(gzip.compress(safetensors.torch.save(tensors, metadata), mtime=0), parameters)


def read(path: Path, device: str = "cpu") -> nn.Module:
    """The network that a file holds, ready to predict.

    Raises:
        ValueError: it is no such file.
        FileNotFoundError: there is none.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        tensors = safetensors.torch.load(content)
        said = _metadata(content)
    except (gzip.BadGzipFile, EOFError, safetensors.SafetensorError, KeyError) as error:
        raise ValueError(f"{path} is no file of a network: {error}; name one that compress has written") from error
    quantisation = said["quantisation"]
    integers: dict[str, Quantised] = {}
    state: dict[str, Tensor] = {}
    for name, values in tensors.items():
        if name.endswith((PLACES, SCALES)):
            continue
        whole = _scattered(values, tensors[name + PLACES], said["shapes"][name]) if name in said["shapes"] else values
        if name + SCALES in tensors:
            integers[name] = Quantised(whole.to(device), tensors[name + SCALES].to(device))
            whole = dequantised(integers[name])
        state[name] = whole.to(device)
    net = blueprint_of(said["blueprint"]).build().to(device)
    fit(net, state)
    for name, weights in integers.items():
        compute_in_integers(net, name, weights, quantisation)
    return net.eval()


def _metadata(content: bytes) -> Mapping[str, Any]:
    """What the header of a safetensors file says of the network: its length in 8 bytes, then JSON."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    said: Mapping[str, Any] = json.loads(header["__metadata__"][METADATA])
    return said


def _scattered(few: Tensor, places: Tensor, shape: list[int]) -> Tensor:
    """The numbers at their places, 0 elsewhere."""
    whole = torch.zeros(prod(shape), dtype=few.dtype)
    at = np.unpackbits(places.numpy(), count=prod(shape)).astype(bool)
    whole[torch.from_numpy(at)] = few
    return whole.view(shape)
