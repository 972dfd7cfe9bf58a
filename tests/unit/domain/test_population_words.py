"""Sizes and ladders of populations, and the parameters of descendants."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searchd.domain.draft import StudyDraft
from searchd.domain.evaluation import Confirm, Evaluation, Racing
from searchd.domain.fidelity import Fidelity, is_ladder, population_ladder
from searchd.domain.objective import Goal, Objective
from searchd.domain.population import explored, population_size, population_violations
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.space import Choice, Condition, Float, Integer, Parameter, SearchSpace
from searchd.domain.study import Budget, Dataset, StudySpec

POPULATION = Scheduler(SchedulerAlgorithm.POPULATION)
SPACE = SearchSpace(
    (
        Parameter("rate", Float(1e-4, 1.0, log=True)),
        Parameter("share", Float(0.0, 0.9, step=0.1)),
        Parameter("width", Integer(2, 6)),
        Parameter("kind", Choice(("sgd", "adam", "rmsprop"))),
        Parameter("momentum", Float(0.0, 0.99), when=(Condition("kind", ("sgd",)),)),
    )
)
DRAFT = StudyDraft("t", scheduler=POPULATION, evaluation=Evaluation(epochs=10))


def a_study(trials: int = 20, **changes: Any) -> StudySpec:
    changes.setdefault("scheduler", POPULATION)
    changes.setdefault("evaluation", Evaluation(epochs=9))
    return StudySpec("t", (Objective("loss", Goal.MINIMIZE),), space=SPACE, budget=Budget(trials), **changes)


@pytest.mark.parametrize(
    ("folds", "epochs", "least", "expected"),
    [
        (1, 4, 1, [1, 2, 3, 4]),
        (5, 9, 2, [3, 5, 7, 9]),
        (1, 100, 1, list(range(5, 101, 5))),
        (1, 41, 1, list(range(2, 42, 3))),
        (1, 3, 3, [3]),
    ],
)
def test_rungs_are_equally_spaced(folds: int, epochs: int, least: int, expected: list[int]) -> None:
    """A population's rungs have all folds and equal distances, at most twenty of them."""
    ladder = population_ladder(folds, epochs, least)
    assert ladder == tuple(Fidelity(folds, at) for at in expected)
    assert is_ladder(ladder)


@pytest.mark.parametrize(("trials", "epochs", "members"), [(60, 60, 10), (20, 9, 6), (8, 100, 4), (3, 9, 3)])
def test_the_budget_sustains_the_population(trials: int, epochs: int, members: int) -> None:
    """A quarter of the members can yield at each rung, and there are at least as many as make a quarter."""
    assert population_size(a_study(trials, evaluation=Evaluation(epochs=epochs))) == members


def test_other_studies_have_no_population() -> None:
    """Without a population there is no size of one."""
    assert population_size(a_study(scheduler=Scheduler())) is None


@given(parameters=st.lists(st.floats(0, 0.999), min_size=5, max_size=5).map(SPACE.draw), seed=st.integers(0, 99))
@settings(deadline=None)
def test_a_descendant_is_a_neighbour_in_the_space(parameters: dict[str, Any], seed: int) -> None:
    """Numbers change by a fifth or a step, choices to options; the same seed gives the same."""
    found = explored(SPACE, parameters, (), str(seed))
    assert found == explored(SPACE, parameters, (), str(seed))
    active = {p.name: p.domain for p in SPACE.active(found)}
    assert set(found) == set(active)
    assert all(domain.contains(found[name]) for name, domain in active.items())
    near = (max(parameters["rate"] * 0.8, 1e-4), min(parameters["rate"] * 1.2, 1.0))
    assert any(found["rate"] == pytest.approx(value) for value in near)
    assert abs(found["width"] - parameters["width"]) <= 1
    assert abs(found["share"] - parameters["share"]) <= 0.2 + 1e-9


def test_every_direction_is_taken() -> None:
    """Over many descendants a number rises and falls about as often, and an integer moves by at least a step."""
    parameters = {"rate": 0.1, "share": 0.5, "width": 3, "kind": "adam"}
    found = [explored(SPACE, parameters, (), str(seed)) for seed in range(400)]
    assert 150 < sum(f["rate"] > 0.1 for f in found) < 250
    assert {f["width"] for f in found} == {2, 4}
    assert {f["share"] for f in found} == {0.4, 0.6}
    resampled = sum(f["kind"] != "adam" for f in found)
    assert 40 < resampled < 95  # a quarter are drawn anew, of which a third get what they had
    assert all(("momentum" in f) == (f["kind"] == "sgd") for f in found)


