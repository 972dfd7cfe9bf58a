"""Regressors for tables: a scikit-learn pipeline whose every step is a choice with parameters of its own."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from searchd.trainable import Context, Infeasible, trainable
from trainables import metrics, tabular, tabular_models

DEFAULT = {**tabular.DEFAULT, "regressor": "linear", "linear_penalty": "l2", "linear_alpha": 1e-3}
"""Ridge regression on standardised columns: what one would try first."""

UNSEARCHED = {**tabular.UNSEARCHED, **tabular_models.UNSEARCHED, "forest_max_features": 1.0, **DEFAULT}


# One epoch is the whole fit: there is no state to save between epochs, so pausing is always possible.
@trainable(
    metrics={**metrics.REGRESSION, **metrics.with_training("rmse")},
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
        yield {**found, **metrics.training("rmse", trained["rmse"], found["rmse"])}
        return


def _predicted(model: Pipeline, data: Any, index: NDArray[np.intp]) -> NDArray[Any]:
    with tabular.one_quiet_thread():
        numbers: NDArray[Any] = model.predict(tabular.rows_of(data, index))
    return numbers
