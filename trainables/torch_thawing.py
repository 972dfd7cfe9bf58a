"""Which blocks of a network learn, and how fast: what is inherited is easily spoilt, most of all near the inputs."""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.torch_networks import blocks
from trainables.torch_parameters import Parameters

THAWING: Parameters = {"frozen": 0, "unfreeze_every": 0, "layer_decay": 1.0}
"""Everything learns at once, and at one rate."""


def groups(net: nn.Module, decay: float) -> list[dict[str, Any]]:
    """The weights as an optimiser takes them, a group for each block, each with the ``factor`` of its learning rate.

    That of the head is 1, and each block before has ``decay`` times that of the one after it (Howard and Ruder, ACL
    2018, who divide by 2.6).
    """
    found = blocks(net)
    return [{"params": weights, "factor": decay ** (len(found) - 1 - at)} for at, weights in enumerate(found)]


def freeze(net: nn.Module, p: Parameters, epoch: int) -> None:
    """Let the first blocks have no gradients in an epoch, and the others have them.

    Args:
        net: The network.
        p: ``frozen`` blocks at first, of which the last one is released after every ``unfreeze_every`` epochs; 0 for
            never (Howard and Ruder, ACL 2018, who release one after each). The head is never frozen: more than there
            are before it means all of those.
        epoch: From 1.
    """
    found = blocks(net)
    released = (epoch - 1) // p["unfreeze_every"] if p["unfreeze_every"] else 0
    first = min(p["frozen"], len(found) - 1) - released
    for at, weights in enumerate(found):
        for weight in weights:
            weight.requires_grad_(at >= first)


def rest(net: nn.Module) -> None:
    """Let frozen blocks normalise by the means that they have learnt, and leave these as they are; others are not
    touched. To be called whenever the network has been told to train."""
    for part in net.modules():
        if isinstance(part, _BatchNorm) and {weight.requires_grad for weight in part.parameters()} == {False}:
            part.eval()
