"""A convolutional network for small images: digits, or any NPZ whose ``X`` has shape (n, h, w) or (n, h, w, c)."""

from collections.abc import Iterator

from searchd.trainable import Context, choice, loguniform, randint, trainable, uniform
from trainables import metrics, torch_inputs, torch_models, torch_targets
from trainables.torch_networks import convolutional
from trainables.torch_parameters import OPTIMISER_SPACE, TRAINING, completed
from trainables.torch_training import make_deterministic, trained

DEFAULT = {
    **TRAINING,
    "channels": 16,
    "layers": 2,
    "kernel_size": 3,
    "activation": "relu",
    "norm": "batch",
    "residual": False,
    "dropout": 0.25,
    "cutmix": 0.0,
}
"""What one would write down before tuning anything."""


@trainable(
    metrics=torch_targets.CLASSIFICATION,
    space={
        **OPTIMISER_SPACE,
        "channels": choice([8, 16, 32]),
        "layers": randint(1, 4),
        "kernel_size": choice([3, 5]),
        "dropout": uniform(0.0, 0.5),
        "weight_decay": loguniform(1e-6, 1e-2),
        "batch_size": choice([32, 64, 128]),
    },
    default=DEFAULT,
    checkpoints=True,
)
def torch_cnn(ctx: Context) -> Iterator[dict[str, float]]:
    """Convolutional network with batch normalisation and a cosine learning rate, for images of a few classes.

    Parameters that a study neither searches nor fixes take the default's value. ``loss`` is the mean cross-entropy of
    the validation rows; ``train_accuracy`` is counted while the epoch trains, dropout and mixing on.
    """
    p = completed(DEFAULT, ctx.params)
    data = ctx.dataset()
    metrics.require_classes("torch_cnn", data)
    make_deterministic(ctx.seed)
    images = torch_inputs.images(data, ctx.train_index)
    target = torch_targets.Classes(data, ctx.device)
    net = convolutional(p, images.shape[1:], target.outputs)
    torch_models.of_images(ctx, data, net, target)
    yield from trained(ctx, p, net, images, target)
