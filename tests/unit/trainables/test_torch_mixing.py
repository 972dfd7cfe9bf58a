"""Mixup and CutMix, pixel by pixel."""

from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.torch_mixing import Batch, cutmix, mixed, mixup


def batch(rows: int = 2) -> Batch:
    """Image i is all i, and is to give i."""
    values = torch.arange(float(rows))
    return Batch(values.reshape(-1, 1, 1, 1).expand(-1, 2, 6, 5).clone(), values)


def test_mixup_weighs_rows_and_targets() -> None:
    """Rows are weighted means of two, and so is what is measured of their targets."""
    found = mixup(batch(), torch.tensor([1, 0]), 0.75)
    assert found.inputs[:, 0, 0, 0].tolist() == [0.25, 0.75]
    assert found.weighed(lambda target: target).tolist() == [0.25, 0.75]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_cutmix_counts_pixels(share: float) -> None:
    """The weight of a target is the share of pixels that its image has kept; without a rectangle all are."""
    torch.manual_seed(1)
    for _ in range(20):
        found = cutmix(batch(), torch.tensor([1, 0]), share)
        assert found.share == pytest.approx(float((found.inputs[1] == 1).float().mean()))
        assert share < 1 or found.share == 1
        assert torch.equal(found.inputs[0], 1 - found.inputs[1])


def test_measures_go_through_losses() -> None:
    """What is measured is the measure of both targets in proportion, not that of their mean."""
    found = Batch(torch.zeros(1), torch.tensor([1.0]), torch.tensor([3.0]), 0.25)

    def squared(target: Tensor) -> Tensor:
        return target**2

    assert found.weighed(squared).tolist() == [0.25 * 1 + 0.75 * 9]
    assert Batch(found.inputs, found.target).weighed(squared).tolist() == [1.0]


def test_nothing_is_drawn_without_mixing() -> None:
    """At strength 0 the batch is as it was, and so is the state of the generator."""
    before = torch.get_rng_state()
    one = batch()
    assert mixed({"mixup": 0.0, "cutmix": 0.0}, one) is one
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("p", "ways"),
    [
        ({"mixup": 0.4}, {"mixup"}),
        ({"mixup": 0.0, "cutmix": 1.0}, {"cutmix"}),
        ({"mixup": 1, "cutmix": 1}, {"mixup", "cutmix"}),
    ],
)
def test_strengths_choose_the_way(p: dict[str, Any], ways: set[str]) -> None:
    """Mixup blends all pixels, CutMix moves whole ones; with both, each batch has one of them."""
    torch.manual_seed(0)
    seen = set()
    for _ in range(30):
        found = mixed(p, batch(rows=9))
        whole = bool((found.inputs == found.inputs.round()).all())
        seen.add("cutmix" if whole else "mixup")
        assert 0 <= found.share <= 1
    assert seen == ways


def test_weak_and_strong_mixing_stay_shares() -> None:
    """The tiniest and the largest strengths give shares in [0, 1], never NaN."""
    torch.manual_seed(0)
    for strength in (1e-4, 1e6):
        assert all(0 <= mixed({"mixup": strength}, batch()).share <= 1 for _ in range(200))
