"""Trainables that write down every epoch they train, and may have their worker's process killed or stopped."""

import importlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from searchd import failpoints
from searchd.trainable import Context, trainable, uniform

LEDGER = "epochs"
"""Name of the artifact with a line for each epoch that a fold run trained."""

DEFAULT = {"x": 1.0, "seconds": 0.0, "fault": "", "log": ""}


@trainable(metrics={"loss": "minimize"}, space={"x": uniform(-10.0, 10.0)}, default=DEFAULT)
def ledgered(ctx: Context) -> Iterator[dict[str, Any]]:
    """``seconds`` of sleep an epoch, kept in checkpoints; the first to run meets ``fault``, noted in ``log``."""
    arm(ctx.params.get("fault", ""), Path(ctx.params.get("log", "")))
    state = ctx.keep(at=[0])["at"]
    for epoch in ctx.epochs():
        time.sleep(ctx.params.get("seconds", 0.0))
        state[0] += 1
        enter(ctx.artifact(LEDGER), epoch)
        yield {"loss": ctx.params.x**2 / state[0]}


@trainable(metrics={"loss": "minimize"}, space={"x": uniform(-10.0, 10.0)}, default={"x": 1.0})
def immediate(ctx: Context) -> Iterator[dict[str, Any]]:
    """One epoch that takes no time and leaves nothing."""
    yield {"loss": ctx.params.x**2}


def enter(ledger: Path, epoch: int) -> None:
    """Write down an epoch; the line is whole whenever the process is killed."""
    descriptor = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{os.getpid()} {epoch} {time.monotonic():.3f}\n".encode())
    finally:
        os.close(descriptor)


def arm(fault: str, log: Path) -> None:
    """Have this process meet a fault, if no other has claimed it: what servers are told, Ray's processes are not."""
    if not fault:
        return
    try:
        os.close(os.open(log.with_suffix(".claimed"), os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    os.environ.update(SEARCHD_FAILPOINTS=fault, SEARCHD_FAILPOINTS_LOG=str(log))
    # Whoever imported ``reach`` has it look into the same, now renewed, module.
    importlib.reload(failpoints)
