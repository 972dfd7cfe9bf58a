"""A dataset's rows as tensors: images, tables and sequences, standardised by the training rows alone."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.intp]

Scale = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Means and deviations."""


def images(data: Any, train_index: Rows) -> Tensor:
    """All images, shape (n, c, h, w), each channel with mean 0 and deviation 1 over the training rows.

    Raises:
        ValueError: the dataset is no images, or a pixel is missing.
    """
    pixels = data.images
    if pixels.dtype.kind == "f":
        missing = np.flatnonzero(np.isnan(pixels).any(axis=(1, 2, 3)))
        if len(missing):
            raise ValueError(f"image {missing[0]} has missing pixels (NaN), as have {len(missing)} in all; fill them")
    mean, deviation = image_scale(pixels, train_index)
    scaled = ((pixels - mean) / deviation).astype(np.float32)
    return torch.from_numpy(scaled).permute(0, 3, 1, 2).contiguous()


def image_scale(pixels: NDArray[Any], train_index: Rows) -> Scale:
    """Mean and deviation of each channel over the training rows, shape (c,), of pixels (n, h, w, c)."""
    trained = pixels[train_index]
    mean = trained.mean(axis=(0, 1, 2), dtype=np.float64)
    deviation = trained.std(axis=(0, 1, 2), dtype=np.float64)
    deviation[deviation == 0] = 1.0
    return mean, deviation


def table(data: Any, train_index: Rows) -> Tensor:
    """All rows, images flattened, shape (n, columns); see ``standardised``."""
    return torch.from_numpy(standardised(data.table, train_index).astype(np.float32))


def sequences(data: Any, train_index: Rows) -> Tensor:
    """All rows as sequences, shape (n, steps, values).

    An image is read line by line, all channels of a line at once. A table is read column by column, one value each.
    """
    flat = table(data, train_index)
    if data.X.ndim == 2 and data.image_shape is None:
        return flat.unsqueeze(2)
    return flat.reshape(len(flat), data.images.shape[1], -1)


def standardised(rows: NDArray[Any], train_index: Rows) -> NDArray[np.float64]:
    """All rows, shape (n, columns), each column with mean 0 and deviation 1 over the training rows; what is missing
    is 0."""
    mean, deviation = table_scale(rows, train_index)
    return np.nan_to_num((np.asarray(rows, dtype=np.float64) - mean) / deviation, posinf=0.0, neginf=0.0)


def table_scale(rows: NDArray[Any], train_index: Rows) -> Scale:
    """Mean and deviation of each column over the training rows, shape (columns,), of what is not missing."""
    trained = np.ma.masked_invalid(np.asarray(rows[train_index], dtype=np.float64))
    mean = np.ma.filled(trained.mean(axis=0), 0.0)
    deviation = np.ma.filled(trained.std(axis=0), 1.0)
    deviation[deviation == 0] = 1.0
    return mean, deviation
