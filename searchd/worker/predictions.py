"""Predictions that fold runs keep for the studies that build on theirs."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchd.trainable import MissingPart

Rows = NDArray[np.intp]
Predictions = NDArray[Any] | Callable[[Rows], NDArray[Any]]

MOST_TRAINED = 2**18
"""Most numbers with which predictions of rows that were trained on are kept too; 1 MiB."""


def write_predictions(path: Path, predictions: Predictions, train: Rows, valid: Rows, aside: Rows) -> None:
    """Write what is predicted of the rows that validate, of those set aside, and if they are few of those that trained.

    Args:
        path: Of the file; replaced at once or not at all.
        predictions: Values of the rows that validate, or a function of rows.
        train: Row numbers that trained.
        valid: Row numbers that validate.
        aside: Row numbers that the dataset sets aside.

    Raises:
        ValueError: the predictions are not one for each row.
        Exception: whatever the function raises.
    """
    parts = [(valid, _checked(predictions(valid) if callable(predictions) else predictions, valid))]
    if callable(predictions) and len(aside):
        parts.append((aside, _checked(predictions(aside), aside)))
    few = parts[0][1][:1].size * (len(train) + len(valid) + len(aside)) <= MOST_TRAINED
    if callable(predictions) and few:
        with suppress(MissingPart):  # what builds on a parent may know only what that has kept
            parts.append((train, _checked(predictions(train), train)))
    rows, first = np.unique(np.concatenate([some for some, _ in parts]), return_index=True)
    values = np.concatenate([some for _, some in parts])[first]
    half = path.with_name(f"{path.name}.part")
    with half.open("wb") as file:
        np.savez_compressed(file, rows=rows, values=values, trained=np.isin(rows, train))
    half.replace(path)


def _checked(values: Any, rows: Rows) -> NDArray[np.float32]:
    if callable(getattr(values, "detach", None)):  # a tensor of torch, which may be on a GPU
        values = values.detach().cpu()
    array = np.asarray(values, dtype=np.float32)
    if array.ndim not in (1, 2) or len(array) != len(rows):
        raise ValueError(f"predictions of shape {array.shape} are not one for each of {len(rows)} rows")
    return array
