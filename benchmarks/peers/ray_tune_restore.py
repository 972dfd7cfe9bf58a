"""Epochs that Ray Tune trains again when its driver is killed and the study is restored with ``Tuner.restore``.

The trainable saves a checkpoint with every report. Tune's settings are its defaults, by which it notes how far the
study is at most every ten seconds.
"""

import argparse
import contextlib
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.arms import write_result

NAME = "study"
POLL_SECONDS = 0.02


def main() -> None:
    """Kill the driver each time that so many more epochs have been trained, restore it, and count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--drive", type=Path, help="be the driver, on this folder")
    options = parser.parse_args()
    if options.drive is None:
        kill_and_count(options.trials, options.epochs, options.kills)
    else:
        drive(options.drive, options.trials, options.epochs, options.seconds)


def kill_and_count(trials: int, epochs: int, kills: int) -> None:
    """Run the study over as many drivers as that takes.

    Raises:
        RuntimeError: a driver failed, or epochs are missing.
    """
    total = trials * epochs
    with TemporaryDirectory(prefix="searchd-benchmark-") as name:
        folder = Path(name)
        for kill in range(1, kills + 1):
            driver = _driver(folder)
            while len(trained(folder)) < total * kill // (kills + 1):
                if driver.poll() is not None:
                    raise RuntimeError("the driver ended before it was killed")
                time.sleep(POLL_SECONDS)
            driver.kill()
            driver.wait()
        if _driver(folder).wait() != 0:
            raise RuntimeError("the last driver failed")
        times = Counter(trained(folder))
    if len(times) != total:
        raise RuntimeError(f"{len(times)} of {total} epochs were trained")
    write_result({"epochs_trained": times.total(), "epochs_retrained": times.total() - total})


def _driver(folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "benchmarks.peers.ray_tune_restore", *sys.argv[1:], "--drive", str(folder)]
    return subprocess.Popen(command)


def trained(folder: Path) -> list[str]:
    """A line for each epoch that was trained: trial and number."""
    with contextlib.suppress(FileNotFoundError):
        return (folder / "epochs").read_text().splitlines()
    return []


def drive(folder: Path, trials: int, epochs: int, seconds: float) -> None:
    """Run the study, or go on with it where there is one."""
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    import ray
    from ray import tune

    ray.init(log_to_driver=False, logging_level=logging.ERROR)
    trainable = tune.with_resources(_objective(folder / "epochs", epochs, seconds), {"cpu": 1})
    if tune.Tuner.can_restore(str(folder / NAME)):
        tuner = tune.Tuner.restore(str(folder / NAME), trainable, resume_unfinished=True, resume_errored=True)
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={"x": tune.uniform(-10.0, 10.0)},
            tune_config=tune.TuneConfig(num_samples=trials, metric="loss", mode="min"),
            run_config=tune.RunConfig(name=NAME, storage_path=str(folder), verbose=0),
        )
    results = tuner.fit()
    if results.num_errors or len(results) != trials:
        raise RuntimeError(f"{results.num_errors} trials failed, {len(results)} of {trials} came back")
    ray.shutdown()


def _objective(ledger: Path, epochs: int, seconds: float) -> Any:
    def train(config: dict[str, Any]) -> None:
        from ray import tune

        done, checkpoint = 0, tune.get_checkpoint()
        if checkpoint is not None:
            with checkpoint.as_directory() as saved:
                done = int((Path(saved) / "epoch").read_text())
        for epoch in range(done + 1, epochs + 1):
            time.sleep(seconds)
            with ledger.open("a") as lines:
                lines.write(f"{tune.get_context().get_trial_id()} {epoch}\n")
            with TemporaryDirectory() as fresh:
                (Path(fresh) / "epoch").write_text(str(epoch))
                tune.report({"loss": config["x"] ** 2 / epoch}, checkpoint=tune.Checkpoint.from_directory(fresh))

    return train


if __name__ == "__main__":
    main()
