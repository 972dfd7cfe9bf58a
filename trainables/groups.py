"""How a model does on the rows of each value of a column: groups of people, of sites, of years."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_GROUPS = 20
"""Groups that one column may make: of more, each would have too few rows to say anything."""

Mask = NDArray[np.bool_]


def groups_of(data: Any, column: str) -> dict[str, Mask]:
    """The rows of each value of a column; shape (n,) each. Rows without a value are in no group.

    Args:
        data: The dataset; the column is one of its features.
        column: A column of text with at most 20 values, or of numbers with as many.

    Raises:
        ValueError: there is no such column among the features, or it has more values, or only one.
    """
    names = list(data.feature_names)
    values = {name.removeprefix(f"{column}="): place for place, name in enumerate(names) if _is_of(name, column)}
    if values:
        found = {value: np.asarray(data.table[:, place] == 1) for value, place in values.items()}
    elif column not in names:
        known = ", ".join(dict.fromkeys(name.partition("=")[0] for name in names)) or "it has none by name"
        raise ValueError(f"by: {column!r} is no feature of the dataset; use one of {known}")
    else:
        found = _by_number(column, np.asarray(data.table[:, names.index(column)]), column in data.coded)
    if len(found) < 2:
        raise ValueError(f"by: column {column!r} has only one value; name a column with two or more")
    return found


def _is_of(name: str, column: str) -> bool:
    return name.startswith(f"{column}=")


def _by_number(column: str, values: NDArray[np.float64], coded: bool) -> dict[str, Mask]:
    distinct = np.unique(values[~np.isnan(values)])
    if coded or len(distinct) > MOST_GROUPS:
        raise ValueError(
            f"by: column {column!r} has {len(distinct)} values, more than {MOST_GROUPS}; "
            "name one with fewer, such as ranges as text"
        )
    return {f"{value:g}": values == value for value in distinct}


def group_metrics(metric: str, better: str) -> dict[str, str]:
    """The metrics that ``by_group`` always returns, each with its better direction.

    Args:
        metric: Whose values they are of; only for reading.
        better: Its better direction.
    """
    return {f"worst_group_{metric}": better, "group_gap": "minimize"}


def by_group(
    metric: str, better: str, column: str, groups: Mapping[str, Mask], score: Callable[[Mask], float]
) -> dict[str, float]:
    """The metric for each group as ``METRIC[COLUMN=VALUE]``, the worst of these as ``worst_group_METRIC``, and the
    difference between best and worst as ``group_gap``, 0 or more.

    Args:
        metric: Name of the metric.
        better: ``maximize`` or ``minimize``.
        column: Name of the column.
        groups: For each of its values which of the rows that validate have it, shape (n_valid,). A value that none has
            is left out, and the trial's log says so.
        score: The metric for some of the rows that validate, at least one.
    """
    empty = [value for value, mask in groups.items() if not mask.any()]
    if empty:
        print(f"{metric} is left out for {column} {', '.join(empty)}: no row that validates")  # noqa: T201
    found = {value: score(mask) for value, mask in groups.items() if mask.any()}
    if not found:
        return {}
    worst, best = (min, max) if better == "maximize" else (max, min)
    extremes = {
        f"worst_group_{metric}": worst(found.values()),
        "group_gap": abs(best(found.values()) - worst(found.values())),
    }
    return {**{f"{metric}[{column}={value}]": of for value, of in found.items()}, **extremes}
