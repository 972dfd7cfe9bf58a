"""Structured pruning of networks of any architecture."""

from typing import Any

import pytest
import torch
from torch import nn

from searchd.trainable import Infeasible
from trainables import torch_cnn, torch_mlp
from trainables.torch_narrowing import fit, narrow
from trainables.torch_networks import convolutional, perceptron

ARCHITECTURES: list[tuple[str, dict[str, Any]]] = [
    ("images", {}),
    ("images", {"norm": "none"}),
    ("images", {"layers": 3, "residual": True}),
    ("images", {"layers": 4, "residual": True, "norm": "layer"}),
    ("table", {}),
    ("table", {"norm": "none", "taper": 0.5}),
    ("table", {"layers": 3, "residual": True}),
    ("table", {"layers": 1}),
]
of_each_architecture = pytest.mark.parametrize(("kind", "change"), ARCHITECTURES, ids=str)


def network(kind: str, change: dict[str, Any]) -> tuple[nn.Module, torch.Tensor]:
    """A fresh network of some architecture, and rows for it."""
    torch.manual_seed(0)
    if kind == "images":
        return convolutional({**torch_cnn.DEFAULT, "channels": 8, **change}, (2, 8, 8), 3), torch.randn(5, 2, 8, 8)
    return perceptron({**torch_mlp.DEFAULT, "width": 12, **change}, 6, 3), torch.randn(5, 6)


def in_use(net: nn.Module, rows: torch.Tensor) -> nn.Module:
    """The network as if it had been trained: normalisation is not that of fresh layers."""
    net.train()
    for _ in range(5):
        net(3 * rows + 1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return net.eval()


@torch.no_grad()
def make_every_other_channel_nothing(net: nn.Module) -> None:
    """In each layer but the last, wherever it comes from."""
    *layers, _ = [module for module in net.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm)]
    for layer in (*layers, *norms):
        layer.weight[::2] = 0
        if layer.bias is not None:
            layer.bias[::2] = 0


@pytest.mark.parametrize(
    ("kind", "change"), [some for some in ARCHITECTURES if some[1].get("norm") != "layer"], ids=str
)
@pytest.mark.parametrize("importance", ["l1", "l2"])
def test_taking_out_what_counts_for_nothing_changes_nothing(kind: str, change: dict[str, Any], importance: str) -> None:
    """If half of the channels are 0, taking half of them out leaves every output as it was, shortcuts included (but for
    normalisation over channels, which counts them)."""
    net, rows = network(kind, change)
    in_use(net, rows)
    make_every_other_channel_nothing(net)
    before, size = net(rows), sum(weight.numel() for weight in net.parameters())
    narrow(net, 0.5, importance)
    assert sum(weight.numel() for weight in net.parameters()) < 0.7 * size
    torch.testing.assert_close(net(rows), before, atol=1e-5, rtol=1e-5)


@of_each_architecture
def test_one_channel_stays_and_what_is_left_trains(kind: str, change: dict[str, Any]) -> None:
    """At most everything but one channel of a layer is taken out, and all that is left has gradients."""
    net, rows = network(kind, change)
    narrow(net, 0.99, "l1")
    net.train()(rows).sum().backward()
    widths = [m.weight.shape[0] for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert widths == [1] * (len(widths) - 1) + [3]
    assert all(weight.grad is not None for weight in net.parameters())


def test_layers_say_their_sizes() -> None:
    """Layers that have become narrower say so when they are printed."""
    net = convolutional({**torch_cnn.DEFAULT, "channels": 8, "layers": 1, "norm": "layer"}, (1, 4, 4), 3)
    narrow(net, 0.5, "l1")
    assert "Conv2d(1, 4" in str(net)
    assert "GroupNorm(1, 4" in str(net)
    assert "in_features=16, out_features=3" in str(net)


def test_network_takes_tensors_of_other_shapes() -> None:
    """A fresh network that is given a narrow one's tensors computes the same."""
    p, rows = {**torch_cnn.DEFAULT, "channels": 8, "residual": True}, torch.randn(5, 1, 8, 8)
    net = in_use(convolutional(p, (1, 8, 8), 3), rows)
    narrow(net, 0.5, "l2")
    fresh = convolutional(p, (1, 8, 8), 3)
    fit(fresh, net.state_dict())
    assert torch.equal(fresh.eval()(rows), net(rows))


def test_channels_added_to_the_input_stay() -> None:
    """A layer whose output is added to the network's own input keeps its width, and the next becomes narrower."""
    p = {**torch_mlp.DEFAULT, "width": 8, "layers": 2, "residual": True, "taper": 0.5}
    net = perceptron(p, 8, 3)
    narrow(net, 0.5, "l1")
    assert [m.weight.shape[0] for m in net.modules() if isinstance(m, nn.Linear)] == [8, 2, 2, 3]


def test_groups_are_refused_before_anything_changes() -> None:
    """A layer that normalises in groups is named, and the network is as it was."""
    p = {**torch_cnn.DEFAULT, "channels": 8, "norm": "group", "residual": True}
    net = convolutional(p, (1, 8, 8), 3)
    shapes = [weight.shape for weight in net.parameters()]
    with pytest.raises(
        Infeasible, match=r"layer 0\.body\.1, which normalises them in 2 groups; use pruning 'magnitude'"
    ):
        narrow(net, 0.5, "l1")
    assert [weight.shape for weight in net.parameters()] == shapes
