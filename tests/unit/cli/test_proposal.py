"""The study that suits a file of rows."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import trainables.sklearn_classifier
import trainables.sklearn_regressor  # noqa: F401  (both are registered)
from searchd.cli.proposal import METRICS, Kind, Proposal, Wishes, propose, read_kind
from searchd.datasets.profile import Profile, TargetProfile
from searchd.domain.card import Card
from searchd.domain.errors import InvalidStudy
from searchd.domain.evaluation import Split
from searchd.service.definition import Surroundings, define
from searchd.trainable import registered
from searchd.wire.drafts import decode_draft
from searchd.wire.study_file import study_from_mapping

CARDS = {
    name: Card(name, "", found.form, found.metrics, found.space, found.default, True, True, "code")
    for name, found in registered().items()
    if name in ("sklearn_classifier", "sklearn_regressor")
}
WISHES = Wishes(timedelta(minutes=10))


def of_classes(rows: int = 300, values: Any = "text", features: int = 4, **counts: int) -> Profile:
    given = counts or {"no": rows // 2, "yes": rows - rows // 2}
    return Profile(sum(given.values()), features, TargetProfile("y", values, given, len(given)))


def of_numbers(rows: int = 300, features: int = 4, reach: float = 2.0, distinct: int = 200) -> Profile:
    return Profile(rows, features, TargetProfile("y", "numbers", {}, distinct, reach))


def proposed(found: Profile, **wishes: Any) -> Proposal:
    return propose(found, {"uri": "rows.csv", "target": "y"}, replace(WISHES, **wishes))


def refused(found: Profile, **wishes: Any) -> str:
    with pytest.raises(InvalidStudy) as caught:
        proposed(found, **wishes)
    return str(caught.value)


def metric(found: Profile, **wishes: Any) -> str:
    return str(proposed(found, **wishes).study["objectives"][0]["metric"])


def evaluation(found: Profile, **wishes: Any) -> dict[str, Any]:
    return {k: v for k, v in proposed(found, **wishes).study["evaluation"].items() if k != "confirm"}


def test_text_and_few_whole_numbers_are_classes_other_numbers_are_not() -> None:
    """The kind of prediction follows from the target's values, and the reason says what else is possible."""
    text = proposed(of_classes())
    assert (text.study["trainable"], text.reasons[0]) == (
        "sklearn_classifier",
        "classification: 'y' holds text, 2 different",
    )
    few = proposed(of_classes(values="whole numbers", **{str(i): 30 for i in range(5)}))
    assert few.reasons[0] == "classification: 'y' holds whole numbers, 5 different (otherwise: --task regression)"
    many = proposed(of_classes(values="whole numbers", **{str(i): 30 for i in range(30)}))
    assert many.study["trainable"] == "sklearn_regressor"
    assert many.reasons[0] == "regression: 'y' holds whole numbers, 30 different (otherwise: --task classification)"
    assert proposed(of_numbers()).reasons[0] == "regression: 'y' holds numbers, 200 different"


def test_the_task_can_be_said() -> None:
    """A wish decides where the values allow both, and is refused where they do not."""
    few = of_classes(values="whole numbers")
    assert proposed(few, task=Kind.REGRESSION).study["trainable"] == "sklearn_regressor"
    assert "--task: column 'y' holds text such as 'no', and regression needs numbers" in refused(
        of_classes(), task=Kind.REGRESSION
    )
    assert "--task: column 'y' holds 200 different numbers, too many for classes" in refused(
        of_numbers(), task=Kind.CLASSIFICATION
    )
    with pytest.raises(InvalidStudy, match="--task: 'guess' is not known; use classification or regression"):
        read_kind("guess")


def test_a_target_of_names_is_refused() -> None:
    """More classes than half of the rows are names, not classes."""
    names = of_classes(**{f"person {i}": 1 for i in range(50)})
    assert "--target: column 'y' has 50 different texts in 50 rows, too many for classes" in refused(names)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (of_classes(), "accuracy"),
        (of_classes(no=270, yes=30), "roc_auc"),
        (of_classes(no=298, yes=2), "balanced_accuracy"),
        (of_classes(a=200, b=50, c=50), "balanced_accuracy"),
        (of_numbers(), "rmse"),
        (of_numbers(reach=100.0), "mae"),
    ],
)
def test_the_metric_follows_from_the_target(found: Profile, expected: str) -> None:
    """Accuracy for even classes; what guessing the commonest does not flatter for others; mae where squares mislead."""
    assert metric(found) == expected


def test_the_metric_can_be_said() -> None:
    """A metric that needs probabilities has those of support vector machines computed; an unknown one is refused."""
    study = proposed(of_classes(), metric="log_loss").study
    assert (study["objectives"], study["fixed"]) == (
        [{"metric": "log_loss", "goal": "minimize"}],
        {"svm_probabilities": True},
    )
    assert "--metric: regression has no metric 'rsme'; did you mean 'rmse'?" in refused(of_numbers(), metric="rsme")
    assert "use one of rmse, mae, r2" in refused(of_numbers(), metric="accuracy")


