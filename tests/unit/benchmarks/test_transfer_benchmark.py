"""The transfer benchmark: its arms, its hold-outs and its intervals."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.recipes.hold_outs import HoldOuts, gain
from benchmarks.recipes.transfer import ADDED, DIGITS, HALVES, STUDENT, TUNING_SEEDS, Arm, write_halves


def test_arms_try_every_combination() -> None:
    """An arm's configurations are all combinations of its choices, each with what is fixed."""
    arm = Arm("torch_mlp", {"width": 8}, {"lr": (1, 2), "mixup": (0.1, 0.2)})
    assert [(p["width"], p["lr"], p["mixup"]) for p in arm.configurations()] == [
        (8, 1, 0.1),
        (8, 1, 0.2),
        (8, 2, 0.1),
        (8, 2, 0.2),
    ]
    assert all(ADDED["none"].choices["lr"] == added.choices["lr"] for added in ADDED.values())


def test_halves_have_nothing_in_common(tmp_path: Path) -> None:
    """The two datasets have no class in common and all rows of the digits between them."""
    write_halves(tmp_path)
    found = [np.load(tmp_path / str(dataset.uri))["y"] for dataset in HALVES.values()]
    assert [set(labels) for labels in found] == [set(range(5)), set(range(5, 10))]
    assert sum(map(len, found)) == 1797


def test_seeds_decide_what_is_held_out(tmp_path: Path) -> None:
    """The same seed gives the same accuracy and another one another, with a child on top of what was trained last."""
    hold_outs = HoldOuts(tmp_path, 1)
    one, same, other = (hold_outs.accuracy("torch_mlp", DIGITS, STUDENT, seed) for seed in (1, 1, 2))
    assert one == same != other
    assert 0 <= one <= 100
    heritage = hold_outs.heritage("torch_mlp", same_rows=True)
    assert hold_outs.accuracy("distill", DIGITS, {**STUDENT, "weight": 0.0}, 2, heritage) == other


def test_what_cannot_be_trained_says_why(tmp_path: Path) -> None:
    """A configuration that fails ends the benchmark with its reason instead of a number."""
    with pytest.raises(RuntimeError, match=r"torch_mlp with .* was not trained: .*width is 0"):
        HoldOuts(tmp_path, 1).accuracy("torch_mlp", DIGITS, {"width": 0}, 1)


def test_gains_are_paired_and_corrected() -> None:
    """A gain is the mean of differences; the interval is wider than that of independent seeds, and needs two."""
    found = gain([91.0, 93.0, 92.0], [90.0, 91.0, 92.0])
    assert found.mean == pytest.approx(1.0)
    assert found.high - found.mean == pytest.approx(4.3027 * np.sqrt(1 / 3 + 1 / 4), rel=1e-3)
    with pytest.raises(ValueError, match="two seeds"):
        gain([1.0], [2.0])


def test_tuning_seeds_are_not_reported() -> None:
    """The seeds on which arms are chosen are none of those that are reported."""
    assert not set(TUNING_SEEDS) & set(range(1000))
