"""The racing rule: whether the remaining folds of a rung are worth running.

Bergman, Purucker, Hutter, "Don't Waste Your Time: Early Stopping Cross-Validation", AutoML 2024, for ``forgiving`` and
``aggressive``.
"""

import math
import statistics
from collections.abc import Mapping
from typing import assert_never

from searchd.domain.evaluation import Racing
from searchd.domain.objective import Goal

CAUTION = 1.25
"""How many standard errors of the folds to come ``paired`` allows for; why so many is in docs/adr/0011-racing.md."""


def race_lost(rule: Racing, scores: Mapping[int, float], incumbent: tuple[float, ...], goal: Goal) -> bool:
    """Whether a trial should stop before its remaining folds.

    Args:
        rule: ``forgiving`` stops when the mean so far is no better than the incumbent's worst fold; ``aggressive`` when
            it is no better than the incumbent's mean over the same finished folds; ``paired`` when it is so by more
            than the remaining folds may make up; ``none`` never.
        scores: Score by fold-run index, finished ones only, at least one and fewer than the incumbent has.
        incumbent: Scores of the best trial that completed the rung, shape (rung.folds,).
        goal: Direction of the score.
    """
    mean = statistics.fmean(goal.signed(s) for s in scores.values())
    match rule:
        case Racing.NONE:
            return False
        case Racing.FORGIVING:
            return mean <= min(goal.signed(s) for s in incumbent)
        case Racing.AGGRESSIVE:
            return mean <= _on_same_folds(scores, incumbent, goal)
        case Racing.PAIRED:
            return mean + _may_make_up(len(scores), incumbent) <= _on_same_folds(scores, incumbent, goal)
        case _:
            assert_never(rule)


def _on_same_folds(scores: Mapping[int, float], incumbent: tuple[float, ...], goal: Goal) -> float:
    return statistics.fmean(goal.signed(incumbent[index]) for index in scores)


def _may_make_up(finished: int, incumbent: tuple[float, ...]) -> float:
    """How far the mean over some folds may lie below what it will be over all of them.

    That is ``CAUTION`` standard errors of a mean of ``finished`` folds drawn from all without putting back. The spread
    is that of the incumbent's own folds: it includes what makes folds hard for everybody, so it errs towards going on,
    and it needs no more memory than the incumbent.
    """
    folds, mean = len(incumbent), statistics.fmean(incumbent)
    spread = math.hypot(*(score - mean for score in incumbent)) / math.sqrt(folds - 1)
    return CAUTION * spread * math.sqrt(1 / finished - 1 / folds)
