"""A table on its way to a model: imputed, encoded, scaled, with columns selected and extracted, in one pipeline."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, KernelPCA
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.feature_selection import SelectFromModel, SelectKBest, VarianceThreshold, f_classif, f_regression
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PolynomialFeatures, RobustScaler, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from searchd.trainable import Context, Infeasible, choice, lograndint, loguniform, uniform
from searchd.trainable.space import ParameterSpec

SELECTING = {"selection": ["filter", "model"]}
KERNEL_PCA = {"extraction": ["kernel_pca"]}
POLYNOMIAL = {"extraction": ["polynomial"]}

SPACE: Mapping[str, ParameterSpec] = {
    "impute": choice(["median", "mean", "most_frequent"]),
    "scaler": choice(["standard", "minmax", "robust", "none"]),
    "selection": choice(["none", "filter", "model"]),
    "selection_share": uniform(0.1, 1.0, when=SELECTING),
    "extraction": choice(["none", "pca", "kernel_pca", "polynomial"]),
    "pca_variance": uniform(0.5, 0.999, when={"extraction": ["pca"]}),
    "kernel_pca_components": lograndint(2, 65, when=KERNEL_PCA),
    "kernel_pca_kernel": choice(["rbf", "poly", "cosine"], when=KERNEL_PCA),
    "kernel_pca_gamma": loguniform(1e-4, 1e1, when={**KERNEL_PCA, "kernel_pca_kernel": ["rbf", "poly"]}),
    "polynomial_degree": choice([2, 3], when=POLYNOMIAL),
    "polynomial_interactions": choice([False, True], when=POLYNOMIAL),
}
"""What a study may choose before the model."""

DEFAULT = {
    "impute": "median",
    "categories": "onehot",
    "scaler": "standard",
    "selection": "none",
    "extraction": "none",
    "by": "",
    "explain": False,
}
"""Standardised columns as they are: what one would try first; also what is not searched, but can be fixed."""

UNSEARCHED = {
    **DEFAULT,
    "selection_share": 0.5,
    "pca_variance": 0.95,
    "kernel_pca_components": 16,
    "kernel_pca_kernel": "rbf",
    "kernel_pca_gamma": None,
    "polynomial_degree": 2,
    "polynomial_interactions": False,
}
"""Values of parameters that a study neither searches nor fixes."""

MOST_CATEGORIES = 100
"""Columns that one column of text may become; the rarest values share the last."""

MOST_TERMS = 2500
"""Columns that polynomial extraction may make: memory and time of a fit grow with them."""

MOST_KERNEL_ROWS = 10_000
"""Rows that kernel PCA may be fitted on: its matrix of rows by rows would take more than 800 MB."""

NAMES_SHOWN = 5

CHOICES = ("scaler", "selection", "extraction", "classifier", "regressor")
"""The parameters that name the steps."""

Rows = NDArray[Any]


def rows_of(data: Any, index: NDArray[np.intp]) -> Rows:
    """These rows of the table as floats, shape (n, d)."""
    rows: Rows = np.asarray(data.table[index])
    return rows if rows.dtype.kind == "f" else rows.astype(np.float64)


def hand_over(ctx: Context, model: Pipeline, data: Any, classes: Sequence[Any] = ()) -> None:
    """Hand a fitted pipeline over, which takes ``rows_of`` and knows of its classes, if any, only their positions."""
    ctx.model(lambda: model, partial(rows_of, data), classes)


@contextmanager
def one_quiet_thread() -> Iterator[None]:
    """Fitting and predicting: a fold run owns one CPU, and what would be warned about is in the scores.

    A fit that runs out of iterations is a fair result of its parameters; so is one of columns that do not vary.
    """
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def encoder(p: Mapping[str, Any], names: Sequence[str], coded: Sequence[str]) -> Any:
    """What fills in missing values, and makes of each coded column a 0/1 column for each value (``onehot``).

    Values that the training rows do not have become 0 in all of them. A column without any value in the training rows
    becomes 0.

    Args:
        p: Parameters ``impute`` and ``categories``.
        names: The columns, in order; empty if they have no names.
        coded: Those that hold codes of text.

    Raises:
        ValueError: there is no such imputing or encoding.
    """
    if p["impute"] not in {"median", "mean", "most_frequent"}:
        raise unknown("impute", p["impute"], "median, mean or most_frequent")
    if p["categories"] not in {"onehot", "codes"}:
        raise unknown("categories", p["categories"], "onehot or codes")
    imputer = SimpleImputer(strategy=p["impute"], keep_empty_features=True)
    if not coded or p["categories"] == "codes":
        return imputer
    categories = OneHotEncoder(
        handle_unknown="ignore", max_categories=MOST_CATEGORIES, sparse_output=False, dtype=np.float64
    )
    texts = [names.index(name) for name in coded]
    numbers = [column for column in range(len(names)) if column not in texts]
    return ColumnTransformer([("numbers", imputer, numbers), ("categories", categories, texts)])


def fitted(
    p: Mapping[str, Any],
    seed: int,
    rows: Rows,
    y: NDArray[Any],
    data: Any,
    predictor: Any,
    weights: NDArray[np.float64] | None = None,
) -> Pipeline:
    """The pipeline of steps ``encode``, ``vary``, ``scale``, ``select``, ``extract`` and ``predict``, fitted.

    Args:
        p: Parameters as in ``SPACE``, with ``categories``; all present.
        seed: ``random_state`` of the steps that take one.
        rows: Shape (n, d), NaN where a value is missing.
        y: Class codes (integers) or numbers, shape (n,).
        data: The dataset that the rows are of.
        predictor: The unfitted model.
        weights: Weight of each row for the model, shape (n,); None for equal ones.

    Raises:
        ValueError: a parameter has a value that it cannot have, or all columns are constant.
        Infeasible: the parameters cannot be fitted to these rows.
    """
    encode = encoder(p, data.feature_names, data.coded)
    with one_quiet_thread():
        encoded = encode.fit_transform(rows)
    varying = int((np.ptp(encoded, axis=0) > 0).sum())
    if not varying:
        raise ValueError(
            f"no feature varies in the training rows ({', '.join(data.feature_names[:NAMES_SHOWN]) or 'pixels'}); "
            "give the dataset a column that does, or use another split"
        )
    share = 1.0 if p["selection"] == "none" else p["selection_share"]
    selected = min(varying, max(1, round(share * varying)))
    select, extract = _selection(p, selected, y, seed), _extraction(p, selected, len(rows), seed)
    steps = [("encode", encode), ("vary", VarianceThreshold()), ("scale", scaler(p["scaler"]))]
    pipeline = Pipeline([*steps, ("select", select), ("extract", extract), ("predict", predictor)])
    weighted = {} if weights is None else {"predict__sample_weight": weights}
    try:
        with one_quiet_thread():
            return pipeline.fit(rows, y, **weighted)
    except (ValueError, ArithmeticError) as error:
        if isinstance(error, TypeError):
            raise  # scikit-learn's InvalidParameterError is both: a value that the parameter cannot have on any rows
        # The rows have been checked: what is wrong is the combination.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        chosen = ", ".join(f"{name} {p[name]}" for name in CHOICES if name in p)
        raise Infeasible(f"{chosen}: cannot be fitted to {len(rows)} rows and {selected} columns: {reason}") from error


def scaler(name: str) -> Any:
    """What scales columns.

    Raises:
        ValueError: there is none of that name.
    """
    match name:
        case "standard":
            return StandardScaler()
        case "minmax":
            return MinMaxScaler()
        case "robust":
            return RobustScaler()
        case "none":
            return "passthrough"
    raise unknown("scaler", name, "standard, minmax, robust or none")


def unknown(parameter: str, value: object, known: str) -> ValueError:
    """The error for a value that a parameter does not have."""
    return ValueError(f"{parameter} {value!r} is not known; use {known}")


def _selection(p: Mapping[str, Any], kept: int, y: NDArray[Any], seed: int) -> Any:
    classes = y.dtype.kind == "i"
    match p["selection"]:
        case "none":
            return "passthrough"
        case "filter":
            return SelectKBest(f_classif if classes else f_regression, k=kept)
        case "model":
            forest = ExtraTreesClassifier if classes else ExtraTreesRegressor
            judge = forest(100, max_features="sqrt", min_samples_leaf=2, n_jobs=1, random_state=seed)
            return SelectFromModel(judge, threshold=-np.inf, max_features=kept)
    raise unknown("selection", p["selection"], "none, filter or model")


def _extraction(p: Mapping[str, Any], columns: int, rows: int, seed: int) -> Any:
    match p["extraction"]:
        case "none":
            return "passthrough"
        case "pca":
            return PCA(p["pca_variance"], svd_solver="full")
        case "kernel_pca":
            return _kernel_pca(p, rows, seed)
        case "polynomial":
            return _polynomial(p, columns)
    raise unknown("extraction", p["extraction"], "none, pca, kernel_pca or polynomial")


def _kernel_pca(p: Mapping[str, Any], rows: int, seed: int) -> KernelPCA:
    components = p["kernel_pca_components"]
    if components > rows:
        raise Infeasible(f"kernel_pca_components is {components}, but there are only {rows} rows to train on")
    if rows > MOST_KERNEL_ROWS:
        raise Infeasible(f"extraction kernel_pca takes at most {MOST_KERNEL_ROWS} rows to train on, not {rows}")
    return KernelPCA(components, kernel=p["kernel_pca_kernel"], gamma=p["kernel_pca_gamma"], random_state=seed)


def _polynomial(p: Mapping[str, Any], columns: int) -> PolynomialFeatures:
    degree, interactions = p["polynomial_degree"], p["polynomial_interactions"]
    if interactions:
        terms = sum(math.comb(columns, order) for order in range(1, degree + 1))
    else:
        terms = math.comb(columns + degree, degree) - 1
    if terms > MOST_TERMS:
        raise Infeasible(
            f"polynomial_degree {degree} makes {terms} columns of {columns}, more than {MOST_TERMS}; "
            "select fewer columns or use a lower degree"
        )
    return PolynomialFeatures(degree, interaction_only=interactions, include_bias=False)
