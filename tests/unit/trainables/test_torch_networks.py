"""Networks of all architectures: shapes, gradients and what is refused."""

from typing import Any

import pytest
import torch
from torch import nn

from trainables import torch_cnn, torch_mlp, torch_sequence
from trainables.torch_networks import ACTIVATIONS, NORMS, Residual, convolutional, perceptron, sequential


def every_weight_learns(net: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """The outputs; their gradient must reach every weight."""
    outputs: torch.Tensor = net(inputs)
    torch.logsumexp(outputs, 1).sum().backward()  # type: ignore[no-untyped-call]
    assert [name for name, weight in net.named_parameters() if weight.grad is None] == []
    return outputs


def convolution(**change: Any) -> nn.Module:
    torch.manual_seed(0)
    p = {**torch_cnn.DEFAULT, "channels": 8, **change}
    return convolutional(p, (3, 8, 5), 4)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("layers", [1, 4])
def test_convolutional_shapes(norm: str, residual: bool, layers: int) -> None:
    """Every depth and normalisation, with and without shortcuts, gives one score for each class, and learns."""
    net = convolution(norm=norm, residual=residual, layers=layers)
    assert every_weight_learns(net, torch.randn(2, 3, 8, 5)).shape == (2, 4)
    assert sum(isinstance(m, Residual) for m in net.modules()) == residual * layers


def test_kernel_may_be_larger_than_the_image() -> None:
    """Beyond the border an image is 0, so that a kernel of 11 pixels sees images of 8 x 5."""
    assert every_weight_learns(convolution(kernel_size=11, layers=3), torch.randn(2, 3, 8, 5)).shape == (2, 4)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("taper", [0.01, 0.5, 1.0, 2.0])
def test_perceptron_shapes(norm: str, residual: bool, taper: float) -> None:
    """Every normalisation and taper, with and without shortcuts, gives its outputs, and learns."""
    p = {**torch_mlp.DEFAULT, "width": 12, "layers": 3, "norm": norm, "residual": residual, "taper": taper}
    assert every_weight_learns(perceptron(p, 7, 2), torch.randn(5, 7)).shape == (5, 2)


def test_widths_taper() -> None:
    """Each hidden layer has the given share of the width before it, and at least one unit."""
    p = {**torch_mlp.DEFAULT, "width": 8, "layers": 5, "taper": 0.5}
    linear = [m for m in perceptron(p, 3, 2).modules() if isinstance(m, nn.Linear)]
    assert [layer.out_features for layer in linear] == [8, 4, 2, 1, 1, 2]


@pytest.mark.parametrize("block", ["gru", "attention"])
@pytest.mark.parametrize("layers", [1, 2])
def test_sequential_shapes(block: str, layers: int) -> None:
    """Both blocks give their outputs for sequences, and learn."""
    p = {**torch_sequence.DEFAULT, "block": block, "layers": layers, "width": 8, "heads": 2}
    assert every_weight_learns(sequential(p, 6, 3, 4), torch.randn(5, 6, 3)).shape == (5, 4)


@pytest.mark.parametrize("block", ["gru", "attention"])
def test_order_matters_to_sequences(block: str) -> None:
    """The same steps in another order give other outputs."""
    p = {**torch_sequence.DEFAULT, "block": block, "width": 8, "heads": 2}
    net = sequential(p, 6, 3, 4).eval()
    x = torch.randn(5, 6, 3)
    assert not torch.allclose(net(x), net(x.flip(1)), atol=1e-4)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_differ(name: str) -> None:
    """Each activation makes another network of the same weights."""
    x = torch.randn(3, 3, 8, 5)
    others = [convolution(activation=other)(x) for other in ACTIVATIONS if other != name]
    assert not any(torch.allclose(convolution(activation=name)(x), other) for other in others)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kernel_size": 4}, "kernel_size is 4; give an odd number"),
        ({"norm": "spectral"}, "norm 'spectral' is not known; use batch, group, layer or none"),
        ({"activation": "sin"}, "activation 'sin' is not known; use relu, leaky_relu, elu, gelu, silu or tanh"),
    ],
)
def test_what_cannot_be_built_says_why(change: dict[str, Any], reason: str) -> None:
    """An even kernel and unknown names are refused with what to use."""
    with pytest.raises(ValueError, match=reason):
        convolution(**change)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"block": "attention", "width": 10, "heads": 4}, "width is 10, which 4 heads do not divide"),
        ({"block": "lstm"}, "block 'lstm' is not known; use gru or attention"),
    ],
)
def test_sequences_that_cannot_be_built_say_why(change: dict[str, Any], reason: str) -> None:
    """Heads that do not divide the width, and unknown blocks, are refused with what to do."""
    with pytest.raises(ValueError, match=reason):
        sequential({**torch_sequence.DEFAULT, **change}, 6, 3, 4)
