"""What the Ray engine promises beyond the contract, on a real local cluster."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from searchd.domain.study import Resources
from searchd.engines.ray import connection
from searchd.engines.ray.engine import RayEngine
from searchd.engines.ray.errors import RayUnavailable
from searchd.engines.ray.local import LocalCluster
from searchd.ports.engine import (
    Forget,
    KillWorker,
    LossCause,
    Outcome,
    PoolKey,
    RetireWorker,
    RunSegments,
    Segment,
    SegmentReported,
    SegmentStarted,
    StartWorker,
    WorkerAdopted,
    WorkerId,
    WorkerLost,
    WorkerReady,
)
from searchd.worker.files import Storage
from tests.contracts.engine import POOL, W1, W2, of, outcomes, reports, segment
from tests.integration.ray.ray_harness import REPOSITORY, RayHarness, Running, engine_settings

PATIENCE = "RAY_gcs_server_port_wait_time_s"

Make = Callable[..., RayHarness]


@pytest.fixture
def make(local_ray: LocalCluster, ray_environment: None, tmp_path: Path) -> Iterator[Make]:
    """Makes harnesses with an engine attached; settings can be changed by keyword."""
    made: list[RayHarness] = []

    def attached(**changes: Any) -> RayHarness:
        made.append(RayHarness(Running(local_ray), tmp_path, **changes))
        made[-1].attach(1)
        return made[-1]

    yield attached
    for harness in made:
        harness.detach(leave_workers=False)


def pool(cpus: float, gpus: float = 0.0) -> PoolKey:
    """A pool of that shape."""
    return PoolKey(POOL.code, Resources(cpus, gpus))


def ready(harness: RayHarness) -> list[WorkerId]:
    """The workers that are or were ready."""
    return [event.worker for event in of(harness.events, WorkerReady)]


def losses(harness: RayHarness) -> list[tuple[WorkerId, LossCause]]:
    """The workers that were lost, and why."""
    return [(event.worker, event.cause) for event in of(harness.events, WorkerLost)]


def saved(storage: Storage, segment: Segment) -> bool:
    """Whether there is a checkpoint of the segment's trial."""
    return bool(storage.checkpoints.folders(f"{segment.key.study}/{segment.key.trial}"))


def test_trainables_run_on_the_main_thread(make: Make) -> None:
    """A trainable may set signal handlers: it runs on its process's main thread."""
    harness = make()
    harness.perform(StartWorker(W1, POOL), RunSegments(W1, (segment(trainable="on_the_main_thread"),)))
    harness.run_until(lambda: bool(outcomes(harness.events)))
    assert outcomes(harness.events) == [(1, Outcome.REACHED)], harness.events
    assert of(harness.events, SegmentReported)[0].reports[0].metrics == {"loss": 1.0}


def test_order_holds_however_fast_commands_come(make: Make) -> None:
    """Segments handed over one by one, faster than exchanges can end, run in order and lose nothing."""
    harness = make()
    harness.perform(StartWorker(W1, POOL))
    harness.run_until(lambda: bool(ready(harness)))
    for trial in range(1, 201):
        harness.perform(RunSegments(W1, (segment(trial, trainable="trivial"),)))
    harness.run_until(lambda: len(outcomes(harness.events)) == 200)
    assert outcomes(harness.events) == [(trial, Outcome.REACHED) for trial in range(1, 201)]
    assert [event.sequence for event in of(harness.events, SegmentReported)] == list(range(1, 201))


