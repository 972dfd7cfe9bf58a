"""The models for tables: their parameters, and how each is built from them. Boosting libraries load when chosen."""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from sklearn import ensemble, linear_model, naive_bayes, neighbors, neural_network, svm, tree
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import StandardScaler

from searchd.trainable import Infeasible, choice, lograndint, loguniform, randint, uniform
from searchd.trainable.space import ParameterSpec
from trainables.tabular import unknown

LIBRARIES = ("lightgbm", "xgboost")
INSTALLED = [name for name in LIBRARIES if find_spec(name) is not None]

CLASSIFIERS = ["linear", "svm", "forest", "boosting", "knn", "tree", "extra_trees", "naive_bayes", "mlp"]
REGRESSORS = [name for name in CLASSIFIERS if name != "naive_bayes"]

BOOSTED = ["boosting", *LIBRARIES]
FORESTS = ["forest", "extra_trees"]

UNSEARCHED = {
    "linear_penalty": "l2",
    "linear_c": 1.0,
    "linear_alpha": 1e-3,
    "linear_l1_ratio": 0.5,
    "svm_c": 1.0,
    "svm_kernel": "rbf",
    "svm_gamma": "scale",
    "svm_epsilon": 0.1,
    "svm_probabilities": False,
    "forest_trees": 100,
    "forest_max_features": "sqrt",
    "forest_min_leaf": 1,
    "boosting_lr": 0.1,
    "boosting_iterations": 100,
    "boosting_leaves": 31,
    "boosting_l2": 0.0,
    "boosting_columns": 1.0,
    "knn_neighbours": 5,
    "knn_weights": "uniform",
    "knn_distance": "euclidean",
    "tree_min_leaf": 1,
    "tree_pruning": 0.0,
    "naive_bayes_smoothing": 1e-9,
    "mlp_layers": 1,
    "mlp_width": 100,
    "mlp_activation": "relu",
    "mlp_lr": 1e-3,
    "mlp_alpha": 1e-4,
    "class_weight": "none",
}
"""scikit-learn's own values, for parameters that a study neither searches nor fixes."""


def space(owner: str, models: Sequence[str]) -> dict[str, ParameterSpec]:
    """The choice of a model and the parameters that each of them has.

    Args:
        owner: Name of the parameter that chooses the model, ``classifier`` or ``regressor``.
        models: ``CLASSIFIERS`` or ``REGRESSORS``; the libraries that are installed are added.
    """
    known = [*models, *INSTALLED]

    def only(*names: str) -> dict[str, list[str]]:
        return {owner: [name for name in known if name in names]}

    found = {owner: choice(known), **_shared_space(only)}
    if owner == "classifier":
        weighing = [name for name in known if name != "knn"]
        found["linear_c"] = loguniform(1e-4, 1e2, when=only("linear"))
        found["naive_bayes_smoothing"] = loguniform(1e-12, 1.0, when=only("naive_bayes"))
        found["class_weight"] = choice(["none", "balanced"], when=only(*weighing))
    else:
        found["linear_alpha"] = loguniform(1e-6, 1e1, when=only("linear"))
        found["svm_epsilon"] = loguniform(1e-3, 1.0, when=only("svm"))
    return found


def _shared_space(only: Callable[..., dict[str, list[str]]]) -> dict[str, ParameterSpec]:
    """The parameters that models for classes and for numbers share; ``only`` says which models have one."""
    return {
        "linear_penalty": choice(["l2", "l1", "elasticnet"], when=only("linear")),
        "linear_l1_ratio": uniform(0.05, 0.95, when={**only("linear"), "linear_penalty": ["elasticnet"]}),
        "svm_c": loguniform(1e-2, 1e3, when=only("svm")),
        "svm_kernel": choice(["rbf", "poly", "linear"], when=only("svm")),
        "svm_gamma": loguniform(1e-5, 1e1, when={**only("svm"), "svm_kernel": ["rbf", "poly"]}),
        "forest_trees": lograndint(50, 501, when=only(*FORESTS)),
        "forest_max_features": uniform(0.05, 1.0, when=only(*FORESTS)),
        "forest_min_leaf": randint(1, 11, when=only(*FORESTS)),
        "boosting_lr": loguniform(0.01, 0.5, when=only(*BOOSTED)),
        "boosting_iterations": lograndint(20, 301, when=only(*BOOSTED)),
        "boosting_leaves": lograndint(4, 65, when=only(*BOOSTED)),
        "boosting_l2": loguniform(1e-6, 1e1, when=only(*BOOSTED)),
        "boosting_columns": uniform(0.2, 1.0, when=only(*BOOSTED)),
        "knn_neighbours": lograndint(1, 31, when=only("knn")),
        "knn_weights": choice(["uniform", "distance"], when=only("knn")),
        "knn_distance": choice(["euclidean", "manhattan"], when=only("knn")),
        "tree_min_leaf": lograndint(1, 33, when=only("tree")),
        "tree_pruning": loguniform(1e-5, 1e-1, when=only("tree")),
        "mlp_layers": randint(1, 4, when=only("mlp")),
        "mlp_width": lograndint(8, 129, when=only("mlp")),
        "mlp_activation": choice(["relu", "tanh"], when=only("mlp")),
        "mlp_lr": loguniform(1e-4, 1e-1, when=only("mlp")),
        "mlp_alpha": loguniform(1e-6, 1e1, when=only("mlp")),
    }


