"""A recurrent or an attention network, for sequences: images line by line, tables column by column."""

from collections.abc import Iterator

from searchd.trainable import Context, choice, loguniform, randint, trainable, uniform
from trainables import torch_inputs, torch_models, torch_targets
from trainables.torch_networks import sequential
from trainables.torch_parameters import OPTIMISER_SPACE, TRAINING, completed
from trainables.torch_training import make_deterministic, trained

DEFAULT = {**TRAINING, "block": "gru", "layers": 1, "width": 64, "heads": 4, "dropout": 0.1}
"""What one would write down before tuning anything."""


@trainable(
    metrics={"loss": "minimize", **torch_targets.CLASSIFICATION, **torch_targets.REGRESSION},
    space={
        **OPTIMISER_SPACE,
        "block": choice(["gru", "attention"]),
        "layers": randint(1, 4),
        "width": choice([32, 64, 128]),
        "heads": choice([2, 4, 8], when={"block": ["attention"]}),
        "dropout": uniform(0.0, 0.5),
        "weight_decay": loguniform(1e-6, 1e-2),
        "batch_size": choice([32, 64, 128]),
    },
    default=DEFAULT,
    checkpoints=True,
)
def torch_sequence(ctx: Context) -> Iterator[dict[str, float]]:
    """Gated recurrent units or self-attention, for classes or numbers.

    Steps and their values are those of ``torch_inputs.sequences``; the rest is as in ``torch_mlp``.
    """
    p = completed(DEFAULT, ctx.params)
    data = ctx.dataset()
    make_deterministic(ctx.seed)
    rows = torch_inputs.sequences(data, ctx.train_index)
    target = torch_targets.target_of(data, ctx.train_index, ctx.device)
    net = sequential(p, rows.shape[1], rows.shape[2], target.outputs)
    torch_models.of_sequences(ctx, data, rows.shape[1], rows.shape[2], net, target)
    yield from trained(ctx, p, net, rows, target)
