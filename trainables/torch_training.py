"""The training of a network, epoch by epoch, and what it reports."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from searchd.trainable import Context, Infeasible
from trainables.torch_losses import Loss
from trainables.torch_mixing import Batch, mixed
from trainables.torch_optimisers import optimizer, rate, set_rate
from trainables.torch_parameters import Parameters
from trainables.torch_targets import Target

PREDICTED_AT_ONCE = 1024
"""Rows of a batch without gradients: bounds memory, changes no result."""


WEIGHTS = "weights.pt"
"""The artifact that holds the state of a network that was trained to its end."""


@dataclass(slots=True)
class Patience:
    """Early stopping: how long the validation loss has not fallen.

    Attributes:
        epochs: For how many epochs it may fail to fall; 0 for any number.
        least: The least loss so far.
        waited: Epochs since then.
    """

    epochs: int
    least: float = math.inf
    waited: int = 0

    @property
    def spent(self) -> bool:
        """Whether to stop."""
        return 0 < self.epochs <= self.waited

    def told(self, loss: float) -> None:
        """Another epoch has ended with this loss."""
        self.waited = 0 if loss < self.least else self.waited + 1
        self.least = min(loss, self.least)

    def state_dict(self) -> dict[str, float]:
        """For a checkpoint."""
        return {"least": self.least, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """From a checkpoint."""
        self.least, self.waited = state["least"], int(state["waited"])


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """A network and what trains it.

    Attributes:
        p: The parameters.
        net: The network.
        forward: The network, compiled if that was asked for.
        opt: Its optimiser.
        inputs: All rows of the dataset, shape (n, ...).
        target: What they are to give.
        loss: What training makes small.
    """

    p: Parameters
    net: nn.Module
    forward: Callable[[Tensor], Tensor]
    opt: torch.optim.Optimizer
    inputs: Tensor
    target: Target
    loss: Loss

    def epoch(self, cut: Sequence[Tensor], trained: int, epochs: int) -> float:
        """Train one epoch on these batches; the mean over their rows of what the target measures, while training.

        Raises:
            Infeasible: the loss is not finite.
        """
        self.net.train()
        measured = torch.zeros((), device=self.inputs.device)
        total = torch.zeros((), device=self.inputs.device)
        for number, rows in enumerate(cut):
            set_rate(self.opt, rate(self.p, trained + number / len(cut), epochs))
            loss, some = self._step(mixed(self.p, Batch(self.inputs[rows], self.target.values[rows])))
            measured += some
            total += loss
        if not math.isfinite(total):
            raise Infeasible(f"diverged: the training loss is {float(total)} at epoch {trained + 1}")
        return float(measured) / sum(map(len, cut))

    def _step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One step of the optimiser; the loss, and the sum of what the target measures, both without gradients."""
        given = self._answers(batch.inputs)
        loss = batch.weighed(lambda target: self.loss(given, target))
        if self.p["l1"]:
            # Vectors are biases and the scales of normalisation, which are not to become few.
            matrices = [weight for weight in self.net.parameters() if weight.dim() > 1]
            loss = loss + self.p["l1"] * torch.stack([weight.abs().sum() for weight in matrices]).sum()
        self.opt.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.opt.step()
        return loss.detach(), batch.weighed(lambda target: self.target.measured(given.detach(), target).sum())

    @torch.no_grad()
    def given(self, rows: Tensor) -> Tensor:
        """The network's answers for rows, shape (n_rows,) or (n_rows, classes)."""
        self.net.eval()
        return torch.cat([self._answers(self.inputs[some]) for some in torch.split(rows, PREDICTED_AT_ONCE)])

    def _answers(self, inputs: Tensor) -> Tensor:
        """With products in bfloat16, which needs no scaling of losses, if that was asked for and there is a GPU."""
        device = inputs.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.p["mixed_precision"] and device == "cuda"):
            return self.target.answers(self.forward(inputs).float())


def trained(ctx: Context, p: Parameters, net: nn.Module, inputs: Tensor, target: Target) -> Iterator[dict[str, float]]:
    """Train ``net`` and report after each epoch; keeps what a checkpoint needs, and stops when patience is spent.

    Args:
        ctx: The fold run.
        p: The parameters, those of ``TRAINING`` among them.
        net: The network.
        inputs: All rows of the dataset, shape (n, ...).
        target: What they are to give.

    Raises:
        Infeasible: a loss is not finite.
        ValueError: a parameter has a value that there is not, or a batch is too small for its normalisation.
    """
    net = net.to(ctx.device)
    forward: Any = torch.compile(net) if p["compile"] else net
    made = Training(p, net, forward, optimizer(p, net), inputs.to(ctx.device), target, target.loss(p))
    train, valid = (torch.tensor(index, device=ctx.device) for index in (ctx.train_index, ctx.valid_index))
    patience = Patience(p["patience"])
    ctx.keep(net=net, opt=made.opt, patience=patience)
    ctx.predict(lambda rows: target.predictions(made.given(torch.tensor(rows, device=ctx.device))))
    for epoch in ctx.epochs():
        if patience.spent:
            return
        # Each epoch has a seed of its own, so what it draws does not depend on how often the training was paused.
        torch.manual_seed(ctx.seed + epoch)
        in_training = made.epoch(_checked(batches(train, p["batch_size"]), p), epoch - 1, ctx.max_epochs)
        given = made.given(valid)
        scores = target.scores(given, valid)
        if not math.isfinite(scores["loss"]):
            raise Infeasible(f"diverged: the validation loss is {scores['loss']} at epoch {epoch}")
        patience.told(scores["loss"])
        if epoch == ctx.max_epochs or patience.spent:
            target.write(given, valid, ctx.artifact)
            torch.save(net.state_dict(), ctx.artifact(WEIGHTS))
        yield {**scores, **target.training(in_training, scores)}


def make_deterministic(seed: int) -> None:
    """Let the same seed give the same numbers, on one CPU."""
    torch.set_num_threads(1)  # a fold run owns one CPU; small networks do not gain from more
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.manual_seed(seed)


def batches(rows: Tensor, size: int) -> list[Tensor]:
    """The rows in random order, cut into batches. A last batch of one row joins the one before: it has no variance."""
    shuffled = rows[torch.randperm(len(rows)).to(rows.device)]
    cut = list(torch.split(shuffled, size))
    if len(cut) > 1 and len(cut[-1]) == 1:
        cut[-2:] = [torch.cat(cut[-2:])]
    return cut


def _checked(cut: list[Tensor], p: Parameters) -> list[Tensor]:
    """The batches, if their rows can be normalised.

    Raises:
        ValueError: one has a single row, which has no variance.
    """
    if p.get("norm") == "batch" and min(map(len, cut)) == 1:
        why = "raise batch_size" if p["batch_size"] == 1 else "give more rows"
        raise ValueError(f"norm 'batch' needs at least 2 rows in a batch, but one has 1; {why} or set norm to 'layer'")
    return cut
