"""Classifiers for tables: a scikit-learn pipeline whose every step is a choice with parameters of its own."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.class_weight import compute_sample_weight

from searchd.trainable import Context, Infeasible, trainable
from trainables import explanation, groups, metrics, tabular, tabular_models

DEFAULT = {
    **tabular.DEFAULT,
    "classifier": "linear",
    "linear_penalty": "l2",
    "linear_c": 1.0,
    "class_weight": "none",
    "svm_probabilities": False,
}
"""Logistic regression on standardised columns: what one would try first."""

UNSEARCHED = {**tabular.UNSEARCHED, **tabular_models.UNSEARCHED, **DEFAULT}


GROUPED = groups.group_metrics("accuracy", "maximize")
"""With ``by``."""


# One epoch is the whole fit: there is no state to save between epochs, so pausing is always possible.
@trainable(
    metrics={**metrics.CLASSIFICATION, **metrics.PROBABILISTIC, **metrics.with_training("accuracy"), **GROUPED},
    space={**tabular.SPACE, **tabular_models.space("classifier", tabular_models.CLASSIFIERS)},
    default=DEFAULT,
    checkpoints=True,
)
def sklearn_classifier(ctx: Context) -> Iterator[dict[str, float]]:
    """Preprocessing, selection and extraction of columns, and one of many classifiers; fitted whole in one epoch."""
    data = ctx.dataset()
    metrics.require_classes("sklearn_classifier", data)
    p = {**UNSEARCHED, **ctx.params}
    labels, train, valid = np.asarray(data.y), ctx.train_index, ctx.valid_index
    members = groups.groups_of(data, p["by"]) if p["by"] else {}
    known, codes = _present(ctx, labels[train], data.classes)
    rows, held = tabular.rows_of(data, train), tabular.rows_of(data, valid)
    for _ in ctx.epochs():
        predictor = tabular_models.classifier(p, ctx.seed, len(rows))
        model = tabular.fitted(p, ctx.seed, rows, codes, data, predictor, row_weights(p, codes))
        with tabular.one_quiet_thread():
            seen = known[model.predict(rows)]
            predicted = known[model.predict(held)]
            graded = _graded(model, data, known, valid)
        metrics.write_confusion_matrix(ctx.artifact("confusion_matrix.json"), labels[valid], predicted, data.classes)
        metrics.write_class_report(ctx.artifact("class_report.json"), labels[valid], predicted, data.classes)
        ctx.predict(partial(_probabilities, model, data, known))
        tabular.hand_over(ctx, model, data, [data.classes[code] for code in known])
        found = metrics.classification(labels[valid], predicted)
        right = float(np.mean(seen == labels[train]))
        matches = predicted == labels[valid]
        grouped = _by_group(p["by"], {value: mask[valid] for value, mask in members.items()}, matches)
        if p["explain"]:
            _explain(ctx, model, held, known, labels[valid])
        yield {**found, **graded, **metrics.training("accuracy", right, found["accuracy"]), **grouped}
        return


def _by_group(column: str, members: Mapping[str, groups.Mask], matches: groups.Mask) -> dict[str, float]:
    """The accuracy of each group; nothing without groups."""
    if not members:
        return {}
    return groups.by_group("accuracy", "maximize", column, members, lambda mask: float(matches[mask].mean()))


def _explain(ctx: Context, model: Pipeline, held: tabular.Rows, known: NDArray[Any], truth: NDArray[Any]) -> None:
    """Leave the permutation importance of the columns on the rows that validate."""

    def accuracy(rows: NDArray[Any]) -> float:
        return float(np.mean(known[model.predict(rows)] == truth))

    names = ctx.dataset().feature_names
    with tabular.one_quiet_thread():
        explanation.write_importance(ctx.artifact(explanation.FILE), "accuracy", accuracy, held, names, ctx.seed)


def _present(ctx: Context, codes: NDArray[Any], classes: Sequence[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The classes of the training rows, and the rows' positions among them: models want codes without gaps.

    Raises:
        ValueError: there is only one.
    """
    known, positions = np.unique(codes, return_inverse=True)
    if len(known) < 2:
        raise ValueError(
            f"all rows that train in repeat {ctx.repeat}, fold {ctx.fold} are of class {classes[known[0]]!r}; "
            "use evaluation.split stratified, or fewer folds"
        )
    return known, positions


def row_weights(p: Mapping[str, Any], codes: NDArray[Any]) -> NDArray[np.float64] | None:
    """Weights that make all classes count the same, shape (n,), or None for equal ones.

    Raises:
        ValueError: there is no such class weight.
        Infeasible: the classifier takes none.
    """
    match p["class_weight"]:
        case "none":
            return None
        case "balanced" if p["classifier"] == "knn":
            raise Infeasible("class_weight balanced is not for classifier knn, which weighs no rows")
        case "balanced":
            return np.asarray(compute_sample_weight("balanced", codes))
    raise tabular.unknown("class_weight", p["class_weight"], "none or balanced")


def _graded(model: Pipeline, data: Any, known: NDArray[Any], valid: NDArray[np.intp]) -> dict[str, float]:
    """The metrics that need more than predicted classes."""
    truth = np.asarray(data.y)[valid]
    if hasattr(model, "predict_proba"):
        scores = _probabilities(model, data, known, valid)
        if not np.isfinite(scores).all():
            raise Infeasible("the probabilities are not finite")
        return metrics.probabilistic(truth, scores, data.classes)
    print("log_loss and calibration_error are left out: fix svm_probabilities to true for them")  # noqa: T201
    scores = np.zeros((len(valid), len(data.classes)))
    decided = model.decision_function(tabular.rows_of(data, valid))
    scores[:, known] = np.column_stack([-decided, decided]) if decided.ndim == 1 else decided
    return metrics.roc_auc(truth, scores, data.classes)


def _probabilities(model: Pipeline, data: Any, known: NDArray[Any], index: NDArray[np.intp]) -> NDArray[np.float64]:
    """Of rows of the dataset, shape (n, k); 1 for the predicted class if the model has no probabilities. A class that
    was not trained on has probability 0."""
    rows = tabular.rows_of(data, index)
    probabilities = np.zeros((len(rows), len(data.classes)))
    with tabular.one_quiet_thread():
        if hasattr(model, "predict_proba"):
            probabilities[:, known] = model.predict_proba(rows)
        else:
            probabilities[np.arange(len(rows)), known[model.predict(rows)]] = 1.0
    return probabilities
