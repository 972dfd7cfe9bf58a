"""The card of a model file: what it is, how good it is, how it is fed, and how it is made again, as JSON values."""

import hashlib
import math
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchd import __version__
from searchd.client.again import Again
from searchd.client.views import BestConfig
from searchd.domain.trial import Origin
from searchd.worker.model_files import ModelFile
from searchd.worker.randomness import fold_run_seed
from searchd.worker.retraining import MadeModel

FORMAT = 1
"""Of the card; another one if the meaning of a field changes."""

LIBRARIES: Mapping[str, str] = {
    **{name: name for name in ("numpy", "scipy")},
    "scikit-learn": "sklearn",
    **{name: name for name in ("torch", "lightgbm", "xgboost", "skops", "safetensors", "onnx", "onnxruntime")},
}
"""Libraries whose versions are told if their modules are in use."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What was trained, on which rows, and what it reported last.

    Attributes:
        repeat: From 0.
        fold: From 0; -1 for all rows.
        whole: Whether on all rows that folds use.
        epochs: Epochs trained.
        train: Numbers of the rows that trained, shape (n,); empty without a dataset.
        valid: Numbers of the rows that validated.
        metrics: The last report.
    """

    repeat: int
    fold: int
    whole: bool
    epochs: int
    train: NDArray[np.intp]
    valid: NDArray[np.intp]
    metrics: Mapping[str, float]

    @property
    def held_back(self) -> bool:
        """Whether other rows validated than trained, as far as is known."""
        return not (self.whole and len(self.train) == len(self.valid) and bool((self.train == self.valid).all()))


def card_of(
    ready: Again,
    best: BestConfig | None,
    trained: Trained,
    made: MadeModel,
    rows: NDArray[Any],
    files: Sequence[ModelFile],
    folder: Path,
) -> dict[str, Any]:
    """The card as JSON values.

    Args:
        ready: The trial.
        best: The best configuration of its study; None if there is none.
        trained: What was trained.
        made: The model.
        rows: Some rows as it takes them, shape (n, ...).
        files: What was written of it.
        folder: Where these are now.
    """
    study, trial = ready.study, ready.trial
    return {
        "format": FORMAT,
        "study": study.name,
        "trial": trial.number,
        "trainable": study.trainable,
        "parameters": dict(trial.params),
        "seed": {
            "study": study.seed,
            "fold_run": fold_run_seed(study.seed, trial.number, trained.repeat, trained.fold),
            "split": study.split_seed,
        },
        "trained": _training(ready, trained),
        "scores": _scores(ready, best),
        "data": _data(ready),
        "input": _input(ready, rows),
        "output": _output(made),
        "model": _model(made.model),
        "code": {"study": study.code, "here": ready.code},
        "versions": _versions(),
        "device": ready.device,
        "files": [_file(file, len(rows), folder) for file in files],
        "warnings": list(_warnings(ready, trained)),
        "again": _commands(ready, trained, files),
    }


def _training(ready: Again, trained: Trained) -> dict[str, Any]:
    where = "all rows that folds use" if trained.whole else f"repeat {trained.repeat}, fold {trained.fold}"
    found = {name: _number(value) for name, value in trained.metrics.items()}
    return {
        "on": where,
        "rows": len(trained.train),
        "epochs": trained.epochs,
        "of_epochs": ready.spec.evaluation.epochs,
        "validated_rows": len(trained.valid) if trained.held_back else 0,
        "metrics": found if trained.held_back else {},
    }


def _scores(ready: Again, best: BestConfig | None) -> dict[str, Any]:
    study, trial = ready.study, ready.trial
    found: dict[str, Any] = {"metric": study.metric, "goal": study.goal.value}
    if trial.rung_scores and not trial.origin.repeats:
        rung = study.rungs[len(trial.rung_scores) - 1]
        found["selected"] = {"mean": _number(trial.rung_scores[-1]), "folds": rung.folds, "epochs": rung.epochs}
    if "selected" in found and best is not None and best.best.trial.number == trial.number:
        found["selected"]["standard_error"] = best.best.standard_error
    confirmed = next((c for c in study.progress.confirmed if c.trial == trial.number), None)
    if confirmed is not None and confirmed.mean is not None:
        found["confirmed"] = {"mean": _number(confirmed.mean), "standard_error": confirmed.standard_error}
    if confirmed is not None and confirmed.test is not None:
        found["test"] = _number(confirmed.test)
    if best is not None and best.default is not None:
        found["default"] = {"mean": _number(best.default.mean), "standard_error": best.default.standard_error}
    return found


