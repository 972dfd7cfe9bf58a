"""What a network was built from, so that it can be built again: from its trial's parameters, or from a file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from searchd.trainable import ParentTrial
from trainables import torch_inputs
from trainables.torch_defaults import CNN, MLP, SEQUENCE
from trainables.torch_inputs import Rows
from trainables.torch_networks import convolutional, perceptron, sequential
from trainables.torch_parameters import TRAINING, Parameters, completed
from trainables.torch_training import WEIGHTS


@dataclass(frozen=True, slots=True)
class Kind:
    """A trainable's networks.

    Attributes:
        default: Its default parameters.
        inputs: All rows of a dataset as it takes them, scaled by the training rows.
        build: The network of some parameters, for rows of a shape, with that many outputs.
    """

    default: Parameters
    inputs: Callable[[Any, Rows], Tensor]
    build: Callable[[Parameters, Sequence[int], int], nn.Module]


KINDS: Mapping[str, Kind] = {
    "torch_cnn": Kind(CNN, torch_inputs.images, convolutional),
    "torch_mlp": Kind(MLP, torch_inputs.table, lambda p, shape, n: perceptron(p, shape[0], n)),
    "torch_sequence": Kind(SEQUENCE, torch_inputs.sequences, lambda p, shape, n: sequential(p, shape[0], shape[1], n)),
}
"""Trainables whose networks can be built again, by name."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What a network is built from.

    Attributes:
        trainable: A key of ``KINDS``.
        parameters: Those of its architecture.
        shape: Of a row.
        outputs: Numbers that it gives for a row.
    """

    trainable: str
    parameters: Parameters
    shape: tuple[int, ...]
    outputs: int

    def network(self) -> nn.Module:
        """The network, with fresh weights."""
        return KINDS[self.trainable].build(self.parameters, self.shape, self.outputs)

    def as_json(self) -> dict[str, Any]:
        """For ``from_json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "Blueprint":
        """What ``as_json`` gave."""
        return cls(written["trainable"], written["parameters"], tuple(written["shape"]), written["outputs"])


def kind_of(child: str, parent: ParentTrial) -> Kind:
    """What kind of networks the parent trained.

    Args:
        child: The trainable that asks, for the error.
        parent: The parent.

    Raises:
        ValueError: none that can be built again.
    """
    if parent.trainable not in KINDS:
        *others, last = KINDS
        raise ValueError(
            f"{child} takes a network of {', '.join(others)} or {last}, but the parent trained {parent.trainable!r}; "
            "name a study of one of these as parent"
        )
    return KINDS[parent.trainable]


def blueprint_of(parent: ParentTrial, p: Parameters, shape: Sequence[int], outputs: int) -> Blueprint:
    """The parent's network for rows of this shape; ``p`` are the parent's parameters, completed."""
    architecture = {name: p[name] for name in KINDS[parent.trainable].default if name not in TRAINING}
    return Blueprint(parent.trainable, architecture, tuple(shape), outputs)


def parameters_of(parent: ParentTrial) -> dict[str, Any]:
    """The parent's parameters, with its default's value for each that it did not have."""
    return completed(KINDS[parent.trainable].default, parent.params)


def trained_network(parent: ParentTrial, blueprint: Blueprint, device: str) -> nn.Module:
    """The parent's network with the weights of this fold.

    Raises:
        MissingPart: it has left none.
        ValueError: they are of another shape: the child has other rows or classes.
    """
    net = blueprint.network()
    state = torch.load(parent.artifact(WEIGHTS), map_location=device, weights_only=True)
    for name, own in net.state_dict().items():
        if name not in state or state[name].shape != own.shape:
            theirs = tuple(state[name].shape) if name in state else "none"
            raise ValueError(
                f"the parent's network does not fit the dataset: {name} has shape {theirs} there and "
                f"{tuple(own.shape)} here; leave out `dataset`, to have the parent's"
            )
    net.load_state_dict(state)
    return net.to(device)
