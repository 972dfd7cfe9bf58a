"""What becomes of a study when a part of Ray is killed below it."""

from collections.abc import Callable

import psutil
import pytest

from searchd.domain.failure import Failure
from searchd.domain.study import StudyState, study_name
from tests.acceptance.faults.house import EPOCHS, House
from tests.acceptance.server import eventually

NOBODYS_FAULT = {Failure.NODE_LOST, Failure.PREEMPTED, Failure.WORKER_KILLED}


def actor(house: House, study: str) -> psutil.Process:
    """The Ray actor above the process that trained a study last."""
    above = psutil.Process(house.workers(study_name("default", study))[-1]).parent()
    assert above is not None
    return above


VICTIMS: dict[str, Callable[[House, str], psutil.Process]] = {
    "actor": actor,
    "gcs_server": lambda house, study: house.daemon("gcs_server"),
    "raylet": lambda house, study: house.daemon("raylet"),
}


@pytest.mark.parametrize("victim", list(VICTIMS))
def test_killed(victim: str, house: House) -> None:
    """The same server goes on, on a new Ray if it must, and every epoch is trained; what had been shown stays."""
    study_id = f"without-{victim.replace('_', '-')}"
    server = house.server.pid
    name = house.study(study_id, 0.2)
    house.excused.add(name)
    house.await_epochs(name, 6)
    house.recorder.look(name)
    killed = VICTIMS[victim](house, study_id)
    killed.kill()
    eventually(lambda: not killed.is_running() or killed.status() == psutil.STATUS_ZOMBIE)
    assert house.end_of(name).state is StudyState.SUCCEEDED
    assert house.server.pid == server
    assert house.alive
    assert house.broken() == []
    runs = [run for trial in house.recorder.client.study(name).trials() for run in trial.fold_runs]
    assert max(run.attempt for run in runs) > 1, "nothing was handed out again"
    assert {failure for run in runs for failure in run.failures} <= NOBODYS_FAULT
    assert len({(epoch.trial, epoch.number) for epoch in house.trained(name)}) == EPOCHS
