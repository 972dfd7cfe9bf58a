"""The formats of model files."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from searchd.domain.errors import InvalidArgument


class ModelFormat(StrEnum):
    """Forms of a model file."""

    SKOPS = "skops"
    """A scikit-learn estimator, read without running code from the file."""
    SAFETENSORS = "safetensors"
    """The weights of a torch module alone."""
    TORCH = "torch"
    """A torch module as ``torch.export`` saves it: weights and what is done with them."""
    ONNX = "onnx"
    """A torch module for ONNX runtimes."""


SUFFIXES: Mapping[ModelFormat, str] = {
    ModelFormat.SKOPS: "skops",
    ModelFormat.SAFETENSORS: "safetensors",
    ModelFormat.TORCH: "pt2",
    ModelFormat.ONNX: "onnx",
}

TOLERANCE: Mapping[ModelFormat, float] = {
    ModelFormat.SKOPS: 1e-9,
    ModelFormat.SAFETENSORS: 1e-6,
    ModelFormat.TORCH: 1e-5,
    ModelFormat.ONNX: 1e-4,
}
"""Largest difference of outputs, as a share of the largest output: sums come out a little different in another runtime,
and where the same numbers lie differently in memory."""

PACKAGES: Mapping[ModelFormat, tuple[str, ...]] = {
    ModelFormat.SKOPS: ("skops",),
    ModelFormat.SAFETENSORS: ("safetensors",),
    ModelFormat.TORCH: (),
    ModelFormat.ONNX: ("onnx", "onnxruntime", "onnxscript"),
}
"""What must be installed to write it, and to check what was written."""


def formats_of(names: Iterable[str]) -> tuple[ModelFormat, ...]:
    """The formats of these names.

    Raises:
        InvalidArgument: there is none of a name.
    """
    known = {form.value: form for form in ModelFormat}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidArgument("format", f"{unknown[0]!r} is none", f"use {', '.join(known)}")
    return tuple(known[name] for name in names)