def classifier(p: Mapping[str, Any], seed: int, rows: int) -> Any:
    """The unfitted classifier.

    Args:
        p: Parameters as in the space and ``UNSEARCHED``, all present.
        seed: ``random_state`` of those that take one.
        rows: Number of rows to train on.

    Raises:
        ValueError: there is no such classifier or value, or its library is not installed.
        Infeasible: it needs more rows.
    """
    match p["classifier"]:
        case "linear":
            return _logistic(p, seed)
        case "svm":
            machine = svm.SVC(**_support_vectors(p), random_state=seed)
            return CalibratedClassifierCV(machine, ensemble=False) if p["svm_probabilities"] else machine
        case "naive_bayes":
            return naive_bayes.GaussianNB(var_smoothing=p["naive_bayes_smoothing"])
    return _either("classifier", CLASSIFIERS, p, seed, rows)


def regressor(p: Mapping[str, Any], seed: int, rows: int) -> Any:
    """The unfitted regressor, which standardises the target, so that its parameters mean the same in any unit.

    Args:
        p: Parameters as in the space and ``UNSEARCHED``, all present.
        seed: ``random_state`` of those that take one.
        rows: Number of rows to train on.

    Raises:
        ValueError: there is no such regressor or value, or its library is not installed.
        Infeasible: it needs more rows.
    """
    match p["regressor"]:
        case "linear":
            model: Any = _linear(p, seed, rows)
        case "svm":
            model = svm.SVR(**_support_vectors(p), epsilon=p["svm_epsilon"])
        case _:
            model = _either("regressor", REGRESSORS, p, seed, rows)
    return TransformedTargetRegressor(model, transformer=StandardScaler())


def _logistic(p: Mapping[str, Any], seed: int) -> linear_model.LogisticRegression:
    share = _l1_share(p)
    if share == 0:
        return linear_model.LogisticRegression(C=p["linear_c"], max_iter=1000, random_state=seed)
    return linear_model.LogisticRegression(
        C=p["linear_c"], l1_ratio=share, solver="saga", max_iter=200, random_state=seed
    )


def _linear(p: Mapping[str, Any], seed: int, rows: int) -> Any:
    share = _l1_share(p)
    if share == 0:
        # Ridge adds up the squared errors where the elastic net takes their mean.
        return linear_model.Ridge(alpha=p["linear_alpha"] * rows, random_state=seed)
    return linear_model.ElasticNet(alpha=p["linear_alpha"], l1_ratio=share, random_state=seed)


def _l1_share(p: Mapping[str, Any]) -> float:
    """The share of L1 in the penalty.

    Raises:
        ValueError: there is no such penalty.
    """
    match p["linear_penalty"]:
        case "l2":
            return 0.0
        case "l1":
            return 1.0
        case "elasticnet":
            return float(p["linear_l1_ratio"])
    raise unknown("linear_penalty", p["linear_penalty"], "l2, l1 or elasticnet")


def _support_vectors(p: Mapping[str, Any]) -> dict[str, Any]:
    # Without a bound, columns that are not scaled can keep libsvm busy for hours.
    return {"C": p["svm_c"], "kernel": p["svm_kernel"], "gamma": p["svm_gamma"], "max_iter": 1_000_000}


