"""What earlier studies hand on."""

from typing import Any

import pytest

from searchd.domain.errors import StudyNotFound
from searchd.domain.facts import StudyPut, TrialPut
from searchd.domain.objective import Goal, Objective
from searchd.domain.space import Choice, Float, Parameter, SearchSpace
from searchd.domain.study import StudySpec, study_name
from searchd.service.warmth import unknown_studies, warmth
from searchd.stores.memory import MemoryStore
from tests.contracts.makers import AT, spec, study, trial

OLD = study_name("default", "old")
LR = Parameter("lr", Float(1e-4, 1e-1, log=True))
WIDTH = Parameter("width", Choice((16, 32)))


def store_of(*trials: dict[str, Any], **definition: Any) -> MemoryStore:
    """A store with an earlier study and its trials, numbered from 1."""
    store = MemoryStore()
    old = study(OLD, spec=spec(space=SearchSpace((LR, WIDTH)), **definition))
    made = [TrialPut(trial(number, study=OLD, **fields)) for number, fields in enumerate(trials, start=1)]
    store.commit([StudyPut(old), *made], AT)
    return store


def new(*parameters: Parameter, constraints: tuple[str, ...] = (), **fields: Any) -> StudySpec:
    """A study that starts warm."""
    return spec(space=SearchSpace(parameters, constraints), warm_start=("old",), **fields)


GOOD = {"parameters": {"lr": 0.01, "width": 32}, "scores": (0.9,)}
BETTER = {"parameters": {"lr": 0.05, "width": 16}, "scores": (0.95,)}


def test_the_best_configuration_comes_first() -> None:
    """The best trial of the earlier study is handed on, and it is said which."""
    found = warmth(store_of(GOOD, BETTER), "default", new(LR, WIDTH), None)
    assert found.best == ({"lr": 0.05, "width": 16},)
    assert found.remarks == ("warm start from old: its trial 2",)


def test_what_does_not_fit_is_filled_and_said() -> None:
    """A value outside the new domain and a new parameter are the default's, else mid-range; the rest is named."""
    narrow = Parameter("lr", Float(1e-4, 1e-2, log=True))
    depth = Parameter("depth", Choice((1, 2, 3)))
    dropout = Parameter("dropout", Float(0.0, 1.0))
    found = warmth(store_of(BETTER, fixed={"depth": 3}), "default", new(narrow, depth, dropout), {"lr": 0.002})
    assert found.best == ({"lr": 0.002, "depth": 3, "dropout": 0.5},)
    assert found.remarks == ("warm start from old: its trial 1; it knows nothing of dropout; not used here: width",)


def test_constraints_and_limits_pass_over_the_best() -> None:
    """The best configuration that the new space allows and that kept its own limits is taken."""
    broken = {"parameters": {"lr": 0.02, "width": 16}, "scores": (0.99,), "feasible": False}
    store = store_of(GOOD, BETTER, broken)
    found = warmth(store, "default", new(LR, WIDTH, constraints=("lr <= 0.02",)), None)
    assert found.best == ({"lr": 0.01, "width": 32},)


@pytest.mark.parametrize("objective", [Objective("loss", Goal.MINIMIZE), Objective("accuracy", Goal.MINIMIZE)])
def test_another_objective_hands_on_nothing(objective: Objective) -> None:
    """A study of another metric, or of another direction, says nothing of what is good here."""
    found = warmth(store_of(GOOD), "default", new(LR, objectives=(objective,)), None)
    assert found.best == ()
    assert found.remarks == ("warm start from old: nothing, because it is to maximize accuracy",)


def test_nothing_in_common_hands_on_nothing() -> None:
    """A study of other parameters, or without trials, is said to have nothing that fits."""
    nothing = ("warm start from old: nothing, because none of its configurations fits",)
    assert warmth(store_of(GOOD), "default", new(Parameter("x", Float(0, 1))), None).remarks == nothing
    assert warmth(store_of(), "default", new(LR), None).remarks == nothing


def test_equal_configurations_are_handed_on_once() -> None:
    """Two studies with the same best configuration give one, by id or by full name."""
    store = store_of(GOOD)
    twin = study_name("default", "twin")
    store.commit([StudyPut(study(twin, spec=spec(space=SearchSpace((LR, WIDTH)))))], AT)
    store.commit([TrialPut(trial(1, study=twin, **GOOD))], AT)
    warm = spec(space=SearchSpace((LR, WIDTH)), warm_start=("old", twin))
    found = warmth(store, "default", warm, None)
    assert (len(found.best), len(found.remarks)) == (1, 2)


def test_unknown_studies_are_violations() -> None:
    """A study that does not exist is named by its place, and one that goes meanwhile is an error."""
    store = MemoryStore()
    assert [v.path for v in unknown_studies(store_of(GOOD), "default", ["old", "gone"])] == ["warm_start[1]"]
    with pytest.raises(StudyNotFound):
        warmth(store, "default", new(LR), None)
