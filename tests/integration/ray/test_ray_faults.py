"""Workers outlive their server, and what they hold outlives them: faults on a real local cluster."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from searchd.domain.failure import Failure
from searchd.engines.ray.calls import Adopt, Call, Drain, Exchange, Retire, packed, unpacked
from searchd.engines.ray.local import LocalCluster
from searchd.ports import engine
from searchd.ports.engine import (
    Acknowledge,
    CancelSegment,
    LossCause,
    Outcome,
    RunSegments,
    SegmentReported,
    SegmentStarted,
    StartWorker,
    WorkerAdopted,
    WorkerId,
    WorkerLost,
    WorkerReady,
)
from searchd.worker.files import Storage
from searchd.worker.messages import StaleEpoch
from tests.contracts.engine import POOL, W1, W2, of, outcomes, reports, segment
from tests.integration.ray.ray_harness import REPOSITORY, RayHarness, Running

Make = Callable[..., RayHarness]

PAUSED_SERVER = """
    import logging.handlers, queue, sys
    sys.path.insert(0, {repository!r})
    logged = queue.SimpleQueue()
    logging.getLogger("searchd").addHandler(logging.handlers.QueueHandler(logged))
    from tests.contracts.engine import POOL, W1, segment
    from searchd.engines.ray.engine import RayEngine, RayEngineSettings
    from searchd.engines.ray.local import LocalCluster
    from searchd.ports.engine import Drain, KillWorker, RunSegments, StartWorker, WorkerReady
    from tests.integration.ray.ray_harness import Running
    from pathlib import PosixPath
    import datetime
    seen = queue.SimpleQueue()
    engine = RayEngine({settings!r}, seen.put)
    engine.start(1)
    engine.perform([StartWorker(W1, POOL)])
    while not isinstance(seen.get(timeout=30), WorkerReady):
        pass
    print("ready", flush=True)
    sys.stdin.readline()
    engine.perform([RunSegments(W1, (segment(1),)), Drain(), KillWorker(W1, "late")])
    print(logged.get(timeout=20).getMessage())
    engine.close(leave_workers=False)
    print("closed", flush=True)
"""


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


def actor(harness: RayHarness, worker: WorkerId) -> Any:
    """The handle of a worker's actor."""
    import ray

    return ray.get_actor(f"worker-{worker}", namespace=harness.namespace)


def started(harness: RayHarness, *workers: WorkerId) -> None:
    """Start workers and wait until they are ready."""
    harness.perform(*(StartWorker(worker, POOL) for worker in workers))
    harness.run_until(lambda: {event.worker for event in of(harness.events, WorkerReady)} >= set(workers))


