"""Optimisers, and the learning rate in the course of training."""

import pytest
import torch
from torch import nn

from trainables.torch_optimisers import OPTIMISERS, SCHEDULES, optimizer, rate, set_rate
from trainables.torch_parameters import TRAINING


def rates(schedule: str, epochs: int, **change: float) -> list[float]:
    """The rate of the first step of each epoch, the base rate being 1."""
    p = {**TRAINING, "lr": 1.0, "schedule": schedule, **change}
    return [rate(p, epoch, epochs) for epoch in range(epochs)]


def test_rates_over_epochs() -> None:
    """Constant stays, cosine falls along half a wave, step falls after half and after three quarters."""
    assert rates("constant", 3) == [1.0, 1.0, 1.0]
    assert rates("cosine", 4) == pytest.approx([1.0, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert rates("step", 4, step_factor=0.2) == pytest.approx([1.0, 1.0, 0.2, 0.04])


def test_cosine_is_pytorchs() -> None:
    """Its rates are those of PyTorch's schedule."""
    opt = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 7)
    theirs = []
    for _ in range(7):
        theirs.append(schedule.get_last_lr()[0])
        opt.step()
        schedule.step()
    assert rates("cosine", 7) == pytest.approx(theirs)


def test_one_cycle_rises_and_falls_within_epochs() -> None:
    """One cycle begins at a 25th, is at its height after three tenths, and ends near 0, even in a single epoch."""
    p = {**TRAINING, "lr": 2.0, "schedule": "one_cycle"}
    assert rate(p, 0, 1) == pytest.approx(0.08)
    assert rate(p, 0.3, 1) == pytest.approx(2.0)
    assert rate(p, 0.15, 1) == pytest.approx(1.04)
    assert rate(p, 0.999999, 1) == pytest.approx(8e-6, rel=1e-3)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_comes_before_any(schedule: str) -> None:
    """While it warms up, the rate is the schedule's times a share that grows from a hundredth to one."""
    cold, warm = rates(schedule, 10), rates(schedule, 10, warmup=4)
    assert [w / c for w, c in zip(warm, cold, strict=True)] == pytest.approx([0.01, 0.2575, 0.505, 0.7525, *[1.0] * 6])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers_step_downhill(name: str) -> None:
    """Every optimiser makes a parabola's value smaller, at the rate that is set last."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 3.0)
    opt = optimizer({**TRAINING, "optimizer": name, "lr": 0.0}, net)
    for value in (0.0, 0.01):
        set_rate(opt, value)
        opt.zero_grad()
        (net.weight**2).sum().backward()  # type: ignore[no-untyped-call]
        opt.step()
        assert (float(net.weight.detach()) == 3.0) is (value == 0.0)
    assert 0 < float(net.weight.detach()) < 3


def test_nesterov_looks_ahead() -> None:
    """Nesterov's first step is longer than plain momentum's, and without momentum both are plain descent."""
    moved = {}
    for name in ("sgd", "nesterov"):
        for momentum in (0.0, 0.5):
            net = nn.Linear(1, 1, bias=False)
            nn.init.constant_(net.weight, 1.0)
            change = {"optimizer": name, "momentum": momentum, "weight_decay": 0.0, "lr": 0.1}
            opt = optimizer({**TRAINING, **change}, net)
            net.weight.sum().backward()  # type: ignore[no-untyped-call]
            opt.step()
            moved[name, momentum] = 1 - float(net.weight.detach())
    assert moved["nesterov", 0.5] == pytest.approx(1.5 * moved["sgd", 0.5])
    assert moved["nesterov", 0.0] == moved["sgd", 0.0] == pytest.approx(0.1)


def test_unknown_names_are_refused() -> None:
    """An optimiser or schedule that there is not is refused with those there are."""
    with pytest.raises(ValueError, match="'lion' is not known; use sgd, nesterov, adam, adamw, rmsprop or adagrad"):
        optimizer({**TRAINING, "optimizer": "lion"}, nn.Linear(1, 1))
    with pytest.raises(ValueError, match="'wave' is not known; use constant, cosine, step or one_cycle"):
        rates("wave", 1)
