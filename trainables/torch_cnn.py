"""A convolutional network for small images: digits, or any NPZ whose ``X`` has shape (n, h, w) or (n, h, w, c)."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from searchd.trainable import Context, Infeasible, choice, loguniform, randint, trainable, uniform
from trainables import metrics

DEFAULT = {
    "lr": 1e-3,
    "optimizer": "adam",
    "channels": 16,
    "layers": 2,
    "kernel_size": 3,
    "dropout": 0.25,
    "weight_decay": 1e-4,
    "batch_size": 64,
}
"""Adam at PyTorch's own learning rate: what one would write down before tuning anything."""

USUAL_MOMENTUM = 0.9

PREDICTED_AT_ONCE = 1024
"""Rows of a batch without gradients: bounds memory, changes no result."""


@trainable(
    metrics={**metrics.CLASSIFICATION, "loss": "minimize", "train_accuracy": "maximize"},
    space={
        "lr": loguniform(1e-4, 1e-1),
        "optimizer": choice(["sgd", "adam", "rmsprop", "adagrad"]),
        "momentum": uniform(0.0, 0.99, when={"optimizer": ["sgd", "rmsprop"]}),
        "channels": choice([8, 16, 32]),
        "layers": randint(1, 4),
        "kernel_size": choice([3, 5]),
        "dropout": uniform(0.0, 0.5),
        "weight_decay": loguniform(1e-6, 1e-2),
        "batch_size": choice([32, 64, 128]),
    },
    default=DEFAULT,
)
def torch_cnn(ctx: Context) -> Iterator[dict[str, float]]:
    """Convolutional network with batch normalisation and a cosine learning rate, for images of a few classes.

    Parameters that a study neither searches nor fixes take the default's value. ``loss`` is the mean cross-entropy of
    the validation rows; ``train_accuracy`` is counted while the epoch trains, dropout on.
    """
    p: dict[str, Any] = {**DEFAULT, **ctx.params}
    data = ctx.dataset()
    metrics.require_classes("torch_cnn", data)
    _make_deterministic(ctx.seed)
    images = _standardised(data.images, ctx.train_index).to(ctx.device)
    labels = torch.tensor(np.array(data.y), device=ctx.device)
    train, valid = (torch.tensor(index, device=ctx.device) for index in (ctx.train_index, ctx.valid_index))
    net = network(p, images.shape[1:], len(data.classes)).to(ctx.device)
    opt = optimizer(p, net)
    schedule = CosineAnnealingLR(opt, ctx.max_epochs)
    ctx.keep(net=net, opt=opt, schedule=schedule)
    truth = np.asarray(data.y)[ctx.valid_index]
    for epoch in ctx.epochs():
        # Each epoch has a seed of its own, so what it draws does not depend on how often the training was paused.
        torch.manual_seed(ctx.seed + epoch)
        train_accuracy = _train(net, opt, images, labels, batches(train, p["batch_size"]))
        schedule.step()
        scores = _scores(net, images, valid)
        loss = float(functional.cross_entropy(scores, labels[valid]))
        if not math.isfinite(loss):
            raise Infeasible(f"diverged: the validation loss is {loss} at epoch {epoch}")
        predicted = scores.argmax(1).cpu().numpy()
        if epoch == ctx.max_epochs:
            metrics.write_confusion_matrix(ctx.artifact("confusion_matrix.json"), truth, predicted, data.classes)
        yield {**metrics.classification(truth, predicted), "loss": loss, "train_accuracy": train_accuracy}


def network(p: dict[str, Any], shape: Sequence[int], classes: int) -> nn.Module:
    """Blocks of convolution, normalisation, ReLU and (from 4 pixels on) pooling, then a linear layer.

    The first block has ``channels`` channels and the others twice as many.

    Args:
        p: Parameters ``channels``, ``layers``, ``kernel_size`` (odd) and ``dropout``.
        shape: (c, h, w) of an image.
        classes: Number of outputs.
    """
    incoming, height, width = shape
    blocks: list[nn.Module] = []
    for layer in range(p["layers"]):
        outgoing = p["channels"] * (2 if layer else 1)
        size = p["kernel_size"]
        blocks += [
            nn.Conv2d(incoming, outgoing, size, padding=size // 2, bias=False),
            nn.BatchNorm2d(outgoing),
            nn.ReLU(),
        ]
        incoming = outgoing
        if min(height, width) >= 4:
            blocks.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
    return nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(p["dropout"]), nn.Linear(incoming * height * width, classes))


def optimizer(p: dict[str, Any], net: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that ``p`` names, over all weights of ``net``.

    Raises:
        ValueError: there is none of that name.
    """
    decay: dict[str, Any] = {"lr": p["lr"], "weight_decay": p["weight_decay"]}
    momentum = p.get("momentum", USUAL_MOMENTUM)
    match p["optimizer"]:
        case "sgd":
            return torch.optim.SGD(net.parameters(), momentum=momentum, **decay)
        case "rmsprop":
            return torch.optim.RMSprop(net.parameters(), momentum=momentum, **decay)
        case "adam":
            return torch.optim.Adam(net.parameters(), **decay)
        case "adagrad":
            return torch.optim.Adagrad(net.parameters(), **decay)
    raise ValueError(f"optimizer {p['optimizer']!r} is not known; use sgd, adam, rmsprop or adagrad")


def batches(rows: Tensor, size: int) -> list[Tensor]:
    """The rows in random order, cut into batches. A last batch of one row joins the one before: it has no variance."""
    shuffled = rows[torch.randperm(len(rows)).to(rows.device)]
    cut = list(torch.split(shuffled, size))
    if len(cut) > 1 and len(cut[-1]) == 1:
        cut[-2:] = [torch.cat(cut[-2:])]
    return cut


def _make_deterministic(seed: int) -> None:
    torch.set_num_threads(1)  # a fold run owns one CPU; small convolutions do not gain from more
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.manual_seed(seed)


def _standardised(images: NDArray[Any], train_index: NDArray[np.intp]) -> Tensor:
    """All images as (n, c, h, w), each channel with mean 0 and deviation 1 over the training rows."""
    trained = images[train_index]
    mean = trained.mean(axis=(0, 1, 2), dtype=np.float64)
    deviation = trained.std(axis=(0, 1, 2), dtype=np.float64)
    deviation[deviation == 0] = 1.0
    scaled = ((images - mean) / deviation).astype(np.float32)
    return torch.from_numpy(scaled).permute(0, 3, 1, 2).contiguous()


def _train(
    net: nn.Module, opt: torch.optim.Optimizer, images: Tensor, labels: Tensor, epoch_batches: Sequence[Tensor]
) -> float:
    """Train one epoch; the share of rows that were right when they were trained on."""
    net.train()
    right = torch.zeros((), device=images.device)
    for rows in epoch_batches:
        scores = net(images[rows])
        loss = functional.cross_entropy(scores, labels[rows])
        opt.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        opt.step()
        right += (scores.argmax(1) == labels[rows]).sum()
    return float(right) / sum(map(len, epoch_batches))


@torch.no_grad()
def _scores(net: nn.Module, images: Tensor, rows: Tensor) -> Tensor:
    """Outputs for the rows, shape (n_rows, n_classes)."""
    net.eval()
    return torch.cat([net(images[some]) for some in torch.split(rows, PREDICTED_AT_ONCE)])