def test_a_silent_worker_is_adopted_as_it_is(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A worker whose code lets no other thread run while servers come and go is adopted with what it holds by each of
    them; once it can speak the newest server hears everything, and no epoch is trained twice."""
    harness = make()
    started(harness, W1)
    silent, queued = segment(1, target=3, trainable="falls_silent"), segment(2)
    harness.perform(RunSegments(W1, (segment(3), silent, queued)))
    harness.run_until(lambda: bool(reports(harness.events, silent.key)))
    before = of(harness.events, SegmentReported)
    harness.perform(Acknowledge(W1, before[0].sequence))
    harness.run_until(lambda: bool(of(harness.events, SegmentStarted)))
    process = harness.process(W1)
    harness.detach(leave_workers=True)
    for epoch in (2, 3):
        harness.attach(epoch)
        adopted = [(event.worker, event.pool, event.holding) for event in of(harness.events, WorkerAdopted)]
        assert adopted == [(W1, POOL, ((silent.key, 1), (queued.key, 1)))]
        if epoch == 2:
            harness.detach(leave_workers=True)
    assert caplog.text.count("is silent") == 2
    harness.perform(RunSegments(W1, (segment(4),)))
    harness.run_until(lambda: len(outcomes(harness.events)) == 3)
    assert outcomes(harness.events) == [(trial, Outcome.REACHED) for trial in (1, 2, 4)]
    assert reports(harness.events, silent.key) == [1, 2, 3]
    assert not of(harness.events, WorkerLost)
    assert harness.process(W1) == process
    log = Storage(harness.settings.storage).log(silent.key).read_text()
    assert log.splitlines() == ["epoch 1", "epoch 2", "epoch 3"]


def test_what_a_silent_worker_had_refused_is_handed_back(make: Make) -> None:
    """A segment that was on its way when its server was superseded, and that the process then refused, is reported as
    DRAINED once the process answers: nobody waits for it for ever."""
    harness = make()
    started(harness, W1)
    handle = actor(harness, W1)
    silent = segment(1, target=3, trainable="falls_silent")
    harness.perform(RunSegments(W1, (silent,)))
    harness.run_until(lambda: bool(of(harness.events, SegmentStarted)))
    harness.detach(leave_workers=True)
    harness.attach(2)
    # As if the actor had passed it on just before: it is accounted for, and refused by a process that knows epoch 2.
    refused = segment(2)
    handle.call.remote(packed(Exchange(99, 2, 0, (refused,), (), timedelta(0))))
    harness.detach(leave_workers=True)
    harness.attach(3)
    held = of(harness.events, WorkerAdopted)[0].holding
    assert held == ((silent.key, 1), (refused.key, 1))
    harness.run_until(lambda: len(outcomes(harness.events)) == 2)
    assert sorted(outcomes(harness.events)) == [(1, Outcome.REACHED), (2, Outcome.DRAINED)]


def test_a_worker_of_another_version_saves_and_leaves(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker of another version saves at its next epoch, is given nothing more, and is RETIRED; what it held goes on
    from there. One with nothing to do ends without being heard of."""
    harness = make()
    from searchd.engines.ray import actor as actors
    from tests.integration.ray.outdated_actor import OutdatedActor

    outdated = actors.remote_class(OutdatedActor)
    monkeypatch.setattr(actors, "remote_class", lambda: outdated)
    started(harness, W1, W2)
    long = {"target": 100, "seconds": 0.2}
    harness.perform(RunSegments(W1, (segment(1, **long),)))
    harness.run_until(lambda: bool(reports(harness.events, segment(1).key)))
    before = reports(harness.events, segment(1).key)[-1]
    idle = harness.process(W2)
    harness.detach(leave_workers=True)
    monkeypatch.undo()

    harness.attach(2)
    assert caplog.text.count("speaks version") == 2
    assert [(e.worker, e.holding) for e in of(harness.events, WorkerAdopted)] == [(W1, ((segment(1).key, 1),))]
    harness.perform(RunSegments(W1, (segment(2),)), CancelSegment(W1, segment(2).key, 1))
    harness.run_until(lambda: bool(of(harness.events, WorkerLost)))
    assert [(e.worker, e.cause) for e in of(harness.events, WorkerLost)] == [(W1, LossCause.RETIRED)]
    assert not of(harness.events, SegmentReported)
    idle.wait(10)
    third = WorkerId("three")
    started(harness, third)
    harness.perform(RunSegments(third, (segment(1, attempt=2, **long),)))
    harness.run_until(lambda: bool(reports(harness.events, segment(1).key)))
    assert reports(harness.events, segment(1).key)[0] > before


def test_a_worker_of_another_version_that_does_not_save_is_killed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of another version that comes to no next epoch is killed after the patience for it, and is RETIRED."""
    harness = make(outdated_timeout=timedelta(seconds=1))
    from searchd.engines.ray import actor as actors
    from tests.integration.ray.outdated_actor import OutdatedActor

    outdated = actors.remote_class(OutdatedActor)
    monkeypatch.setattr(actors, "remote_class", lambda: outdated)
    started(harness, W1)
    harness.perform(RunSegments(W1, (segment(1, trainable="hangs"),)))
    harness.run_until(lambda: bool(of(harness.events, SegmentStarted)))
    process = harness.process(W1)
    harness.detach(leave_workers=True)
    harness.attach(2)
    harness.run_until(lambda: bool(of(harness.events, WorkerLost)))
    assert [(e.worker, e.cause) for e in of(harness.events, WorkerLost)] == [(W1, LossCause.RETIRED)]
    process.wait(5)


def test_nothing_of_a_superseded_server_is_done(make: Make) -> None:
    """A server that was stopped while another one took over its worker can neither run segments on it, nor drain it,
    nor end it when it goes on, and not either when it closes with its workers."""
    harness = make()
    harness.detach(leave_workers=True)
    script = PAUSED_SERVER.format(repository=str(REPOSITORY), settings=harness.settings)
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            server.send_signal(signal.SIGSTOP)
            harness.attach(2)
            assert [event.worker for event in of(harness.events, WorkerAdopted)] == [W1]
            process = harness.process(W1)
            server.send_signal(signal.SIGCONT)
            said = server.communicate("go on\n", timeout=30)[0]
        finally:
            server.kill()
    assert "succeeded" in said
    assert said.endswith("closed\n")
    harness.perform(RunSegments(W1, (segment(2),)))
    harness.run_until(lambda: bool(outcomes(harness.events)))
    assert outcomes(harness.events) == [(2, Outcome.REACHED)]
    assert of(harness.events, SegmentReported)[0].sequence == 1
    assert not of(harness.events, WorkerLost)
    assert harness.process(W1) == process


def test_an_actor_refuses_every_call_of_an_older_epoch(make: Make) -> None:
    """From the moment a server asks an actor for its account, whatever an older one calls is refused, before the
    process has heard of the newer one; nothing of it counts as held."""
    import ray

    harness = make()
    started(harness, W1)
    handle = actor(harness, W1)
    assert ray.get(handle.account.remote(2))["epoch"] == 2
    calls: tuple[Call, ...] = (Exchange(1, 1, 0, (segment(),), (), timedelta(0)), Adopt(1), Drain(1), Retire(1))
    for call in calls:
        with pytest.raises(StaleEpoch):
            unpacked(ray.get(handle.call.remote(packed(call))))
    assert ray.get(handle.end.remote(1)) == 2
    told = ray.get(handle.account.remote(1))
    assert (told["epoch"], told["holding"]) == (2, [])
    assert harness.process(W1).is_running()
    harness.detach(leave_workers=True)
    harness.attach(1)
    assert not of(harness.events, WorkerAdopted)
    harness.detach(leave_workers=False)
    harness.attach(2)
    assert [event.worker for event in of(harness.events, WorkerAdopted)] == [W1]


def test_a_preempted_worker_saves_and_leaves(make: Make) -> None:
    """SIGTERM makes a training process save at its next epoch, report all that it held as DRAINED, and leave; its loss
    counts as PREEMPTED, and what it held goes on from there."""
    harness = make()
    started(harness, W1)
    long = {"target": 100, "seconds": 0.2}
    harness.perform(RunSegments(W1, (segment(1, **long), segment(2))))
    harness.run_until(lambda: bool(reports(harness.events, segment(1).key)))
    harness.process(W1).terminate()
    harness.run_until(lambda: bool(of(harness.events, WorkerLost)))
    assert outcomes(harness.events) == [(1, Outcome.DRAINED), (2, Outcome.DRAINED)]
    lost = of(harness.events, WorkerLost)
    assert [(e.worker, e.cause, e.failure) for e in lost] == [(W1, LossCause.DIED, Failure.PREEMPTED)]
    assert "SIGTERM" in lost[0].reason
    before = reports(harness.events, segment(1).key)
    started(harness, W2)
    harness.perform(RunSegments(W2, (segment(1, attempt=2, **long),)))
    harness.run_until(lambda: len(reports(harness.events, segment(1).key)) > len(before))
    assert reports(harness.events, segment(1).key)[: len(before) + 1] == list(range(1, len(before) + 2))


def test_the_last_words_of_a_preempted_worker_wait_for_the_next_server(make: Make) -> None:
    """A worker that is preempted while there is no server waits a little for one to fetch what it has to say."""
    harness = make()
    started(harness, W1)
    harness.perform(RunSegments(W1, (segment(1, target=100, seconds=0.2),)))
    harness.run_until(lambda: bool(reports(harness.events, segment(1).key)))
    process = harness.process(W1)
    harness.detach(leave_workers=True)
    process.terminate()
    time.sleep(0.5)  # it saves meanwhile; if it does not, the test is weaker and passes all the same
    harness.attach(2)
    harness.run_until(lambda: bool(of(harness.events, WorkerLost)))
    assert outcomes(harness.events) == [(1, Outcome.DRAINED)]
    assert of(harness.events, WorkerLost)[0].failure is Failure.PREEMPTED


def test_a_trainable_may_handle_sigterm_itself(make: Make) -> None:
    """A trainable that installs a handler for SIGTERM gets it, and its worker stays. Processes that a trainable forks
    are ended by SIGTERM as ever."""
    harness = make()
    started(harness, W1)
    own = segment(1, target=1000, trainable="handles_sigterm")
    harness.perform(RunSegments(W1, (segment(2, trainable="terminates_a_child"), own)))
    harness.run_until(lambda: bool(reports(harness.events, own.key)))
    forked = of(harness.events, SegmentReported)[0]
    assert [report.metrics["loss"] for report in forked.reports] == [signal.SIGTERM]
    harness.process(W1).terminate()

    def losses() -> list[float]:
        told = [event for event in of(harness.events, SegmentReported) if event.key == own.key]
        return [report.metrics["loss"] for event in told for report in event.reports]

    harness.run_until(lambda: losses()[-1] == 1.0)
    harness.perform(CancelSegment(W1, own.key, 1), RunSegments(W1, (segment(3),)))
    harness.run_until(lambda: (3, Outcome.REACHED) in outcomes(harness.events))
    assert not of(harness.events, WorkerLost)


def test_draining_reaches_workers_that_are_not_ready_yet(make: Make) -> None:
    """A drain that comes while a worker starts holds for what was queued on it."""
    harness = make()
    harness.perform(StartWorker(W1, POOL), RunSegments(W1, (segment(1),)), engine.Drain())
    harness.run_until(lambda: bool(outcomes(harness.events)))
    assert outcomes(harness.events) == [(1, Outcome.DRAINED)]
