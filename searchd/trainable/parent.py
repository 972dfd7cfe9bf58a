"""What the parent of a study left: its configurations, and the files and predictions of its fold runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.intp]
    Values = NDArray[np.float32]
    Mask = NDArray[np.bool_]

PREDICTIONS = "predictions.npz"
"""The artifact in which a fold run keeps its predictions: ``rows``, shape (n,), ascending; ``values``, shape
(n, ...); and whether each row was ``trained`` on, shape (n,)."""


class MissingPart(Exception):  # noqa: N818  # named for what went wrong
    """The parent has not left what its child asks for; the message says what and why."""


class ParentTrial:
    """A trial of the parent study, as one fold run of the child sees it.

    Attributes:
        number: Its number.
        trainable: What it trained.
        params: Its configuration, the parent's fixed parameters included.
        score: Its mean score in the parent study.
    """

    def __init__(
        self,
        number: int,
        trainable: str,
        params: Mapping[str, Any],
        score: float,
        folders: Sequence[Path],
        fold: int | None,
        *,
        same_rows: bool,
    ) -> None:
        """For those who run trainables.

        Args:
            number: See the attributes.
            trainable: See the attributes.
            params: See the attributes.
            score: See the attributes.
            folders: Where the artifacts of each fold of the repeat are.
            fold: The fold that trained on what the child's fold run trains on; None if all folds did, in a test.
            same_rows: Whether the child has the parent's rows.
        """
        self.number = number
        self.trainable = trainable
        self.params = params
        self.score = score
        self._folders = folders
        self._fold = fold
        self._same_rows = same_rows
        self._stored: dict[int, tuple[Rows, Values, Mask]] = {}

    def artifact(self, name: str) -> Path:
        """A file that its run of this fold has left; of fold 0 in a test.

        Raises:
            MissingPart: there is none.
        """
        return self._file(self._fold or 0, name)

    def predictions(self, rows: "Rows") -> "Values":
        """What its model of this fold says of rows, shape (len(rows), ...): a model that trained on none of those that
        the child is validated on. In a test, the mean over the models of all folds that say something of a row.

        Raises:
            MissingPart: it has kept no predictions, or none of some of the rows, or its rows are others.
        """
        return self._mean(range(len(self._folders)) if self._fold is None else [self._fold], rows, trained=True)

    def out_of_fold(self, rows: "Rows") -> "Values":
        """What models that have not trained on a row say of it, shape (len(rows), ...): the mean over them. Of a row
        that a fold validates there is one; of rows that the dataset sets aside, all.

        Raises:
            MissingPart: it has kept no predictions, or some row was only ever trained on, as most are with a hold-out,
                or its rows are others.
        """
        return self._mean(range(len(self._folders)), rows, trained=False)

    def _mean(self, folds: Sequence[int], rows: "Rows", *, trained: bool) -> "Values":
        import numpy as np  # noqa: PLC0415  # authors need none to declare a trainable

        if not self._same_rows:
            raise MissingPart("the parent's predictions are of other data; leave out `dataset`, to have the parent's")
        total: Any = 0.0
        count = np.zeros(len(rows))
        for fold in folds:
            known, values, learnt = self._predictions(fold)
            if not trained:
                known, values = known[~learnt], values[~learnt]
            at = np.searchsorted(known, rows).clip(max=len(known) - 1)
            there = known[at] == rows
            count += there
            total = total + values[at] * there.reshape(-1, *[1] * (values.ndim - 1))
        missing = np.asarray(rows)[count == 0]
        if len(missing):
            raise MissingPart(
                f"trial {self.number} of the parent has kept no predictions {self._why(missing, trained)}"
            )
        mean: Values = (total / count.reshape(-1, *[1] * (total.ndim - 1))).astype(np.float32)
        return mean

    def _why(self, missing: "Rows", trained: bool) -> str:
        some = f"of {len(missing)} rows, such as row {missing[0]}"
        if trained:
            return f"{some}: of large datasets only those of rows that it did not train on are kept"
        return f"by models that did not train on the row {some}; give the parent folds instead of a hold-out"

    def _predictions(self, fold: int) -> "tuple[Rows, Values, Mask]":
        """Rows, ascending, values, and whether the fold's model trained on the row."""
        import numpy as np  # noqa: PLC0415  # authors need none to declare a trainable

        if fold not in self._stored:
            with np.load(self._file(fold, PREDICTIONS)) as file:
                self._stored[fold] = file["rows"], file["values"], file["trained"]
        return self._stored[fold]

    def _file(self, fold: int, name: str) -> Path:
        path = self._folders[fold] / name
        if not path.exists():
            why = f"it trained {self.trainable!r}, which may write none, or its study has been deleted since"
            raise MissingPart(f"trial {self.number} of the parent has left no {name} in {path.parent}: {why}")
        return path
