"""Ways to make one prediction of many: each learns from what members say of rows that they were not trained on.

Predictions have shape (m, n, k): probabilities of ``m`` members for ``n`` rows and ``k`` classes. Those of numbers have
``k`` 1.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, RidgeCV

Predictions = NDArray[np.floating[Any]]
Combination = Callable[[Predictions], NDArray[np.float64]]
"""From predictions, shape (m, n, k), to those of the ensemble, shape (n, k)."""

LEAST = 1e-7
"""Probabilities below are as good as this one: a member that is sure and wrong must not cost everything."""


def voting(*, classes: bool) -> Combination:
    """Each member has one vote for a class, and a tie goes to the class that is likelier on average; of numbers the
    median."""

    def combine(said: Predictions) -> NDArray[np.float64]:
        if not classes:
            return np.asarray(np.median(said, axis=0), dtype=np.float64)
        votes = (np.eye(said.shape[2])[said.argmax(axis=2)]).mean(axis=0)
        tied = votes + said.mean(axis=0) / (2 * len(said))
        shares: NDArray[np.float64] = tied / tied.sum(axis=1, keepdims=True)
        return shares

    return combine


def weighted(weights: NDArray[np.float64]) -> Combination:
    """The mean with these weights, shape (m,), which sum to 1."""
    return lambda said: np.tensordot(weights, said, axes=1).astype(np.float64)


def greedy(said: Predictions, truth: NDArray[Any], p: Mapping[str, Any], random: np.random.Generator) -> Combination:
    """The mean of members that were chosen one after the other, with replacement, each the one with which the mean so
    far becomes best; several times, each from a random part of the members.

    Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models", ICML 2004.

    Args:
        said: Shape (m, n, k), of rows that the members did not train on.
        truth: Class codes, or numbers, shape (n,).
        p: Parameters ``steps``, ``bags`` and ``bag_share``.
        random: Chooses the bags.
    """
    members = len(said)
    size = max(1, round(p["bag_share"] * members))
    chosen = np.zeros(members)
    for _ in range(p["bags"]):
        bag = np.sort(random.permutation(members)[:size])
        total = np.zeros(said.shape[1:])
        for step in range(1, p["steps"] + 1):
            errors = [error((total + said[member]) / step, truth) for member in bag]
            best = bag[int(np.argmin(errors))]
            total += said[best]
            chosen[best] += 1
    return weighted(chosen / chosen.sum())


def stacking(said: Predictions, truth: NDArray[Any], p: Mapping[str, Any]) -> Combination:
    """A linear model on top: logistic regression of the members' log-probabilities, ridge regression of their numbers.

    Wolpert, "Stacked generalization", Neural Networks 5, 1992.

    Args:
        said: Shape (m, n, k), of rows that the members did not train on.
        truth: Class codes, or numbers, shape (n,).
        p: Parameter ``strength``: of the penalty, above 0; numbers choose their own around it.
    """
    if truth.dtype.kind != "i":
        ridge = RidgeCV(alphas=np.array([0.01, 0.1, 1.0, 10.0, 100.0]) * p["strength"]).fit(said[:, :, 0].T, truth)
        return lambda more: np.asarray(ridge.predict(more[:, :, 0].T), dtype=np.float64)[:, None]
    classes = said.shape[2]
    model = LogisticRegression(C=1.0 / p["strength"], max_iter=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one that has not converged is a fair result of its parameters
        model.fit(_columns(said), truth)

    def combine(more: Predictions) -> NDArray[np.float64]:
        found = np.zeros((more.shape[1], classes))
        found[:, model.classes_] = model.predict_proba(_columns(more))
        return found

    return combine


def error(said: NDArray[Any], truth: NDArray[Any]) -> float:
    """What is made small: the mean cross-entropy of class codes, the mean squared error of numbers."""
    if truth.dtype.kind == "i":
        likely = said[np.arange(len(truth)), truth]
        return float(-np.log(np.clip(likely, LEAST, None)).mean())
    return float(np.square(said[:, 0] - truth).mean())


def _columns(said: Predictions) -> NDArray[np.float64]:
    """Log-probabilities of all members side by side, shape (n, m * k)."""
    logs: NDArray[np.float64] = np.log(np.clip(said, LEAST, None)).astype(np.float64)
    return logs.transpose(1, 0, 2).reshape(said.shape[1], -1)
