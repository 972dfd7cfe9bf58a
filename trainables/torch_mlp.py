"""A network of fully connected layers, for tables of numbers with missing values, and for images as rows."""

from collections.abc import Iterator

from searchd.trainable import Context, choice, lograndint, loguniform, randint, trainable, uniform
from trainables import torch_inputs, torch_models, torch_targets
from trainables.torch_networks import perceptron
from trainables.torch_parameters import OPTIMISER_SPACE, TRAINING, completed
from trainables.torch_training import make_deterministic, trained

DEFAULT = {
    **TRAINING,
    "layers": 2,
    "width": 64,
    "taper": 1.0,
    "activation": "relu",
    "norm": "batch",
    "residual": False,
    "dropout": 0.1,
}
"""What one would write down before tuning anything."""


@trainable(
    # The loss comes first, since it is there for classes and for numbers, and the first is the usual objective.
    metrics={"loss": "minimize", **torch_targets.CLASSIFICATION, **torch_targets.REGRESSION},
    space={
        **OPTIMISER_SPACE,
        "layers": randint(1, 5),
        "width": lograndint(16, 257),
        "activation": choice(["relu", "gelu", "silu", "tanh"]),
        "norm": choice(["batch", "layer", "none"]),
        "residual": choice([False, True]),
        "dropout": uniform(0.0, 0.5),
        "weight_decay": loguniform(1e-6, 1e-2),
        "batch_size": choice([32, 64, 128]),
    },
    default=DEFAULT,
    checkpoints=True,
)
def torch_mlp(ctx: Context) -> Iterator[dict[str, float]]:
    """Fully connected network for classes or numbers.

    Parameters that a study neither searches nor fixes take the default's value. ``loss`` is the mean cross-entropy of
    the validation rows, or their mean squared error as a share of the training target's variance. A missing value is
    the column's mean.
    """
    p = completed(DEFAULT, ctx.params)
    data = ctx.dataset()
    make_deterministic(ctx.seed)
    rows = torch_inputs.table(data, ctx.train_index)
    target = torch_targets.target_of(data, ctx.train_index, ctx.device)
    net = perceptron(p, rows.shape[1], target.outputs)
    torch_models.of_table(ctx, data, net, target)
    yield from trained(ctx, p, net, rows, target)