def _either(owner: str, models: Sequence[str], p: Mapping[str, Any], seed: int, rows: int) -> Any:
    """The model for classes or for numbers, of those that exist for both."""
    classes = owner == "classifier"
    match p[owner]:
        case "tree":
            form = tree.DecisionTreeClassifier if classes else tree.DecisionTreeRegressor
            return form(min_samples_leaf=p["tree_min_leaf"], ccp_alpha=p["tree_pruning"], random_state=seed)
        case "forest":
            return _forest(ensemble.RandomForestClassifier if classes else ensemble.RandomForestRegressor, p, seed)
        case "extra_trees":
            return _forest(ensemble.ExtraTreesClassifier if classes else ensemble.ExtraTreesRegressor, p, seed)
        case "knn":
            return _neighbours(p, rows, classes=classes)
        case "mlp":
            return _mlp(p, seed, classes=classes)
        case "boosting":
            return _boosting(p, seed, classes=classes)
        case "lightgbm":
            return _lightgbm(p, seed, classes=classes)
        case "xgboost":
            return _xgboost(p, seed, classes=classes)
    raise unknown(owner, p[owner], f"{', '.join([*models, *LIBRARIES[:-1]])} or {LIBRARIES[-1]}")


def _forest(form: Any, p: Mapping[str, Any], seed: int) -> Any:
    return form(
        p["forest_trees"],
        max_features=p["forest_max_features"],
        min_samples_leaf=p["forest_min_leaf"],
        n_jobs=1,
        random_state=seed,
    )


def _neighbours(p: Mapping[str, Any], rows: int, *, classes: bool) -> Any:
    count = p["knn_neighbours"]
    if count > rows:
        raise Infeasible(f"knn_neighbours is {count}, but there are only {rows} rows to train on")
    form = neighbors.KNeighborsClassifier if classes else neighbors.KNeighborsRegressor
    return form(count, weights=p["knn_weights"], metric=p["knn_distance"], n_jobs=1)


def _mlp(p: Mapping[str, Any], seed: int, *, classes: bool) -> Any:
    form = neural_network.MLPClassifier if classes else neural_network.MLPRegressor
    return form(
        hidden_layer_sizes=(p["mlp_width"],) * p["mlp_layers"],
        activation=p["mlp_activation"],
        learning_rate_init=p["mlp_lr"],
        alpha=p["mlp_alpha"],
        random_state=seed,
    )


def _boosting(p: Mapping[str, Any], seed: int, *, classes: bool) -> Any:
    form = ensemble.HistGradientBoostingClassifier if classes else ensemble.HistGradientBoostingRegressor
    return form(
        learning_rate=p["boosting_lr"],
        max_iter=p["boosting_iterations"],
        max_leaf_nodes=p["boosting_leaves"],
        l2_regularization=p["boosting_l2"],
        max_features=p["boosting_columns"],
        early_stopping=False,  # it would hold out rows of its own above 10,000
        random_state=seed,
    )


def _lightgbm(p: Mapping[str, Any], seed: int, *, classes: bool) -> Any:
    _require("lightgbm")
    import lightgbm  # noqa: PLC0415  (optional)

    form = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
    return form(
        learning_rate=p["boosting_lr"],
        n_estimators=p["boosting_iterations"],
        num_leaves=p["boosting_leaves"],
        reg_lambda=p["boosting_l2"],
        feature_fraction_bynode=p["boosting_columns"],
        n_jobs=1,
        random_state=seed,
        deterministic=True,
        force_row_wise=True,  # otherwise it measures which is faster
        verbosity=-1,
    )


def _xgboost(p: Mapping[str, Any], seed: int, *, classes: bool) -> Any:
    _require("xgboost")
    import xgboost  # noqa: PLC0415  (optional)

    form = xgboost.XGBClassifier if classes else xgboost.XGBRegressor
    return form(
        learning_rate=p["boosting_lr"],
        n_estimators=p["boosting_iterations"],
        max_leaves=p["boosting_leaves"],
        max_depth=0,  # leaves bound a tree, as in the others
        grow_policy="lossguide",
        tree_method="hist",
        reg_lambda=p["boosting_l2"],
        colsample_bynode=p["boosting_columns"],
        n_jobs=1,
        random_state=seed,
        verbosity=0,
    )


def _require(library: str) -> None:
    if library not in INSTALLED:
        raise ValueError(f"{library} is not installed where this worker runs; pip install 'searchd[boosting]'")
