"""Reading and evaluating constraints."""

import ast
import math
import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from searchd.domain.expression import MAX_CHARACTERS, MAX_DEPTH, InvalidExpression, parsed


@pytest.mark.parametrize(
    ("text", "parameters", "holds"),
    [
        ("units_2 <= units_1", {"units_1": 64, "units_2": 64}, True),
        ("units_2 <= units_1", {"units_1": 64, "units_2": 65}, False),
        ("lr * batch < 8 and optimizer != 'sgd'", {"lr": 0.1, "batch": 32, "optimizer": "adam"}, True),
        ("lr * batch < 8 and optimizer != 'sgd'", {"lr": 0.1, "batch": 32, "optimizer": "sgd"}, False),
        ("  1 < a <= 3 != b ", {"a": 3, "b": 4}, True),
        ("1 < a <= 3 != b", {"a": 3, "b": 3}, False),
        ("not (a or b == true) and c == null", {"a": False, "b": False, "c": None}, True),
        ("a == 1", {"a": True}, False),
        ("a == 8", {"a": 8.0}, True),
        ('a == "it\'s"', {"a": "it's"}, True),
        ("-a // 2 + a % 3 - a ** 2 / 4 == -5", {"a": 4}, True),
        ("-a // 2 + a % 3 - a ** 2 / 4 == -5", {"a": 5}, False),
        ("max(a, b, 3) - min(a, b) == abs(-2)", {"a": 3, "b": 1}, True),
        ("log(a) < 0", {"a": 5e-324}, True),
        ("log(a) > 900", {"a": 10**400}, True),
        ("model.units <= 3", {"model.units": 3}, True),
        ("units_2 <= units_1", {"units_1": 64}, True),
        ("a < 1 or b", {"a": 5}, True),
        ("größe < 3", {"größe": 2}, True),
        ("a or b / 0 > 1", {"a": True, "b": 1}, True),
    ],
)
def test_holds(text: str, parameters: dict[str, Any], holds: bool) -> None:
    """Each construct means what it does in Python and JSON; what names an inactive parameter is met."""
    assert parsed(text).holds(parameters) is holds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 / a < 1", 0),
        ("1 % a < 1", 0),
        ("1 // a < 1", 0.0),
        ("a ** -1 < 1", 0),
        ("log(a) < 1", 0),
        ("log(a) < 1", -1.0),
        ("a ** 0.5 < 9", -1),
        ("a ** a > 1", 10**9),
        ("2 ** a > 1", 5000),
        ("a * a > 1", 1e300),
        ("a * a > 1", 2**3000),
        ("a > 1", 2**5000),
        ("a + 0.5 > 1", 10**400),
        ("a < 1", "x"),
        ("a < 1", None),
        ("a < 1", True),
        ("a < 1", [0]),
        ("a < 1", math.nan),
        ("a", 1),
        ("not a", 0),
        ("a and a", "yes"),
        ("-a < 1", "x"),
        ("abs(a) < 1", "x"),
        ("max(a, 1) < 2", True),
    ],
)
def test_what_has_no_value_is_not_met(text: str, value: Any) -> None:
    """Divisions by zero, mixed types and numbers that grow too large are no error, and no fulfilment."""
    assert parsed(text).holds({"a": value}) is False


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        ("   ", 1),
        ("a < 1\nand b", 6),
        ("a < \x00", 5),
        ("a = 1", 3),
        ("a < ", 4),
        ("(" * 230 + "a" + ")" * 230, 201),
        ("a" * (MAX_CHARACTERS + 1), MAX_CHARACTERS + 1),
        ("-" * (MAX_DEPTH + 2) + "a < 1", MAX_DEPTH),
        ("not " * (MAX_DEPTH + 1) + "a", 4 * MAX_DEPTH + 1),
        ("  a + 1", 3),
        ("1", 1),
        ("'a'", 1),
        ("null", 1),
        ("a and 3", 7),
        ("(a < b) < c", 2),
        ("(a < b) + 1 < 2", 2),
        ("ä < 1 and 'x' < a", 11),
        ("a < true", 5),
        ("a + null == 2", 5),
        ("exp(a) < 1", 1),
        ("a < log(a, 2)", 5),
        ("a < max()", 5),
        ("a < max(a, key=b)", 5),
        ("a < max(*b)", 9),
        ("a in b", 1),
        ("a is b", 1),
        ("a < 1e999", 5),
        ("a < 1j", 5),
        ("a == b''", 6),
        ("a == ...", 6),
        ("a & 1 == 1", 1),
        ("~a == 1", 1),
        ("a @ b == 1", 1),
        ("a[0] == 1", 1),
        ("a().b == 1", 1),
        ("a == [1]", 6),
        ("a == (1, 2)", 6),
        ("a == {}", 6),
        ("a == f'{b}'", 6),
        ("(lambda: a)() == 1", 1),
        ("a if b else c", 1),
        ("(a := 1) == 1", 2),
        ("[x for x in a] == 1", 1),
        ("__import__('os').system('x') == 0", 1),
        ("(1).__class__ == 1", 1),
        ("await a", 1),
    ],
)
def test_what_is_no_constraint_is_refused_with_its_column(text: str, column: int) -> None:
    """Nothing but comparisons of parameters, numbers and text is let through, and the place of the rest is told."""
    with pytest.raises(InvalidExpression) as refusal:
        parsed(text)
    error = refusal.value
    assert (error.text, error.column) == (text, column)
    assert error.problem
    assert error.remedy
    copy = pickle.loads(pickle.dumps(error))
    assert (vars(copy), str(copy)) == (vars(error), str(error))


