"""What is wrong with a dataset and the way it is to be split, before any trial is started."""

from collections.abc import Callable

import numpy as np

from searchd.datasets.loaded import LoadedDataset
from searchd.datasets.splits import Splits
from searchd.domain.errors import Violation
from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.study import Dataset

GROUPED = (Split.GROUP, Split.STRATIFIED_GROUP)
STRATIFIED = (Split.STRATIFIED, Split.STRATIFIED_GROUP)
UNREPEATABLE = (Split.TIMESERIES, Split.FOLD_COLUMN)


def of_fields(dataset: Dataset, evaluation: Evaluation) -> list[Violation]:
    """What can be said without the rows: a split without its column, groups that would leak, useless repeats."""
    split = evaluation.split
    found = []
    needs = {Split.GROUP: "groups", Split.STRATIFIED_GROUP: "groups"}
    needs |= {Split.TIMESERIES: "order_by", Split.FOLD_COLUMN: "fold_column"}
    if (field := needs.get(split)) and not getattr(dataset, field):
        message = f"is not set, and the split {split.value} needs it"
        found.append(Violation(f"dataset.{field}", message, "name the column, or choose another split"))
    if dataset.groups and split not in GROUPED:
        message = f"the split {split.value} would put rows of one group on both sides"
        remedy = "use group or stratified_group, or drop the column instead of naming it in dataset.groups"
        found.append(Violation("evaluation.split", message, remedy))
    if split in UNREPEATABLE and evaluation.repeats > 1:
        message = f"the split {split.value} is the same in every repeat"
        found.append(Violation("evaluation.repeats", message, "use 1"))
    if split is Split.FOLD_COLUMN and evaluation.folds == 0:
        message = "a hold-out does not use the fold column"
        found.append(Violation("evaluation.holdout", message, "set evaluation.folds to the number of its values"))
    return found


def is_sensible(evaluation: Evaluation) -> bool:
    """Whether the numbers make sense for some dataset. Where not, the study's own checks say so, not these."""
    # NumPy's seeds end at 2**32, and repeat r adds r to the first one.
    seeds = 0 <= evaluation.split_seed < 2**32 - evaluation.repeats
    share = 0 < evaluation.holdout < 1 if evaluation.folds == 0 else evaluation.folds >= 2
    return seeds and share and evaluation.repeats >= 1


def of_rows(data: LoadedDataset, dataset: Dataset, evaluation: Evaluation) -> list[Violation]:
    """What the rows do not allow, of an evaluation that is sensible."""
    if evaluation.split in STRATIFIED and data.task == "regression":
        message = "the target is a number, and stratifying needs classes"
        return [Violation("evaluation.split", message, "use group" if dataset.groups else "use kfold")]
    if evaluation.folds == 0:
        return _of_holdout(data, evaluation)
    checks = [_rows(data, evaluation), _classes(data, evaluation), _groups(data, evaluation)]
    return [v for v in (*checks, _fold_column(data, evaluation)) if v is not None]


def of_split(evaluation: Evaluation, compute: Callable[[], Splits]) -> list[Violation]:
    """Whether the splitter itself agrees and leaves rows on both sides of every fold."""
    path, remedy = "evaluation.holdout", "hold out another share, or use another split"
    if evaluation.folds:
        path, remedy = "evaluation.folds", "use fewer folds, or another split"
    try:
        folds = compute()
    except ValueError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        return [Violation(path, f"cannot split so: {reason}", remedy)]
    empty = [i for i, (train, valid) in enumerate(folds) if not len(train) or not len(valid)]
    return [Violation(path, f"fold {empty[0]} has no rows on one side", remedy)] if empty else []


def _rows(data: LoadedDataset, evaluation: Evaluation) -> Violation | None:
    # A time series keeps one block more than it has folds: the first one only ever trains.
    most = len(data) - (evaluation.split is Split.TIMESERIES)
    if evaluation.split is Split.FOLD_COLUMN or evaluation.folds <= most:
        return None
    return Violation("evaluation.folds", f"{evaluation.folds} folds of {len(data)} rows", f"use at most {most}")


def _classes(data: LoadedDataset, evaluation: Evaluation) -> Violation | None:
    if evaluation.split not in STRATIFIED:
        return None
    counts = np.bincount(data.y)
    code = int(counts.argmin())
    fewest = int(counts[code])
    if evaluation.folds <= fewest:
        return None
    message = f"{evaluation.folds} folds, but class {data.classes[code]!r} has only {_counted(fewest, 'row')}"
    remedy = f"use at most {fewest} folds, or another split" if fewest > 1 else "use another split"
    return Violation("evaluation.folds", message, remedy)


def _groups(data: LoadedDataset, evaluation: Evaluation) -> Violation | None:
    if evaluation.split not in GROUPED or data.groups is None:
        return None
    groups = int(data.groups.max()) + 1
    if evaluation.folds <= groups:
        return None
    message = f"{evaluation.folds} folds of {_counted(groups, 'group')}"
    return Violation("evaluation.folds", message, f"use at most {groups}" if groups > 1 else "use another split")


def _fold_column(data: LoadedDataset, evaluation: Evaluation) -> Violation | None:
    if evaluation.split is not Split.FOLD_COLUMN or data.fold is None:
        return None
    folds = int(data.fold.max()) + 1
    if folds == evaluation.folds:
        return None
    message = f"{evaluation.folds} folds, but the fold column has {_counted(folds, 'value')}"
    remedy = f"use {folds}" if folds > 1 else "name a column with two or more values"
    return Violation("evaluation.folds", message, remedy)


def _of_holdout(data: LoadedDataset, evaluation: Evaluation) -> list[Violation]:
    if evaluation.split is Split.STRATIFIED:
        counts = np.bincount(data.y)
        code = int(counts.argmin())
        if counts[code] < 2:
            message = f"class {data.classes[code]!r} has only 1 row, and stratifying needs one on each side"
            return [Violation("evaluation.split", message, "use kfold, or give the class more rows")]
    if evaluation.split in GROUPED and data.groups is not None and data.groups.max() == 0:
        return [Violation("dataset.groups", "all rows are of one group", "name a column with two or more groups")]
    return []


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
