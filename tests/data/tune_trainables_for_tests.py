"""Ray Tune trainables as anybody would write them; registered at the end, unmodified."""

import json
import tempfile
from pathlib import Path
from typing import Any

from ray import tune

from searchd.trainable import current, loguniform, randint, register


class Descent(tune.Trainable):
    """Shrinks a number towards zero."""

    def setup(self, config: dict[str, Any]) -> None:
        self.at = config["width"] + config.get("offset", 0.0)
        self.stop_at = config.get("stop_at")

    def step(self) -> dict[str, Any]:
        self.at *= 1 - self.config["lr"]
        result: dict[str, Any] = {"score": self.at, "eval": {"loss": self.at**2}, "note": "fine"}
        if self.iteration + 1 == self.stop_at:
            result["done"] = True
        return result

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"at": self.at}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        assert checkpoint is not None
        self.at = checkpoint["at"]


class Failing(tune.Trainable):
    """Fails in its set-up."""

    def setup(self, config: dict[str, Any]) -> None:
        raise ValueError("no set-up today")

    def step(self) -> dict[str, Any]:
        return {"score": 0.0}


def descent(config: dict[str, Any]) -> None:
    """Shrinks a number towards zero."""
    at = config["width"] + config.get("offset", 0.0)
    if config.get("note"):
        Path("note.txt").write_text(str(config["width"]))
    for _ in range(config.get("stop_at", 100)):
        at *= 1 - config["lr"]
        tune.report({"score": at, "eval": {"loss": at**2}, "note": "fine"})


def saving(config: dict[str, Any]) -> None:
    """Shrinks a number and reports a checkpoint with every result."""
    at = config["width"] + config.get("offset", 0.0)
    if (checkpoint := tune.get_checkpoint()) is not None:
        with checkpoint.as_directory() as folder:
            at = json.loads((Path(folder) / "at.json").read_text())
    while True:
        at *= 1 - config["lr"]
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "at.json").write_text(json.dumps(at))
            tune.report({"score": at}, checkpoint=tune.Checkpoint.from_directory(folder))


def failing(config: dict[str, Any]) -> None:
    """Fails after its first report."""
    tune.report({"score": 1.0})
    raise ValueError("out of luck")


def mute(config: dict[str, Any]) -> None:
    """Never reports."""


def with_folds(config: dict[str, Any]) -> None:
    """Reports its fold."""
    tune.report({"score": current().fold})


SPACE = {"lr": loguniform(1e-3, 0.5), "width": randint(1, 64)}
register(Descent, metrics={"score": "minimize"}, space=SPACE)
register(Failing)
register(descent, space=SPACE, default={"lr": 0.1, "width": 8})
register(saving, space=SPACE)
register(failing)
register(mute)
register(with_folds, folds=True)
