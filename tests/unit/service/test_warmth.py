"""What earlier studies hand on."""

from typing import Any

import pytest

from searchd.domain.errors import StudyNotFound
from searchd.domain.facts import StudyPut, TrialPut
from searchd.domain.objective import Goal, Objective
from searchd.domain.space import Choice, Float, Parameter, SearchSpace
from searchd.domain.study import StudySpec, study_name
from searchd.service.warmth import LOOKED_AT, PRECEDENTS, unknown_studies, warmth
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


def test_how_others_did_is_handed_on() -> None:
    """Trials inside the new space are handed on with their scores, larger the better, those best first."""
    tried = [{"parameters": {"lr": 10.0**-power, "width": 32}, "scores": (0.1 * power,)} for power in (1, 2, 3, 4)]
    tried += [{"parameters": {"lr": 0.05, "width": 16}, "scores": (0.9,)}, {"parameters": {"lr": 0.02, "width": 16}}]
    depth = Parameter("depth", Choice((1, 2)))
    least = (Objective("accuracy", Goal.MINIMIZE),)
    store = store_of(*tried, objectives=least)
    found = warmth(store, "default", new(LR, WIDTH, depth, objectives=least), {"depth": 2})
    (known,) = found.precedents
    assert [round(precedent.score, 9) for precedent in known] == [-0.1, -0.2, -0.3, -0.4, -0.9]
    assert known[0].parameters == {"lr": 0.1, "width": 32, "depth": 2}
    assert found.remarks == ("warm start from old: its trial 1 and how 5 did; it knows nothing of depth",)
    narrow = Parameter("lr", Float(1e-4, 1e-2, log=True))
    assert warmth(store, "default", new(narrow, WIDTH, objectives=least), None).precedents == ()


def test_trials_are_compared_at_a_rung_that_most_completed() -> None:
    """Under successive halving the score is that of the highest rung that at least half of the trials completed."""
    rungs = [(0.5, 0.6, 0.7), (0.4, 0.8), (0.3, 0.5), (0.2,), (0.1, 0.4), (0.35, 0.45)]
    scores = [{"parameters": {"lr": 0.01 + 0.001 * n, "width": 16}, "scores": s} for n, s in enumerate(rungs)]
    (known,) = warmth(store_of(*scores), "default", new(LR, WIDTH), None).precedents
    assert [precedent.score for precedent in known] == [0.8, 0.6, 0.5, 0.45, 0.4]


def test_of_many_trials_the_best_and_some_of_the_others_are_kept() -> None:
    """Half of those that are kept are the best, the others reach down to the worst that were looked at."""
    many = [{"parameters": {"lr": 0.01, "width": 16}, "scores": (n / 1000,)} for n in range(LOOKED_AT)]
    (known,) = warmth(store_of(*many), "default", new(LR, WIDTH), None).precedents
    scores = [precedent.score for precedent in known]
    assert len(scores) <= PRECEDENTS
    assert scores[: PRECEDENTS // 2] == [n / 1000 for n in range(LOOKED_AT - 1, LOOKED_AT - 1 - PRECEDENTS // 2, -1)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.01


def test_unknown_studies_are_violations() -> None:
    """A study that does not exist is named by its place, and one that goes meanwhile is an error."""
    store = MemoryStore()
    assert [v.path for v in unknown_studies(store_of(GOOD), "default", ["old", "gone"])] == ["warm_start[1]"]
    with pytest.raises(StudyNotFound):
        warmth(store, "default", new(LR), None)
