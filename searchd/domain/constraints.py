"""What is wrong with a space's constraints, and what fixed parameters make of a space."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from searchd.domain.errors import Violation
from searchd.domain.expression import Expression, InvalidExpression, nearest, parsed
from searchd.domain.lattice import Lattice
from searchd.domain.space import Choice, Parameter, Parameters, SearchSpace, same_value

MAX_CONSTRAINTS = 64

MAX_CHARACTERS_TOGETHER = 4000
"""Of all constraints, each of which is evaluated for every draw."""

FEW_STEPS = 4_096
"""Steps through the numbering of a discrete space in search of a configuration that is allowed."""

DRAWS = 4_000
"""Draws after that, and in a continuous space."""

STEPS = 100_000
"""Further steps through a discrete space where draws find nothing."""


def constraint_violations(space: SearchSpace, fixed: Parameters, places: Sequence[int] = ()) -> Iterator[Violation]:
    """Constraints that cannot be read, or that name what is neither searched nor fixed to something comparable.

    Args:
        space: The space with its constraints.
        fixed: The fixed parameters.
        places: Where each constraint stands among all that the study gives, from 0; empty if there are no others.

    Yields:
        Each mistake at ``constraints[i]``, with the constraint's text and the column in it.
    """
    if len(space.constraints) > MAX_CONSTRAINTS:
        yield Violation("constraints", f"there are {len(space.constraints)}", f"keep at most {MAX_CONSTRAINTS}")
        return
    together = sum(map(len, space.constraints))
    if together > MAX_CHARACTERS_TOGETHER:
        message = f"have {together} characters together"
        yield Violation("constraints", message, f"keep at most {MAX_CHARACTERS_TOGETHER}")
        return
    for i, text in zip(places or range(len(space.constraints)), space.constraints, strict=True):
        path = f"constraints[{i}]"
        try:
            wrong = list(_name_violations(parsed(text), space, fixed, path))
            yield from wrong
            if not wrong and any(name in fixed for name in parsed(text).names):
                parsed(parsed(text).with_values(fixed))
        except InvalidExpression as error:
            yield Violation(path, f"{error.text!r}, column {error.column}: {error.problem}", error.remedy)


def _name_violations(expression: Expression, space: SearchSpace, fixed: Parameters, path: str) -> Iterator[Violation]:
    known = (*space.names(), *(name for name in fixed if name not in space.names()))
    for name, column in expression.names.items():
        here = f"{expression.text!r}, column {column}"
        if name not in known:
            yield Violation(path, f"{here}: there is no parameter {name!r}", nearest(name, known))
        elif isinstance(fixed.get(name), list | tuple | dict):
            remedy = "name parameters that are numbers, text, true, false or null"
            yield Violation(path, f"{here}: {name} is fixed to a list or an object", remedy)
    if not expression.names:
        yield Violation(path, f"{expression.text!r} names no parameter", "remove it")
    options = {p.name: p.domain for p in space.parameters if isinstance(p.domain, Choice) and p.name not in fixed}
    for name, value in expression.literals():
        if name in options and not options[name].contains(value):
            message = f"{expression.text!r}, column {expression.names[name]}: {name} never takes the value {value!r}"
            texts = tuple(option for option in options[name].options if isinstance(option, str))
            yield Violation(path, message, nearest(value, texts) if isinstance(value, str) else "use one of its values")


def with_fixed(space: SearchSpace, fixed: Parameters) -> SearchSpace:
    """What is left to search when some parameters are fixed.

    A condition on a fixed parameter that holds need not be asked, and what it keeps out is no parameter. In constraints
    the fixed values are written out; those that hold anyway, or that name what is no parameter, are dropped.

    Raises:
        InvalidExpression: a constraint is one of those that ``constraint_violations`` reports.
    """
    kept: list[Parameter] = []
    gone: set[str] = set()
    for parameter in space.parameters:
        if parameter.name in fixed:
            continue
        on_fixed = [c for c in parameter.when if c.parameter in fixed]
        barred = any(not any(same_value(fixed[c.parameter], v) for v in c.values) for c in on_fixed)
        if barred or any(c.parameter in gone for c in parameter.when):
            gone.add(parameter.name)
        else:
            kept.append(replace(parameter, when=tuple(c for c in parameter.when if c not in on_fixed)))
    constraints: list[str] = []
    for text in space.constraints:
        names = parsed(text).names
        if any(name in gone for name in names):
            continue
        written = parsed(text).with_values(fixed) if any(name in fixed for name in names) else text
        if parsed(written).names or not parsed(written).holds({}):
            constraints.append(written)
    return SearchSpace(tuple(kept), tuple(constraints))


def nothing_left(space: SearchSpace, seed: int) -> Iterator[Violation]:
    """Whether constraints leave any configuration of a space that is right otherwise.

    A discrete space is gone through, first for a number of steps that is enough for small ones, then, if chance finds
    nothing either, about as far as a searcher would go. In a continuous space chance is asked.
    """
    if not space.constraints:
        return
    lattice = Lattice(space)
    small = lattice.size is not None and lattice.size <= FEW_STEPS
    steps = lattice.allowed()
    if _any_allowed(steps, FEW_STEPS):
        return
    if small:
        tried = [lattice.at(index) for index in range(lattice.size or 0)]
    else:
        chance = random.Random(seed)
        tried = [space.draw([chance.random() for _ in space.parameters]) for _ in range(DRAWS)]
        if any(map(space.allows, tried)) or _any_allowed(steps, STEPS):
            return
    looked_at = f"none of all {len(tried)} configurations" if small else f"none of {len(tried)} draws"
    unmet = [text for text in space.constraints if not any(parsed(text).holds(p) for p in tried)]
    if unmet:
        message = f"{looked_at} meets {', nor '.join(repr(text) for text in unmet)}"
        yield Violation("constraints", message, "loosen it, or widen the domains that it names")
    else:
        yield Violation("constraints", f"{looked_at} meets them all at once", "loosen one, or widen domains")


def _any_allowed(steps: Iterator[int | None], most: int) -> bool:
    return any(index is not None for index in itertools.islice(steps, most))
