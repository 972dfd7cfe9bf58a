"""Writes the data of this example: scikit-learn's digits as two files, which have neither classes nor rows in common.

``low.npz`` has the digits from 0 to 4, ``high.npz`` those from 5 to 9, each as images ``X``, shape (n, 8, 8), and
labels ``y``, shape (n,). Both are committed; run ``python make_halves.py`` to write them again.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits


def main() -> None:
    """Write both files beside this one."""
    pixels, labels = load_digits(return_X_y=True)
    for name, rows in (("low.npz", labels < 5), ("high.npz", labels >= 5)):
        images = pixels[rows].reshape(-1, 8, 8).astype(np.uint8)
        np.savez_compressed(Path(__file__).with_name(name), X=images, y=labels[rows].astype(np.int64))


if __name__ == "__main__":
    main()
