"""Descendants: fold runs that begin from another trial's checkpoint."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from searchd.domain.failure import Failure
from searchd.domain.trial import TrialNumber
from searchd.ports.engine import Donor, Outcome
from searchd.worker import fold_run
from searchd.worker.fold_run import LostDonor
from searchd.worker.inheritance import options_of
from tests.unit.worker.worker_harness import a_segment, a_task, again, losses, running, saved

TASK = a_task("quadratic", epochs=9)
DONOR = a_segment(TASK, target=3, x=5.0, rate=0.1)
OF_DONOR = Donor(TrialNumber(1), {"x": 5.0, "rate": 0.1}, 3)
CHILD = replace(a_segment(TASK, target=6, trial=2, x=5.0, rate=0.3), donor=OF_DONOR)


def test_a_descendant_goes_on_from_its_donor(tmp_path: Path) -> None:
    """It has the donor's state and epochs and its own parameters, in another worker as well."""
    with running(tmp_path) as server:
        [(theirs, _)] = server.run(DONOR)
    with running(tmp_path) as server:
        [(own, ended)] = server.run(CHILD)
    assert (ended.outcome, ended.epoch) == (Outcome.REACHED, 6)
    at = losses(theirs)[3] ** 0.5
    assert losses(own) == {epoch: pytest.approx((at * 0.4 ** (epoch - 3)) ** 2) for epoch in (4, 5, 6)}


def test_a_descendant_goes_on_from_its_own_checkpoint_once_it_has_one(tmp_path: Path) -> None:
    """A later attempt needs no donor, and one that has lost all begins from the donor again."""
    with running(tmp_path) as server:
        [_, (first, _)] = server.run(DONOR, CHILD)
    shutil.rmtree(saved(tmp_path / "checkpoints", trial=1)[0])
    with running(tmp_path) as server:
        [(rest, _)] = server.run(again(CHILD, 9))
    assert [r.epoch for r in first + rest] == [4, 5, 6, 7, 8, 9]
    with running(tmp_path / "other") as server:
        [_, (once_more, _)] = server.run(DONOR, again(CHILD, 6))
    assert losses(once_more) == losses(first)


def test_the_epoch_is_the_one_that_was_chosen(tmp_path: Path) -> None:
    """What the donor has trained since is not taken over."""
    with running(tmp_path) as server:
        server.run(DONOR, replace(again(DONOR, 6), keep=(3,)))
        [(own, _)] = server.run(CHILD)
    assert [r.epoch for r in own] == [4, 5, 6]


def test_checkpoints_that_others_need_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved every epoch, a fold run keeps the newest two and those that its segment names."""
    monkeypatch.setattr(fold_run, "SAVE_EVERY_SECONDS", 0.0)
    with running(tmp_path) as server:
        server.run(DONOR, replace(again(DONOR, 7), keep=(3,)))
        assert [folder.name for folder in saved(tmp_path / "checkpoints")] == ["3-1", "6-2", "7-2"]
        server.run(again(again(DONOR, 7), 8))
    assert [folder.name for folder in saved(tmp_path / "checkpoints")] == ["7-2", "8-3"]


def test_without_its_donors_checkpoint_a_descendant_fails(tmp_path: Path) -> None:
    """It does not quietly begin at the beginning; nor with the checkpoint of another configuration."""
    with running(tmp_path) as server:
        [(_, lost)] = server.run(CHILD)
        server.run(DONOR)
        other = replace(CHILD, donor=replace(OF_DONOR, parameters={"x": 7.0, "rate": 0.1}))
        [(_, foreign)] = server.run(again(other, 6))
    for ended in (lost, foreign):
        assert (ended.outcome, ended.failure) == (Outcome.FAILED, Failure.ERROR)
        assert str(LostDonor(1, 3)) in ended.reason


def test_a_damaged_checkpoint_costs_the_epochs_since_the_one_before(tmp_path: Path) -> None:
    """If the donor's checkpoint of that epoch cannot be read, the one before it is gone on from."""
    with running(tmp_path) as server:
        server.run(replace(DONOR, target=2), again(DONOR, 3))
    [_, newest] = saved(tmp_path / "checkpoints")
    [state] = newest.glob("state.*")
    state.write_bytes(state.read_bytes()[:-10])
    with running(tmp_path) as server:
        [(own, _)] = server.run(CHILD)
    assert [r.epoch for r in own] == [3, 4, 5, 6]
    log = (tmp_path / "logs/projects/default/studies/digits/2/0-0.log").read_text()
    assert "searchd: going on from the checkpoint of epoch 2; 1 epochs are trained again" in log


def test_an_optimisers_options_are_the_descendants() -> None:
    """Momenta come from the donor, the learning rate from the descendant, times what the schedule has made of it."""
    torch = pytest.importorskip("torch")

    def made(rate: float) -> tuple[object, ...]:
        weights = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(weights.parameters(), lr=rate, momentum=0.9)
        return weights, optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    weights, theirs, schedule = made(0.1)
    weights(torch.ones(1, 2)).sum().backward()  # type: ignore[operator]
    theirs.step()  # type: ignore[attr-defined]
    schedule.step()  # type: ignore[attr-defined]
    _, own, own_schedule = made(0.4)
    for value, donor in ((own, theirs), (own_schedule, schedule)):
        put_back = options_of(value)
        value.load_state_dict(donor.state_dict())  # type: ignore[attr-defined]
        put_back()
    [group] = own.param_groups  # type: ignore[attr-defined]
    assert (group["lr"], group["initial_lr"]) == (pytest.approx(0.2), pytest.approx(0.4))
    assert own_schedule.base_lrs == [pytest.approx(0.4)]  # type: ignore[attr-defined]
    assert all("momentum_buffer" in state for state in own.state.values())  # type: ignore[attr-defined]
    assert own.state  # type: ignore[attr-defined]


def test_other_objects_are_restored_whole() -> None:
    """What is neither an optimiser nor a schedule has no options of its own."""
    value = [1]
    options_of(value)()
    assert value == [1]


def test_the_error_survives_pickling() -> None:
    """A worker's error can be sent."""
    error = pickle.loads(pickle.dumps(LostDonor(3, 4)))
    assert (error.trial, error.epoch, str(error)) == (3, 4, str(LostDonor(3, 4)))
