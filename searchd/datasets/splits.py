"""Which rows train and which validate: scikit-learn's splitters, seeded so that anyone can repeat them.

Repeat r of a cross-validation (or hold-out) is the splitter with ``shuffle=True, random_state=split_seed + r``. Time
series are never shuffled: later repeats end earlier. Given folds are the same in every repeat.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from searchd.datasets.loaded import Array, LoadedDataset
from searchd.domain.evaluation import Evaluation, Split

if TYPE_CHECKING:
    from sklearn.model_selection import BaseCrossValidator

Splits = tuple[tuple[Array, Array], ...]
"""For each fold, the indices of the rows that train, shape (n_train,), and that validate, shape (n_valid,); int64."""


def compute(data: LoadedDataset, evaluation: Evaluation, repeat: int, test: float | None = None) -> Splits:
    """All folds of one repeat (a single pair for a hold-out), as the splitter yields them. The arrays are read-only.

    Args:
        data: The rows.
        evaluation: Folds or hold-out, kind of split, and its seed.
        repeat: From 0.
        test: Share of the rows that no fold sees; None for none.

    Raises:
        ValueError: the dataset cannot be split so; ``inspect`` reports it beforehand.
    """
    if test is None:
        pairs = _pairs(data, evaluation, repeat)
    else:
        rows, _ = tested(data, evaluation, test)
        pairs = ((rows[train], rows[valid]) for train, valid in _pairs(data.only(rows), evaluation, repeat))
    return tuple((_frozen(train), _frozen(valid)) for train, valid in pairs)


def tested(data: LoadedDataset, evaluation: Evaluation, test: float) -> tuple[Array, Array]:
    """The rows that folds are made of, in order, and those that are set aside for the test: a hold-out of that share
    with the study's kind of split and seed. The arrays are read-only.

    Raises:
        ValueError: the dataset cannot be split so.
    """
    split = evaluation.split
    if split is Split.FOLD_COLUMN:
        split = Split.STRATIFIED if data.task == "classification" else Split.KFOLD
    train, valid = _holdout(data, replace(evaluation, folds=0, holdout=test, split=split), 0)
    return _frozen(np.sort(train)), _frozen(np.sort(valid))


def _pairs(data: LoadedDataset, evaluation: Evaluation, repeat: int) -> Iterable[tuple[Array, Array]]:
    return _folds(data, evaluation, repeat) if evaluation.folds else [_holdout(data, evaluation, repeat)]


def _folds(data: LoadedDataset, evaluation: Evaluation, repeat: int) -> Iterable[tuple[Array, Array]]:
    from sklearn import model_selection as ms  # noqa: PLC0415  (slow to import)

    seed = evaluation.split_seed + repeat
    shuffled: dict[str, Any] = {"n_splits": evaluation.folds, "shuffle": True, "random_state": seed}
    splitter: BaseCrossValidator
    match evaluation.split:
        case Split.KFOLD:
            splitter = ms.KFold(**shuffled)
        case Split.STRATIFIED:
            splitter = ms.StratifiedKFold(**shuffled)
        case Split.GROUP:
            splitter = ms.GroupKFold(**shuffled)
        case Split.STRATIFIED_GROUP:
            splitter = ms.StratifiedGroupKFold(**shuffled)
        case Split.TIMESERIES:
            ordered = in_time_order(data)
            block = len(ordered) // (evaluation.folds + 1)
            return _in_time(ordered[: len(ordered) - _shift(repeat, block)], ms.TimeSeriesSplit(evaluation.folds))
        case Split.FOLD_COLUMN:
            splitter = ms.PredefinedSplit(_required(data.fold, "fold_column"))
        case other:
            assert_never(other)
    return splitter.split(np.zeros(len(data)), data.y, _groups(data, evaluation.split))  # type: ignore[no-any-return]


def _holdout(data: LoadedDataset, evaluation: Evaluation, repeat: int) -> tuple[Array, Array]:
    from sklearn import model_selection as ms  # noqa: PLC0415  (slow to import)

    seed = evaluation.split_seed + repeat
    once: dict[str, Any] = {"n_splits": 1, "test_size": evaluation.holdout, "random_state": seed}
    splitter: Any
    match evaluation.split:
        case Split.KFOLD:
            splitter = ms.ShuffleSplit(**once)
        case Split.STRATIFIED:
            splitter = ms.StratifiedShuffleSplit(**once)
        case Split.GROUP:
            splitter = ms.GroupShuffleSplit(**once)
        case Split.STRATIFIED_GROUP:
            # scikit-learn has no such shuffle split: the first of as many folds as the share goes into the whole.
            folds = max(2, round(1 / evaluation.holdout))
            splitter = ms.StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        case Split.TIMESERIES:
            ordered = in_time_order(data)
            held = math.ceil(len(ordered) * evaluation.holdout)
            end = len(ordered) - _shift(repeat, held)
            return ordered[: end - held], ordered[end - held : end]
        case Split.FOLD_COLUMN:
            raise ValueError("a hold-out has no fold column")
        case other:
            assert_never(other)
    train, valid = next(iter(splitter.split(np.zeros(len(data)), data.y, _groups(data, evaluation.split))))
    return train, valid


def in_time_order(data: LoadedDataset) -> Array:
    """Row indices from the earliest to the latest, ties in the order of the rows; shape (n,)."""
    return np.argsort(_required(data.order, "order_by"), kind="stable")


def _shift(repeat: int, block: int) -> int:
    """By how many of the latest rows a repeat ends earlier than the first one does: less than a block."""
    return repeat * block // (repeat + 1)


def _in_time(ordered: Array, splitter: Any) -> Iterator[tuple[Array, Array]]:
    for train, valid in splitter.split(ordered):
        yield ordered[train], ordered[valid]


def _groups(data: LoadedDataset, split: Split) -> Array | None:
    return _required(data.groups, "groups") if split in {Split.GROUP, Split.STRATIFIED_GROUP} else None


def _required(array: Array | None, field: str) -> Array:
    if array is None:
        raise ValueError(f"this split needs dataset.{field}")
    return array


def _frozen(indices: Array) -> Array:
    array = np.ascontiguousarray(indices, dtype=np.int64)
    array.setflags(write=False)
    return array
