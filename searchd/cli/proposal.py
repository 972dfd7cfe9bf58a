"""The study that suits a file of rows, and why: kind of prediction, metric, folds, test rows and what it may cost."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from searchd.datasets.profile import Profile, TargetProfile
from searchd.domain.errors import InvalidStudy, Violation


class Kind(StrEnum):
    """What is predicted."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


METRICS: Mapping[Kind, Mapping[str, str]] = {
    Kind.CLASSIFICATION: {
        "accuracy": "maximize",
        "balanced_accuracy": "maximize",
        "precision": "maximize",
        "recall": "maximize",
        "f1": "maximize",
        "f1_weighted": "maximize",
        "mcc": "maximize",
        "roc_auc": "maximize",
        "log_loss": "minimize",
        "calibration_error": "minimize",
    },
    Kind.REGRESSION: {"rmse": "minimize", "mae": "minimize", "r2": "maximize"},
}
"""What a study may go by, each with its better direction: what ``sklearn_classifier`` and ``_regressor`` report."""

NEEDS_PROBABILITIES = ("log_loss", "calibration_error")
TRAINABLES = {Kind.CLASSIFICATION: "sklearn_classifier", Kind.REGRESSION: "sklearn_regressor"}

MOST_CLASSES = 20
"""Whole numbers with more distinct values are numbers, unless somebody says that they are classes."""

FOLDS, FEWER_FOLDS, FEWEST_OF_A_CLASS = 5, 3, 3
MODERATE, LARGE = 1_000_000, 10_000_000
"""Numbers in the table above which 3 folds have to do, and above which one hold-out has."""

TEST_FROM, BIG = 500, 50_000
"""Rows from which some are set aside for a test, and from which fewer are enough."""

SKEWED = 1.5
"""The most frequent class may have so many times its even share of the rows before guessing it looks good."""

FAR = 20.0
"""Interquartile ranges from the median beyond which a value would decide a squared error."""

OPEN_END = 1_000_000
"""Trials: more than any budget of time allows."""

SEARCHING = 0.75
"""Share of the time after which no new trial starts, so that the best can be confirmed and tested."""

SHORTEST_FIT, SHARE_OF_A_FIT = timedelta(seconds=10), 0.2
"""One fit may take this share of the time, but at least so long."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody has decided already; None leaves it to the proposal.

    Attributes:
        time: For search, confirmation and test together.
        task: What to predict.
        metric: What to go by.
        folds: Folds of the cross-validation, at least 2; 0 is one hold-out.
        test: Share of the rows that no fold sees, in [0, 1); 0 is none.
        trials: Most trials.
        seed: Of the search and of all trials.
    """

    time: timedelta
    task: Kind | None = None
    metric: str | None = None
    folds: int | None = None
    test: float | None = None
    trials: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Proposal:
    """A study for a file.

    Attributes:
        study: As a study file holds it.
        reasons: Why it is so, a line for each decision.
    """

    study: Mapping[str, Any]
    reasons: tuple[str, ...]


def read_kind(text: str) -> Kind:
    """What somebody wants to predict.

    Raises:
        InvalidStudy: it is neither.
    """
    try:
        return Kind(text)
    except ValueError:
        raise _refused("--task", f"{text!r} is not known", f"use {' or '.join(Kind)}") from None


def propose(found: Profile, dataset: Mapping[str, Any], wishes: Wishes) -> Proposal:
    """The study for a file.

    Args:
        found: What the file is like.
        dataset: The study's dataset, as a study file holds it, without ``test``.
        wishes: What is decided already.

    Raises:
        InvalidStudy: a wish cannot be met; each violation names the option.
    """
    kind, why_kind = _kind(found.target, wishes.task)
    counts = found.target.counts if kind is Kind.CLASSIFICATION else {}
    test, why_test = _test(found.rows, wishes.test)
    evaluation, why_folds = _folds(found, counts, test or 0.0, wishes.folds)
    metric, why_metric = _metric(kind, found.target, evaluation["split"] == "stratified", wishes.metric)
    drop = [*dataset.get("drop", ()), *found.useless]
    fixed = {"svm_probabilities": True} if metric in NEEDS_PROBABILITIES else {}
    study = {
        "trainable": TRAINABLES[kind],
        "dataset": {**dataset, **({"drop": drop} if drop else {}), **({"test": test} if test else {})},
        **({"fixed": fixed} if fixed else {}),
        "seed": wishes.seed,
        "objectives": [{"metric": metric, "goal": METRICS[kind][metric]}],
        "evaluation": {**evaluation, "confirm": {}},
        "budget": {"trials": wishes.trials or OPEN_END, "wall_time": seconds(wishes.time)},
        "retry": {"segment_timeout": seconds(max(SHORTEST_FIT, SHARE_OF_A_FIT * wishes.time))},
    }
    reasons = [why_kind, *_columns(found), why_metric, why_folds, why_test]
    return Proposal(study, tuple(reasons))


def seconds(duration: timedelta) -> str:
    """A duration as study files write it."""
    return f"{duration.total_seconds():.3f}".rstrip("0").rstrip(".") + "s"


