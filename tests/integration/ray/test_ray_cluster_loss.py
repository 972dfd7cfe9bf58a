"""The engine survives the loss of Ray, of any part of it, and goes on with another one: on clusters that are killed."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from searchd.domain.failure import Failure
from searchd.engines.ray.engine import RayEngine
from searchd.engines.ray.errors import RayUnavailable
from searchd.engines.ray.local import LocalCluster, LocalRay, LocalRaySettings
from searchd.engines.ray.processes import marked
from searchd.ports.engine import (
    CapacityChanged,
    LossCause,
    Outcome,
    RunSegments,
    SegmentReported,
    StartWorker,
    WorkerId,
    WorkerLost,
    WorkerReady,
)
from tests.contracts.engine import POOL, W1, W2, of, outcomes, reports, segment
from tests.integration.ray.ray_harness import REPOSITORY, RayHarness, engine_settings

FAILPOINTS = "segment.begun=sleep:0@1000000"

LONG = {"target": 1000, "seconds": 0.1}

ORPHAN = """
    import os, sys, time
    sys.path.insert(0, {repository!r})
    from pathlib import Path
    from searchd.engines.ray import connection
    from searchd.engines.ray.local import LocalRay, LocalRaySettings
    folder = Path({folder!r})
    local = LocalRay(LocalRaySettings(folder, num_cpus=1))
    cluster = local.start()
    parent = os.getppid()
    (folder / "begun").touch()
    while os.getppid() == parent:
        time.sleep(0.01)
    connection.connect(cluster.address, "orphan", cluster.environment)
    import ray
    handle = ray.remote(dict).options(name="worker-x", lifetime="detached").remote()
    ray.get(handle.__ray_ready__.remote())
    (folder / "ready").write_text(str(os.getppid()))
    while not (folder / "killed").exists():
        time.sleep(0.01)
    connection.disconnect()
    local.stop()
    (folder / "survived").touch()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of a server, whose local Ray is started by whoever needs one, and ended at last."""
    folder = tmp_path_factory.mktemp("data")
    yield folder
    LocalRay(LocalRaySettings(folder)).stop()


@pytest.fixture
def harness(folder: Path, ray_environment: None, tmp_path: Path) -> Iterator[RayHarness]:
    """An engine that starts the local Ray, with worker one ready."""
    os.environ["SEARCHD_FAILPOINTS"] = FAILPOINTS
    local = LocalRay(LocalRaySettings(folder, num_cpus=2))
    harness = RayHarness(local.start, tmp_path)
    harness.attach(1)
    harness.perform(StartWorker(W1, POOL))
    harness.run_until(lambda: bool(of(harness.events, WorkerReady)))
    yield harness
    harness.detach(leave_workers=False)


def daemon(folder: Path, name: str) -> psutil.Process:
    """A process of the cluster that is noted in a server's folder."""
    return next(process for process in cluster_of(folder) if process.name() == name)


def cluster_of(folder: Path) -> list[psutil.Process]:
    """All processes of the cluster that is noted in a server's folder."""
    note = (folder / "ray.json").read_text()
    return marked("SEARCHD_LOCAL_RAY", note.split('"temp_dir": "')[1].split('"')[0])


def appears(path: Path) -> None:
    """Wait for a file."""
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def training(harness: RayHarness) -> None:
    """Worker one trains for long and has another segment queued."""
    harness.perform(RunSegments(W1, (segment(1, **LONG), segment(2))))
    harness.run_until(lambda: len(reports(harness.events, segment(1).key)) >= 2)


def given_up(harness: RayHarness) -> None:
    """Wait until the engine has given up worker one and the capacity, and then found a cluster again."""
    harness.run_until(lambda: len(of(harness.events, CapacityChanged)) == 3)
    capacity = [bool(event.nodes) for event in of(harness.events, CapacityChanged)]
    assert capacity == [True, False, True]
    lost = of(harness.events, WorkerLost)
    assert [(e.worker, e.cause, e.failure) for e in lost] == [(W1, LossCause.DIED, Failure.NODE_LOST)]


def goes_on(harness: RayHarness, worker: WorkerId) -> list[int]:
    """The first epochs that another worker reports of trial one."""
    seen = len(reports(harness.events, segment(1).key))
    harness.perform(StartWorker(worker, POOL), RunSegments(worker, (segment(1, attempt=2, **LONG),)))
    harness.run_until(lambda: len(reports(harness.events, segment(1).key)) > seen)
    return reports(harness.events, segment(1).key)[seen:]


