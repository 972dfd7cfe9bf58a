"""A small network that reports, beside its validation loss, how the loss would change with its hyperparameters.

The steps of gradient descent are differentiated themselves, in forward mode: beside each weight goes its derivative by
each hyperparameter, and both are carried from step to step. So memory does not grow with the steps, the derivatives are
known after each epoch, and a checkpoint holds them like the weights. Franceschi, Donini, Frasconi and Pontil, "Forward
and Reverse Gradient-Based Hyperparameter Optimization", ICML 2017.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional

from searchd.trainable import Context, Infeasible, loguniform, trainable, uniform
from trainables import metrics
from trainables.torch_inputs import standardised, table_scale
from trainables.torch_models import Standardised
from trainables.torch_targets import Probabilities

HYPERPARAMETERS = ("lr", "weight_decay", "label_smoothing")
"""What the loss is differentiated by, in the order of every vector of hyperparameters here."""

DEFAULT = {"lr": 0.1, "weight_decay": 1e-4, "label_smoothing": 0.1, "width": 32, "batch_size": 64}
"""What one would write down before tuning anything."""

PRECISION = torch.float64
"""Derivatives through hundreds of steps lose digits, and networks this small are no slower for having more."""

Weights = Mapping[str, Tensor]
"""A network's weights by name."""


@trainable(
    metrics={"loss": "minimize", **metrics.CLASSIFICATION},
    space={
        "lr": loguniform(1e-3, 1.0),
        "weight_decay": loguniform(1e-6, 1e-1),
        "label_smoothing": uniform(0.0, 0.5),
    },
    default=DEFAULT,
    gradients=["loss"],
)
def torch_hypergradient(ctx: Context) -> Iterator[dict[str, float]]:
    """Network with one hidden layer, which reports the gradient of its validation loss by its hyperparameters.

    ``loss`` is the mean cross-entropy of the validation rows, without smoothing; ``d loss/d lr`` and so on are its
    derivatives. ``width`` and ``batch_size`` have none; studies may fix them, or search them as choices or integers.
    """
    p: dict[str, Any] = {**DEFAULT, **ctx.params}
    data = ctx.dataset()
    metrics.require_classes("torch_hypergradient", data)
    torch.set_num_threads(1)  # a fold run owns one CPU
    rows = torch.tensor(standardised(data.table, ctx.train_index), dtype=PRECISION, device=ctx.device)
    labels = torch.tensor(np.array(data.y), device=ctx.device)
    train, valid = (torch.tensor(index, device=ctx.device) for index in (ctx.train_index, ctx.valid_index))
    torch.manual_seed(ctx.seed)
    net = network(rows.shape[1], p["width"], len(data.classes)).to(ctx.device)
    hyper = torch.tensor([p[name] for name in HYPERPARAMETERS], dtype=PRECISION, device=ctx.device)
    weights: Weights = {name: weight.detach() for name, weight in net.named_parameters()}
    kept = ctx.keep(weights=weights, tangents=untouched(weights))
    weights, tangents = kept["weights"], kept["tangents"]
    truth = np.asarray(data.y)[ctx.valid_index]

    def model() -> nn.Module:
        net.load_state_dict(weights)
        before = Standardised(table_scale(data.table, ctx.train_index), PRECISION)
        return nn.Sequential(before, net.cpu(), Probabilities())

    ctx.model(model, lambda some: np.asarray(data.table[some], dtype=np.float64), data.classes)
    for epoch in ctx.epochs():
        # Each epoch has a seed of its own, so what it draws does not depend on how often the training was paused.
        torch.manual_seed(ctx.seed + epoch)
        for batch in torch.split(train[torch.randperm(len(train)).to(ctx.device)], p["batch_size"]):
            weights, tangents = pushed(net, weights, tangents, hyper, rows[batch], labels[batch])
        ctx.keep(weights=weights, tangents=tangents)
        loss, gradient = validated(net, weights, tangents, rows[valid], labels[valid])
        if not all(map(math.isfinite, (loss, *gradient))):
            raise Infeasible(f"diverged: the validation loss is {loss} at epoch {epoch}, its gradient {gradient}")
        with torch.no_grad():
            predicted = functional_call(net, dict(weights), (rows[valid],)).argmax(1).cpu().numpy()
        derivatives = {f"d loss/d {name}": slope for name, slope in zip(HYPERPARAMETERS, gradient, strict=True)}
        yield {"loss": loss, **metrics.classification(truth, predicted), **derivatives}


def network(columns: int, width: int, classes: int) -> nn.Module:
    """One hidden layer of tanh, which has the second derivatives that the gradient goes through."""
    return nn.Sequential(nn.Linear(columns, width), nn.Tanh(), nn.Linear(width, classes)).to(PRECISION)


def untouched(weights: Weights) -> Weights:
    """The derivatives of weights that no hyperparameter has touched: zeros, by name, each of shape (3, *weight)."""
    return {name: weight.new_zeros(len(HYPERPARAMETERS), *weight.shape) for name, weight in weights.items()}


def stepped(net: nn.Module, weights: Weights, hyper: Tensor, rows: Tensor, labels: Tensor) -> Weights:
    """The weights after one step of gradient descent on a batch.

    Args:
        net: The network, whose own weights are not used.
        weights: Its weights.
        hyper: Values of HYPERPARAMETERS, shape (3,).
        rows: Shape (n, columns).
        labels: Class codes, shape (n,).
    """
    lr, weight_decay, smoothing = hyper.unbind()

    def loss(candidate: Weights) -> Tensor:
        scores = torch.log_softmax(functional_call(net, dict(candidate), (rows,)), 1)
        right = scores.gather(1, labels[:, None]).mean()
        return -(1 - smoothing) * right - smoothing * scores.mean()

    slopes = grad(loss)(weights)
    return {name: weight - lr * (slopes[name] + weight_decay * weight) for name, weight in weights.items()}


def pushed(
    net: nn.Module, weights: Weights, tangents: Weights, hyper: Tensor, rows: Tensor, labels: Tensor
) -> tuple[Weights, Weights]:
    """The weights after one step as ``stepped`` takes it, and their derivatives, carried on from ``tangents``."""

    def push(along_weights: Weights, along_hyper: Tensor) -> tuple[Weights, Weights]:
        def step(at_weights: Weights, at_hyper: Tensor) -> Weights:
            return stepped(net, at_weights, at_hyper, rows, labels)

        after, carried, *_ = jvp(step, (weights, hyper), (along_weights, along_hyper))
        return after, carried

    after, carried = vmap(push)(tangents, torch.diag(torch.ones_like(hyper)))
    # The weights are the same along each hyperparameter, and computed once.
    return {name: weight[0] for name, weight in after.items()}, carried


def validated(
    net: nn.Module, weights: Weights, tangents: Weights, rows: Tensor, labels: Tensor
) -> tuple[float, list[float]]:
    """The mean cross-entropy of the rows, and its derivatives by the hyperparameters, in their order."""

    def loss(candidate: Weights) -> Tensor:
        return functional.cross_entropy(functional_call(net, dict(candidate), (rows,)), labels)

    slopes = grad(loss)(weights)
    gradient = sum(tangents[name].flatten(1) @ slopes[name].flatten() for name in weights)
    return float(loss(weights)), [float(slope) for slope in torch.as_tensor(gradient)]
