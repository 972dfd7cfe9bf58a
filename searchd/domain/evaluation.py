"""How a trial is evaluated: folds, epochs, splits, races and confirmation."""

from dataclasses import dataclass
from enum import StrEnum

from searchd.domain.fidelity import Fidelity, Ladder

TEST_FOLD = -1
"""The fold of a test: all rows of the folds train, those that were set aside validate."""


class Racing(StrEnum):
    """Whether the remaining folds of a rung are worth running, decided after each fold."""

    NONE = "none"
    FORGIVING = "forgiving"
    AGGRESSIVE = "aggressive"
    PAIRED = "paired"


class Split(StrEnum):
    """How rows are divided into folds."""

    KFOLD = "kfold"
    STRATIFIED = "stratified"
    GROUP = "group"
    STRATIFIED_GROUP = "stratified_group"
    TIMESERIES = "timeseries"
    FOLD_COLUMN = "fold_column"


class Score(StrEnum):
    """Which epoch's metric stands for a fold run at a rung: the last, or the best so far (optimistic)."""

    LAST = "last"
    BEST = "best"


@dataclass(frozen=True, slots=True)
class Confirm:
    """How the best trials are evaluated once more after the search, on splits and seeds that nothing was chosen by.

    Attributes:
        top: How many of them, at least 1.
        repeats: Fresh repeats of the cross-validation (or of the hold-out split) for each, at least 1.
        share: At most this share of what full evaluation of all trials would cost, in (0, 1], but for the default and
            one other; fewer are confirmed then.
    """

    top: int = 3
    repeats: int = 2
    share: float = 0.2


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a trial is evaluated.

    Attributes:
        folds: Folds of the cross-validation, at least 2; or 0 for a single hold-out split.
        holdout: Share of rows held out for validation when ``folds`` is 0, in (0, 1).
        split: How rows are divided.
        split_seed: Seed of the splits, apart from the study's, so that studies on one dataset are comparable.
        repeats: Repeats of the cross-validation with other splits, at least 1.
        epochs: Epochs of a full evaluation, at least 1.
        score: Which epoch's metric counts at a rung.
        racing: The racing rule.
        ladder: Given rungs, lowest first, the top being all folds and epochs; empty means derived.
        confirm: How the best are confirmed; None for not at all.
    """

    folds: int = 0
    holdout: float = 0.2
    split: Split = Split.KFOLD
    split_seed: int = 0
    repeats: int = 1
    epochs: int = 1
    score: Score = Score.LAST
    racing: Racing = Racing.NONE
    ladder: Ladder = ()
    confirm: Confirm | None = None

    @property
    def fold_runs(self) -> int:
        """Fold runs of a full evaluation."""
        return max(self.folds, 1) * self.repeats

    @property
    def top(self) -> Fidelity:
        """The fidelity of a full evaluation."""
        return Fidelity(self.fold_runs, self.epochs)

    def place(self, index: int) -> tuple[int, int]:
        """The (repeat, fold) of the fold run at ``index``: all folds of repeat 0 first."""
        return divmod(index, max(self.folds, 1))

    @property
    def confirming(self) -> Fidelity:
        """The fidelity of a confirmation: all its fresh repeats."""
        repeats = self.confirm.repeats if self.confirm is not None else 0
        return Fidelity(max(self.folds, 1) * repeats, self.epochs)
