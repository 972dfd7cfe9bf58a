"""The card of a trainable: all that the service knows of it without importing it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from searchd.domain.objective import Goal
from searchd.domain.space import Parameters, SearchSpace


class Form(StrEnum):
    """How a trainable is written: a generator, a ray.tune.Trainable class, or a function that calls tune.report."""

    GENERATOR = "generator"
    TUNE_CLASS = "tune_class"
    TUNE_FUNCTION = "tune_function"


@dataclass(frozen=True, slots=True)
class Card:
    """What a trainable takes, reports and can do.

    Attributes:
        name: Registered name.
        description: First line of its docstring.
        form: How it is written.
        metrics: Declared metrics and their better direction; empty means that any name is accepted (Ray Tune forms).
        space: Default search space.
        default: Default configuration, or None if it declares none.
        checkpoints: Whether a fold run can be paused and continued.
        folds: Whether it can train on a given fold; else only on one hold-out split of its own.
        code: Fingerprint of its code (12 hex digits).
        gradients: Metrics whose derivatives by each of its continuous parameters it reports too.
        parent: Whether a study of it must build on another.
    """

    name: str
    description: str
    form: Form
    metrics: Mapping[str, Goal]
    space: SearchSpace
    default: Parameters | None
    checkpoints: bool
    folds: bool
    code: str
    gradients: tuple[str, ...] = ()
    parent: bool = False
