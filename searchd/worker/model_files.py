"""Models as files: written, read back, and left only if what was read gives the same outputs on real rows."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchd.domain.errors import SearchdError
from searchd.worker.failures import reason_of
from searchd.worker.model_formats import PACKAGES, SUFFIXES, TOLERANCE, ModelFormat

Array = NDArray[Any]


class NotExported(SearchdError):  # noqa: N818  # named for what went wrong
    """A model cannot be had in a format: why, and what to do about it."""

    def __init__(self, form: str, reason: str, remedy: str) -> None:
        super().__init__(form, reason, remedy)
        self.form = form
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"no {self.form} file was written: {self.reason}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file that gives what the model gives.

    Attributes:
        name: Of the file.
        form: Its format.
        difference: Largest difference between outputs of the file and of the model; 0 if they are the same bit for bit.
        trusted: For skops: the types that a reader has to name as trusted, beside those that skops trusts itself.
    """

    name: str
    form: ModelFormat
    difference: float
    trusted: tuple[str, ...] = ()


def usual_format(model: Any) -> ModelFormat:
    """The format that is written if none is asked for: one that holds the whole model.

    Raises:
        NotExported: it is neither a scikit-learn estimator nor a torch module.
    """
    if _is_module(model):
        return ModelFormat.TORCH
    if callable(getattr(model, "predict", None)) and callable(getattr(model, "get_params", None)):
        return ModelFormat.SKOPS
    remedy = "have the trainable hand over one of these with ctx.model"
    raise NotExported(
        "model", f"{type(model).__name__} is neither a scikit-learn estimator nor a torch.nn.Module", remedy
    )


def check_installed(form: ModelFormat) -> None:
    """Whether what writes a format is there.

    Raises:
        NotExported: a package is missing.
    """
    missing = [name for name in PACKAGES[form] if find_spec(name) is None]
    if missing:
        raise NotExported(form, f"{' and '.join(missing)} is not installed", 'pip install "searchd[export]"')


def outputs(model: Any, rows: Array) -> Array:
    """What a model says of rows: probabilities (n, k) if it has any, else what it predicts.

    Raises:
        NotExported: a module gives something else than one tensor.
    """
    if not _is_module(model):
        said = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)
        return np.asarray(said)
    import torch  # noqa: PLC0415  # only a model of torch's needs it

    with torch.no_grad():
        given = model(torch.from_numpy(np.ascontiguousarray(rows)))
    if not isinstance(given, torch.Tensor):
        raise NotExported("model", f"it gives a {type(given).__name__}, not a tensor", "have it give one tensor")
    return np.asarray(given.numpy())


def write_model(model: Any, form: ModelFormat, rows: Array, folder: Path) -> ModelFile:
    """Write ``model.<suffix>``; it is read back, and there only if it gives the same outputs.

    Args:
        model: The model; a module is moved to the CPU, and made to evaluate.
        form: The format.
        rows: Some rows as the model takes them, shape (n, ...), at least 1.
        folder: Where to; it exists.

    Raises:
        NotExported: the format does not fit the model, cannot hold it, or gives other outputs; or a package is missing.
    """
    if (usual_format(model) is ModelFormat.SKOPS) != (form is ModelFormat.SKOPS):
        kind = "a torch module" if _is_module(model) else "a scikit-learn estimator"
        fitting = "torch, onnx or safetensors" if _is_module(model) else "skops"
        raise NotExported(form, f"the model is {kind}", f"use --format {fitting}")
    if _is_module(model):
        model = model.cpu().eval().requires_grad_(False)
    check_installed(form)
    path = folder / f"model.{SUFFIXES[form]}"
    try:
        with _quiet():
            expected = outputs(model, rows)
            trusted, read = _WRITERS[form](model, path, rows)
            difference = max(_difference(read(some), outputs(model, some)) for some in (rows, rows[:1]))
    except NotExported:
        raise
    except Exception as error:  # exporters fail in more ways than can be listed
        path.unlink(missing_ok=True)
        raise NotExported(form, reason_of(error), "use another format") from error
    allowed = TOLERANCE[form] * max(1.0, float(np.abs(np.nan_to_num(expected.astype(np.float64))).max(initial=0.0)))
    if not difference <= allowed:
        path.unlink()
        reason = f"its outputs differ from the model's by up to {difference:.2g} on {len(rows)} rows"
        raise NotExported(form, reason, "use another format")
    return ModelFile(path.name, form, difference, trusted)


