"""Distillation: a small network that learns from the answers of a parent study's model."""

from collections.abc import Iterator
from typing import Any

from searchd.trainable import Context, Infeasible, choice, lograndint, loguniform, randint, trainable, uniform
from trainables import torch_targets
from trainables.torch_architectures import ARCHITECTURES, drawn, handed_over
from trainables.torch_parameters import OPTIMISER_SPACE, completed, unknown
from trainables.torch_teaching import TEACHING, Taught, checked_predictions
from trainables.torch_training import make_deterministic, trained

DEFAULT: dict[str, Any] = {
    **ARCHITECTURES["sequence"].default,
    **ARCHITECTURES["cnn"].default,
    **ARCHITECTURES["mlp"].default,
    **TEACHING,
    "student": "mlp",
    "layers": 1,
    "width": 16,
    "channels": 8,
}
"""A small student of any kind."""


@trainable(
    metrics={"loss": "minimize", **torch_targets.CLASSIFICATION, **torch_targets.REGRESSION},
    space={
        **OPTIMISER_SPACE,
        "temperature": loguniform(1.0, 20.0),
        "weight": uniform(0.0, 1.0),
        "student": choice(list(ARCHITECTURES)),
        "layers": randint(1, 4),
        "width": lograndint(8, 129, when={"student": ["mlp", "sequence"]}),
        "channels": choice([4, 8, 16], when={"student": ["cnn"]}),
    },
    default=DEFAULT,
    checkpoints=True,
    parent=True,
)
def distill(ctx: Context) -> Iterator[dict[str, float]]:
    """Small network that learns from the parent's predictions and from the targets.

    The teacher is whatever the parent's trial was: what it said of the training rows is stored, and its model of this
    fold has not seen the validation rows. With ``weight`` 0 nothing is learnt from it.
    """
    p = _completed(ctx.params)
    data = ctx.dataset()
    architecture = ARCHITECTURES[p["student"]]
    if p["student"] == "cnn" and data.X.ndim == 2 and data.image_shape is None:
        raise Infeasible("student cnn is for images, and the dataset is a table; fix student to mlp or sequence")
    said = checked_predictions(ctx.parent.predictions(ctx.train_index), ctx.train_index, data)
    make_deterministic(ctx.seed)
    rows = architecture.inputs(data, ctx.train_index)
    target = Taught(torch_targets.target_of(data, ctx.train_index, ctx.device), said, ctx.train_index)
    blueprint = drawn(ctx, p["student"], p, data, rows)
    net = blueprint.build()
    handed_over(ctx, blueprint, data, net, target, ctx.train_index)
    yield from trained(ctx, p, net, rows, target)


def _completed(given: Any) -> dict[str, Any]:
    """The parameters that the student has.

    Raises:
        ValueError: there is no such student, or a value is of another kind than the default's, or out of its range.
    """
    p = completed(DEFAULT, given)
    if p["student"] not in ARCHITECTURES:
        raise unknown("student", p["student"], list(ARCHITECTURES))
    has = {"student", *ARCHITECTURES[p["student"]].default, *TEACHING}
    return {name: value for name, value in p.items() if name in has}
