"""Splits beside scikit-learn's own."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn import model_selection as ms

from searchd.datasets import LoadedDataset
from searchd.datasets.splits import compute
from searchd.domain.evaluation import Evaluation, Split

ROWS = 60
RANDOM = np.random.default_rng(0)
CLASSES = RANDOM.integers(0, 3, ROWS)
GROUPS = RANDOM.integers(0, 12, ROWS)
DATA = LoadedDataset(
    fingerprint="",
    task="classification",
    X=np.zeros((ROWS, 1)),
    y=CLASSES,
    classes=("a", "b", "c"),
    feature_names=("x",),
    groups=GROUPS,
    order=RANDOM.permutation(ROWS),
    fold=np.arange(ROWS) % 4 - 1,
)


def same(pairs: Any, expected: Any) -> bool:
    pairs, expected = list(pairs), list(expected)
    return len(pairs) == len(expected) and all(
        np.array_equal(a, b)
        for pair, other in zip(pairs, expected, strict=True)
        for a, b in zip(pair, other, strict=True)
    )


@pytest.mark.parametrize("repeat", [0, 2])
@pytest.mark.parametrize(
    ("split", "splitter"),
    [
        (Split.KFOLD, ms.KFold),
        (Split.STRATIFIED, ms.StratifiedKFold),
        (Split.GROUP, ms.GroupKFold),
        (Split.STRATIFIED_GROUP, ms.StratifiedGroupKFold),
    ],
)
def test_folds_are_scikit_learns(split: Split, splitter: Any, repeat: int) -> None:
    """Shuffled folds are those of scikit-learn's splitter at random_state split_seed + repeat."""
    found = compute(DATA, Evaluation(folds=4, split=split, split_seed=11, repeats=3), repeat)
    expected = splitter(n_splits=4, shuffle=True, random_state=11 + repeat)
    groups = GROUPS if "group" in split.value else None
    assert same(found, expected.split(DATA.X, CLASSES, groups))


@pytest.mark.parametrize("stratify", [None, CLASSES])
def test_holdout_is_train_test_split(stratify: Any) -> None:
    """A hold-out is the split that train_test_split makes with the same share and seed."""
    split = Split.KFOLD if stratify is None else Split.STRATIFIED
    found = compute(DATA, Evaluation(holdout=0.3, split=split, split_seed=5), 0)
    assert same(found, [ms.train_test_split(np.arange(ROWS), test_size=0.3, random_state=5, stratify=stratify)])


def test_group_holdout_is_scikit_learns() -> None:
    """A hold-out by groups is the first split of GroupShuffleSplit."""
    found = compute(DATA, Evaluation(holdout=0.25, split=Split.GROUP, split_seed=5), 0)
    splitter = ms.GroupShuffleSplit(n_splits=1, test_size=0.25, random_state=5)
    assert same(found, splitter.split(DATA.X, CLASSES, GROUPS))


@pytest.mark.parametrize("split", [Split.GROUP, Split.STRATIFIED_GROUP])
@pytest.mark.parametrize("folds", [0, 3])
def test_no_group_is_on_both_sides(split: Split, folds: int) -> None:
    """Group splits put all rows of a group on one side, hold-outs included."""
    for train, valid in compute(DATA, Evaluation(folds=folds, split=split), 0):
        assert not set(GROUPS[train]) & set(GROUPS[valid])
        assert len(train) + len(valid) == ROWS


def test_time_series_validates_on_what_comes_later() -> None:
    """Time series folds are TimeSeriesSplit over the rows in time order, whatever the seed."""
    ordered = np.argsort(DATA.order)  # type: ignore[arg-type]
    expected = [(ordered[a], ordered[b]) for a, b in ms.TimeSeriesSplit(4).split(ordered)]
    for seed in (0, 9):
        assert same(compute(DATA, Evaluation(folds=4, split=Split.TIMESERIES, split_seed=seed), 0), expected)


def test_time_series_holdout_is_the_last_share() -> None:
    """A hold-out in time validates on the last share of the rows."""
    ((train, valid),) = compute(DATA, Evaluation(holdout=0.21, split=Split.TIMESERIES), 0)
    assert len(valid) == math.ceil(ROWS * 0.21)
    assert DATA.order is not None
    assert DATA.order[train].max() < DATA.order[valid].min()
    assert len(train) + len(valid) == ROWS


def test_given_folds_are_predefined_split() -> None:
    """Given folds validate each on its own rows; rows marked -1 always train."""
    found = compute(DATA, Evaluation(folds=3, split=Split.FOLD_COLUMN), 0)
    assert same(found, ms.PredefinedSplit(DATA.fold).split())
    assert all(set(np.flatnonzero(np.arange(ROWS) % 4 == 0)) <= set(train) for train, _ in found)