def test_negative_numbers_move_as_far() -> None:
    """Below zero 1.2 times is further down, also where that is less than a step."""
    space = SearchSpace((Parameter("n", Integer(-9, 10)), Parameter("x", Float(-10.0, 10.0))))
    found = [explored(space, {"n": -2, "x": -1.0}, (), str(seed)) for seed in range(50)]
    assert {f["n"] for f in found} == {-3, -1}
    assert {f["x"] for f in found} == {-0.8, -1.2}


def test_bounds_hold() -> None:
    """What would leave its bounds stays at them."""
    space = SearchSpace((Parameter("n", Integer(1, 3)), Parameter("x", Float(0.0, 1.0))))
    found = [explored(space, {"n": 2, "x": 0.9}, (), str(seed)) for seed in range(50)]
    assert {f["n"] for f in found} == {1, 2}
    assert {round(f["x"], 9) for f in found} == {0.72, 1.0}


def test_only_what_is_named_changes() -> None:
    """Parameters that cannot change in mid-training are the donor's."""
    parameters = {"rate": 0.1, "share": 0.5, "width": 3, "kind": "adam"}
    for seed in range(50):
        found = explored(SPACE, parameters, ("rate",), str(seed))
        assert found.pop("rate") != 0.1
        assert found == {"share": 0.5, "width": 3, "kind": "adam"}


def test_constraints_are_met() -> None:
    """A descendant meets the constraints; where no change does, it has its donor's parameters."""
    space = SearchSpace((Parameter("a", Float(0, 1)), Parameter("b", Float(0, 1))), ("b <= a",))
    found = [explored(space, {"a": 0.5, "b": 0.45}, (), str(seed)) for seed in range(100)]
    assert all(f["b"] <= f["a"] for f in found)
    stuck = SearchSpace((Parameter("a", Float(0, 1)),), ("a == 0.5",))
    assert explored(stuck, {"a": 0.5}, (), "1") == {"a": 0.5}


@pytest.mark.parametrize(
    ("draft", "path"),
    [
        (replace(DRAFT, evaluation=Evaluation(epochs=1)), "evaluation.epochs"),
        (replace(DRAFT, scheduler=replace(POPULATION, min_epochs=6)), "evaluation.epochs"),
        (replace(DRAFT, budget=Budget(trials=7)), "budget.trials"),
        (replace(DRAFT, racing=Racing.FORGIVING), "evaluation.racing"),
        (replace(DRAFT, mode=SchedulerMode.STOPPING), "scheduler.mode"),
        (replace(DRAFT, evaluation=Evaluation(epochs=10, confirm=Confirm())), "evaluation.confirm"),
        (replace(DRAFT, dataset=Dataset(builtin="iris", test=0.2)), "dataset.test"),
        (replace(DRAFT, scheduler=replace(POPULATION, explore=("rat",))), "scheduler.explore[0]"),
        (replace(DRAFT, scheduler=replace(POPULATION, explore=("rate", "rate"))), "scheduler.explore[1]"),
        (replace(DRAFT, scheduler=Scheduler(explore=("rate",))), "scheduler.explore"),
        (
            replace(DRAFT, evaluation=Evaluation(folds=2, epochs=9, ladder=(Fidelity(1, 9), Fidelity(2, 9)))),
            "evaluation.ladder",
        ),
    ],
)
def test_what_a_population_cannot_be(draft: StudyDraft, path: str) -> None:
    """Each mistake is found at its field, with what to do."""
    [violation] = population_violations(draft, SPACE, checkpoints=True)
    assert violation.path == path
    assert violation.message
    assert violation.remedy


def test_a_population_needs_checkpoints_and_parameters() -> None:
    """A trainable that keeps nothing, and a space with nothing in it, are refused; a sensible draft is not."""
    assert [v.path for v in population_violations(DRAFT, SPACE, checkpoints=False)] == ["scheduler.algorithm"]
    assert [v.path for v in population_violations(DRAFT, SearchSpace(), checkpoints=True)] == ["search_space"]
    assert list(population_violations(DRAFT, SPACE, checkpoints=True)) == []
    shown = replace(DRAFT, mode=SchedulerMode.PROMOTION)  # as a study like another has it
    assert list(population_violations(shown, SPACE, checkpoints=True)) == []
    assert list(population_violations(StudyDraft("t"), SPACE, checkpoints=False)) == []