def _data(ready: Again) -> dict[str, Any] | None:
    dataset, data = ready.spec.dataset, ready.data
    if dataset is None or data is None:
        return None
    return {
        "source": dataset.uri or dataset.builtin,
        "fingerprint": data.fingerprint,
        "rows": len(data),
        "target": dataset.target,
        "set_aside": dataset.test,
    }


def _input(ready: Again, rows: NDArray[Any]) -> dict[str, Any]:
    names = ready.data.feature_names if ready.data is not None else ()
    fitting = rows.ndim == 2 and len(names) == rows.shape[1]
    return {
        "shape": [None, *rows.shape[1:]],
        "type": str(rows.dtype),
        "features": list(names) if fitting else [],
        "codes": {name: list(texts) for name, texts in ready.texts.items()} if fitting else {},
    }


def _output(made: MadeModel) -> dict[str, Any]:
    classes = [value.item() if isinstance(value, np.generic) else value for value in made.handed.classes]
    if not classes:
        return {"kind": "numbers", "classes": []}
    sure = not hasattr(made.model, "get_params") or hasattr(made.model, "predict_proba")
    return {"kind": "probabilities" if sure else "positions", "classes": classes}


def _model(model: Any) -> dict[str, Any]:
    if hasattr(model, "get_params"):
        return {"kind": "scikit-learn", "architecture": repr(model)}
    weights = [tensor.numel() for tensor in model.parameters()]
    return {"kind": "torch", "architecture": repr(model), "weights": sum(weights)}


def _versions() -> dict[str, str]:
    loaded = {name: sys.modules[module] for name, module in LIBRARIES.items() if module in sys.modules}
    versions = {name: str(getattr(module, "__version__", "unknown")) for name, module in loaded.items()}
    return {"python": platform.python_version(), "searchd": __version__, **versions}


def _file(file: ModelFile, rows: int, folder: Path) -> dict[str, Any]:
    content = (folder / file.name).read_bytes()
    return {
        "name": file.name,
        "format": file.form.value,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "checked_rows": rows,
        "largest_difference": file.difference,
        "trusted_types": list(file.trusted),
    }


def _warnings(ready: Again, trained: Trained) -> Iterator[str]:
    study, trial = ready.study, ready.trial
    if ready.code != study.code:
        yield f"the trainable's code is {ready.code}, and was {study.code} when the study was created"
    if ready.spec.resources.gpus and ready.device == "cpu":
        yield "the study trained on GPUs, and this model was trained on a CPU"
    if trial.origin is Origin.DESCENT:
        yield "the trial went on from another trial's checkpoint; this model was trained from the beginning"
    if len(trial.rung_scores) < len(study.rungs) and not trial.origin.repeats:
        yield "the trial was not evaluated on all folds and epochs"
    if not trained.held_back:
        yield "no rows were held back: how good this model is, only the scores of the search say"
    if trained.epochs < ready.spec.evaluation.epochs:
        judge = "rows held back, whose score flatters it now" if trained.held_back else "rows that it trained on"
        yield f"training stopped after {trained.epochs} of {ready.spec.evaluation.epochs} epochs, judged by the {judge}"
    if trained.held_back and not all(math.isfinite(value) for value in trained.metrics.values()):
        yield "some of its metrics are no finite numbers"


def _commands(ready: Again, trained: Trained, files: Sequence[ModelFile]) -> dict[str, str]:
    study = ready.study.id if ready.study.name.startswith("projects/default/") else ready.study.name
    index = trained.repeat * max(ready.spec.evaluation.folds, 1) + trained.fold
    fold = "" if trained.whole else f" --fold {index}"
    formats = "".join(f" --format {file.form.value}" for file in files)
    return {
        "export": f"searchd export {study} DIR --model --trial {ready.trial.number}{fold}{formats}",
        "reproduce": f"searchd reproduce {study}/{ready.trial.number}",
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
