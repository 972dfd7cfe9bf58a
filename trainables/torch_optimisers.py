"""Optimisers, and the learning rate in the course of training."""

import math
from typing import Any

import torch
from torch import nn

from trainables.torch_parameters import Parameters, unknown
from trainables.torch_thawing import groups

OPTIMISERS = ("sgd", "nesterov", "adam", "adamw", "rmsprop", "adagrad")
SCHEDULES = ("constant", "cosine", "step", "one_cycle")

RISE = 0.3
START = 1 / 25
END = START / 1e4
"""One cycle: how long it rises, from which and to which share of the rate, as PyTorch's OneCycleLR has them."""

WARM = 0.01
"""The share of the rate at which a warm-up begins."""


def optimizer(p: Parameters, net: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that ``p`` names, over all weights of ``net``, in a group for each block if ``p`` has a
    ``layer_decay``.

    ``weight_decay`` is an L2 penalty, for ``adamw`` decoupled from the gradient.

    Raises:
        ValueError: there is none of that name.
    """
    weights: Any = groups(net, p["layer_decay"]) if "layer_decay" in p else net.parameters()
    momentum = p["momentum"]
    options: dict[str, Any] = {"lr": p["lr"], "weight_decay": p["weight_decay"]}
    match p["optimizer"]:
        case "sgd":
            return torch.optim.SGD(weights, momentum=momentum, **options)
        case "nesterov":
            # Without momentum there is nothing to look ahead along, and PyTorch refuses what would be plain descent.
            return torch.optim.SGD(weights, momentum=momentum, nesterov=momentum > 0, **options)
        case "rmsprop":
            return torch.optim.RMSprop(weights, momentum=momentum, **options)
        case "adam":
            return torch.optim.Adam(weights, **options)
        case "adamw":
            return torch.optim.AdamW(weights, **options)
        case "adagrad":
            return torch.optim.Adagrad(weights, **options)
    raise unknown("optimizer", p["optimizer"], OPTIMISERS)


def rate(p: Parameters, trained: float, epochs: int) -> float:
    """The learning rate of a step: a function of how far the training is, so that a checkpoint need not hold it.

    ``cosine`` falls to 0 epoch by epoch (Loshchilov and Hutter, ICLR 2017, without restarts). ``step`` multiplies by
    ``step_factor`` after half and after three quarters of the epochs. ``one_cycle`` rises for three tenths and then
    falls, step by step (Smith and Topin, 2019). ``warmup`` epochs of linear rise come before any of them.

    Args:
        p: Parameters ``lr``, ``schedule``, ``step_factor`` and ``warmup``.
        trained: Epochs trained so far, in [0, epochs); a part of one counts.
        epochs: Epochs of a full evaluation.

    Raises:
        ValueError: there is no schedule of that name.
    """
    warm = min(1.0, WARM + (1 - WARM) * trained / p["warmup"]) if p["warmup"] else 1.0
    done = math.floor(trained) / epochs
    match p["schedule"]:
        case "constant":
            share = 1.0
        case "cosine":
            share = _between(1.0, 0.0, done)
        case "step":
            share = p["step_factor"] ** ((done >= 0.5) + (done >= 0.75))
        case "one_cycle":
            now = trained / epochs
            share = _between(START, 1.0, now / RISE) if now < RISE else _between(1.0, END, (now - RISE) / (1 - RISE))
        case other:
            raise unknown("schedule", other, SCHEDULES)
    return float(p["lr"] * warm * share)


def set_rate(opt: torch.optim.Optimizer, value: float) -> None:
    """Let all weights take their next step at this rate, times the ``factor`` of their group if it has one."""
    for group in opt.param_groups:
        group["lr"] = value * group.get("factor", 1.0)


def _between(first: float, last: float, part: float) -> float:
    """From ``first`` at part 0 to ``last`` at part 1 along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * part)) / 2
