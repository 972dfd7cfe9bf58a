"""Trainables that fail in ways of their own. Metrics are ``loss`` (minimize)."""

import errno
import os
import sys
import weakref
from collections.abc import Iterator
from typing import Any

from searchd.trainable import Context, Infeasible, trainable, uniform

LOSS = {"loss": "minimize"}
X = {"x": uniform(-10.0, 10.0)}

burdens: weakref.WeakSet[Any] = weakref.WeakSet()
"""What ``hungry`` has allocated and nobody has let go of."""


class Burden:
    """Something large that refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self
        burdens.add(self)


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def _exhaust(how: str) -> None:
    match how:
        case "host":
            raise MemoryError
        case "refused":
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        case "torch":
            import torch

            torch.empty(10**16)
        case "cuda":
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        case "old cuda":
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        case "cublas":
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        case "hidden":
            try:
                raise MemoryError
            except MemoryError as error:
                raise ValueError("training failed") from error


@trainable(metrics=LOSS, space=X)
def hungry(ctx: Context) -> Iterator[dict[str, Any]]:
    """Keeps something large and has more of it at hand; runs out of memory at once, in the way that ``how`` says."""
    ctx.keep(weight=Burden())
    at_hand = Burden()
    _exhaust(ctx.params["how"])
    yield {"loss": float(at_hand in burdens)}


@trainable(metrics=LOSS, space=X)
def leaves(ctx: Context) -> Iterator[dict[str, Any]]:
    """Calls sys.exit()."""
    if ctx.max_epochs:
        sys.exit("enough of this")
    yield {"loss": 0.0}


@trainable(metrics=LOSS, space=X)
def bare(ctx: Context) -> Iterator[Any]:
    """Yields nothing."""
    yield


@trainable(metrics=LOSS, space=X)
def wordy(ctx: Context) -> Iterator[dict[str, Any]]:
    """Reports a text."""
    yield {"loss": "much"}


@trainable(metrics=LOSS, space=X)
def infeasible(ctx: Context) -> Iterator[dict[str, Any]]:
    """Gives up at once."""
    raise Infeasible
    yield {"loss": 0.0}


@trainable(metrics=LOSS, space=X)
def unpicklable(ctx: Context) -> Iterator[dict[str, Any]]:
    """Keeps what cannot be saved."""
    ctx.keep(function=lambda: None)
    for epoch in ctx.epochs():
        yield {"loss": 1.0 / epoch}


@trainable(metrics=LOSS, space=X)
def stumbling(ctx: Context) -> Iterator[dict[str, Any]]:
    """Poisons its state in epoch 4 and raises, the first time that this process gets there."""
    state = ctx.keep(sum=[0.0])["sum"]
    for epoch in ctx.epochs():
        state[0] += epoch
        if epoch == 4 and not stumbles:
            stumbles.append(epoch)
            state[0] = -1e9
            raise ValueError("stumbled")
        yield {"loss": state[0]}


stumbles: list[int] = []


class Unreadable:
    """Needs more memory than there is to be restored."""

    def __reduce__(self) -> Any:
        return _exhaust, ("host",)


@trainable(metrics=LOSS, space=X)
def unreadable(ctx: Context) -> Iterator[dict[str, Any]]:
    """Keeps what cannot be restored."""
    ctx.keep(heavy=Unreadable())
    for epoch in ctx.epochs():
        yield {"loss": 1.0 / epoch}
