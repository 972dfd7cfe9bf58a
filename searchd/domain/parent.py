"""The study that another one builds on, and what is known of it."""

from dataclasses import dataclass

from searchd.domain.space import Parameters


@dataclass(frozen=True, slots=True)
class Parent:
    """A trial of an earlier study: its configuration, and what its fold runs left.

    Attributes:
        study: The earlier study, by id or full name.
        trial: Number of the trial; None means the best.
    """

    study: str
    trial: int | None = None


@dataclass(frozen=True, slots=True)
class ParentTrial:
    """A trial that was evaluated in full; ``parameters`` without the study's fixed ones, ``score`` in the metric's own
    sign."""

    number: int
    parameters: Parameters
    score: float


@dataclass(frozen=True, slots=True)
class Heritage:
    """What was read of the parent when a study was created.

    Attributes:
        study: Its full name.
        born: When it was created, which tells it from a later one of the same name.
        trainable: What it trained.
        fixed: Parameters that all its trials had.
        folds: Folds in a repeat, 1 for a hold-out.
        same_rows: Whether both studies have the same data and the same folds, so that the model of a fold of the parent
            has not seen what the same fold of the child is validated on.
        trials: Its trials, the chosen one first, then the best of the others; never empty.
    """

    study: str
    born: str
    trainable: str
    fixed: Parameters
    folds: int
    same_rows: bool
    trials: tuple[ParentTrial, ...]
