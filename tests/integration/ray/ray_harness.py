"""An engine harness on a real cluster."""

import contextlib
import queue
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from searchd.engines.ray.engine import RayEngine, RayEngineSettings
from searchd.engines.ray.local import LocalCluster
from searchd.ports.engine import EngineCommand, EngineEvent, WorkerId
from tests.contracts.engine import TRAINABLES

DEADLINE_SECONDS = 30.0
REPOSITORY = Path(__file__).parents[3]
MODULES = (TRAINABLES,)


@dataclass(frozen=True)
class Running:
    """A cluster that runs already, for an engine to ask for."""

    cluster: LocalCluster

    def __call__(self) -> LocalCluster:
        """It."""
        return self.cluster


def engine_settings(cluster: Callable[[], LocalCluster], storage: Path, namespace: str) -> RayEngineSettings:
    """Settings for tests: the tests' trainables, and workers that do not linger when a test run is cut short."""
    return RayEngineSettings(
        cluster=cluster,
        namespace=namespace,
        storage=storage / "storage",
        data_cache=storage / "data",
        modules=MODULES,
        search_path=(str(REPOSITORY),),
        installed=False,
        grace=timedelta(seconds=60),
        poll_interval=timedelta(seconds=0.5),
    )


class RayHarness:
    """Implements EngineHarness on a cluster, in a namespace of its own."""

    def __init__(self, cluster: Callable[[], LocalCluster], storage: Path, **changes: Any) -> None:
        self.namespace = uuid.uuid4().hex
        self.settings = replace(engine_settings(cluster, storage, self.namespace), **changes)
        self.events: list[EngineEvent] = []
        self._queue: queue.SimpleQueue[EngineEvent] = queue.SimpleQueue()
        self._engine: RayEngine | None = None

    def attach(self, epoch: int) -> None:
        """See EngineHarness."""
        self.events = []
        self._queue = queue.SimpleQueue()
        self._engine = RayEngine(self.settings, self._queue.put)
        self._engine.start(epoch)
        self._drain()

    def restart(self, epoch: int) -> None:
        """See EngineHarness."""
        assert self._engine is not None
        self._drain()
        self.events = []
        self._engine.start(epoch)
        self._drain()

    def detach(self, *, leave_workers: bool) -> None:
        """See EngineHarness."""
        if self._engine is not None:
            self._engine.close(leave_workers=leave_workers)
            self._engine = None

    def perform(self, *commands: EngineCommand) -> None:
        """See EngineHarness."""
        assert self._engine is not None
        self._engine.perform(commands)

    def run_until(self, condition: Callable[[], bool]) -> None:
        """See EngineHarness."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        self._drain()
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, f"it did not come; what came is {self.events}"
            with contextlib.suppress(queue.Empty):
                self.events.append(self._queue.get(timeout=min(left, 1.0)))

    def crash(self, worker: WorkerId) -> None:
        """See EngineHarness."""
        self.process(worker).kill()

    def process(self, worker: WorkerId) -> psutil.Process:
        """The process in which a worker trains."""
        import ray

        handle = ray.get_actor(f"worker-{worker}", namespace=self.namespace)
        actor = psutil.Process(ray._private.state.actors(handle._actor_id.hex())["Pid"])
        return actor.children()[0]

    def _drain(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self.events.append(self._queue.get_nowait())
