"""A server that dies, stands still or finds its disk full at any of its named places loses nothing."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from searchd.domain.errors import StoreFull
from searchd.domain.study import StudyName, StudyState, study_name
from searchd.failpoints import SERVER
from tests.acceptance.faults.house import DEFINITION, EPOCHS, House, paused

AFTER = {
    "loop.decided": 20,
    "commit.begun": 8,
    "commit.written": 10,
    "commit.done": 7,
    "start.decided": 3,
    "start.sent": 2,
    "report.arrived": 5,
}
"""How often a place is passed before the fault that happens there; else it is the first time."""

TRIALS = 40
LONG = 7 * TRIALS
"""Epochs of the study in whose course servers are killed."""


def in_course(house: House) -> StudyName:
    """A study with half of it left, whether or not there is a server now; the servers of several tests share one."""
    unended = [name for name in house.unended() if "killed-in" in name]
    if unended and len(house.trained(unended[-1])) < LONG // 2:
        return unended[-1]
    if not house.alive:
        house.start()
    name = house.study(f"killed-in-{len(house.recorder.acknowledged)}", budget={"trials": TRIALS})
    house.await_epochs(name, 4)
    return name


@pytest.mark.parametrize("place", SERVER)
def test_killed_at(place: str, shared_house: House) -> None:
    """A server killed at this place, in the course of a study, leaves a store in which no promise is broken."""
    house = shared_house
    name = in_course(house)
    with ThreadPoolExecutor(1) as caller:
        house.launch(f"{place}=kill@{AFTER.get(place, 1)}")
        asked = caller.submit(house.study, "asked") if place == "reply.sent" else None
        assert house.server.gone() == -signal.SIGKILL
        assert house.fired() == [(place, "kill", house.server.pid)]
        struck = name if asked is None else study_name("default", "asked")
        assert struck in house.unended(), "the fault did not fall into the study"
        assert house.broken() == []
        if asked is not None:
            house.start()
            assert asked.result() == struck


def test_what_killed_servers_left(house: House) -> None:
    """Their successor finishes every study, and no epoch of any is trained twice."""
    names = [in_course(house), *house.unended()]
    for name in names:
        assert house.end_of(name).state is StudyState.SUCCEEDED
    assert house.broken() == []
    assert {len(house.trained(name)) for name in names} <= {LONG, EPOCHS}


def test_paused_while_it_commits(house: House) -> None:
    """A server that stands still in a commit, for less than its lease, goes on as if nothing had happened."""
    house.start("commit.begun=stop@8")
    name = house.study("paused")
    paused(house.await_fault("commit.begun", "stop"), 1.5)
    assert house.end_of(name).state is StudyState.SUCCEEDED
    assert house.broken() == []
    assert len(house.trained(name)) == EPOCHS


def test_full_disk_at_a_commit(house: House) -> None:
    """A commit that finds the disk full is refused whole and its caller told so; reads and what runs go on."""
    house.start("commit.begun=refuse;commit.written=refuse@9")
    client = house.recorder.client
    with pytest.raises(StoreFull, match="No space left"):
        client.create_study(study_id="refused", **DEFINITION)
    assert all(study.id != "refused" for study in client.studies())
    name = house.study("refused")
    house.await_fault("commit.written", "refuse")
    assert house.end_of(name).state is StudyState.SUCCEEDED
    assert len(house.fired()) == 2
    assert house.broken() == []
    assert len(house.trained(name)) == EPOCHS
