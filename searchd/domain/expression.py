"""Constraints as people write them: ``units_2 <= units_1``, ``lr * batch < 8 and optimizer != 'sgd'``.

The text is parsed with Python's grammar, of which only this is kept: parameters by name, numbers, text, true, false and
null; + - * / // % **; abs, min, max and log; == != < <= > >=, also chained; and, or, not; parentheses. It is then
turned into functions of ours within one another, once: nothing that was written is ever compiled or run, and no value
can grow without bound.
"""

import ast
import difflib
import functools
import keyword
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from searchd.domain.levels import identity

MAX_CHARACTERS = 500
MAX_DEPTH = 64
"""Operations within one another."""

MAX_BITS = 4096
"""Size of an integer on the way to a result."""

HINT = "write it as in units_2 <= units_1, with and, or, not, + - * / // % **, abs, min, max and log"

_CONSTANTS = {"true": True, "false": False, "null": None}


def _power(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and a.bit_length() * abs(b) > MAX_BITS:
        raise OverflowError("too large")
    return a**b


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}

_ORDER: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}

_FUNCTIONS: dict[str, Callable[..., Any]] = {"abs": abs, "log": math.log, "max": max, "min": min}
_Value = Callable[[Mapping[str, Any]], Any]
_ONE_ARGUMENT = ("abs", "log")
_JOINING = ("and", "or", "not")
_WORD_OR_TEXT = re.compile(r"\w+|'[^']*'|\"[^\"]*\"")


class InvalidExpression(ValueError):  # noqa: N818  # what is told to callers is a violation made of it
    """A constraint cannot be read.

    Attributes:
        text: The constraint.
        column: Where in it, from 1.
        problem: What is wrong there.
        remedy: What to do about it.
    """

    def __init__(self, text: str, column: int, problem: str, remedy: str) -> None:
        super().__init__(text, column, problem, remedy)
        self.text = text
        self.column = column
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.text!r}, column {self.column}: {self.problem}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Expression:
    """A constraint that was read; ``parsed`` makes it.

    Attributes:
        text: As written.
        names: The parameters that it names, each with the column of its first appearance, from 1.
    """

    text: str
    names: Mapping[str, int]
    _tree: ast.expr
    _met: Callable[[Mapping[str, Any]], bool]

    def holds(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a configuration meets it.

        One that lacks a named parameter does, since that parameter is not active. One for which it has no value, such
        as by a division by zero, by comparing text with a number, or by a number that grows too large, does not.
        """
        if any(name not in parameters for name in self.names):
            return True
        try:
            return self._met(parameters)
        except (ArithmeticError, TypeError, ValueError):
            return False

    def literals(self) -> Iterator[tuple[str, Any]]:
        """The parameters that it compares by == or != with written values, with these."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Compare):
                for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
                    for side, other in ((left, right), (right, left)):
                        match (op, side, other):
                            case (ast.Eq() | ast.NotEq(), ast.Name(id=name), ast.Constant(value=value)):
                                yield name, value

    def with_values(self, values: Mapping[str, Any]) -> str:
        """The constraint with these numbers, texts, booleans or nulls written in place of the parameters so named."""
        return ast.unparse(_Reader(self.text, values).read())


@functools.lru_cache(maxsize=4096)
def parsed(text: str) -> Expression:
    """Read a constraint.

    Raises:
        InvalidExpression: it is too long or too deep, is no expression, uses what constraints do not know, or is not
            something that holds or does not.
    """
    reader = _Reader(text, {})
    tree = reader.read()
    return Expression(text, reader.names, tree, _truth(tree))


def nearest(name: str, known: tuple[str, ...]) -> str:
    """A remedy for a name that nothing has."""
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known) or 'the parameters'}"


