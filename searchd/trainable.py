"""What the author of a trainable imports: the decorator, the search space, the context. Needs no Ray and no numpy.

A trainable is a generator function that yields its metrics once per epoch::

    @trainable(metrics={"accuracy": "maximize"}, space={"lr": loguniform(1e-5, 1e-1)})
    def my_net(ctx):
        net, data = Net(), ctx.dataset()
        ctx.keep(net=net)
        for epoch in ctx.epochs():
            yield {"accuracy": accuracy}

A ``ray.tune.Trainable`` class or a function that calls ``tune.report`` is registered unmodified with ``register``.
"""

import inspect
import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from searchd.domain.card import Form
from searchd.domain.objective import Goal
from searchd.domain.space import (
    Choice,
    Condition,
    Domain,
    Float,
    Integer,
    Parameter,
    Parameters,
    ParameterValue,
    SearchSpace,
    ordered,
    violations,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    IntArray = NDArray[np.intp]

When = Mapping[str, Sequence[ParameterValue]]
"""Conditions of a parameter: it exists only while each named parameter has one of the listed values."""

GeneratorFunction = TypeVar("GeneratorFunction", bound=Callable[["Context"], Iterator[Mapping[str, Any]]])


class Infeasible(Exception):  # noqa: N818  # named for what went wrong
    """Raised by a trainable to give up on its configuration: the trial is INFEASIBLE, and nothing is retried."""


class Params(Mapping[str, Any]):
    """The parameters of a trial together with the study's fixed ones, read as ``p.lr`` or ``p["lr"]``."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            known = ", ".join(self._values) or "none"
            raise AttributeError(
                f"this trial has no parameter {name!r}, only {known}; .get() takes a default"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Host(Protocol):
    """What a Context asks of whoever runs it: a worker, or a few lines in a test."""

    def dataset(self) -> Any:
        """The study's dataset."""
        ...

    def load(self, load: Callable[[str | None], Any]) -> Any:
        """What ``load`` makes of the dataset's name or path, once per process."""
        ...

    def split(self) -> tuple["IntArray", "IntArray"]:
        """Row numbers to train on and to validate on, shapes (n_train,) and (n_valid,)."""
        ...

    def keep(self, objects: Mapping[str, Any]) -> Mapping[str, Any]:
        """Restore the objects, and save them from now on; the restored ones."""
        ...

    def begin(self) -> int:
        """The loop over epochs begins; the number of epochs trained before."""
        ...

    def artifact(self, name: str) -> Path:
        """Where a file of this fold run belongs."""
        ...


class Context:
    """One fold run, as its trainable sees it.

    Attributes:
        params: The configuration, fixed parameters included.
        fold: Fold within the repeat, from 0.
        repeat: Repeat of the cross-validation, from 0.
        seed: In [0, 2**31), derived from the study's seed, the trial, the repeat and the fold. Python, numpy and torch
            are seeded with it before the trainable begins.
        device: ``"cuda"`` if GPUs are assigned, else ``"cpu"``.
        max_epochs: Epochs of a full evaluation; a schedule should span these, however early the trial may be stopped.
    """

    __slots__ = ("_host", "device", "fold", "max_epochs", "params", "repeat", "seed")

    def __init__(
        self, params: Mapping[str, Any], repeat: int, fold: int, seed: int, device: str, max_epochs: int, host: Host
    ) -> None:
        self.params = Params(params)
        self.repeat = repeat
        self.fold = fold
        self.seed = seed
        self.device = device
        self.max_epochs = max_epochs
        self._host = host

    def dataset(self, load: Callable[[str | None], Any] | None = None) -> Any:
        """The study's dataset, or what ``load(source)`` returns for it: anything with ``len()``.

        ``source`` is the dataset's path or bundled name, None if the study names none. ``load`` is called once per
        process and source, so it must not depend on the trial.
        """
        return self._host.dataset() if load is None else self._host.load(load)

    @property
    def train_index(self) -> "IntArray":
        """Row numbers to train on, shape (n_train,)."""
        return self._host.split()[0]

    @property
    def valid_index(self) -> "IntArray":
        """Row numbers to validate on, shape (n_valid,)."""
        return self._host.split()[1]

    def epochs(self) -> Iterator[int]:
        """Epoch numbers from 1 to ``max_epochs``; after a restore, from the one after the checkpoint's."""
        yield from range(self._host.begin() + 1, self.max_epochs + 1)

    def keep(self, **objects: Any) -> Mapping[str, Any]:
        """Name what a checkpoint holds, and restore it at once if there is a checkpoint.

        Call it before the loop over epochs, when the objects are ready. Objects with ``state_dict`` and
        ``load_state_dict`` are restored in place; any other value is pickled as it is when the checkpoint is saved,
        and the restored one is in the answer. The random states of Python, numpy and torch are restored too. Inside
        the loop, ``keep`` restores nothing and replaces the value noted under a name.

        Returns:
            By name, the objects given, or the values restored in their place.
        """
        return self._host.keep(objects)

    def artifact(self, name: str) -> Path:
        """The path at which to write a file that stays with the trial; its folder exists."""
        return self._host.artifact(name)


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """A parameter before it has a name: what ``uniform`` and the others return."""

    domain: Domain
    when: tuple[Condition, ...]


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


_registered: dict[str, Registration] = {}
_running: list[Context] = []


def registered() -> Mapping[str, Registration]:
    """All trainables registered in this process, by name."""
    return MappingProxyType(_registered)


def current() -> Context:
    """The context of the fold run that this process runs; for Ray Tune trainables, which are handed none.

    Raises:
        RuntimeError: nothing is being run here.
    """
    if not _running:
        raise RuntimeError("there is no current fold run; current() works only inside a trainable that searchd runs")
    return _running[-1]


def set_current(context: Context | None) -> None:
    """Say what ``current`` returns. For those who run trainables, not for their authors."""
    _running[:] = [] if context is None else [context]


def trainable(
    *,
    metrics: Mapping[str, str],
    space: Mapping[str, ParameterSpec] | None = None,
    default: Parameters | None = None,
    name: str | None = None,
    folds: bool = True,
    checkpoints: bool | None = None,
    gradients: Sequence[str] = (),
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
        _add(function, Form.GENERATOR, metrics, space, default, name, keeps, folds, tuple(gradients))
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
        raise ValueError(f"{_place(target)}: the name {name!r} is taken by {_place(taken.target)}; give another name=")
    goals = {metric: Goal(goal) for metric, goal in metrics.items()}
    summary = inspect.cleandoc(target.__doc__ or "").split("\n", 1)[0]
    _registered[name] = Registration(name, target, form, summary, goals, drawn, default, checkpoints, folds, gradients)


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


def _spec(domain: Domain, when: When | None) -> ParameterSpec:
    return ParameterSpec(domain, tuple(Condition(name, tuple(values)) for name, values in (when or {}).items()))


def uniform(low: float, high: float, *, when: When | None = None) -> ParameterSpec:
    """A real number in [low, high]."""
    return _spec(Float(float(low), float(high)), when)


def loguniform(low: float, high: float, *, when: When | None = None) -> ParameterSpec:
    """A real number in [low, high], low above 0, uniform in its logarithm."""
    return _spec(Float(float(low), float(high), log=True), when)


def quniform(low: float, high: float, step: float, *, when: When | None = None) -> ParameterSpec:
    """A multiple of ``step`` in [low, high]."""
    return _spec(Float(float(low), float(high), step=float(step)), when)


def qloguniform(low: float, high: float, step: float, *, when: When | None = None) -> ParameterSpec:
    """A multiple of ``step`` in [low, high], low above 0, nearest to a number that is uniform in its logarithm."""
    return _spec(Float(float(low), float(high), log=True, step=float(step)), when)


def randint(low: int, high: int, *, when: When | None = None) -> ParameterSpec:
    """An integer in [low, high), ``high`` excluded as in Ray Tune."""
    return _spec(Integer(operator.index(low), operator.index(high)), when)


def lograndint(low: int, high: int, *, when: When | None = None) -> ParameterSpec:
    """An integer in [low, high), low above 0, uniform in its logarithm."""
    return _spec(Integer(operator.index(low), operator.index(high), log=True), when)


def qrandint(low: int, high: int, step: int, *, when: When | None = None) -> ParameterSpec:
    """A multiple of ``step`` in [low, high], ``high`` included as in Ray Tune unless ``step`` is 1."""
    return _spec(Integer(operator.index(low), operator.index(high), step=operator.index(step)), when)


def choice(options: Sequence[ParameterValue], *, when: When | None = None) -> ParameterSpec:
    """One of ``options``, which have no order."""
    return _spec(Choice(tuple(options)), when)


def grid(options: Sequence[ParameterValue], *, when: When | None = None) -> ParameterSpec:
    """One of ``options``, all of which a grid search enumerates."""
    return _spec(Choice(tuple(options), grid=True), when)
