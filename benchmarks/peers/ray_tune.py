"""Ray Tune's own random search, at its default settings and at faster ones."""

import argparse
import logging
import os
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.arms import write_result

SETUPS = ("default", "reuse", "fastest")
WARM_UP_TRIALS = 4


def main() -> None:
    """Warm up with a few trials, then measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--setup", choices=SETUPS, required=True)
    parser.add_argument("--work", choices=("trivial", "network"), required=True)
    parser.add_argument("--trials", type=int, required=True)
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
        run(options.setup, options.work, options.iterations, WARM_UP_TRIALS, Path(folder) / "warm-up")
        measured = [
            run(options.setup, options.work, options.iterations, options.trials, Path(folder) / f"measured-{i}")
            for i in range(options.repeats)
        ]
    write_result({name: statistics.median(each[name] for each in measured) for name in measured[0]})
    ray.shutdown()


def run(setup: str, work: str, iterations: int, trials: int, folder: Path) -> dict[str, float]:
    """One ``Tuner.fit()``.

    Returns:
        ``wall_seconds`` of the whole call, and ``trials_per_second`` over the last three quarters of the completions,
        so that starting the first workers is left out.
    """
    from ray import tune

    completed: list[float] = []

    class Completions(tune.Callback):
        """Notes when trials complete."""

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
            completed.append(time.perf_counter())

    tuner = tune.Tuner(
        tune.with_resources(_objective(work, iterations), {"cpu": 1}),
        param_space={"x": tune.uniform(-10.0, 10.0)},
        tune_config=tune.TuneConfig(
            num_samples=trials,
            metric="loss",
            mode="min",
            reuse_actors=setup != "default",
        ),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0, callbacks=[Completions()]),
    )
    began = time.perf_counter()
    results = tuner.fit()
    wall = time.perf_counter() - began
    if results.num_errors or len(completed) != trials:
        raise RuntimeError(f"{results.num_errors} trials failed, {len(completed)} of {trials} completed")
    return {
        "wall_seconds": wall,
        "trials_per_second": (trials - 1 - trials // 4) / max(completed[-1] - completed[trials // 4], 1e-9),
    }


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
