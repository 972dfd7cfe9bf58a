"""What a study takes over from the parent that it builds on."""

from typing import Any

import pytest

from searchd.domain.draft import StudyDraft
from searchd.domain.evaluation import Confirm, Evaluation, Split
from searchd.domain.facts import Fact, StudyPut, TrialPut
from searchd.domain.parent import Parent, ParentTrial
from searchd.domain.study import Dataset, study_name
from searchd.domain.trial import Origin, TrialState
from searchd.service.heritage import MEMBERS, Inherited, inherited
from searchd.stores.memory import MemoryStore
from tests.contracts.makers import AT, spec, study, trial

OLD = study_name("default", "old")
WINE = Dataset(builtin="wine", test=0.2)
FOLDS = Evaluation(folds=5, split=Split.STRATIFIED, split_seed=4)
WHOLE = (0.5, 0.7, 0.9)
"""Scores of a trial that completed every rung."""


def store_of(*trials: dict[str, Any], **definition: Any) -> MemoryStore:
    """A store with an earlier study on wine and its trials, numbered from 1."""
    store = MemoryStore()
    fields = {"dataset": WINE, "evaluation": FOLDS, "fixed": {"width": 3}} | definition
    old = study(OLD, spec=spec(**fields))
    assert len(old.spec.ladder) <= len(WHOLE)
    facts: list[Fact] = [StudyPut(old)]
    for number, given in enumerate(trials, start=1):
        scores = given.pop("scores", WHOLE)[-len(old.spec.ladder) :]
        state = given.pop("state", TrialState.COMPLETED)
        facts.append(TrialPut(trial(number, study=OLD, scores=scores, state=state, **given)))
    store.commit(facts, AT)
    return store


def heir(store: MemoryStore, trial: int | None = None, **fields: Any) -> Inherited:
    """What a study that builds on it takes over."""
    return inherited(store, "default", StudyDraft("ensemble", parent=Parent("old", trial), **fields))


def paths(found: Inherited) -> list[str]:
    """Where something is wrong."""
    return [violation.path for violation in found.violations]


def test_without_a_parent_nothing_changes() -> None:
    """A study that names no parent is as it was written."""
    draft = StudyDraft("ensemble")
    found = inherited(MemoryStore(), "default", draft)
    assert found.draft is draft
    assert found.heritage is None
    assert found.remarks == ()


def test_data_and_folds_are_the_parents() -> None:
    """A study that says nothing of data has the parent's, with its folds and the seed of its splits."""
    found = heir(store_of({}), evaluation=Evaluation(epochs=3))
    assert not found.violations
    assert found.draft.dataset == WINE
    assert found.draft.evaluation == Evaluation(folds=5, split_seed=4, epochs=3)
    assert found.draft.split is Split.STRATIFIED
    assert found.heritage is not None
    assert found.heritage.same_rows
    assert (found.heritage.folds, found.heritage.fixed, found.heritage.study) == (5, {"width": 3}, OLD)


def test_the_best_comes_first_unless_another_is_named() -> None:
    """Trials come best first; one that is named comes before all others."""
    store = store_of({"scores": (0.9, 0.9, 0.8)}, {"scores": (0.1, 0.1, 0.95)}, {"scores": (0.9, 0.9, 0.9)})
    best, named = heir(store), heir(store, 1)
    assert best.heritage is not None
    assert named.heritage is not None
    assert [t.number for t in best.heritage.trials] == [2, 3, 1]
    assert [t.number for t in named.heritage.trials] == [1, 2, 3]
    assert best.heritage.trials[0] == ParentTrial(2, trial().parameters, 0.95)
    assert best.remarks == ("builds on trial 2 of old (0.95) and knows 2 more trials",)


def test_only_whole_trials_count() -> None:
    """Trials that were stopped, broke a limit, or only confirm others are no parents."""
    store = store_of(
        {"scores": (0.99,), "state": TrialState.STOPPED},
        {"feasible": False},
        {"origin": Origin.CONFIRMATION, "of": 4},
        {},
    )
    found = heir(store)
    assert found.heritage is not None
    assert [t.number for t in found.heritage.trials] == [4]


def test_at_most_so_many_are_known() -> None:
    """Of a large study only the best are known."""
    found = heir(store_of(*({} for _ in range(MEMBERS + 5))))
    assert found.heritage is not None
    assert len(found.heritage.trials) == MEMBERS


@pytest.mark.parametrize(
    ("number", "trials", "path", "words"),
    [
        (9, [{}], "parent.trial", "no trial 9"),
        (1, [{"state": TrialState.STOPPED, "scores": (0.5,)}, {}], "parent.trial", "all folds and epochs"),
        (None, [{"state": TrialState.RUNNING, "scores": ()}], "parent", "no trial yet"),
        (None, [], "parent", "wait until it has one"),
    ],
)
def test_a_trial_that_cannot_be_built_on_is_refused(
    number: int | None, trials: list[dict[str, Any]], path: str, words: str
) -> None:
    """A trial that there is not, or that was not evaluated in full, is refused with what to do."""
    found = heir(store_of(*trials), number)
    assert paths(found) == [path]
    assert words in str(found.violations[0])
    assert found.heritage is None


def test_an_unknown_parent_is_refused() -> None:
    """A study that there is not is named."""
    found = inherited(MemoryStore(), "default", StudyDraft("ensemble", parent=Parent("gone")))
    assert paths(found) == ["parent.study"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"evaluation": Evaluation(folds=3)}, "evaluation.folds"),
        ({"evaluation": Evaluation(split_seed=1)}, "evaluation.split_seed"),
        ({"evaluation": Evaluation(repeats=2)}, "evaluation.repeats"),
        ({"evaluation": Evaluation(holdout=0.5)}, "evaluation.holdout"),
        ({"split": Split.KFOLD}, "evaluation.split"),
        ({"evaluation": Evaluation(confirm=Confirm())}, "evaluation.confirm"),
    ],
)
def test_other_folds_are_refused(fields: dict[str, Any], path: str) -> None:
    """On the parent's data, folds that its models have trained across are refused; so is confirmation on fresh ones."""
    assert paths(heir(store_of({}), **fields)) == [path]


def test_the_same_folds_may_be_written_out() -> None:
    """To repeat what the parent has is no contradiction."""
    found = heir(store_of({}), dataset=WINE, evaluation=Evaluation(folds=5, split_seed=4), split=Split.STRATIFIED)
    assert not found.violations
    assert found.heritage is not None
    assert found.heritage.same_rows


def test_other_data_has_folds_of_its_own() -> None:
    """A study on other data keeps its folds, may be confirmed, and is told apart."""
    digits = Dataset(builtin="digits")
    found = heir(store_of({}), dataset=digits, evaluation=Evaluation(folds=3, confirm=Confirm()))
    assert not found.violations
    assert found.draft.dataset == digits
    assert found.draft.evaluation.folds == 3
    assert found.heritage is not None
    assert not found.heritage.same_rows
    assert list(found.conflicts("another fingerprint")) == []


def test_the_parents_data_divided_otherwise_is_refused() -> None:
    """The parent's rows with others set aside would let its models be judged on what they trained on."""
    found = heir(store_of({}), dataset=Dataset(builtin="wine", test=0.5))
    assert [violation.path for violation in found.conflicts(found.data)] == ["dataset"]