def _kind(target: TargetProfile, wished: Kind | None) -> tuple[Kind, str]:
    """What to predict, and why.

    Raises:
        InvalidStudy: the wish does not go with the values.
    """
    values = f"{target.name!r} holds {target.values}, {target.distinct} different"
    if wished is Kind.REGRESSION and not target.numeric:
        example = next(iter(target.counts))
        message = f"column {target.name!r} holds {target.values} such as {example!r}, and regression needs numbers"
        raise _refused("--task", message, "leave --task out, or name a column of numbers")
    if wished is Kind.CLASSIFICATION and not target.counts:
        message = f"column {target.name!r} holds {target.distinct} different {target.values}, too many for classes"
        raise _refused("--task", message, "write classes as text, or leave --task out for regression")
    if wished is not None:
        return wished, f"{wished}, as asked: {values}"
    if target.counts and (not target.numeric or target.distinct <= MOST_CLASSES):
        _check_classes(target)
        return Kind.CLASSIFICATION, f"classification: {values}" + _or_else(target, Kind.REGRESSION)
    return Kind.REGRESSION, f"regression: {values}" + _or_else(target, Kind.CLASSIFICATION)


def _or_else(target: TargetProfile, other: Kind) -> str:
    """The option that decides otherwise, where that would be possible."""
    possible = target.counts and target.numeric
    return f" (otherwise: --task {other})" if possible else ""


def _check_classes(target: TargetProfile) -> None:
    rows = sum(target.counts.values())
    if target.distinct > 2 and target.distinct > rows / 2:
        message = f"column {target.name!r} has {target.distinct} different texts in {rows} rows, too many for classes"
        raise _refused("--target", message, "name a column of classes or numbers")


def _columns(found: Profile) -> Iterator[str]:
    """What is done about columns that tell nothing."""
    for name, reason in found.useless.items():
        yield f"without column {name!r}, which {reason} (otherwise: --keep {name})"
    for name, reason in found.suspects.items():
        yield f"with column {name!r}, although it {reason}; if it only names rows: --drop {name}"


def _metric(kind: Kind, target: TargetProfile, stratified: bool, wished: str | None) -> tuple[str, str]:
    """What to go by, and why.

    Raises:
        InvalidStudy: there is no such metric.
    """
    if wished is not None:
        if wished not in METRICS[kind]:
            near = difflib.get_close_matches(wished, METRICS[kind], 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(METRICS[kind])}"
            raise _refused("--metric", f"{kind} has no metric {wished!r}", remedy)
        return wished, f"metric {wished}, as asked"
    if kind is Kind.REGRESSION:
        if target.reach > FAR:
            far = f"a value is {target.reach:.0f} interquartile ranges from the median and would decide a squared error"
            return "mae", f"metric mae: {far}"
        return "rmse", "metric rmse: no value is so far from the others that it would decide a squared error"
    rows, commonest = sum(target.counts.values()), max(target.counts.values())
    share = f"always guessing the commonest class is right in {commonest / rows:.0%} of the rows"
    if commonest <= SKEWED * rows / len(target.counts):
        return "accuracy", f"metric accuracy: classes are about equally frequent ({share})"
    if len(target.counts) == 2 and stratified:
        return "roc_auc", f"metric roc_auc: {share}, so what counts is how well the two classes are told apart"
    return "balanced_accuracy", f"metric balanced_accuracy: {share}, so every class counts the same"


def _test(rows: int, wished: float | None) -> tuple[float | None, str]:
    """The share of the rows to set aside, and why.

    Raises:
        InvalidStudy: it is no share.
    """
    if wished is not None:
        if not 0 <= wished < 1:
            raise _refused("--test", f"{wished:g} is not a share of the rows", "give 0 for none, or 0.2")
        return wished or None, f"test on {wished:.0%} of the rows, as asked" if wished else "no test rows, as asked"
    if rows < TEST_FROM:
        return None, f"no test rows: {rows} rows are few, and confirmation on fresh splits has to do"
    share = 0.2 if rows < BIG else 0.1
    return share, f"test on {share:.0%} of the rows at the very end, which no fold sees"


def _folds(found: Profile, counts: Mapping[str, int], test: float, wished: int | None) -> tuple[dict[str, Any], str]:
    """Folds or hold-out with the kind of split, and why.

    Raises:
        InvalidStudy: the rows do not allow it.
    """
    rows = int(found.rows * (1 - test))
    if wished is not None and (wished == 1 or not 0 <= wished <= rows):
        raise _refused("--folds", f"{wished} folds of {rows} rows", f"use 2 to {rows}, or 0 for one hold-out")
    folds, why = _number(found, wished)
    if not counts:
        return {**_evaluation(folds), "split": "kfold"}, f"{_counted(folds)}: {why}"
    rarest = min(counts, key=lambda name: counts[name])
    fewest = int(counts[rarest] * (1 - test))
    of_rarest = f"class {rarest!r} has only {counts[rarest]} row{'s' if counts[rarest] != 1 else ''}"
    if fewest < FEWEST_OF_A_CLASS:
        return {**_evaluation(folds), "split": "kfold"}, f"{_counted(folds)}, not stratified: {of_rarest}"
    if folds > fewest:
        folds, why = fewest, of_rarest
    return {**_evaluation(folds), "split": "stratified"}, f"{_counted(folds)}, stratified by class: {why}"


def _number(found: Profile, wished: int | None) -> tuple[int, str]:
    size = found.rows * found.features
    table = f"{found.rows:,} rows of {found.features:,} features"
    if wished is not None:
        return wished, "as asked"
    if size <= MODERATE:
        return FOLDS, table
    return (FEWER_FOLDS, f"{table} are many") if size <= LARGE else (0, f"{table} are very many")


def _evaluation(folds: int) -> dict[str, Any]:
    return {"folds": folds} if folds else {"holdout": 0.2}


def _counted(folds: int) -> str:
    return f"{folds} folds" if folds else "one hold-out of 20%"


def _refused(option: str, message: str, remedy: str) -> InvalidStudy:
    return InvalidStudy([Violation(option, message, remedy)])