def test_a_hang_in_c_code_is_announced_and_can_be_killed(make: Make) -> None:
    """A trainable that lets no other thread run and blocks SIGTERM is still announced, and killed when asked."""
    harness = make()
    harness.perform(StartWorker(W1, POOL))
    harness.run_until(lambda: bool(ready(harness)))
    hang = segment(target=2, trainable="holds_the_interpreter")
    harness.perform(RunSegments(W1, (hang,)))
    harness.run_until(lambda: bool(of(harness.events, SegmentStarted)))
    assert of(harness.events, SegmentStarted)[0].key == hang.key
    process = harness.process(W1)
    harness.perform(KillWorker(W1, "it took too long"))
    harness.run_until(lambda: bool(losses(harness)))
    lost = of(harness.events, WorkerLost)
    assert [(event.cause, event.reason) for event in lost] == [(LossCause.KILLED, "it took too long")]
    assert lost[0].log_tail == "about to hang in C"
    process.wait(5)


def test_a_process_that_exits_leaves_its_last_words(make: Make) -> None:
    """A trainable that ends its process loses its worker, with what it printed last."""
    harness = make()
    harness.perform(StartWorker(W1, POOL), RunSegments(W1, (segment(trainable="last_words"),)))
    harness.run_until(lambda: bool(losses(harness)))
    lost = of(harness.events, WorkerLost)[0]
    assert lost.cause is LossCause.DIED
    assert lost.reason == "its process ended with exit code 3"
    assert lost.log_tail == "these are my last words"


def test_a_worker_that_finds_no_place_is_given_up(make: Make) -> None:
    """A worker that the cluster cannot hold is UNPLACED after the placement timeout, with what it needs."""
    harness = make(placement_timeout=timedelta(seconds=1))
    harness.perform(StartWorker(W1, pool(64)))
    harness.run_until(lambda: bool(losses(harness)))
    assert losses(harness) == [(W1, LossCause.UNPLACED)]
    assert "64 CPUs" in of(harness.events, WorkerLost)[0].reason


def test_a_retired_worker_makes_room_for_another_shape(make: Make) -> None:
    """On a full cluster a worker of another shape waits, and is ready soon after the one before it is retired."""
    harness = make()
    harness.perform(StartWorker(W1, pool(4)))
    harness.run_until(lambda: ready(harness) == [W1])
    harness.perform(StartWorker(W2, pool(3)))
    time.sleep(1.5)
    harness.run_until(lambda: True)
    assert ready(harness) == [W1]
    harness.perform(RetireWorker(W1))
    harness.run_until(lambda: ready(harness) == [W1, W2])
    assert losses(harness) == [(W1, LossCause.RETIRED)]


def test_gpus_are_shared_by_fractions(make: Make) -> None:
    """Two workers of half a GPU share it, each told to use it; a third finds no place."""
    harness = make(placement_timeout=timedelta(seconds=6))
    third = WorkerId("three")
    harness.perform(StartWorker(W1, pool(1, 0.5)), StartWorker(W2, pool(1, 0.5)))
    harness.run_until(lambda: set(ready(harness)) == {W1, W2})
    harness.perform(
        RunSegments(W1, (segment(1, trainable="shows_its_devices"),)),
        RunSegments(W2, (segment(2, trainable="shows_its_devices"),)),
        StartWorker(third, pool(1, 0.5)),
    )
    harness.run_until(lambda: len(outcomes(harness.events)) == 2 and bool(losses(harness)))
    assert [m.reports[0].metrics["loss"] for m in of(harness.events, SegmentReported)] == [1.0, 1.0]
    assert losses(harness) == [(third, LossCause.UNPLACED)]


