"""Compression: the parent's network made smaller by pruning and by weights of 8 bits, and trained on a little."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from searchd.trainable import Context, Infeasible, choice, loguniform, randint, trainable, uniform
from trainables import torch_targets
from trainables.network_file import Description, packed, read
from trainables.torch_architectures import NETWORK, Blueprint, read_blueprint
from trainables.torch_inheritance import heir, require_row
from trainables.torch_narrowing import POWERS, narrow
from trainables.torch_optimisers import optimizer
from trainables.torch_parameters import TRAINING, Parameters, completed, unknown
from trainables.torch_pruning import Masks, share_at
from trainables.torch_quantisation import required
from trainables.torch_training import WEIGHTS, Training, batches, checked, make_deterministic

COMPRESSED = "compressed.safetensors.gz"
"""The artifact that holds the compressed network; ``network_file.read`` reads it."""

PRUNINGS = ("none", "magnitude", "structured")

DEFAULT = {
    "pruning": "magnitude",
    "sparsity": 0.7,
    "importance": "l1",
    "pruning_steps": 1,
    "quantisation": "int8",
    "lr": 1e-3,
}
"""What one would write down before tuning anything."""

NOT_HERE = ("compile", "patience")
"""Parameters of training that a network which is compressed has no use for."""

TIMED = 20
WARM = 3
ROWS_TIMED = 64
"""Latency: the median of this many passes after some to warm up, each of at most so many rows."""

METRICS = {"bytes": "minimize", "saved": "maximize", "parameters": "minimize", "latency_ms": "minimize"}
"""What is reported beside the scores."""


@trainable(
    metrics={"loss": "minimize", **torch_targets.CLASSIFICATION, **torch_targets.REGRESSION, **METRICS},
    space={
        "pruning": choice(PRUNINGS),
        "sparsity": uniform(0.0, 0.95, when={"pruning": ["magnitude", "structured"]}),
        "pruning_steps": randint(1, 4, when={"pruning": ["magnitude"]}),
        "importance": choice(list(POWERS), when={"pruning": ["structured"]}),
        "quantisation": choice(["none", "int8"]),
        "lr": loguniform(1e-4, 1e-2),
    },
    default=DEFAULT,
    checkpoints=True,
    parent=True,
)
def compress(ctx: Context) -> Iterator[dict[str, float]]:
    """The parent's network, pruned and with weights of 8 bits, trained on for the study's epochs.

    Scores, predictions, ``bytes`` and ``latency_ms`` are those of the network that is read back from the file that it
    was written to. Parameters that a study neither searches nor fixes take the default's value, and those of training
    the parent's.
    """
    parent, data = ctx.parent, ctx.dataset()
    blueprint = read_blueprint(parent.artifact(NETWORK))
    p = _parameters(_inherited(blueprint, parent.params), ctx.params)
    make_deterministic(ctx.seed)
    inputs = blueprint.architecture.inputs(data, ctx.train_index)
    require_row(blueprint, tuple(inputs.shape[1:]))
    target = torch_targets.target_of(data, ctx.train_index, ctx.device)
    net = heir(blueprint, parent.artifact(WEIGHTS), _same_classes(blueprint, data)).to(ctx.device)
    whole = len(packed(Description(blueprint, "none"), net).content)
    if p["pruning"] == "structured":
        narrow(net, p["sparsity"], p["importance"])
    made = Training(p, net, net, optimizer(p, net), inputs.to(ctx.device), target, target.loss(p))
    yield from _trained(
        ctx, made, Compression(Description(blueprint, p["quantisation"]), ctx.artifact(COMPRESSED), whole)
    )


@dataclass(frozen=True, slots=True)
class Compression:
    """A network on its way to a file and back.

    Attributes:
        description: What the file says of it.
        path: Of the file.
        whole: Bytes of the parent's network in such a file.
    """

    description: Description
    path: Path
    whole: int

    def written(self, net: nn.Module) -> dict[str, float]:
        """Write the network; how large it is."""
        made = packed(self.description, net)
        made.write(self.path)
        size = self.path.stat().st_size
        return {"bytes": size, "saved": 1 - size / self.whole, "parameters": made.parameters}

    def read(self, made: Training) -> Training:
        """The same training with the network that is in the file."""
        net = read(self.path, made.inputs.device.type)
        return replace(made, net=net, forward=net)


def _trained(ctx: Context, made: Training, compression: Compression) -> Iterator[dict[str, float]]:
    """Train, prune on the way, and after each epoch report what the file gives that the network is written to."""
    p, target = made.p, made.target
    masks = Masks(made.net, made.opt)
    ctx.keep(net=made.net, opt=made.opt, masks=masks)
    train, valid = (torch.tensor(index, device=ctx.device) for index in (ctx.train_index, ctx.valid_index))
    ctx.predict(lambda rows: target.predictions(compression.read(made).given(torch.tensor(rows, device=ctx.device))))
    steps = min(p["pruning_steps"], ctx.max_epochs) if p["pruning"] == "magnitude" else 0
    for epoch in ctx.epochs():
        torch.manual_seed(ctx.seed + epoch)  # as in all training here, so that pauses change nothing
        if epoch <= steps:
            masks.prune(p["sparsity"] * share_at(epoch, steps))
        in_training = made.epoch(checked(batches(train, p["batch_size"]), p), epoch - 1, ctx.max_epochs)
        sizes = compression.written(made.net)
        compressed = compression.read(made)
        given = compressed.given(valid)
        scores = target.scores(given, valid)
        if not math.isfinite(scores["loss"]):
            raise Infeasible(f"diverged: the validation loss is {scores['loss']} at epoch {epoch}")
        if epoch == ctx.max_epochs:
            target.write(given, valid, ctx.artifact)
        latency = milliseconds(compressed.net, made.inputs[valid[:ROWS_TIMED]])
        yield {**scores, **target.training(in_training, scores), **sizes, "latency_ms": latency}


@torch.no_grad()
def milliseconds(net: nn.Module, rows: Tensor) -> float:
    """How long the network takes for a batch of rows, on one thread: the median of several passes."""
    taken = []
    for _ in range(WARM + TIMED):
        began = time.perf_counter()
        net(rows)
        if rows.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return 1000 * median(taken[WARM:])


def _same_classes(blueprint: Blueprint, data: Any) -> tuple[Any, ...] | None:
    """The dataset's classes, which must be those that the network tells apart; None for numbers.

    Raises:
        ValueError: they are others.
    """
    classes = tuple(data.classes) if data.task == "classification" else None
    if classes != blueprint.classes:
        raise ValueError(
            "the parent's network was trained for other classes than the dataset has; leave out `dataset`, to have the "
            "parent's, or let fine_tune give it these first"
        )
    return classes


def _inherited(blueprint: Blueprint, parent: Mapping[str, Any]) -> dict[str, Any]:
    """What the network is built from, and how it was trained."""
    trained = {name: value for name, value in parent.items() if name in TRAINING}
    return {**blueprint.architecture.default, **blueprint.parameters, **trained}


def _parameters(inherited: Parameters, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the network was built from and how the parent trained it, with this trial's parameters on top.

    Raises:
        ValueError: there is no such parameter, or no such value.
    """
    known = {**DEFAULT, **{name: value for name, value in inherited.items() if name in TRAINING}, "lr": DEFAULT["lr"]}
    odd = [name for name in given if name not in known or name in NOT_HERE]
    if odd:
        remedy = "leave it out" if odd[0] in inherited else f"use {', '.join(sorted({*known} - {*NOT_HERE}))}"
        raise ValueError(f"compress has no parameter {odd[0]!r}: the network is the parent's; {remedy}")
    p = {**inherited, **completed(known, given), "compile": False, "patience": 0}
    if p["pruning"] not in PRUNINGS:
        raise unknown("pruning", p["pruning"], PRUNINGS)
    if p["importance"] not in POWERS:
        raise unknown("importance", p["importance"], tuple(POWERS))
    if not 0 <= p["sparsity"] < 1:
        raise ValueError(f"sparsity is {p['sparsity']!r}; give a number from 0 to below 1")
    if p["pruning_steps"] < 1:
        raise ValueError(f"pruning_steps is {p['pruning_steps']!r}; give a whole number of at least 1")
    required(p["quantisation"])
    return p