class _Reader:
    """Copies the tree of a text, letting through only what constraints know, and notes the names in it."""

    def __init__(self, text: str, values: Mapping[str, Any]) -> None:
        self.names: dict[str, int] = {}
        self._text = text
        self._written = text.strip()
        self._offset = len(text) - len(text.lstrip())
        self._values = values

    def read(self) -> ast.expr:
        """The whole text, with the given values in place of the parameters so named."""
        if not self._written:
            raise InvalidExpression(self._text, 1, "is empty", HINT)
        if len(self._written) > MAX_CHARACTERS:
            remedy = f"use at most {MAX_CHARACTERS}; several constraints must all hold"
            raise InvalidExpression(self._text, MAX_CHARACTERS + 1, f"has {len(self._written)} characters", remedy)
        if not self._written.isprintable():
            column = next(i for i, character in enumerate(self._text, 1) if not character.isprintable())
            raise InvalidExpression(self._text, column, "cannot be printed from there on", "write it on one line")
        try:
            tree = ast.parse(self._written, mode="eval").body
        except SyntaxError as error:
            self._check_reserved()
            column = self._offset + (error.offset or len(self._written) + 1)
            raise InvalidExpression(self._text, column, "cannot be read from there on", HINT) from None
        except (MemoryError, RecursionError, ValueError):
            raise InvalidExpression(self._text, self._offset + 1, "cannot be read", HINT) from None
        return self.condition(tree, 1)

    def _check_reserved(self) -> None:
        """Say which word of a text that cannot be read is none of a parameter's."""
        for word in _WORD_OR_TEXT.finditer(self._written):
            if keyword.iskeyword(word[0]) and word[0] not in _JOINING:
                remedy = f"give a parameter of that name another one, such as {word[0]}_"
                raise InvalidExpression(self._text, self._offset + word.start() + 1, "is a reserved word there", remedy)

    def condition(self, node: ast.expr, depth: int) -> ast.expr:
        """Something that holds or does not."""
        node = self._known(node, depth)
        match node:
            case ast.BoolOp(op=op, values=parts):
                return ast.BoolOp(op, [self.condition(part, depth + 1) for part in parts])
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return ast.UnaryOp(ast.Not(), self.condition(part, depth + 1))
            case ast.Compare(left=left, ops=ops, comparators=others):
                if not all(isinstance(op, (ast.Eq, ast.NotEq, *_ORDER)) for op in ops):
                    raise self._unknown(node, "a comparison of that kind", "use == != < <= > >=, with and, or and not")
                # What is left or right of a < must be a number; == compares anything.
                ranked = [isinstance(op, tuple(_ORDER)) for op in ops]
                wanted = [a or b for a, b in zip([*ranked, False], [False, *ranked], strict=True)]
                sides = [
                    self.number(side, depth + 1) if number else self.value(side, depth + 1)
                    for side, number in zip((left, *others), wanted, strict=True)
                ]
                return ast.Compare(sides[0], ops, sides[1:])
            case ast.Name() | ast.Attribute():
                return self.value(node, depth)
            case ast.Constant(value=bool()):
                return node
        raise self._unknown(node, "a value", "a constraint must hold or not: compare it with something")

    def value(self, node: ast.expr, depth: int) -> ast.expr:
        """Anything that a parameter may be."""
        node = self._known(node, depth)
        if isinstance(node, ast.Constant) and isinstance(node.value, bool | str | None):
            return node
        return self.number(node, depth)

    def number(self, node: ast.expr, depth: int) -> ast.expr:
        """Something that may be a number."""
        node = self._known(node, depth)
        match node:
            case ast.Name() | ast.Attribute():
                return self._named(node)
            case ast.Constant(value=bool() | str() | None):
                raise self._unknown(node, "what is no number", "compare it by == or !=")
            case ast.Constant(value=int() | float() as number) if abs(number) != math.inf:
                return node
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=part):
                return ast.UnaryOp(sign, self.number(part, depth + 1))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return ast.BinOp(self.number(left, depth + 1), op, self.number(right, depth + 1))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
                if not arguments or (name in _ONE_ARGUMENT and len(arguments) > 1):
                    wanted = "one number" if name in _ONE_ARGUMENT else "at least one number"
                    raise self._unknown(node, f"{name} of {len(arguments)} numbers", f"give {name} {wanted}")
                return ast.Call(ast.Name(name), [self.number(part, depth + 1) for part in arguments], [])
            case ast.BoolOp() | ast.Compare() | ast.UnaryOp(op=ast.Not()):
                raise self._unknown(node, "a condition", "conditions are joined by and, or and not only")
            case ast.Call(func=ast.Name(id=name)):
                raise self._unknown(node, f"{name}(…)", "the functions are abs, min, max and log")
        raise self._unknown(node, "what is written", HINT)

    def _named(self, node: ast.Name | ast.Attribute) -> ast.expr:
        name = _dotted(node)
        if name is None:
            raise self._unknown(node, "an attribute", HINT)
        if name in self._values:
            value = self._values[name]
            negative = not isinstance(value, bool) and isinstance(value, int | float) and value < 0
            return ast.UnaryOp(ast.USub(), ast.Constant(-value)) if negative else ast.Constant(value)
        self.names.setdefault(name, self._column(node))
        return ast.Name(name)

    def _known(self, node: ast.expr, depth: int) -> ast.expr:
        """The node, or what true, false and null stand for."""
        if depth > MAX_DEPTH:
            problem = f"more than {MAX_DEPTH} operations lie within one another"
            raise InvalidExpression(self._text, self._column(node), problem, "write several constraints")
        if isinstance(node, ast.Name) and node.id in _CONSTANTS:
            return ast.copy_location(ast.Constant(_CONSTANTS[node.id]), node)
        return node

    def _unknown(self, node: ast.expr, what: str, remedy: str) -> InvalidExpression:
        return InvalidExpression(self._text, self._column(node), f"{what} cannot stand there", remedy)

    def _column(self, node: ast.expr) -> int:
        return self._offset + len(self._written.encode()[: node.col_offset].decode()) + 1


