"""Blocks of networks: what belongs to which, what is frozen when, and at which rate each learns."""

from typing import Any

import pytest
import torch
from torch import nn

from trainables.torch_architectures import ARCHITECTURES, Blueprint
from trainables.torch_networks import blocks
from trainables.torch_optimisers import optimizer, set_rate
from trainables.torch_thawing import THAWING, freeze, groups, rest

ROWS = {"cnn": (1, 8, 8), "mlp": (5,), "sequence": (8, 8)}
SHAPES: list[tuple[str, dict[str, Any]]] = [
    ("cnn", {"layers": 3}),
    ("cnn", {"layers": 3, "residual": True, "norm": "none"}),
    ("mlp", {"layers": 3}),
    ("mlp", {"layers": 3, "residual": True}),
    ("sequence", {"block": "gru", "layers": 3}),
    ("sequence", {"block": "attention", "layers": 2}),
]
"""Networks of three blocks before the head."""


def built(network: str, change: dict[str, Any]) -> nn.Module:
    architecture = ARCHITECTURES[network]
    p = {**architecture.default, **change}
    return Blueprint(network, {name: p[name] for name in architecture.shape}, ROWS[network], (0, 1, 2)).build()


@pytest.mark.parametrize(("network", "change"), SHAPES)
def test_blocks_are_all_of_it(network: str, change: dict[str, Any]) -> None:
    """Every weight is in exactly one block, and the last one gives the answers."""
    net = built(network, change)
    found = blocks(net)
    assert len(found) == 4
    assert sorted(id(weight) for block in found for weight in block) == sorted(map(id, net.parameters()))
    assert found[-1][-1].shape == (3,)


@pytest.mark.parametrize(("network", "change"), SHAPES)
def test_frozen_blocks_do_not_change(network: str, change: dict[str, Any]) -> None:
    """After steps of an optimiser the first blocks have the weights and the means that they had; all others learnt."""
    torch.manual_seed(0)
    net = built(network, change)
    opt = torch.optim.SGD(groups(net, 1.0), lr=0.1)
    freeze(net, {"frozen": 2, "unfreeze_every": 0}, 1)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    kept = {name for name, weight in net.named_parameters() if not weight.requires_grad}
    assert {id(weight) for name, weight in net.named_parameters() if name in kept} == {
        id(weight) for block in blocks(net)[:2] for weight in block
    }
    net.train()
    rest(net)
    for _ in range(3):
        opt.zero_grad()
        (net(torch.randn(6, *ROWS[network])) ** 2).sum().backward()
        opt.step()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    learnt = {name for name, weight in net.named_parameters() if weight.requires_grad}
    assert changed & {name for name, _ in net.named_parameters()} == learnt
    stems = {name.rsplit(".", 1)[0] for name in kept}
    assert not [name for name in changed if name.rsplit(".", 1)[0] in stems - {"units"}]


@pytest.mark.parametrize(
    ("frozen", "every", "expected"),
    [(0, 0, [0, 0, 0]), (2, 0, [2, 2, 2]), (2, 1, [2, 1, 0]), (9, 1, [3, 2, 1]), (1, 2, [1, 1, 0]), (3, 1, [3, 2, 1])],
)
def test_blocks_are_released_from_the_head_on(frozen: int, every: int, expected: list[int]) -> None:
    """So many epochs after each other, one block fewer is frozen, until none is; the head always learns."""
    net = built("mlp", {"layers": 3})
    for epoch, first in enumerate(expected, start=1):
        freeze(net, {"frozen": frozen, "unfreeze_every": every}, epoch)
        assert [block[0].requires_grad for block in blocks(net)] == [at >= first for at in range(4)]


def test_rates_fall_towards_the_inputs() -> None:
    """Each block has the decay's share of the rate of the one after it, whatever the schedule makes of that."""
    net = built("mlp", {"layers": 3})
    opt = optimizer({**ARCHITECTURES["mlp"].default, **THAWING, "layer_decay": 0.5}, net)
    set_rate(opt, 0.8)
    assert [group["lr"] for group in opt.param_groups] == [0.1, 0.2, 0.4, 0.8]


def test_without_a_decay_there_is_one_group() -> None:
    """Networks that are trained from the start have one rate and one group, as checkpoints of them have."""
    opt = optimizer(ARCHITECTURES["mlp"].default, built("mlp", {}))
    set_rate(opt, 0.8)
    assert [group["lr"] for group in opt.param_groups] == [0.8]