def test_workers_survive_a_killed_server(make: Make, tmp_path: Path) -> None:
    """When a server is killed with -9 during a segment, the next one adopts its worker and gets every epoch."""
    harness = make()
    harness.detach(leave_workers=True)
    running = segment(1, target=8, seconds=0.5)
    script = f"""
        import datetime, sys, time
        sys.path.insert(0, {str(REPOSITORY)!r})
        from tests.contracts.engine import POOL, W1, segment
        from searchd.engines.ray.engine import RayEngine, RayEngineSettings
        from searchd.engines.ray.local import LocalCluster
        from searchd.ports.engine import RunSegments, SegmentReported, StartWorker
        from tests.integration.ray.ray_harness import Running
        from pathlib import PosixPath
        seen = []
        engine = RayEngine({harness.settings!r}, seen.append)
        engine.start(1)
        engine.perform([StartWorker(W1, POOL), RunSegments(W1, (segment(1, target=8, seconds=0.5),))])
        while not any(isinstance(event, SegmentReported) for event in seen):
            time.sleep(0.01)
        print("running", flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"running\n"
        server.send_signal(signal.SIGKILL)
    harness.attach(2)
    assert [(e.worker, e.pool, e.holding) for e in of(harness.events, WorkerAdopted)] == [
        (W1, POOL, ((running.key, 1),))
    ]
    harness.run_until(lambda: bool(outcomes(harness.events)))
    assert reports(harness.events, running.key) == list(range(1, 9))
    assert outcomes(harness.events) == [(1, Outcome.REACHED)]


def test_what_does_not_speak_our_protocol_is_ended(make: Make) -> None:
    """An actor in the workers' namespace that is no worker of this version is ended when an engine starts."""
    import ray

    harness = make()

    class Stranger:
        def call(self, call: bytes) -> str:
            return "welcome"

    ray.remote(Stranger).options(name="worker-stranger", lifetime="detached", num_cpus=0).remote()
    harness.detach(leave_workers=True)
    harness.attach(2)
    assert not of(harness.events, WorkerAdopted)
    deadline = time.monotonic() + 10
    while "worker-stranger" in ray.util.list_named_actors():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_forgotten_files_are_deleted(make: Make) -> None:
    """Forgetting a trial deletes its checkpoints, forgetting a study also its logs."""
    harness = make()
    storage = Storage(harness.settings.storage)

    def saved(one: Segment) -> bool:
        return bool(storage.checkpoints.folders(f"{one.key.study}/{one.key.trial}"))

    kept, gone = segment(1, target=1, epochs=2), segment(2, target=1, epochs=2)
    told = segment(3, trainable="prints")
    harness.perform(StartWorker(W1, POOL), RunSegments(W1, (kept, gone, told)))
    harness.run_until(lambda: len(outcomes(harness.events)) == 3)
    assert saved(kept)
    assert saved(gone)
    assert storage.log(told.key).exists()
    harness.perform(Forget(gone.key.study, gone.key.trial))
    harness.run_until(lambda: not saved(gone))
    assert saved(kept)
    harness.perform(Forget(gone.key.study, None))
    harness.run_until(lambda: not storage.log(told.key).exists())
    assert not saved(kept)


def test_closing_waits_for_a_start_under_way(local_ray: LocalCluster, ray_environment: None, tmp_path: Path) -> None:
    """Whoever closes an engine while a thread starts it may end the cluster at once: nothing connects any more."""
    import ray

    engine = RayEngine(engine_settings(Running(local_ray), tmp_path, "closed-early"), lambda _: None)

    def start() -> None:
        with contextlib.suppress(RayUnavailable):  # if it was closed before it had begun
            engine.start(1)

    starting = threading.Thread(target=start)
    starting.start()
    time.sleep(0.02)  # a start takes ten times as long
    engine.close(leave_workers=False)
    assert not ray.is_initialized()
    starting.join(30)
    assert not ray.is_initialized()
    with pytest.raises(RayUnavailable, match="closed"):
        engine.start(2)


def test_what_accepts_connections_and_is_no_ray_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Joining asks Ray to try once, not twenty times for 40 s each; an operator's own wish stands."""
    monkeypatch.delenv(PATIENCE, raising=False)
    for address in ("127.0.0.1:1", "127.0.0.1:99999", "a:b:c"):
        with pytest.raises(RayUnavailable, match="nothing answers at"):
            connection.connect(address, "nobody", {})
    assert os.environ[PATIENCE] == "1"
    monkeypatch.setenv(PATIENCE, "7")
    with pytest.raises(RayUnavailable):
        connection.connect("127.0.0.1:1", "nobody", {})
    assert os.environ[PATIENCE] == "7"
