"""What trials are ranked by."""

import math

from searchd.domain.objective import Goal


def worth(goal: Goal, score: float) -> float:
    """A mean score such that larger is better; one that is not a number, which nothing compares with, is the worst."""
    return -math.inf if math.isnan(score) else goal.signed(score)
