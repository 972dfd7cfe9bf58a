"""The trainable that trains, for a server to register; it imports torch at its top, as such modules do."""

from collections.abc import Iterator
from typing import Any

from benchmarks.training import train_network
from benchmarks.work import HIGH, LOW
from searchd.trainable import Context, randint, trainable, uniform

MODULE = "benchmarks.training_for_benchmarks"


@trainable(metrics={"loss": "minimize"}, space={"x": uniform(LOW, HIGH), "iterations": randint(1, 1_000_000_000)})
def benchmark_network(ctx: Context) -> Iterator[dict[str, Any]]:
    """One epoch of as many ``iterations`` as are fixed."""
    yield {"loss": train_network(ctx.params.iterations, ctx.seed)}
