"""Small trainables for tests, well-behaved and not. Metrics are ``loss`` (minimize) unless the docstring says more."""

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from searchd.trainable import Context, Infeasible, choice, loguniform, trainable, uniform

LOSS = {"loss": "minimize"}
X = {"x": uniform(-10.0, 10.0)}


@trainable(metrics=LOSS, space=X, default={"x": 1.0})
def trivial(ctx: Context) -> Iterator[dict[str, Any]]:
    """One epoch, at once: the square of x."""
    yield {"loss": ctx.params.get("x", 0.0) ** 2}


@trainable(metrics=LOSS, space={**X, "rate": loguniform(1e-3, 0.5)}, default={"x": 1.0, "rate": 0.1, "seconds": 0.0})
def quadratic(ctx: Context) -> Iterator[dict[str, Any]]:
    """Gradient descent on x squared from x, kept in checkpoints; ``seconds`` of sleep an epoch."""
    state = ctx.keep(at=[float(ctx.params.get("x", 10.0))])["at"]
    for _ in ctx.epochs():
        time.sleep(ctx.params.get("seconds", 0.0))
        state[0] -= ctx.params.get("rate", 0.1) * 2 * state[0]
        yield {"loss": state[0] ** 2}


@trainable(metrics=LOSS, space=X, default={"x": 1.0, "seconds": 0.0})
def forgetful(ctx: Context) -> Iterator[dict[str, Any]]:
    """Many epochs without checkpoints; ``seconds`` of sleep an epoch."""
    for epoch in ctx.epochs():
        time.sleep(ctx.params.get("seconds", 0.0))
        yield {"loss": ctx.params.get("x", 0.0) ** 2 / epoch}


@trainable(metrics={"accuracy": "maximize"}, space=X)
def folded(ctx: Context) -> Iterator[dict[str, Any]]:
    """Reports which rows it was given: ``accuracy`` is the sum of the row numbers to validate on, over 1000."""
    for _ in ctx.epochs():
        yield {"accuracy": float(sum(ctx.valid_index)) / 1000, "rows": len(ctx.train_index)}


@trainable(
    metrics=LOSS, space={**X, "kind": choice(["plain", "shifted"]), "shift": uniform(0, 1, when={"kind": ["shifted"]})}
)
def conditional(ctx: Context) -> Iterator[dict[str, Any]]:
    """One epoch over a conditional space."""
    yield {"loss": ctx.params.x**2 + ctx.params.get("shift", 0.0)}


class Unspeakable(Exception):  # noqa: N818  # named for what it is
    """Cannot be turned into text."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@trainable(metrics=LOSS, space=X)
def unspeakable(ctx: Context) -> Iterator[dict[str, Any]]:
    """Raises an exception whose message cannot be had."""
    raise Unspeakable
    yield {}


@trainable(metrics=LOSS, space=X)
def raises(ctx: Context) -> Iterator[dict[str, Any]]:
    """Raises ValueError, at the epoch ``at`` if fixed, else at the first."""
    for epoch in ctx.epochs():
        if epoch >= ctx.params.get("at", 1):
            raise ValueError("the numbers do not add up")
        yield {"loss": 1.0}


@trainable(metrics=LOSS, space=X)
def gives_up(ctx: Context) -> Iterator[dict[str, Any]]:
    """Raises Infeasible in the second epoch."""
    yield {"loss": 1.0}
    raise Infeasible("diverged")


@trainable(metrics=LOSS, space=X)
def nan(ctx: Context) -> Iterator[dict[str, Any]]:
    """Reports NaN, from the epoch ``at`` on if fixed, else from the first."""
    for epoch in ctx.epochs():
        yield {"loss": float("nan") if epoch >= ctx.params.get("at", 1) else 1.0}


@trainable(metrics=LOSS, space=X)
def silent(ctx: Context) -> Iterator[dict[str, Any]]:
    """Never yields."""
    if ctx.max_epochs < 0:
        yield {"loss": 0.0}


@trainable(metrics=LOSS, space=X)
def exits(ctx: Context) -> Iterator[dict[str, Any]]:
    """Ends its process with code 3."""
    if ctx.max_epochs > 0:
        os._exit(3)
    yield {"loss": 0.0}


@trainable(metrics=LOSS, space=X)
def hangs(ctx: Context) -> Iterator[dict[str, Any]]:
    """Sleeps for ever before its first report."""
    while ctx.max_epochs > 0:
        time.sleep(0.05)
    yield {"loss": 0.0}


@trainable(metrics=LOSS, space=X)
def wrong_metric(ctx: Context) -> Iterator[dict[str, Any]]:
    """Declares ``loss`` and reports ``lost``."""
    yield {"lost": 1.0}


@trainable(metrics=LOSS, space=X)
def prints(ctx: Context) -> Iterator[dict[str, Any]]:
    """Prints a line to each of stdout and stderr in every epoch."""
    for epoch in ctx.epochs():
        sys.stdout.write(f"epoch {epoch} of fold {ctx.fold}\n")
        sys.stderr.write(f"warning {epoch}\n")
        yield {"loss": 1.0}


@trainable(metrics=LOSS, space=X)
def returns_early(ctx: Context) -> Iterator[dict[str, Any]]:
    """Returns after two epochs."""
    for epoch in (1, 2):
        yield {"loss": 1.0 / epoch}
