"""Structured pruning: whole channels and units are taken out of a network, which becomes smaller and faster.

Li and others, "Pruning Filters for Efficient ConvNets", ICLR 2017.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from searchd.trainable import Infeasible
from trainables.torch_networks import Residual

POWERS: Mapping[str, int] = {"l1": 1, "l2": 2}
"""The norms by which channels are compared."""

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)
MATRICES = (nn.Linear, nn.Conv2d)


@dataclass(eq=False, slots=True)
class Stream:
    """Channels that layers hand on to each other, so that one that is taken out is taken out of them all.

    Attributes:
        width: How many there are.
        producers: Layers that give them, of which a shortcut may add up several.
        norms: What normalises them, by name.
        consumers: Layers that take them.
    """

    width: int
    producers: list[nn.Module] = field(default_factory=list)
    norms: list[tuple[str, nn.Module]] = field(default_factory=list)
    consumers: list[nn.Module] = field(default_factory=list)


def narrow(net: nn.Module, sparsity: float, importance: str) -> None:
    """Take this share of the channels or units out of each layer but the last, those with the smallest weights.

    At least one channel stays. Channels that a shortcut adds up are compared by all weights that lead to them; those
    that are added to the network's own input stay.

    Args:
        net: A network of ``convolutional`` or ``perceptron``; changed in place.
        sparsity: In [0, 1).
        importance: ``l1`` or ``l2``, the norm of a channel's weights.

    Raises:
        Infeasible: the network is of another kind, a layer normalises in groups, or nothing can be taken out.
    """
    streams = list(_streams(net))
    if not streams:
        raise Infeasible("pruning 'structured' finds no layer to narrow: all are added to the network's input")
    for stream in streams:
        for name, norm in stream.norms:
            if isinstance(norm, nn.GroupNorm) and norm.num_groups > 1:
                raise Infeasible(
                    f"pruning 'structured' cannot take channels out of layer {name}, which normalises them in "
                    f"{norm.num_groups} groups; use pruning 'magnitude', or a parent with another norm"
                )
    for stream in streams:
        _take_out(stream, sparsity, POWERS[importance])


def fit(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a network these parameters and buffers, by name, even where their shapes are others than its own."""
    for name, tensor in state.items():
        owner, _, leaf = name.rpartition(".")
        module = net.get_submodule(owner)
        is_parameter = isinstance(getattr(module, leaf), nn.Parameter)
        setattr(module, leaf, nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor)
    for module in net.modules():
        _note_sizes(module)


def _streams(net: nn.Module) -> Iterator[Stream]:
    """What flows between the layers of a network, but for its input and its output."""
    if not isinstance(net, nn.Sequential):
        raise Infeasible(
            f"pruning 'structured' cannot narrow layers of {type(net).__name__}: its steps need all units; "
            "use pruning 'magnitude', or a parent of torch_cnn or torch_mlp"
        )
    before: Stream | None = None
    for name, module in net.named_children():
        if isinstance(module, MATRICES):
            if before is not None:
                before.consumers.append(module)
                yield before
            before = Stream(len(module.weight), [module])
        elif isinstance(module, NORMS) and before is not None:
            before.norms.append((name, module))
        elif isinstance(module, Residual):
            layer, *rest = module.body.named_children()
            if before is not None:
                before.consumers.append(layer[1])
            if isinstance(module.shortcut, MATRICES):
                if before is not None:
                    before.consumers.append(module.shortcut)
                    yield before
                before = Stream(len(module.shortcut.weight), [module.shortcut])
            if before is not None:
                before.producers.append(layer[1])
                before.norms += [(f"{name}.body.{at}", part) for at, part in rest if isinstance(part, NORMS)]


@torch.no_grad()
def _take_out(stream: Stream, sparsity: float, power: int) -> None:
    weights: list[Any] = [producer.weight for producer in stream.producers]
    scores = torch.stack([weight.flatten(1).abs().pow(power).sum(1) for weight in weights]).sum(0)
    keep = scores.topk(max(1, round(stream.width * (1 - sparsity)))).indices.sort().values
    for module in (*stream.producers, *(norm for _, norm in stream.norms)):
        for name, values in {**dict(module.named_parameters()), **dict(module.named_buffers())}.items():
            if values.dim():
                _replace(module, name, values[keep])
    for module in stream.consumers:
        weight: Any = module.weight
        # After flattening, each channel has several columns beside each other.
        parted = weight.reshape(len(weight), stream.width, -1)[:, keep]
        _replace(module, "weight", parted.reshape(len(weight), -1, *weight.shape[2:]))
    for module in (*stream.producers, *(norm for _, norm in stream.norms), *stream.consumers):
        _note_sizes(module)


def _replace(module: nn.Module, name: str, values: Tensor) -> None:
    is_parameter = isinstance(getattr(module, name), nn.Parameter)
    setattr(module, name, nn.Parameter(values.clone()) if is_parameter else values.clone())


def _note_sizes(module: nn.Module) -> None:
    """Let a layer say what its tensors have become."""
    match module:
        case nn.Linear():
            module.out_features, module.in_features = module.weight.shape
        case nn.Conv2d():
            module.out_channels, module.in_channels = module.weight.shape[:2]
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            module.num_features = len(module.weight)
        case nn.GroupNorm():
            module.num_channels = len(module.weight)
