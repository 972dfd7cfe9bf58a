"""A worker that dies or stands still at any of its named places costs at most what it trained since its checkpoint."""

from collections import Counter

import pytest

from searchd.domain.failure import Failure
from searchd.domain.study import StudyState
from searchd.failpoints import WORKER
from tests.acceptance.faults.house import House, paused
from tests.acceptance.faults.promises import fold_epoch

AFTER = {"report.made": 3, "report.posted": 4, "checkpoint.written": 2, "checkpoint.done": 2}
"""How often a place is passed before the fault that happens there; else it is the first time."""


ONE_WORKER = {"budget": {"trials": 4, "slots": 1}}
"""Of a study whose worker comes past every place."""

PAUSING = {"scheduler": {"algorithm": "asha", "mode": "promotion"}, "budget": {"trials": 9, "slots": 1}}
"""Of a study whose trials are saved when they reach a rung; those that run through in a moment never are."""


@pytest.mark.parametrize("place", WORKER)
def test_killed_at(place: str, house: House) -> None:
    """A worker killed at this place is replaced, and only the fold run that it had may repeat epochs."""
    study_id = f"worker-killed-{place.replace('.', '-')}"
    fields = PAUSING if place.startswith("checkpoint") else ONE_WORKER
    name = house.study(study_id, fault=f"{place}=kill@{AFTER.get(place, 1)}", **fields)
    assert house.end_of(name).state is StudyState.SUCCEEDED
    assert [fault[:2] for fault in house.fired(study_id)] == [(place, "kill")]
    assert house.broken() == []
    runs = {trial.number: trial.fold_runs[0] for trial in house.recorder.client.study(name).trials()}
    harmed = {number for number, run in runs.items() if run.failures}
    assert [runs[number].failures for number in harmed] in ([(Failure.WORKER_KILLED,)], [])
    times = Counter(map(fold_epoch, house.trained(name)))
    assert {epoch[1] for epoch, count in times.items() if count > 1} <= harmed
    assert max(times.values()) <= 2
    assert {(m.trial, m.epoch) for m in house.recorder.client.study(name).measurements(None)} == {
        (trial, epoch) for _, trial, _, epoch in times
    }


def test_paused(house: House) -> None:
    """A worker that stands still for less than its time-outs goes on, and nothing is handed out again."""
    name = house.study("worker-paused", fault="report.made=stop@3")
    paused(house.await_fault("report.made", "stop", "worker-paused"), 3.0)
    assert house.end_of(name).state is StudyState.SUCCEEDED
    assert house.broken() == []
    assert {trial.fold_runs[0].attempt for trial in house.recorder.client.study(name).trials()} == {1}
