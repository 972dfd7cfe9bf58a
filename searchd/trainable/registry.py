"""The trainables that are registered in this process: each is checked when it is declared."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, MappingProxyType
from typing import Any, TypeVar

from searchd.domain.card import Form
from searchd.domain.objective import Goal
from searchd.domain.space import Parameter, Parameters, SearchSpace, ordered, violations
from searchd.trainable.context import Context
from searchd.trainable.space import ParameterSpec

GeneratorFunction = TypeVar("GeneratorFunction", bound=Callable[[Context], Iterator[Mapping[str, Any]]])


@dataclass(frozen=True, slots=True)
class Registration:
    """A registered trainable: what its card tells, and the object itself."""

    name: str
    target: Callable[..., Any]
    form: Form
    description: str
    metrics: Mapping[str, Goal]
    space: SearchSpace
    default: Parameters | None
    checkpoints: bool
    folds: bool
    gradients: tuple[str, ...]
    parent: bool = False


class NameTaken(ValueError):  # noqa: N818  # named for what went wrong
    """Another trainable has been registered under that name; ``place`` and ``other`` are where the two were written."""

    def __init__(self, name: str, place: str, other: str) -> None:
        super().__init__(name, place, other)
        self.name = name
        self.place = place
        self.other = other

    def __str__(self) -> str:
        return f"{self.place}: the name {self.name!r} is taken by {self.other}; give another name="


_registered: dict[str, Registration] = {}


def registered() -> Mapping[str, Registration]:
    """All trainables registered in this process, by name."""
    return MappingProxyType(_registered)


def trainable(
    *,
    metrics: Mapping[str, str],
    space: Mapping[str, ParameterSpec] | None = None,
    default: Parameters | None = None,
    name: str | None = None,
    folds: bool = True,
    checkpoints: bool | None = None,
    gradients: Sequence[str] = (),
    parent: bool = False,
) -> Callable[[GeneratorFunction], GeneratorFunction]:
    """Register a generator function, which is returned unchanged.

    Args:
        metrics: Every metric it yields, with ``"maximize"`` or ``"minimize"``.
        space: The search space for studies that give none.
        default: The configuration to compare others with; None if there is none. It may name parameters that are not
            in the space: studies may fix or search those too.
        name: The name in study files; None means the function's own.
        folds: Whether it trains on ``ctx.train_index``; False restricts it to one hold-out.
        checkpoints: Whether it can be paused. None means: if its code calls ``ctx.keep``. Declare True if only a helper
            function calls it, which cannot be seen from here.
        gradients: Metrics whose derivatives it reports too, ``d METRIC/d PARAMETER`` for each of its continuous
            parameters, 0 for one that is not active; needed by a search by gradients.
        parent: Whether it reads ``ctx.parent``, so that a study must name one.

    Raises:
        TypeError: it is not a generator function.
        ValueError: a metric has no such goal, gradients names one that is not declared, the space or the default is
            wrong, or the name is taken.
    """

    def decorate(function: GeneratorFunction) -> GeneratorFunction:
        is_generator = inspect.isgeneratorfunction(function)
        if not is_generator:
            raise TypeError(f"{function!r} must be a generator function that yields its metrics once per epoch")
        if not metrics:
            raise ValueError(f"{function.__name__}: metrics is empty; name every metric that it yields")
        unknown = [metric for metric in gradients if metric not in metrics]
        if unknown:
            raise ValueError(f"{function.__name__}: gradients names {unknown[0]!r}; name metrics that it declares")
        keeps = _mentions(function.__code__, "keep") if checkpoints is None else checkpoints
        _add(function, Form.GENERATOR, metrics, space, default, name, keeps, folds, tuple(gradients), parent)
        return function

    return decorate


def register(
    obj: Callable[..., Any],
    *,
    metrics: Mapping[str, str] | None = None,
    space: Mapping[str, ParameterSpec] | None = None,
    default: Parameters | None = None,
    name: str | None = None,
    folds: bool = False,
) -> None:
    """Register an unmodified ``ray.tune.Trainable`` class, or a function of ``config`` that calls ``tune.report``.

    It is evaluated on one hold-out, unless it reads ``current()`` and is registered with ``folds=True``. A class can be
    paused if it has its own ``save_checkpoint``; a function, if it calls ``get_checkpoint``.

    Args:
        obj: The class or function.
        metrics: What it reports, with ``"maximize"`` or ``"minimize"``; None accepts any metric as objective.
        space: The search space for studies that give none.
        default: As for ``trainable``.
        name: The name in study files; None means the object's own.
        folds: Whether it trains on ``current().train_index``.

    Raises:
        TypeError: it is neither of the two.
        ValueError: a metric has no such goal, the space or the default is wrong, or the name is taken.
    """
    if inspect.isclass(obj):
        if not all(callable(getattr(obj, method, None)) for method in ("setup", "step", "train", "save", "restore")):
            raise TypeError(f"{obj!r} is not a ray.tune.Trainable: it lacks setup, step, train, save or restore")
        owner = next((c for c in obj.__mro__ if "save_checkpoint" in vars(c)), object)
        keeps = owner is not object and owner.__module__ != "ray.tune.trainable.trainable"
        _add(obj, Form.TUNE_CLASS, metrics or {}, space, default, name, keeps, folds)
        return
    if not inspect.isfunction(obj) or not _takes_config(obj):
        raise TypeError(f"{obj!r} is neither a ray.tune.Trainable class nor a function of one argument, the config")
    _add(obj, Form.TUNE_FUNCTION, metrics or {}, space, default, name, _mentions(obj.__code__, "get_checkpoint"), folds)


def _takes_config(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind({})
    except TypeError:
        return False
    return True


def _mentions(code: CodeType, name: str) -> bool:
    return name in code.co_names or any(_mentions(c, name) for c in code.co_consts if isinstance(c, CodeType))


def _add(
    target: Callable[..., Any],
    form: Form,
    metrics: Mapping[str, str],
    space: Mapping[str, ParameterSpec] | None,
    default: Parameters | None,
    name: str | None,
    checkpoints: bool,
    folds: bool,
    gradients: tuple[str, ...] = (),
    parent: bool = False,
) -> None:
    name = name or target.__name__
    for metric, goal in metrics.items():
        if goal not in tuple(Goal):
            raise ValueError(f"{name}: metrics.{metric} is {goal!r}; use 'maximize' or 'minimize'")
    drawn = ordered([Parameter(n, s.domain, s.when) for n, s in (space or {}).items()])
    wrong = [str(v) for v in violations(drawn, "space")] or list(_wrong_default(drawn, default))
    if wrong:
        raise ValueError(f"{name}: {'. '.join(wrong)}")
    taken = _registered.get(name)
    if taken is not None and _place(taken.target) != _place(target):
        raise NameTaken(name, _place(target), _place(taken.target))
    goals = {metric: Goal(goal) for metric, goal in metrics.items()}
    summary = inspect.cleandoc(target.__doc__ or "").split("\n", 1)[0]
    _registered[name] = Registration(
        name, target, form, summary, goals, drawn, default, checkpoints, folds, gradients, parent
    )


def _place(target: Callable[..., Any]) -> str:
    """Where it was written; the same under whatever name its module was imported."""
    return f"{getattr(sys.modules.get(target.__module__), '__file__', target.__module__)}:{target.__qualname__}"


def _wrong_default(space: SearchSpace, default: Parameters | None) -> Iterator[str]:
    if default is None:
        return
    for parameter in space.active(default):
        if parameter.name not in default:
            yield f"default.{parameter.name}: is missing; give every parameter that the others make active"
        elif not parameter.domain.contains(default[parameter.name]):
            yield f"default.{parameter.name}: {default[parameter.name]!r} is not in its domain; use a value that is"
