"""Ensembles of a study's trials: nothing is trained but how their stored predictions are combined."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchd.trainable import Context, ParentTrial, choice, lograndint, loguniform, randint, trainable, uniform
from trainables import combining, metrics
from trainables.combining import Combination, Predictions
from trainables.tabular import unknown

GREEDY = {"method": ["greedy"]}
METHODS = "voting, averaging, greedy or stacking"

DEFAULT = {"method": "greedy", "members": 25, "steps": 50, "bags": 10, "bag_share": 0.5}
"""Bagged ensemble selection, by which overfitting to few rows is contained."""

UNSEARCHED = {**DEFAULT, "strength": 1.0}
"""Values of parameters that a study neither searches nor fixes."""


@trainable(
    metrics={
        "loss": "minimize",
        **metrics.CLASSIFICATION,
        **metrics.PROBABILISTIC,
        **metrics.REGRESSION,
        "parent_loss": "minimize",
        "gain": "maximize",
    },
    space={
        "method": choice(["voting", "averaging", "greedy", "stacking"]),
        "members": randint(2, 31),
        "steps": lograndint(5, 201, when=GREEDY),
        "bags": choice([1, 10, 20], when=GREEDY),
        "bag_share": uniform(0.2, 1.0, when=GREEDY),
        "strength": loguniform(1e-2, 1e3, when={"method": ["stacking"]}),
    },
    default=DEFAULT,
    checkpoints=True,
    parent=True,
)
def ensemble(ctx: Context) -> Iterator[dict[str, float]]:
    """The best trials of the parent study combined: by vote, by mean, by greedy selection or by a model on top.

    What is learnt is learnt on the rows that train, from predictions by models that did not train on them. ``loss`` is
    the cross-entropy, or the squared error as a share of the training target's variance; ``parent_loss`` that of the
    parent trial alone, and ``gain`` by how much the ensemble is better in accuracy, or in root mean squared error.
    """
    p = {**UNSEARCHED, **ctx.params}
    data, train, valid = ctx.dataset(), ctx.train_index, ctx.valid_index
    members = ctx.parents[: p["members"]]
    classes = data.task == "classification"
    truth = np.asarray(data.y) if classes else np.asarray(data.y, dtype=np.float64)
    combine = _combination(p, members, train, truth[train], np.random.default_rng(ctx.seed))

    def predicted(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        found = combine(_said(members, rows, classes=classes, seen=True))
        return found if classes else found[:, 0]

    for _ in ctx.epochs():
        ctx.predict(predicted)
        alone = members[0].predictions(valid).astype(np.float64)
        scale = 1.0 if classes else float(truth[train].var()) or 1.0
        yield _scores(predicted(valid), alone, truth[valid], scale, data.classes)
        return


def _combination(
    p: dict[str, Any],
    members: Sequence[ParentTrial],
    train: NDArray[np.intp],
    truth: NDArray[Any],
    random: np.random.Generator,
) -> Combination:
    """How to combine, learnt on the rows that train where there is something to learn.

    Raises:
        ValueError: there is no such method.
        MissingPart: the parent has not kept what is needed.
    """
    classes = truth.dtype.kind == "i"
    if p["method"] == "voting":
        return combining.voting(classes=classes)
    if p["method"] == "averaging":
        return combining.weighted(np.full(len(members), 1.0 / len(members)))
    if p["method"] not in {"greedy", "stacking"}:
        raise unknown("method", p["method"], METHODS)
    said = _said(members, train, classes=classes, seen=False)
    if p["method"] == "stacking":
        return combining.stacking(said, truth, p)
    return combining.greedy(said, truth, p, random)


def _said(members: Sequence[ParentTrial], rows: NDArray[np.intp], *, classes: bool, seen: bool) -> Predictions:
    """What the members say of rows, shape (m, n, k): models of this fold, or (not ``seen``) such that did not train on
    the rows.

    Raises:
        ValueError: they are not probabilities of the same classes, or not finite.
    """
    found: list[NDArray[Any]] = []
    for member in members:
        values = np.asarray(member.predictions(rows) if seen else member.out_of_fold(rows), dtype=np.float64)
        if (values.ndim == 2) is not classes or (found and values.shape[1:] != found[0].shape[1:]):
            kind = "probabilities of the dataset's classes" if classes else "numbers"
            raise ValueError(f"the predictions of trial {member.number} of the parent are no {kind}")
        if classes:
            with np.errstate(invalid="ignore"):
                values /= values.sum(axis=1, keepdims=True)  # they are kept in single precision
        if not np.isfinite(values).all():
            raise ValueError(f"trial {member.number} of the parent predicts what is not finite; leave it out")
        found.append(values)
    stacked = np.stack(found)
    return stacked if classes else stacked[:, :, None]


def _scores(
    said: NDArray[np.float64], alone: NDArray[np.float64], truth: NDArray[Any], scale: float, classes: Sequence[Any]
) -> dict[str, float]:
    if truth.dtype.kind == "i":
        found = metrics.classification(truth, said.argmax(axis=1))
        before = metrics.classification(truth, alone.argmax(axis=1))
        graded = metrics.probabilistic(truth, said, classes)
        gain = found["accuracy"] - before["accuracy"]
    else:
        found, before, graded = metrics.regression(truth, said), metrics.regression(truth, alone), {}
        said, alone, gain = said[:, None], alone[:, None], before["rmse"] - found["rmse"]
    losses = {"loss": combining.error(said, truth) / scale, "parent_loss": combining.error(alone, truth) / scale}
    return {**losses, **found, **graded, "gain": gain}
