"""The trainables that take no time, for a server to register."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.work import HIGH, LOW, square
from searchd.trainable import Context, randint, trainable, uniform

MODULE = "benchmarks.trainables_for_benchmarks"
LOSS = {"loss": "minimize"}
X = {"x": uniform(LOW, HIGH)}

HELD_FOLDER = "BENCHMARK_HELD_FOLDER"
"""Environment variable of the server with the folder through which ``benchmark_held`` is steered."""


@trainable(metrics=LOSS, space=X)
def benchmark_trivial(ctx: Context) -> Iterator[dict[str, Any]]:
    """One epoch that takes no time."""
    yield {"loss": square(ctx.params.x)}


@trainable(metrics=LOSS, space={**X, "study": randint(1, 1_000_000), "free": randint(1, 1_000_000)})
def benchmark_held(ctx: Context) -> Iterator[dict[str, Any]]:
    """At once for the first ``free`` trials of ``study``, both fixed; those after wait for the file ``release``."""
    folder = Path(os.environ[HELD_FOLDER])
    descriptor = os.open(folder / f"study-{ctx.params.study}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        # A byte for each trial: the workers of a study are different processes.
        os.write(descriptor, b".")
        started = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    while started > ctx.params.free and not (folder / "release").exists():
        time.sleep(0.5)
    yield {"loss": square(ctx.params.x)}
