"""Known names: the nearest one to what was written, and the columns a dataset names."""

import difflib
from collections.abc import Iterator, Sequence

from searchd.domain.errors import Violation
from searchd.domain.study import Dataset

LISTED = 12


def suggestion(name: str, known: Sequence[str]) -> str:
    """A remedy for an unknown name: the nearest known one, or the first of those there are."""
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    more = ", …" if len(known) > LISTED else ""
    return f"use one of {', '.join(known[:LISTED])}{more}" if known else "there is none to choose from"


def roles(dataset: Dataset, target: str | None) -> Iterator[tuple[str, str]]:
    """The (path, column) of every column that the dataset names; ``target`` stands where it names none."""
    if dataset.target or target:
        yield "dataset.target", dataset.target or target or ""
    for field in ("groups", "order_by", "fold_column"):
        if column := getattr(dataset, field):
            yield f"dataset.{field}", column
    for column in dataset.drop:
        yield "dataset.drop", column


def column_violations(dataset: Dataset, target: str | None, known: Sequence[str], noun: str) -> list[Violation]:
    """Named columns (``noun`` "column" or "array") that are missing from ``known``, or named for two purposes."""
    found = []
    first: dict[str, str] = {}
    for path, column in roles(dataset, target):
        if column not in known:
            found.append(Violation(path, f"there is no {noun} {column!r}", suggestion(column, known)))
        elif first.setdefault(column, path) != path:
            remedy = f"use each {noun} for one purpose"
            found.append(Violation(path, f"{noun} {column!r} is named by {first[column]} already", remedy))
    return found
