"""What is wrong with constraints, and what fixed parameters make of a space."""

from dataclasses import replace
from typing import Any

import pytest

from searchd.domain.checks import draft_violations
from searchd.domain.constraints import MAX_CONSTRAINTS, constraint_violations, nothing_left, with_fixed
from searchd.domain.draft import StudyDraft
from searchd.domain.expression import MAX_CHARACTERS
from searchd.domain.space import Choice, Condition, Float, Integer, Parameter, SearchSpace

PARAMETERS = (
    Parameter("units_1", Integer(16, 129)),
    Parameter("units_2", Integer(16, 129)),
    Parameter("optimizer", Choice(("sgd", "adam"))),
    Parameter("momentum", Float(0, 1), (Condition("optimizer", ("sgd",)),)),
)


def space(*constraints: str) -> SearchSpace:
    return SearchSpace(PARAMETERS, constraints)


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("units_2 <= unit_1", "column 12: there is no parameter 'unit_1'", "did you mean 'units_1'?"),
        ("zzz < 1", "column 1: there is no parameter 'zzz'", "use one of units_1, units_2, optimizer, momentum, batch"),
        ("units_1 <", "column 10: cannot be read from there on", "write it as in units_2 <= units_1, with"),
        ("units_2 in units_1 <", "column 9: is a reserved word there", "give a parameter of that name another one"),
        ("units_1 + 1", "column 1: a value cannot stand there", "a constraint must hold or not"),
        ("1 < 2", "names no parameter", "remove it"),
        ("optimizer != 'sdg'", "optimizer never takes the value 'sdg'", "did you mean 'sgd'?"),
        ("optimizer != 3", "optimizer never takes the value 3", "use one of its values"),
        ("units_1 < sizes", "sizes is fixed to a list or an object", "name parameters that are numbers"),
        ("units_1 < mode", "column 11: what is no number cannot stand there", "compare it by == or !="),
    ],
)
def test_each_mistake_is_found_at_its_constraint(text: str, message: str, remedy: str) -> None:
    """The violation has the constraint's place, its text, the column and a remedy."""
    fixed = {"batch": 8, "sizes": [1], "mode": "fast"}
    (violation,) = constraint_violations(space("units_2 < 100", text), fixed)
    assert violation.path == "constraints[1]"
    assert violation.message.endswith(message) or message in violation.message
    assert violation.remedy.startswith(remedy)


def test_a_constraint_is_refused_for_its_own_length_only() -> None:
    """One that is long enough is not refused because it would be longer if it were written with all blanks."""
    long = " and ".join(f"units_1<{n}" for n in range(10_000, 10_026))
    assert len(long) < MAX_CHARACTERS
    assert not list(constraint_violations(space(long), {"batch": 8}))


def test_constraints_are_found_where_the_study_has_them() -> None:
    """Where limits on metrics stand between them, the places are those in the whole list."""
    (violation,) = constraint_violations(space("units_2 < 100", "units_1 <"), {}, (1, 4))
    assert violation.path == "constraints[4]"


def test_too_many_constraints_are_refused() -> None:
    """There is a limit, at the list as a whole."""
    (violation,) = constraint_violations(space(*["units_1 < 9"] * (MAX_CONSTRAINTS + 1)), {})
    assert violation.path == "constraints"


def test_constraints_that_are_too_long_together_are_refused() -> None:
    """What every draw is to be checked against is bounded."""
    long = f"units_1 < 1{'0' * 389}"
    assert not list(constraint_violations(space(*[long] * 10), {}))
    (violation,) = constraint_violations(space(*[long] * 11), {})
    assert (violation.path, violation.message) == ("constraints", "have 4400 characters together")


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (("units_1 > 500",), "meets 'units_1 > 500'"),
        (("units_2 < 100", "units_1 > 500", "units_2 / 0 < 1"), "meets 'units_1 > 500', nor 'units_2 / 0 < 1'"),
        (("units_1 < units_2", "units_2 < units_1"), "meets them all at once"),
        (("momentum == 0.5", "optimizer == 'sgd'"), "meets them all at once"),
    ],
)
def test_constraints_that_leave_nothing_are_found(constraints: tuple[str, ...], message: str) -> None:
    """In a continuous space chance is asked, and the message says which constraint nobody meets."""
    (violation,) = draft_violations(StudyDraft("t", space=space(*constraints)))
    assert violation.path == "constraints"
    assert violation.message == f"none of 4000 draws {message}"


