"""What the compression benchmark chooses, and what it says of it."""

import pytest

from benchmarks.recipes.compression import BYTES, PARENTS, SMALLER, Measured, Seed, _chosen, _fronts, best
from benchmarks.report import Report, grids

WHOLE = Measured(bytes=1000, valid=0.98, held_out=0.97, latency=1.0)
MIDDLE = Measured(bytes=300, valid=0.978, held_out=0.96, latency=2.0)
SMALL = Measured(bytes=100, valid=0.95, held_out=0.99, latency=0.5)


def test_chosen_file_is_the_smallest_that_validation_allows() -> None:
    """A smaller file that loses more than a quarter of a point on validation rows is not chosen, however good it is on
    those set aside."""
    assert Seed(WHOLE, [WHOLE, MIDDLE, SMALL], [], []).chosen == MIDDLE


def test_largest_file_is_chosen_if_all_lose_too_much() -> None:
    """If no file keeps its accuracy, the largest counts, and what it loses is reported."""
    worse = Measured(bytes=500, valid=0.9, held_out=0.9, latency=1.0)
    assert Seed(WHOLE, [worse, SMALL], [], []).chosen == worse


def test_best_of_few_bytes_is_chosen_by_validation() -> None:
    """Of the files that are small enough the one with the best validation accuracy counts, of equals the smallest."""
    assert best([WHOLE, MIDDLE, SMALL], 300) == MIDDLE
    assert best([WHOLE, Measured(200, 0.98, 0.5, 1.0)], 2000) == Measured(200, 0.98, 0.5, 1.0)
    assert best([WHOLE], 999) is None


def test_figures_are_in_points_and_shares() -> None:
    """Bytes are shares of the whole network's, accuracies points of those set aside, and gains are ours less theirs."""
    limit = BYTES["mlp"][0]
    ours, theirs = Measured(limit, 0.98, 0.96, 2.0), Measured(limit, 0.97, 0.95, 1.0)
    whole = Measured(10 * limit, 0.98, 0.97, 1.0)
    ways = [ours] * 9
    seeds = [Seed(whole, ways, [theirs] * len(SMALLER["mlp"]["width"]), [theirs] * 6)] * 2
    figures = tuple(_chosen("mlp", seeds))
    found = {figure.name: figure.value for figure in figures}
    assert found["mlp_bytes_saved"] == pytest.approx(90)
    assert found["mlp_accuracy_lost"] == pytest.approx(1)
    assert found["mlp_latency_chosen_over_whole"] == 2
    cells = grids(Report("", (), tuple(_fronts("mlp", seeds))))
    assert cells["mlp over direct"][f"{limit} bytes, float"]["gain"] == pytest.approx(1)
    assert cells["mlp direct"]["8"] == pytest.approx({"bytes": limit, "accuracy": 95, "ms": 1})


def test_smaller_networks_differ_from_their_parent_in_width_alone() -> None:
    """What is trained directly has one parameter of its own, and every network has fronts to compare."""
    assert PARENTS.keys() == SMALLER.keys() == BYTES.keys()
    assert all(len(change) == 1 for change in SMALLER.values())