def _dotted(node: ast.expr) -> str | None:
    """The name of a parameter, which may have dots in it."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=inner, attr=last):
            first = _dotted(inner)
            return None if first is None else f"{first}.{last}"
    return None


def _truth(node: ast.expr) -> Callable[[Mapping[str, Any]], bool]:
    """What tells whether a configuration meets a condition."""
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            conditions = [_truth(part) for part in parts]
            return lambda at: all(condition(at) for condition in conditions)
        case ast.BoolOp(values=parts):
            conditions = [_truth(part) for part in parts]
            return lambda at: any(condition(at) for condition in conditions)
        case ast.UnaryOp(operand=part):
            condition = _truth(part)
            return lambda at: not condition(at)
        case ast.Compare(left=left, ops=ops, comparators=others):
            return _comparison(
                _value(left), [(_COMPARED[type(op)], _value(o)) for op, o in zip(ops, others, strict=True)]
            )
    value = _value(node)
    return lambda at: _boolean(value(at))


def _comparison(
    first: _Value, others: list[tuple[Callable[[Any, Any], bool], _Value]]
) -> Callable[[Mapping[str, Any]], bool]:
    def holds(at: Mapping[str, Any]) -> bool:
        before = first(at)
        for compared, other in others:
            after = other(at)
            if not compared(before, after):
                return False
            before = after
        return True

    return holds


def _value(node: ast.expr) -> _Value:
    """What calculates a value from a configuration."""
    match node:
        case ast.Name(id=name):
            return lambda at: at[name]
        case ast.Constant(value=value):
            return lambda _: value
        case ast.UnaryOp(op=op, operand=part):
            number, sign = _value(part), operator.neg if isinstance(op, ast.USub) else operator.pos
            return lambda at: sign(_number(number(at)))
        case ast.BinOp(left=left, op=op, right=right):
            a, b, calculated = _value(left), _value(right), _ARITHMETIC[type(op)]
            return lambda at: _number(calculated(_number(a(at)), _number(b(at))))
        case ast.Call(func=ast.Name(id=name), args=parts):
            numbers, function = [_value(part) for part in parts], _FUNCTIONS[name]
            if len(numbers) == 1 and name in ("max", "min"):
                return lambda at: _number(numbers[0](at))
            return lambda at: function(*[_number(of(at)) for of in numbers])
    raise TypeError(f"{type(node).__name__} was not let through")


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("is neither true nor false")
    return value


def _number(value: Any) -> Any:
    """The value, if it is a number of bearable size.

    Raises:
        TypeError: it is no real number.
        OverflowError: it is too large, or none any more.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("is no number")
    if value.bit_length() > MAX_BITS if isinstance(value, int) else not math.isfinite(value):
        raise OverflowError("too large")
    return value


def _ranked(order: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda a, b: order(_number(a), _number(b))


_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: lambda a, b: identity(a) == identity(b),
    ast.NotEq: lambda a, b: identity(a) != identity(b),
    **{kind: _ranked(order) for kind, order in _ORDER.items()},
}
