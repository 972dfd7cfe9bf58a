"""The hypervolume of a set of points: how much of the objectives' space they dominate, exactly.

Up to three objectives are swept from the best value of the last one down, with the staircase of what is dominated so
far (Fonseca, Paquete and López-Ibáñez, "An Improved Dimension-Sweep Algorithm for the Hypervolume Indicator", CEC
2006). More are taken apart into what each point adds to those after it (While, Bradstreet and Barone, "A Fast Way of
Calculating Exact Hypervolumes", IEEE Transactions on Evolutionary Computation 16, 2012).
"""

import bisect
from collections.abc import Sequence
from math import prod

from searchd.domain.objective import dominates

Point = tuple[float, ...]

SWEPT = 3
"""Objectives that are swept; with more, the time grows by a factor of the points for each."""

MANY_POINTS = {4: 400, 5: 150, 6: 80, 7: 60, 8: 40}
"""Points that are few enough for this many objectives; for more objectives there is no number of points that is."""


def is_affordable(points: int, objectives: int) -> bool:
    """Whether the hypervolume of so many points takes no more than some tenths of a second."""
    return objectives <= SWEPT or points <= MANY_POINTS.get(objectives, 0)


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume that is dominated by any of the points and dominates the reference.

    Args:
        points: Values with the signs that make larger better; shape (n_points, n_objectives).
        reference: The worst corner, of the same signs, shape (n_objectives,); a point that is not better than it in
            every objective adds nothing.

    Returns:
        The volume, in the product of the objectives' units; 0.0 without points.
    """
    above = [tuple(value - worst for value, worst in zip(point, reference, strict=True)) for point in points]
    return _volume([point for point in above if min(point) > 0])


def _volume(points: Sequence[Point]) -> float:
    if not points:
        return 0.0
    if len(points[0]) <= SWEPT:
        return _swept([(*point, 1.0, 1.0)[:SWEPT] for point in points])
    # Every point after one is at least as good in the last objective, so that what they share has one dimension less.
    ordered = sorted(points, key=lambda point: point[-1])
    total = 0.0
    for place, point in enumerate(ordered):
        shared = [tuple(map(min, point[:-1], other[:-1])) for other in ordered[place + 1 :]]
        total += point[-1] * (prod(point[:-1]) - _volume(_undominated(shared)))
    return total


def _undominated(points: Sequence[Point]) -> Sequence[Point]:
    """Without those that others dominate, where that is worth finding out."""
    if not points or len(points[0]) <= SWEPT:
        return points
    kept: list[Point] = []
    for point in sorted(set(points), reverse=True):
        if not any(dominates(other, point) for other in kept):
            kept.append(point)
    return kept


def _swept(points: Sequence[Point]) -> float:
    """The volume under points of three dimensions: slices from the top down, each as large as the staircase is."""
    staircase = _Staircase()
    total, above = 0.0, 0.0
    for x, y, z in sorted(points, key=lambda point: -point[2]):
        total += staircase.area * (above - z)
        staircase.add(x, y)
        above = z
    return total + staircase.area * above


class _Staircase:
    """The area under points of two dimensions: ``xs`` rise, ``ys`` fall."""

    def __init__(self) -> None:
        self._xs: list[float] = []
        self._ys: list[float] = []
        self.area = 0.0

    def add(self, x: float, y: float) -> None:
        """Take in a point, and drop those that it dominates."""
        first = end = bisect.bisect_left(self._xs, x)
        right = x
        while True:
            height = self._ys[first] if first < len(self._ys) else 0.0
            if height >= y:
                break
            left = self._xs[first - 1] if first else 0.0
            self.area += (right - left) * (y - height)
            right = left
            if not first:
                first = -1
                break
            first -= 1
        dominated = first + 1
        if dominated > end:
            return
        if end < len(self._xs) and self._xs[end] == x:
            end += 1
        self._xs[dominated:end] = [x]
        self._ys[dominated:end] = [y]
