"""The parameters that the networks share: their usual values, and which values there are."""

from collections.abc import Mapping, Sequence
from typing import Any

from searchd.trainable import ParameterSpec, choice, loguniform, uniform

Parameters = Mapping[str, Any]

TRAINING: Parameters = {
    "lr": 1e-3,
    "optimizer": "adam",
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "l1": 0.0,
    "batch_size": 64,
    "schedule": "cosine",
    "step_factor": 0.1,
    "warmup": 0.0,
    "loss": "auto",
    "label_smoothing": 0.0,
    "focal_gamma": 2.0,
    "huber_delta": 1.0,
    "mixup": 0.0,
    "patience": 0,
    "mixed_precision": False,
    "compile": False,
}
"""How a network is trained unless a study says otherwise: Adam at PyTorch's own learning rate, nothing special."""

OPTIMISER_SPACE: Mapping[str, ParameterSpec] = {
    "lr": loguniform(1e-4, 1e-1),
    "optimizer": choice(["sgd", "adam", "rmsprop", "adagrad"]),
    "momentum": uniform(0.0, 0.99, when={"optimizer": ["sgd", "rmsprop"]}),
}
"""What is worth searching about an optimiser."""

LEAST: Mapping[str, float] = {
    "lr": 0.0,
    "weight_decay": 0.0,
    "l1": 0.0,
    "batch_size": 1,
    "step_factor": 0.0,
    "warmup": 0.0,
    "focal_gamma": 0.0,
    "huber_delta": 1e-9,
    "mixup": 0.0,
    "cutmix": 0.0,
    "patience": 0,
    "layers": 1,
    "channels": 1,
    "kernel_size": 1,
    "width": 1,
    "heads": 1,
    "taper": 0.0,
    "frozen": 0,
    "unfreeze_every": 0,
    "layer_decay": 1e-9,
    "share": 1e-9,
    "temperature": 1e-3,
    "weight": 0.0,
}
"""The least value of each parameter that has one."""

MOST: Mapping[str, float] = {"layer_decay": 1.0, "share": 1.0, "weight": 1.0}
"""The greatest value of each parameter that has one."""

SHARES = ("momentum", "dropout", "label_smoothing")
"""Parameters in [0, 1)."""

KINDS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a name"}


def completed(default: Parameters, given: Parameters) -> dict[str, Any]:
    """The parameters of a trial, with the default's value for each that it does not have.

    Raises:
        ValueError: a value is of another kind than the default's, or out of its range.
    """
    p = {**default, **given}
    for name, usual in default.items():
        value, kind = p[name], type(usual)
        accepted = (int, float) if kind is float else kind
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{name} is {value!r}; give {KINDS[kind]}")
        if name in LEAST and not value >= LEAST[name]:
            raise ValueError(f"{name} is {value!r}; give {KINDS[kind]} of at least {LEAST[name]:g}")
        if name in MOST and not value <= MOST[name]:
            raise ValueError(f"{name} is {value!r}; give {KINDS[kind]} of at most {MOST[name]:g}")
        if name in SHARES and not 0 <= value < 1:
            raise ValueError(f"{name} is {value!r}; give a number from 0 to below 1")
    return p


def unknown(name: str, value: object, known: Sequence[str]) -> ValueError:
    """The error for a choice that there is not."""
    return ValueError(f"{name} {value!r} is not known; use {', '.join(known[:-1])} or {known[-1]}")
