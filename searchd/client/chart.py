"""A staircase drawn with characters."""

import math
from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
ROWS = 8


def staircase(points: Sequence[tuple[float, float]], width: int, labels: tuple[str, str]) -> list[str]:
    """A value that keeps until the next point: eight rows of blocks and an axis.

    Args:
        points: (place, value) in the order of places, which are 0 or more; at least one. Values are finite.
        width: Characters of a line, more than the labels take.
        labels: Of the highest and the lowest value, for the left margin.
    """
    margin = max(map(len, labels)) + 1
    columns = width - margin - 1
    end = points[-1][0] or 1.0
    low, high = min(value for _, value in points), max(value for _, value in points)
    heights = [_height(_at(points, (column + 1) / columns * end), low, high) for column in range(columns)]
    lines = []
    for row in reversed(range(ROWS)):
        label = labels[0] if row == ROWS - 1 else labels[1] if row == 0 and low < high else ""
        bar = "".join(BLOCKS[min(max(height - 8 * row, 0), 8)] for height in heights)
        lines.append(f"{label:>{margin - 1}} │{bar}".rstrip())
    return [*lines, f"{'':>{margin}}└{'─' * columns}"]


def _at(points: Sequence[tuple[float, float]], place: float) -> float | None:
    """The value at a place; None before the first point. Rounding may keep the last place short of the last point."""
    value = None
    for where, known in points:
        if where > place * (1 + 1e-9):
            break
        value = known
    return value


def _height(value: float | None, low: float, high: float) -> int:
    """In eighths of a row; the lowest value is one eighth high, so that it can be seen."""
    if value is None:
        return 0
    share = (value - low) / (high - low) if high > low else 1.0
    return 1 + math.floor(share * (8 * ROWS - 1) + 0.5)
