"""Where a worker gets datasets and splits from."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from searchd.domain.evaluation import Evaluation
from searchd.domain.study import Dataset


class DatasetProvider(Protocol):
    """Loads and splits datasets; expected to cache, since every fold run asks.

    Both raise DataChanged if the dataset's fingerprint is not the given one; an empty one admits any.
    """

    def load(self, dataset: Dataset, fingerprint: str) -> Any:
        """The dataset as trainables see it."""
        ...

    def split(
        self, dataset: Dataset, evaluation: Evaluation, repeat: int, fold: int, fingerprint: str
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row numbers to train on and to validate on, shapes (n_train,) and (n_valid,)."""
        ...
