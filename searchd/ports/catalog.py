"""What the service asks about trainables and datasets, without importing either."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from searchd.domain.card import Card
from searchd.domain.errors import Violation
from searchd.domain.evaluation import Evaluation
from searchd.domain.study import Dataset


class Catalog(Protocol):
    """The registered trainables. Blocks: call it off the loop."""

    def cards(self) -> Mapping[str, Card]:
        """Cards by name, read again first if a file of their modules has changed.

        Once all modules could be imported, one that is broken later keeps nobody from the cards of the others: then
        looking for a name that is not there (also with ``in`` or ``get``) raises the InvalidArgument described below.

        Raises:
            InvalidArgument: a module cannot be imported; the field is its name and the reason its last error line.
        """
        ...


@dataclass(frozen=True, slots=True)
class Inspection:
    """What looking at a dataset found. If it could not be loaded, the fingerprint is empty and there are no rows.

    Attributes:
        fingerprint: 12 hex digits over its content and the choice of columns.
        rows: Number of rows.
        violations: Everything that is wrong; empty if nothing is.
        classification: Whether the target holds classes, so that an unset split means stratified.
    """

    fingerprint: str
    rows: int
    violations: Sequence[Violation]
    classification: bool


class Datasets(Protocol):
    """The datasets that studies may name. Blocks: call it off the loop."""

    def inspect(self, dataset: Dataset, evaluation: Evaluation) -> Inspection:
        """Load (or find in the cache) and check a dataset together with how it is to be split: unknown name, path
        outside the allowed roots, missing file, missing column, more folds than rows or members of a class, a split
        that lacks its column. Never raises for anything a caller can cause; paths of violations start with
        ``dataset.`` or ``evaluation.``."""
        ...
