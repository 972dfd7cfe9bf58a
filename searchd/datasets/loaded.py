"""A dataset as trainables see it, and its form on disk: one ``.npy`` file per array beside ``meta.json``."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

OPTIONAL_ARRAYS = ("groups", "order", "fold")


@dataclass(frozen=True, slots=True, eq=False)
class LoadedDataset:
    """Rows, target and the columns that splits need; the arrays are memory-mapped and cannot be written to.

    Attributes:
        fingerprint: 12 hex digits over the content and the choice of columns.
        task: Whether ``y`` holds classes or numbers.
        X: Features, shape (n, d), floats with NaN where a value is missing; or images as the NPZ has them, shape
            (n, h, w) or (n, h, w, c).
        y: Shape (n,): class codes 0..k-1 (int64), or float64 for regression.
        classes: What each class code stands for, length k; empty for regression.
        feature_names: Length d; empty for images.
        coded: Names of the features that hold codes of text, in sorted order of the text, instead of numbers.
        groups: Group codes from 0, shape (n,), or None.
        order: Sortable position in time, shape (n,), or None.
        fold: Given fold 0..k-1 of each row, -1 for rows that only ever train, shape (n,); or None.
        image_shape: (h, w) if the rows of a table ``X`` are flattened images, else None.
    """

    fingerprint: str
    task: Literal["classification", "regression"]
    X: Array
    y: Array
    classes: tuple[str | int | float | bool, ...]
    feature_names: tuple[str, ...]
    groups: Array | None = None
    order: Array | None = None
    fold: Array | None = None
    image_shape: tuple[int, int] | None = None
    coded: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.y.shape[0])

    def only(self, rows: Array) -> "LoadedDataset":
        """What splits need of some of the rows: the target and the optional columns; the features stay as they are."""
        parts = {name: array[rows] for name in OPTIONAL_ARRAYS if (array := getattr(self, name)) is not None}
        return replace(self, y=self.y[rows], **parts)

    @property
    def images(self) -> Array:
        """All rows as images, shape (n, h, w, c).

        Raises:
            ValueError: the rows are not images.
        """
        if self.X.ndim == 4:
            return self.X
        if self.X.ndim == 3:
            return self.X[..., np.newaxis]
        if self.image_shape is None:
            raise ValueError("the dataset is a table, not images; use digits, or an NPZ whose X is (n, h, w[, c])")
        return self.X.reshape(len(self), *self.image_shape, 1)

    @property
    def table(self) -> Array:
        """All rows flattened, shape (n, d)."""
        return self.X.reshape(len(self), -1)

    def save(self, folder: Path) -> None:
        """Write the dataset into an existing, empty folder."""
        arrays = {"X": self.X, "y": self.y}
        arrays |= {name: array for name in OPTIONAL_ARRAYS if (array := getattr(self, name)) is not None}
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)
        meta = {
            "fingerprint": self.fingerprint,
            "task": self.task,
            "classes": self.classes,
            "feature_names": self.feature_names,
            "image_shape": self.image_shape,
            "coded": self.coded,
            "arrays": sorted(arrays),
        }
        (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> "LoadedDataset":
        """Map a saved dataset into memory, read-only.

        Raises:
            OSError: a file is missing.
            ValueError: a file is damaged.
        """
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        arrays = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in meta["arrays"]}
        return cls(
            fingerprint=meta["fingerprint"],
            task=meta["task"],
            classes=tuple(meta["classes"]),
            feature_names=tuple(meta["feature_names"]),
            image_shape=tuple(meta["image_shape"]) if meta["image_shape"] else None,
            coded=tuple(meta["coded"]),
            **arrays,
        )