Reader = Callable[[Array], Array]
"""What a file that was written says of rows."""


def _skops(model: Any, path: Path, rows: Array) -> tuple[tuple[str, ...], Reader]:  # noqa: ARG001  # a writer
    from skops import io as skops_io  # noqa: PLC0415  # optional

    skops_io.dump(model, path)
    trusted = tuple(skops_io.get_untrusted_types(file=path))
    read = skops_io.load(path, trusted=list(trusted))
    return trusted, lambda some: outputs(read, some)


def _safetensors(model: Any, path: Path, rows: Array) -> tuple[tuple[str, ...], Reader]:  # noqa: ARG001  # a writer
    import copy  # noqa: PLC0415

    from safetensors import torch as safetensors_torch  # noqa: PLC0415  # optional

    safetensors_torch.save_model(model, str(path))
    other = copy.deepcopy(model)
    for tensor in other.state_dict().values():
        tensor.zero_()  # so that what comes out is the file's
    safetensors_torch.load_model(other, path)
    return (), lambda some: outputs(other, some)


def _torch(model: Any, path: Path, rows: Array) -> tuple[tuple[str, ...], Reader]:
    import torch  # noqa: PLC0415  # only a model of torch's needs it

    torch.export.save(_exported(model, rows), path)
    read = torch.export.load(path).module()
    return (), lambda some: np.asarray(read(torch.from_numpy(np.ascontiguousarray(some))).numpy())


def _onnx(model: Any, path: Path, rows: Array) -> tuple[tuple[str, ...], Reader]:
    import onnxruntime  # noqa: PLC0415  # optional
    import torch  # noqa: PLC0415  # only a model of torch's needs it

    names: dict[str, Any] = {"input_names": ["rows"], "output_names": ["predictions"]}
    program = torch.onnx.export(_exported(model, rows), (), dynamo=True, verbose=False, **names)
    if program is None:
        raise RuntimeError("torch gave no program")
    program.save(str(path), external_data=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return (), lambda some: np.asarray(session.run(None, {"rows": some})[0])


_WRITERS: Mapping[ModelFormat, Callable[[Any, Path, Array], tuple[tuple[str, ...], Reader]]] = {
    ModelFormat.SKOPS: _skops,
    ModelFormat.SAFETENSORS: _safetensors,
    ModelFormat.TORCH: _torch,
    ModelFormat.ONNX: _onnx,
}


def _exported(model: Any, rows: Array) -> Any:
    """The module as a graph that takes any number of rows."""
    import torch  # noqa: PLC0415  # only a model of torch's needs it

    # A graph that is traced with a single row may hold for one row only.
    traced = rows if len(rows) > 1 else np.concatenate([rows, rows])
    example = torch.from_numpy(np.ascontiguousarray(traced))
    return torch.export.export(model, (example,), dynamic_shapes=({0: torch.export.Dim("n")},))


def _difference(found: Array, expected: Array) -> float:
    """The largest difference; infinite if the shapes differ, or one is no number where the other is."""
    if found.shape != expected.shape:
        return np.inf
    if found.dtype.kind not in "fiub" or np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"):
        return 0.0 if np.array_equal(found, expected, equal_nan=found.dtype.kind == "f") else np.inf
    if not np.array_equal(np.isfinite(found), np.isfinite(expected)):
        return np.inf
    apart = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    return float(apart[np.isfinite(expected)].max())


def _is_module(model: Any) -> bool:
    return any(
        base.__module__ == "torch.nn.modules.module" and base.__name__ == "Module" for base in type(model).__mro__
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters have much to say to their authors; what goes wrong is raised."""
    loud = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loud]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loud:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loud, levels, strict=True):
                logger.setLevel(level)
