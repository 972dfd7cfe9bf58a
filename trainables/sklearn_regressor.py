"""Regressors for tables: a scikit-learn pipeline whose every step is a choice with parameters of its own."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from searchd.trainable import Context, Infeasible, trainable
from trainables import explanation, groups, metrics, tabular, tabular_models

DEFAULT = {**tabular.DEFAULT, "regressor": "linear", "linear_penalty": "l2", "linear_alpha": 1e-3}
"""Ridge regression on standardised columns: what one would try first."""

UNSEARCHED = {**tabular.UNSEARCHED, **tabular_models.UNSEARCHED, "forest_max_features": 1.0, **DEFAULT}


GROUPED = groups.group_metrics("rmse", "minimize")
"""With ``by``."""


# One epoch is the whole fit: there is no state to save between epochs, so pausing is always possible.
@trainable(
    metrics={**metrics.REGRESSION, **metrics.with_training("rmse"), **GROUPED},
    space={**tabular.SPACE, **tabular_models.space("regressor", tabular_models.REGRESSORS)},
    default=DEFAULT,
    checkpoints=True,
)
def sklearn_regressor(ctx: Context) -> Iterator[dict[str, float]]:
    """Preprocessing, selection and extraction of columns, and one of many regressors; fitted whole in one epoch."""
    data = ctx.dataset()
    target = metrics.required_numbers("sklearn_regressor", data)
    p = {**UNSEARCHED, **ctx.params}
    train, valid = ctx.train_index, ctx.valid_index
    members = groups.groups_of(data, p["by"]) if p["by"] else {}
    rows = tabular.rows_of(data, train)
    for _ in ctx.epochs():
        predictor = tabular_models.regressor(p, ctx.seed, len(rows))
        model = tabular.fitted(p, ctx.seed, rows, target[train], data, predictor)
        seen, predicted = _predicted(model, data, train), _predicted(model, data, valid)
        if not (np.isfinite(seen).all() and np.isfinite(predicted).all()):
            raise Infeasible(f"regressor {p['regressor']} predicts values that are not finite")
        found = metrics.regression(target[valid], predicted)
        trained = metrics.regression(target[train], seen)
        ctx.predict(partial(_predicted, model, data))
        tabular.hand_over(ctx, model, data)
        errors = predicted - target[valid]
        grouped = _by_group(p["by"], {value: mask[valid] for value, mask in members.items()}, errors)
        if p["explain"]:
            _explain(ctx, model, tabular.rows_of(data, valid), target[valid])
        yield {**found, **metrics.training("rmse", trained["rmse"], found["rmse"]), **grouped}
        return


def _by_group(column: str, members: Mapping[str, groups.Mask], errors: NDArray[np.float64]) -> dict[str, float]:
    """The root mean squared error of each group; nothing without groups."""
    if not members:
        return {}
    return groups.by_group("rmse", "minimize", column, members, lambda mask: _rms(errors[mask]))


def _explain(ctx: Context, model: Pipeline, held: tabular.Rows, truth: NDArray[np.float64]) -> None:
    """Leave the permutation importance of the columns on the rows that validate: by how much the error rises."""

    def better(rows: NDArray[Any]) -> float:
        return -_rms(model.predict(rows) - truth)

    names = ctx.dataset().feature_names
    with tabular.one_quiet_thread():
        explanation.write_importance(ctx.artifact(explanation.FILE), "-rmse", better, held, names, ctx.seed)


def _rms(errors: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _predicted(model: Pipeline, data: Any, index: NDArray[np.intp]) -> NDArray[Any]:
    with tabular.one_quiet_thread():
        numbers: NDArray[Any] = model.predict(tabular.rows_of(data, index))
    return numbers
