"""The kinds of network that there are, and the description from which one can be built again."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from searchd.trainable import Context
from trainables import torch_inputs, torch_models
from trainables.torch_inputs import Rows
from trainables.torch_networks import convolutional, perceptron, sequential
from trainables.torch_parameters import TRAINING, Parameters, completed
from trainables.torch_targets import Target

NETWORK = "network.json"
"""The artifact that describes the network of a fold run: what its weights are the weights of."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A kind of network.

    Attributes:
        default: What one would write down before tuning anything, ``TRAINING`` included.
        shape: The parameters among them that a network is built from.
        inputs: All rows of a dataset as such a network takes them, given those that train.
        build: The network, given its parameters, the shape of a row, and how many numbers it gives for one.
        axes: What the numbers in the shape of a row count.
    """

    default: Parameters
    shape: tuple[str, ...]
    inputs: Callable[[Any, Rows], Tensor]
    build: Callable[[Parameters, Sequence[int], int], nn.Module]
    axes: tuple[str, ...]


def _fully_connected(p: Parameters, row: Sequence[int], outputs: int) -> nn.Module:
    return perceptron(p, row[0], outputs)


def _of_sequences(p: Parameters, row: Sequence[int], outputs: int) -> nn.Module:
    return sequential(p, row[0], row[1], outputs)


_LAYERED = ("layers", "activation", "norm", "residual", "dropout")

ARCHITECTURES: Mapping[str, Architecture] = {
    "cnn": Architecture(
        default={
            **TRAINING,
            "channels": 16,
            "layers": 2,
            "kernel_size": 3,
            "activation": "relu",
            "norm": "batch",
            "residual": False,
            "dropout": 0.25,
            "cutmix": 0.0,
        },
        shape=("channels", "kernel_size", *_LAYERED),
        inputs=torch_inputs.images,
        build=convolutional,
        axes=("channels", "lines", "columns"),
    ),
    "mlp": Architecture(
        default={
            **TRAINING,
            "layers": 2,
            "width": 64,
            "taper": 1.0,
            "activation": "relu",
            "norm": "batch",
            "residual": False,
            "dropout": 0.1,
        },
        shape=("width", "taper", *_LAYERED),
        inputs=torch_inputs.table,
        build=_fully_connected,
        axes=("columns",),
    ),
    "sequence": Architecture(
        default={**TRAINING, "block": "gru", "layers": 1, "width": 64, "heads": 4, "dropout": 0.1},
        shape=("block", "layers", "width", "heads", "dropout"),
        inputs=torch_inputs.sequences,
        build=_of_sequences,
        axes=("steps", "values"),
    ),
}


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What a network is built from, and what it answers.

    Attributes:
        network: A name in ARCHITECTURES.
        parameters: The parameters of its shape.
        row: The shape of a row of its inputs.
        classes: The classes that it tells apart, in the order of its outputs; None if it predicts a number.
    """

    network: str
    parameters: Parameters
    row: tuple[int, ...]
    classes: tuple[Any, ...] | None

    @property
    def architecture(self) -> Architecture:
        """The kind of network."""
        return ARCHITECTURES[self.network]

    def build(self) -> nn.Module:
        """A network with fresh weights, drawn from PyTorch's generator.

        Raises:
            ValueError: a parameter has a value that there is not.
        """
        outputs = 1 if self.classes is None else len(self.classes)
        return self.architecture.build(self.parameters, self.row, outputs)

    def described(self) -> dict[str, Any]:
        """As a JSON object, for ``blueprint_of``."""
        return {"network": self.network, "parameters": self.parameters, "row": self.row, "classes": self.classes}

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(self.described(), indent=2) + "\n", encoding="utf-8")


def handed_over(ctx: Context, blueprint: Blueprint, data: Any, net: nn.Module, target: Target, train: Rows) -> None:
    """Hand over the network of a blueprint as a model of its own, with inputs standardised by the rows of ``train``."""
    match blueprint.network:
        case "cnn":
            torch_models.of_images(ctx, data, net, target, train)
        case "mlp":
            torch_models.of_table(ctx, data, net, target, train)
        case "sequence":
            steps, values = blueprint.row
            torch_models.of_sequences(ctx, data, steps, values, net, target, train)


def read_blueprint(path: Path) -> Blueprint:
    """What ``Blueprint.write`` has written, or somebody by hand; a parameter that is left out has its default.

    Raises:
        ValueError: the file is not there, or something in it is missing or of another kind.
    """
    try:
        return blueprint_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        example = '{"network": "mlp", "parameters": {"layers": 2}, "row": [30], "classes": [0, 1]}'
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} does not describe a network ({why}); write one such as {example}") from error


def blueprint_of(described: Mapping[str, Any]) -> Blueprint:
    """What ``Blueprint.described`` gave.

    Raises:
        KeyError: a field is missing, or there is no such network.
        ValueError, TypeError: a field is of another kind, or a parameter is not known.
    """
    architecture, classes = ARCHITECTURES[described["network"]], described["classes"]
    usual = {name: architecture.default[name] for name in architecture.shape}
    return Blueprint(
        described["network"],
        completed(usual, dict(described["parameters"])),
        tuple(map(int, described["row"])),
        None if classes is None else tuple(classes),
    )


def drawn(ctx: Context, network: str, p: Parameters, data: Any, inputs: Tensor) -> Blueprint:
    """The blueprint of the network that a fold run trains, which is left with its artifacts.

    Args:
        ctx: The fold run.
        network: A name in ARCHITECTURES.
        p: The parameters, those of its shape among them.
        data: The dataset.
        inputs: All of its rows, shape (n, ...).
    """
    shape = {name: p[name] for name in ARCHITECTURES[network].shape}
    classes = tuple(data.classes) if data.task == "classification" else None
    blueprint = Blueprint(network, shape, tuple(inputs.shape[1:]), classes)
    blueprint.write(ctx.artifact(NETWORK))
    return blueprint
