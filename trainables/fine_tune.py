"""Transfer learning: a network that begins with the weights that another study has found."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from searchd.trainable import Context, loguniform, randint, trainable, uniform
from trainables import torch_targets
from trainables.torch_architectures import NETWORK, Blueprint, drawn, handed_over, read_blueprint
from trainables.torch_inheritance import heir, require_row
from trainables.torch_inputs import Rows
from trainables.torch_parameters import TRAINING, completed
from trainables.torch_thawing import THAWING
from trainables.torch_training import WEIGHTS, make_deterministic, trained

DEFAULT = {**TRAINING, **THAWING, "share": 1.0, "from_scratch": False, "weights": ""}
"""Everything is trained on, and all of the network."""


@trainable(
    metrics={"loss": "minimize", **torch_targets.CLASSIFICATION, **torch_targets.REGRESSION},
    space={
        "lr": loguniform(1e-4, 1e-1),
        "weight_decay": loguniform(1e-6, 1e-2),
        "frozen": randint(0, 4),
        "unfreeze_every": randint(0, 4, when={"frozen": [1, 2, 3]}),
        "layer_decay": uniform(0.2, 1.0),
    },
    default=DEFAULT,
    checkpoints=True,
)
def fine_tune(ctx: Context) -> Iterator[dict[str, float]]:
    """Network of the parent study that begins with its weights, for other classes or numbers too.

    It is the parent trial's network of the same fold, or that of a file of ``weights`` beside which a ``network.json``
    describes it. The head is a fresh one where the classes are others. ``share`` of the training rows are trained on,
    of each class alike, and the smaller share is a part of the larger; inputs and numbers are standardised by them.
    With ``from_scratch``, the same network has fresh weights, and all of it learns at one rate.
    """
    data = ctx.dataset()
    blueprint, weights = _origin(ctx)
    p = completed({**DEFAULT, **blueprint.parameters}, ctx.params)
    if p["from_scratch"]:
        p |= THAWING
    make_deterministic(ctx.seed)
    rows = some(ctx.train_index, data, p["share"], (ctx.repeat, ctx.fold + 1))
    inputs = blueprint.architecture.inputs(data, rows)
    require_row(blueprint, tuple(inputs.shape[1:]))
    own = drawn(ctx, blueprint.network, p, data, inputs)
    net = own.build() if p["from_scratch"] else heir(blueprint, weights, own.classes)
    target = torch_targets.target_of(data, rows, ctx.device)
    handed_over(ctx, own, data, net, target, rows)
    yield from trained(ctx, p, net, inputs, target, rows)


def _origin(ctx: Context) -> tuple[Blueprint, Path]:
    """What to begin with: a file, if the study names one, else what the parent has left.

    Raises:
        ValueError: there is neither, or the file is not there or is not described.
        MissingPart: the parent has left no network.
    """
    named = ctx.params.get("weights", "")
    if named:
        weights = Path(str(named))
        if not weights.is_absolute() or not weights.is_file():
            raise ValueError(f"weights is {named!r}, which is no file; give the absolute path of one on every node")
        return read_blueprint(weights.with_name(NETWORK)), weights
    try:
        parent = ctx.parent
    except RuntimeError as error:
        remedy = "name a `parent` study, or fix `weights` to a file"
        raise ValueError(f"fine_tune has no weights to begin with; {remedy}") from error
    return read_blueprint(parent.artifact(NETWORK)), parent.artifact(WEIGHTS)


def some(train: Rows, data: Any, share: float, seed: tuple[int, int]) -> Rows:
    """A share of the rows, shape (n,), in their order: at least one of each class, or two where there are none.

    The same seed puts the rows in the same order, of which a share is the beginning.
    """
    if share == 1:
        return train
    shuffled = train[np.random.default_rng(seed).permutation(len(train))]
    kinds = np.asarray(data.y)[shuffled] if data.task == "classification" else np.zeros(len(train))
    least = 1 if data.task == "classification" else 2
    parts = [shuffled[kinds == kind] for kind in np.unique(kinds)]
    return np.sort(np.concatenate([part[: max(least, math.ceil(share * len(part)))] for part in parts]))
