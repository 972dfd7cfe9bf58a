"""Networks that begin with the weights of others."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from trainables.torch_architectures import Blueprint
from trainables.torch_networks import blocks

Weights = dict[str, Tensor]


def heir(blueprint: Blueprint, weights: Path, classes: tuple[object, ...] | None) -> nn.Module:
    """The network of a blueprint, on the CPU, with weights from a file, and for these classes, or for numbers (None).

    If the classes, or their order, are others than the blueprint's, its head is a fresh one.

    Raises:
        ValueError: the file cannot be read, or holds other weights than the network has.
    """
    found = _read(weights)
    net = replace(blueprint, classes=classes).build()
    own = net.state_dict()
    head = {id(weight) for weight in blocks(net)[-1]}
    fresh = {name for name, weight in net.named_parameters() if id(weight) in head and classes != blueprint.classes}
    for name, weight in own.items():
        if name not in fresh:
            _fits(weights, name, weight, found)
            own[name] = found[name]
    surplus = [name for name in found if name not in own]
    if surplus:
        raise ValueError(f"{weights} holds {surplus[0]}, which its network has not; put the right {weights.name} there")
    net.load_state_dict(own)
    return net


def require_row(origin: Blueprint, row: tuple[int, ...]) -> None:
    """Refuse inputs of another shape than the network has been trained with.

    Raises:
        ValueError: they are; it says where they differ.
    """
    if row == origin.row:
        return
    axes = origin.architecture.axes
    theirs, own = (", ".join(f"{n} {axis}" for n, axis in zip(of, axes, strict=False)) for of in (origin.row, row))
    raise ValueError(
        f"the network takes rows of {theirs}, and those of this dataset have {own}; bring them to its shape"
    )


def _read(path: Path) -> Weights:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises what it likes
        remedy = "name a file that torch.save(net.state_dict(), file) has written"
        raise ValueError(f"{path} cannot be read as weights: {type(error).__name__}: {error}; {remedy}") from error
    if not isinstance(found, dict) or not all(isinstance(weight, Tensor) for weight in found.values()):
        raise ValueError(f"{path} holds no weights by name; save net.state_dict() instead of the network")
    return found


def _fits(path: Path, name: str, weight: Tensor, found: Weights) -> None:
    """Whether there is such a weight.

    Raises:
        ValueError: there is not, or it has another shape, or it is not finite.
    """
    if name not in found:
        raise ValueError(f"{path} holds no {name}, which its network has; put the right {path.name} there")
    if found[name].shape != weight.shape:
        shapes = f"{tuple(found[name].shape)}, and in its network {tuple(weight.shape)}"
        raise ValueError(f"in {path}, {name} has shape {shapes}; put the right {path.name} there")
    if not torch.isfinite(found[name]).all():
        raise ValueError(f"in {path}, {name} is not finite; take weights of a training that did not diverge")