@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_work_is_saved_when_a_daemon_is_killed(harness: RayHarness, folder: Path, name: str) -> None:
    """When the control service or the node's daemon is killed, workers save what they hold before they are given up;
    another Ray is started, and training goes on at the next epoch."""
    training(harness)
    lost = daemon(folder, name)
    lost.kill()
    given_up(harness)
    assert not lost.is_running() or lost.status() == psutil.STATUS_ZOMBIE
    assert outcomes(harness.events) == [(1, Outcome.DRAINED), (2, Outcome.DRAINED)]
    told = [type(event) for event in harness.events]
    assert told.index(WorkerLost) > len(told) - 1 - told[::-1].index(SegmentReported)
    before = reports(harness.events, segment(1).key)
    assert before == list(range(1, len(before) + 1))
    assert goes_on(harness, W2)[0] == len(before) + 1


def test_the_whole_cluster_is_killed(harness: RayHarness, folder: Path) -> None:
    """When every process of the local Ray is killed, another one is started, and what was held can be trained there. A
    worker that is asked for meanwhile is lost like its node."""
    training(harness)
    for process in cluster_of(folder):
        process.kill()
    harness.run_until(lambda: CapacityChanged(()) in harness.events)
    harness.perform(StartWorker(W2, POOL))
    harness.run_until(lambda: len(of(harness.events, WorkerLost)) == 2)
    assert {(e.cause, e.failure) for e in of(harness.events, WorkerLost)} == {(LossCause.DIED, Failure.NODE_LOST)}
    harness.run_until(lambda: len(of(harness.events, CapacityChanged)) == 3)
    assert goes_on(harness, WorkerId("three"))


def test_a_control_service_that_is_stopped_costs_nothing(harness: RayHarness, folder: Path) -> None:
    """While the control service is stopped, workers go on and are heard; what needs it is done when it goes on."""
    training(harness)
    gcs = daemon(folder, "gcs_server")
    gcs.suspend()
    try:
        before = len(reports(harness.events, segment(1).key))
        harness.perform(StartWorker(W2, POOL))
        harness.run_until(lambda: len(reports(harness.events, segment(1).key)) > before + 20)
        assert len(of(harness.events, WorkerReady)) == 1
    finally:
        gcs.resume()
    harness.run_until(lambda: len(of(harness.events, WorkerReady)) == 2)
    assert not of(harness.events, WorkerLost)
    assert len(of(harness.events, CapacityChanged)) == 1


def test_failpoints_of_the_server_reach_its_workers(harness: RayHarness) -> None:
    """What a server's environment asks for by SEARCHD_FAILPOINTS is asked of its training processes too, if it has
    started their Ray."""
    assert harness.process(W1).environ()["SEARCHD_FAILPOINTS"] == FAILPOINTS


def test_an_engine_needs_no_ray_before_it_is_started(tmp_path: Path) -> None:
    """A server that stands by can build and close an engine without any Ray; one that cannot start is an error, and
    may be started again."""
    asked: list[int] = []

    def nowhere() -> LocalCluster:
        asked.append(1)
        raise RayUnavailable("there is none", "start one")

    idle = RayEngine(engine_settings(nowhere, tmp_path, "idle"), lambda _: None)
    idle.close(leave_workers=False)
    assert not asked
    engine = RayEngine(engine_settings(nowhere, tmp_path, "nowhere"), lambda _: None)
    for attempt in (1, 2):
        with pytest.raises(RayUnavailable, match="there is none"):
            engine.start(attempt)
        assert len(asked) == attempt
    engine.close(leave_workers=False)


def test_a_server_without_a_parent_survives(tmp_path: Path) -> None:
    """A server whose parent has ended, as a daemon's has, outlives its node's daemon: Ray would end it."""
    folder = tmp_path / "orphan"
    script = textwrap.dedent(ORPHAN.format(repository=str(REPOSITORY), folder=str(folder)))
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {script!r}]); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        try:
            appears(folder / "begun")
        finally:
            process.kill()
    appears(folder / "ready")
    try:
        daemon(folder, "raylet").kill()
        (folder / "killed").touch()
        appears(folder / "survived")
    finally:
        LocalRay(LocalRaySettings(folder)).stop()
