"""The racing rule: whether the remaining folds of a rung are worth running.

Bergman, Purucker, Hutter, "Don't Waste Your Time: Early Stopping Cross-Validation", AutoML 2024.
"""

import statistics
from collections.abc import Mapping
from typing import assert_never

from searchd.domain.evaluation import Racing
from searchd.domain.objective import Goal


def race_lost(rule: Racing, scores: Mapping[int, float], incumbent: tuple[float, ...], goal: Goal) -> bool:
    """Whether a trial should stop before its remaining folds.

    Args:
        rule: ``forgiving`` stops when the mean so far is no better than the incumbent's worst fold; ``aggressive`` when
            it is no better than the incumbent's mean over the same finished folds; ``none`` never.
        scores: Score by fold-run index, finished ones only, at least one.
        incumbent: Scores of the best trial that completed the rung, shape (rung.folds,).
        goal: Direction of the score.
    """
    match rule:
        case Racing.NONE:
            return False
        case Racing.FORGIVING:
            bar = min(goal.signed(s) for s in incumbent)
        case Racing.AGGRESSIVE:
            bar = statistics.fmean(goal.signed(incumbent[i]) for i in scores)
        case _:
            assert_never(rule)
    return statistics.fmean(goal.signed(s) for s in scores.values()) <= bar
