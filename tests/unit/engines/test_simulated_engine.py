"""The simulated engine keeps the engine contract, in virtual time."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from searchd.engines.simulated import Epoch, SimulatedCluster, SimulatedEngine, VirtualClock
from searchd.ports.engine import EngineCommand, EngineEvent, Node, Segment, WorkerId
from tests.contracts.engine import EngineContract


def behaviour(segment: Segment, epoch: int) -> Iterator[Epoch]:
    """The contract's trainables."""
    match segment.task.trainable:
        case "raises":
            raise ValueError("the numbers do not add up")
        case "hangs":
            yield Epoch({"loss": 0.0}, timedelta(days=1))
        case _:
            seconds = segment.task.fixed["seconds"]
            assert isinstance(seconds, float)
            while True:
                epoch += 1
                yield Epoch({"loss": 1.0 / epoch}, timedelta(seconds=seconds))


class SimulatedHarness:
    """Implements EngineHarness in virtual time."""

    def __init__(self) -> None:
        self.events: list[EngineEvent] = []
        self._cluster = SimulatedCluster(VirtualClock(), [Node("a", 2.0, 0.0)], behaviour, timedelta(seconds=1))
        self._engine: SimulatedEngine | None = None

    def attach(self, epoch: int) -> None:
        """See EngineHarness."""
        self.events = []
        self._engine = SimulatedEngine(self._cluster, self.events.append)
        self._engine.start(epoch)

    def restart(self, epoch: int) -> None:
        """See EngineHarness."""
        assert self._engine is not None
        self.events.clear()
        self._engine.start(epoch)

    def detach(self, *, leave_workers: bool) -> None:
        """See EngineHarness."""
        assert self._engine is not None
        self._engine.close(leave_workers=leave_workers)

    def perform(self, *commands: EngineCommand) -> None:
        """See EngineHarness."""
        assert self._engine is not None
        self._engine.perform(commands)

    def run_until(self, condition: Callable[[], bool]) -> None:
        """See EngineHarness."""
        while not condition():
            assert self._cluster.next_at() is not None, f"nothing will happen any more; what came is {self.events}"
            self._cluster.step()

    def crash(self, worker: WorkerId) -> None:
        """See EngineHarness."""
        self._cluster.kill(worker)


class TestSimulatedEngine(EngineContract):
    """On a cluster of one node."""

    @pytest.fixture
    def harness(self) -> SimulatedHarness:
        """A cluster without workers."""
        return SimulatedHarness()