PIECES = [*"ab19. ()<=>!+-*/%'\"[]{},:@&|^~", "and ", "or ", "not ", "log(", "**9"]


@examples(max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Reading raises nothing but InvalidExpression, and what was read gives true or false."""
    outcome: object
    try:
        outcome = parsed(text).holds({"a": 7, "b": "b"})
    except InvalidExpression as error:
        outcome = 1 <= error.column <= len(text) + 2 or error
    assert outcome in (True, False)


NUMBERS = st.one_of(st.integers(-20, 20), st.floats(-20, 20), st.sampled_from(["a", "b"]))
SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


@given(NUMBERS, st.sampled_from(list(SIGNS)), NUMBERS, st.sampled_from(list(SIGNS)), NUMBERS, st.integers(-9, 9))
def test_arithmetic_is_that_of_python(x: Any, one: str, y: Any, other: str, z: Any, a: int) -> None:
    """Sums, products and divisions in parentheses give what Python's give."""
    values = {"a": a, "b": 2.5}
    numbers = [values.get(n, n) if isinstance(n, str) else n for n in (x, y, z)]
    try:
        result = SIGNS[other](SIGNS[one](numbers[0], numbers[1]), numbers[2])
    except ZeroDivisionError:
        result = math.nan
    text = f"(({x}) {one} ({y})) {other} ({z})"
    assert parsed(f"{text} <= c").holds(values | {"c": result}) is math.isfinite(result)


def test_names_and_literals() -> None:
    """Names come with their first column, literals with the parameters that they are compared with."""
    expression = parsed("kind != 'a' and (b.c < 3 or 'x' == kind) and 2 == b.c")
    assert expression.names == {"kind": 1, "b.c": 18}
    assert list(expression.literals()) == [("kind", "a"), ("b.c", 2), ("kind", "x")]


@pytest.mark.parametrize(
    ("text", "values", "written"),
    [
        ("units_2 <= units_1", {"units_1": 64}, "units_2 <= 64"),
        ("(-a) ** b < a", {"a": -2}, "(--2) ** b < -2"),
        ("a ** b < 1", {"a": -2.5}, "(-2.5) ** b < 1"),
        ("flag and k == 'x'", {"flag": True, "k": "it's"}, "True and \"it's\" == 'x'"),
        ("max(max, m.n) < 1 and x == n", {"max": 3, "m.n": 1e-05, "n": None}, "max(3, 1e-05) < 1 and x == None"),
    ],
)
def test_fixed_values_are_written_out(text: str, values: dict[str, Any], written: str) -> None:
    """A constraint with values in place of names can be read again and means the same."""
    assert parsed(text).with_values(values) == written
    others = {"units_2": 65, "b": 2, "x": None}
    assert parsed(written).holds(others) is parsed(text).holds(values | others)


def test_nothing_is_ever_compiled() -> None:
    """What is kept of a text is a tree of the few nodes that the walk knows."""
    known = (ast.BoolOp, ast.UnaryOp, ast.Compare, ast.BinOp, ast.Call, ast.Name, ast.Constant)
    tree = parsed("abs(a.b - 1) < 3 and not c")._tree
    assert all(isinstance(node, known) for node in ast.walk(tree) if isinstance(node, ast.expr))


@pytest.mark.parametrize(
    ("text", "column"), [("lambda < 1", 1), ("0 < in", 5), ("kind != 'in' and if > 2", 18), (" class == 2", 2)]
)
def test_reserved_words_are_named(text: str, column: int) -> None:
    """A word that Python keeps for itself cannot name a parameter, and it is said which; in text it may stand."""
    with pytest.raises(InvalidExpression) as refusal:
        parsed(text)
    assert (refusal.value.column, refusal.value.problem) == (column, "is a reserved word there")
    assert parsed("kind != 'in'").holds({"kind": "class"})
