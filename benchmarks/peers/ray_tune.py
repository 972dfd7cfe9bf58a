"""Ray Tune's own random search, at its default settings and at faster ones.

Its rate is taken from two fits, one of fewer trials: what the further trials took, so that neither starting workers nor
anything else that happens once a fit counts against it.
"""

import argparse
import logging
import os
import statistics
import time
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.arms import write_result
from benchmarks.work import HIGH, LOW

SETUPS = ("default", "reuse", "fastest")
WARM_UP_TRIALS = 4


def main() -> None:
    """Warm up with a few trials, then measure as often as told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--setup", choices=SETUPS, required=True)
    parser.add_argument("--work", choices=("trivial", "network"), required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--fewer", type=int, default=0, help="trials of the shorter fit; 0: only a wall time")
    parser.add_argument("--iterations", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    if options.setup == "fastest":
        # Read when ray.tune is imported.
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
        os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "1000000"
    import ray

    ray.init(log_to_driver=False, logging_level=logging.ERROR)
    with TemporaryDirectory(prefix="searchd-benchmark-") as folder:
        walls: dict[int, list[float]] = {trials: [] for trials in (options.fewer, options.trials) if trials}
        fit(options.setup, options.work, options.iterations, WARM_UP_TRIALS, folder)
        for _ in range(options.repeats):
            for trials, seconds in walls.items():
                seconds.append(fit(options.setup, options.work, options.iterations, trials, folder))
    result = {"wall_seconds": statistics.median(walls[options.trials])}
    if options.fewer:
        more = result["wall_seconds"] - statistics.median(walls[options.fewer])
        result["trials_per_second"] = (options.trials - options.fewer) / max(more, 1e-9)
    write_result(result)
    ray.shutdown()


def fit(setup: str, work: str, iterations: int, trials: int, folder: str) -> float:
    """Seconds that one ``Tuner.fit()`` takes.

    Raises:
        RuntimeError: trials failed.
    """
    from ray import tune

    tuner = tune.Tuner(
        tune.with_resources(_objective(work, iterations), {"cpu": 1}),
        param_space={"x": tune.uniform(LOW, HIGH)},
        tune_config=tune.TuneConfig(num_samples=trials, metric="loss", mode="min", reuse_actors=setup != "default"),
        run_config=tune.RunConfig(storage_path=folder, verbose=0),
    )
    began = time.perf_counter()
    results = tuner.fit()
    seconds = time.perf_counter() - began
    if results.num_errors or len(results) != trials:
        raise RuntimeError(f"{results.num_errors} trials failed, {len(results)} of {trials} came back")
    return seconds


def _objective(work: str, iterations: int) -> Any:
    """A function that returns its metric: that takes Tune half the messages of one that reports it."""

    def trivial(config: dict[str, Any]) -> dict[str, float]:
        from benchmarks.work import square

        return {"loss": square(config["x"])}

    def network(config: dict[str, Any]) -> dict[str, float]:  # noqa: ARG001  # as long for every configuration
        from benchmarks.training import train_network

        return {"loss": train_network(iterations, 0)}

    return trivial if work == "trivial" else network


if __name__ == "__main__":
    main()
