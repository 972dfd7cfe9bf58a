"""What training makes small: losses for classes, losses for numbers, and the author's own by import path."""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trainables.torch_parameters import Parameters, unknown

Loss = Callable[[Tensor, Tensor], Tensor]
"""The mean loss, a scalar, of outputs for a batch, given its targets."""

OWN = "your own as module:name"


def of_classes(p: Parameters) -> Loss:
    """The loss of scores, shape (n, classes), given class codes, shape (n,).

    ``cross_entropy`` (the same as ``auto``), ``focal`` (Lin and others, ICCV 2017: what is recognised already counts
    less, by the power ``focal_gamma``), or ``mse`` and ``huber``, which compare probabilities with 0 and 1 (``mse`` is
    the Brier score). ``label_smoothing`` gives each of these targets that share of the uniform distribution.

    Raises:
        ValueError: there is none of that name, or the author's own cannot be imported.
    """
    smoothing, gamma, delta = p["label_smoothing"], p["focal_gamma"], p["huber_delta"]

    def cross_entropy(scores: Tensor, codes: Tensor) -> Tensor:
        return functional.cross_entropy(scores, codes, label_smoothing=smoothing)

    def focal(scores: Tensor, codes: Tensor) -> Tensor:
        logarithms = functional.log_softmax(scores, 1)
        # Above 0, where powers below 1 have no slope.
        missing = torch.pow((-torch.expm1(logarithms)).clamp_min(1e-7), gamma)
        return -(_smoothed(scores, codes, smoothing) * missing * logarithms).sum(1).mean()

    def mse(scores: Tensor, codes: Tensor) -> Tensor:
        return ((functional.softmax(scores, 1) - _smoothed(scores, codes, smoothing)) ** 2).sum(1).mean()

    def huber(scores: Tensor, codes: Tensor) -> Tensor:
        target = _smoothed(scores, codes, smoothing)
        return functional.huber_loss(functional.softmax(scores, 1), target, "none", delta).sum(1).mean()

    return _chosen(p["loss"], {"auto": cross_entropy, "cross_entropy": cross_entropy}, focal, mse, huber)


def of_numbers(p: Parameters) -> Loss:
    """The loss of predictions, shape (n,), given numbers, shape (n,): ``mse`` (the same as ``auto``) or ``huber``,
    which is linear beyond ``huber_delta``.

    Raises:
        ValueError: there is none of that name, or the author's own cannot be imported.
    """
    delta = p["huber_delta"]

    def huber(predicted: Tensor, numbers: Tensor) -> Tensor:
        return functional.huber_loss(predicted, numbers, delta=delta)

    def mse(predicted: Tensor, numbers: Tensor) -> Tensor:
        return functional.mse_loss(predicted, numbers)

    return _chosen(p["loss"], {"auto": mse}, mse, huber)


def own(path: str) -> Loss:
    """The author's loss, ``module:name``: of outputs and targets, one number or one for each row.

    Raises:
        ValueError: it cannot be imported, or (when it is called) returns something else.
    """
    module, _, name = path.partition(":")
    try:
        function: Callable[[Tensor, Tensor], Any] = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the author's module raises while it is imported
        remedy = "put the module beside the trainables that the server is told about, or install it"
        raise ValueError(f"loss {path!r} cannot be imported: {error}; {remedy}") from error
    if not callable(function):
        raise ValueError(f"loss {path!r} is not a function but {type(function).__name__}; name a function")

    def called(outputs: Tensor, target: Tensor) -> Tensor:
        found = function(outputs, target)
        if not isinstance(found, Tensor) or found.shape not in {(), target.shape}:
            what = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise ValueError(f"loss {path!r} returned {what}; return a tensor of one number, or of one for each row")
        return found.mean()

    return called


def _chosen(name: str, named: dict[str, Loss], *others: Loss) -> Loss:
    if ":" in name:
        return own(name)
    known = {**named, **{loss.__name__: loss for loss in others}}
    if name not in known:
        raise unknown("loss", name, [*known, OWN])
    return known[name]


def _smoothed(scores: Tensor, codes: Tensor, smoothing: float) -> Tensor:
    """The probabilities to learn, shape (n, classes)."""
    return functional.one_hot(codes, scores.shape[1]).to(scores.dtype) * (1 - smoothing) + smoothing / scores.shape[1]
