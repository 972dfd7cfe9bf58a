"""A scikit-learn pipeline of imputer, scaler and one of five classifiers, each with parameters of its own."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from searchd.trainable import Context, choice, lograndint, loguniform, randint, trainable, uniform
from trainables import metrics

LINEAR = {"classifier": ["linear"]}
SVM = {"classifier": ["svm"]}
FOREST = {"classifier": ["forest"]}
BOOSTING = {"classifier": ["boosting"]}
KNN = {"classifier": ["knn"]}

DEFAULT = {"scaler": "standard", "classifier": "linear", "linear_c": 1.0}
"""Logistic regression on standardised columns: what one would try first."""

UNSEARCHED = {
    **DEFAULT,
    "svm_c": 1.0,
    "svm_kernel": "rbf",
    "svm_gamma": "scale",
    "forest_trees": 100,
    "forest_max_features": "sqrt",
    "forest_min_leaf": 1,
    "boosting_lr": 0.1,
    "boosting_iterations": 100,
    "boosting_leaves": 31,
    "boosting_l2": 0.0,
    "knn_neighbours": 5,
    "knn_weights": "uniform",
}
"""scikit-learn's own values, for parameters that a study neither searches nor fixes."""


# One epoch is the whole fit: there is no state to save between epochs, so pausing is always possible.
@trainable(
    metrics=metrics.CLASSIFICATION,
    space={
        "scaler": choice(["standard", "minmax", "robust", "none"]),
        "classifier": choice(["linear", "svm", "forest", "boosting", "knn"]),
        "linear_c": loguniform(1e-4, 1e2, when=LINEAR),
        "svm_c": loguniform(1e-2, 1e3, when=SVM),
        "svm_kernel": choice(["rbf", "poly", "linear"], when=SVM),
        "svm_gamma": loguniform(1e-5, 1e1, when={**SVM, "svm_kernel": ["rbf", "poly"]}),
        "forest_trees": lograndint(50, 501, when=FOREST),
        "forest_max_features": uniform(0.05, 1.0, when=FOREST),
        "forest_min_leaf": randint(1, 11, when=FOREST),
        "boosting_lr": loguniform(0.01, 0.5, when=BOOSTING),
        "boosting_iterations": lograndint(20, 301, when=BOOSTING),
        "boosting_leaves": lograndint(4, 65, when=BOOSTING),
        "boosting_l2": loguniform(1e-6, 1e1, when=BOOSTING),
        "knn_neighbours": lograndint(1, 31, when=KNN),
        "knn_weights": choice(["uniform", "distance"], when=KNN),
    },
    default=DEFAULT,
    checkpoints=True,
)
def sklearn_classifier(ctx: Context) -> Iterator[dict[str, float]]:
    """Imputer, scaler and a linear model, SVM, forest, boosting or nearest neighbours; fitted whole in one epoch."""
    data = ctx.dataset()
    metrics.require_classes("sklearn_classifier", data)
    model = pipeline({**UNSEARCHED, **ctx.params}, ctx.seed)
    train, valid = ctx.train_index, ctx.valid_index
    truth = np.asarray(data.y)
    for _ in ctx.epochs():
        with warnings.catch_warnings(), threadpool_limits(1):
            # A fit that runs out of iterations is a fair result of its parameters, and its score says how good it is.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(data.table[train], truth[train])
            predicted = model.predict(data.table[valid])
        path = ctx.artifact("confusion_matrix.json")
        metrics.write_confusion_matrix(path, truth[valid], predicted, data.classes)
        yield metrics.classification(truth[valid], predicted)
        return


def pipeline(p: dict[str, Any], seed: int) -> Pipeline:
    """The unfitted pipeline with steps ``impute`` (median), ``scale`` and ``classify``.

    Args:
        p: Parameters as in the search space, all of the chosen classifier's present.
        seed: ``random_state`` of the classifiers that take one.

    Raises:
        ValueError: there is no such scaler or classifier.
    """
    # A column without any value in the training rows becomes 0 instead of vanishing with a warning.
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return Pipeline([("impute", imputer), ("scale", _scaler(p["scaler"])), ("classify", _classifier(p, seed))])


def _scaler(name: str) -> Any:
    match name:
        case "standard":
            return StandardScaler()
        case "minmax":
            return MinMaxScaler()
        case "robust":
            return RobustScaler()
        case "none":
            return "passthrough"
    raise ValueError(f"scaler {name!r} is not known; use standard, minmax, robust or none")


def _classifier(p: dict[str, Any], seed: int) -> Any:
    match p["classifier"]:
        case "linear":
            return LogisticRegression(C=p["linear_c"], max_iter=1000, random_state=seed)
        case "svm":
            return SVC(C=p["svm_c"], kernel=p["svm_kernel"], gamma=p["svm_gamma"], random_state=seed)
        case "forest":
            return RandomForestClassifier(
                p["forest_trees"],
                max_features=p["forest_max_features"],
                min_samples_leaf=p["forest_min_leaf"],
                n_jobs=1,
                random_state=seed,
            )
        case "boosting":
            return HistGradientBoostingClassifier(
                learning_rate=p["boosting_lr"],
                max_iter=p["boosting_iterations"],
                max_leaf_nodes=p["boosting_leaves"],
                l2_regularization=p["boosting_l2"],
                early_stopping=False,  # it would hold out rows of its own above 10,000
                random_state=seed,
            )
        case "knn":
            return KNeighborsClassifier(p["knn_neighbours"], weights=p["knn_weights"], n_jobs=1)
    raise ValueError(f"classifier {p['classifier']!r} is not known; use linear, svm, forest, boosting or knn")