def test_the_metrics_are_those_that_the_trainables_report() -> None:
    """Nothing can be asked for that is not reported, and each has the direction that its trainable declares."""
    for kind, name in ((Kind.CLASSIFICATION, "sklearn_classifier"), (Kind.REGRESSION, "sklearn_regressor")):
        declared = CARDS[name].metrics
        told = {
            metric: goal.value
            for metric, goal in declared.items()
            if not any(part in metric for part in ("train_", "gap", "group"))
        }
        assert told == METRICS[kind]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (of_classes(), {"folds": 5, "split": "stratified"}),
        (of_classes(no=296, yes=4), {"folds": 4, "split": "stratified"}),
        (of_classes(no=298, yes=2), {"folds": 5, "split": "kfold"}),
        (of_classes(rows=20_000, features=100), {"folds": 3, "split": "stratified"}),
        (of_classes(rows=200_000, features=100), {"holdout": 0.2, "split": "stratified"}),
        (of_numbers(), {"folds": 5, "split": "kfold"}),
        (of_numbers(rows=200_000, features=100), {"holdout": 0.2, "split": "kfold"}),
    ],
)
def test_folds_follow_from_size_and_rarest_class(found: Profile, expected: dict[str, Any]) -> None:
    """Five; fewer where a class has few rows or the table is large; not stratified where a class has hardly any."""
    assert evaluation(found) == expected


def test_folds_count_the_rows_that_the_test_leaves() -> None:
    """A class of five rows, of which one is for test, has four for folds."""
    assert evaluation(of_classes(no=995, yes=5)) == {"folds": 4, "split": "stratified"}


def test_folds_can_be_said() -> None:
    """As many as asked for, a hold-out for 0, and never more than rows."""
    assert evaluation(of_classes(), folds=10)["folds"] == 10
    assert evaluation(of_classes(), folds=0) == {"holdout": 0.2, "split": "stratified"}
    assert "--folds: 400 folds of 300 rows; use 2 to 300, or 0" in refused(of_classes(), folds=400)
    assert "--folds: 1 folds" in refused(of_classes(), folds=1)


@pytest.mark.parametrize(("rows", "share"), [(300, None), (500, 0.2), (49_999, 0.2), (50_000, 0.1)])
def test_rows_for_test_follow_from_their_number(rows: int, share: float | None) -> None:
    """None of few rows, a fifth of more, a tenth of many."""
    assert proposed(of_numbers(rows=rows)).study["dataset"].get("test") == share


def test_rows_for_test_can_be_said() -> None:
    """Also none; what is no share is refused."""
    assert proposed(of_numbers(), test=0.3).study["dataset"]["test"] == 0.3
    assert "test" not in proposed(of_numbers(rows=5000), test=0.0).study["dataset"]
    assert "--test: 1 is not a share of the rows" in refused(of_numbers(), test=1.0)


def test_columns_are_dropped_with_a_reason() -> None:
    """What certainly tells nothing is dropped beside what was asked for; what may be is only spoken of."""
    found = replace(of_classes(), useless={"id": "counts the rows"}, suspects={"zip": "is another whole number"})
    proposal = propose(found, {"uri": "rows.csv", "target": "y", "drop": ["name"]}, WISHES)
    assert proposal.study["dataset"]["drop"] == ["name", "id"]
    assert "without column 'id', which counts the rows (otherwise: --keep id)" in proposal.reasons
    assert any("zip" in reason and "--drop zip" in reason for reason in proposal.reasons)


@pytest.mark.parametrize("wished", [None, "log_loss"])
@pytest.mark.parametrize("found", [of_classes(), of_classes(rows=200_000, features=100)])
def test_the_proposal_is_a_study_that_a_server_takes(found: Profile, wished: str | None) -> None:
    """Read as a study file and checked against the trainable's card, it is complete and without violations."""
    file = study_from_mapping(proposed(found, seed=3, metric=wished).study)
    draft, violations = decode_draft(file.study)
    assert (file.violations, violations) == ((), ())
    spec = define(draft, (), Surroundings(CARDS, None, ()))
    assert spec.budget.wall_time == timedelta(minutes=10)
    assert spec.retry.segment_timeout == timedelta(minutes=2)
    assert spec.evaluation.confirm is not None
    assert spec.evaluation.split in (Split.STRATIFIED, Split.KFOLD)
    assert spec.seed == 3


def test_a_fit_has_some_seconds_however_short_the_time() -> None:
    """The time of a fit is a share of all time, but never so short that none would get through."""
    assert proposed(of_classes(), time=timedelta(seconds=8)).study["retry"] == {"segment_timeout": "10s"}