def test_a_small_space_is_judged_exactly() -> None:
    """In a small discrete space one configuration in 4,096 is enough, and none is known to be none."""
    digits = tuple(Parameter(f"p{i}", Integer(0, 8)) for i in range(4))
    assert not list(nothing_left(SearchSpace(digits, ("p0 + p1 + p2 + p3 == 28",)), 0))
    (violation,) = nothing_left(SearchSpace(digits, ("p0 + p1 + p2 + p3 == 29", "p0 < 3")), 0)
    assert violation.message == "none of all 4096 configurations meets 'p0 + p1 + p2 + p3 == 29'"


def test_a_large_discrete_space_is_walked_before_chance_is_asked() -> None:
    """An equality that draws would hardly hit is found."""
    wide = tuple(Parameter(f"p{i}", Integer(0, 10**9)) for i in range(2))
    assert not list(nothing_left(SearchSpace(wide, ("p0 == p1",)), 0))
    (violation,) = nothing_left(SearchSpace(wide, ("p0 < 0",)), 0)
    assert violation.message == "none of 4000 draws meets 'p0 < 0'"


def test_a_large_grid_is_gone_through_before_it_is_refused() -> None:
    """One configuration in two million, which neither the first steps nor draws come across, is enough."""
    digits = tuple(Parameter(f"p{i}", Integer(0, 8)) for i in range(7))
    rare = ("p0 + p1 == 7", "p0 - p1 == 3", "p2 + p3 + p4 + p5 + p6 == 35")
    assert not list(nothing_left(SearchSpace(digits, rare), 0))
    (violation,) = nothing_left(SearchSpace(digits, (*rare, "p6 == 0")), 0)
    assert violation.message == "none of 4000 draws meets 'p2 + p3 + p4 + p5 + p6 == 35'"


def test_nothing_is_said_of_what_constraints_leave_of_a_wrong_space() -> None:
    """A wrong domain or an unreadable constraint is reported alone."""
    wrong = SearchSpace((Parameter("a", Float(1, 0)),), ("a > 500",))
    assert [v.path for v in draft_violations(StudyDraft("t", space=wrong))] == ["search_space.a.uniform"]
    unreadable = draft_violations(StudyDraft("t", space=space("units_1 > 500", "units_1 >")))
    assert [v.path for v in unreadable] == ["constraints[1]"]


def test_constraints_may_name_fixed_parameters() -> None:
    """A fixed value takes part in the check, whether it makes a constraint possible or not."""
    draft = StudyDraft("t", space=space("units_1 <= most"), fixed={"most": 64})
    assert not list(draft_violations(draft))
    (violation,) = draft_violations(replace(draft, fixed={"most": 8}))
    assert violation.message == "none of 4000 draws meets 'units_1 <= 8'"
    both = StudyDraft("t", space=space("units_1 <= 100", "least <= most"), fixed={"most": 8, "least": 9})
    assert [v.path for v in draft_violations(both)] == ["constraints"]


@pytest.mark.parametrize(
    ("fixed", "constraints", "left"),
    [
        ({"most": 64}, ("units_2 <= units_1 <= most",), ("units_2 <= units_1 <= 64",)),
        ({"units_1": 64}, ("units_2 <= units_1", "units_1 < 65"), ("units_2 <= 64",)),
        ({"units_1": 64}, ("units_1 > 65",), ("64 > 65",)),
        ({"optimizer": "adam"}, ("momentum * units_1 < 9", "optimizer != 'sgd'"), ()),
        ({"optimizer": "sgd"}, ("momentum * units_1 < 9",), ("momentum * units_1 < 9",)),
    ],
)
def test_fixed_values_are_written_into_constraints(
    fixed: dict[str, Any], constraints: tuple[str, ...], left: tuple[str, ...]
) -> None:
    """What holds anyway, or names a parameter that is none any more, is dropped."""
    searched = with_fixed(space(*constraints), fixed)
    assert searched.constraints == left
    assert not set(searched.names()) & set(fixed)


def test_true_is_not_one_when_it_is_fixed() -> None:
    """A condition on 1 does not hold where True is fixed."""
    parameters = (Parameter("a", Choice((1, 2))), Parameter("b", Integer(0, 3), (Condition("a", (1,)),)))
    assert with_fixed(SearchSpace(parameters), {"a": True}).names() == ()
    assert with_fixed(SearchSpace(parameters), {"a": 1.0}).names() == ("b",)
