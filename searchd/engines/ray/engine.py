"""The engine on Ray: workers are detached actors, each kept busy through one exchange at a time."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from searchd.engines.ray import connection
from searchd.engines.ray.adoption import actor_name, adopt_all, kill, named_actors
from searchd.engines.ray.calls import Beginning, packed
from searchd.engines.ray.errors import RayUnavailable
from searchd.engines.ray.local import answers
from searchd.engines.ray.losses import log_tail, reason_of
from searchd.engines.ray.mailbox import Mailbox
from searchd.engines.ray.remote import RemoteWorker, Surroundings
from searchd.ports.engine import (
    Acknowledge,
    CancelSegment,
    CapacityChanged,
    Drain,
    EngineCommand,
    EngineEvent,
    Forget,
    KillWorker,
    LossCause,
    Node,
    PoolKey,
    RetireWorker,
    RunSegments,
    StartWorker,
    WorkerId,
    WorkerLost,
)
from searchd.worker.files import Storage
from searchd.worker.messages import WorkerSettings

_logger = logging.getLogger(__name__)

_ADOPTION_TIMEOUT = timedelta(seconds=5)
_LEAVING_TIMEOUT = timedelta(seconds=10)
_PARTING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RayEngineSettings:
    """How to reach Ray, and what workers need to know.

    Attributes:
        address: Host and port of the cluster's control service.
        namespace: Namespace of the workers' names: the same for all servers of one store, and no others.
        storage: Root of checkpoints, logs and artifacts, on a file system that all nodes share.
        data_cache: Folder of each node for cached datasets.
        data_roots: Folders that dataset files may come from.
        modules: Modules that register trainables; a worker imports them before it is ready.
        search_path: Folders in which workers look for modules before the usual ones.
        installed: Whether trainables are looked for among the installed entry points too.
        environment: What this process must have in its environment for Ray; a local cluster says.
        grace: A worker leaves when no server has spoken to it for so long.
        placement_timeout: A worker that is not ready by then is given up.
        poll_interval: Between looks at the cluster's nodes.
    """

    address: str
    namespace: str
    storage: Path
    data_cache: Path
    data_roots: tuple[Path, ...] = ()
    modules: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ()
    installed: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    grace: timedelta = timedelta(minutes=5)
    placement_timeout: timedelta = timedelta(seconds=60)
    poll_interval: timedelta = timedelta(seconds=5)


class RayEngine:
    """Implements the Engine port.

    Events are delivered from the thread that calls ``start`` until that returns, then from a thread of the engine's
    own, one after the other; ``deliver`` must not block.
    """

    def __init__(self, settings: RayEngineSettings, deliver: Callable[[EngineEvent], None]) -> None:
        self._settings = settings
        self._deliver = deliver
        self._storage = Storage(settings.storage.absolute())
        self._mailbox = Mailbox("ray-engine")
        self._files = ThreadPoolExecutor(1, "ray-engine-files")
        self._closing = threading.Event()
        self._starting = threading.Lock()
        self._poller = threading.Thread(target=self._poll, name="ray-engine-poll", daemon=True)
        # From here on touched by the mailbox's thread alone, once it is open.
        self._surroundings = Surroundings(0, self._mailbox, deliver, self._died)
        self._workers: dict[WorkerId, RemoteWorker] = {}
        self._nodes: tuple[Node, ...] = ()
        self._connected = False
        self._address = settings.address
        self._remote_class: Any = None

    def start(self, epoch: int) -> None:
        """See Engine.

        Raises:
            RayUnavailable: the cluster cannot be reached, or the engine was closed meanwhile.
        """
        with self._starting:
            if self._closing.is_set():
                raise RayUnavailable("the engine is closed", "start another one")
            if self._poller.is_alive():
                attached: Future[None] = Future()
                self._mailbox.put(partial(self._attach_again, epoch, attached))
                attached.result()
                return
            self._connect()
            self._attach(epoch)
            self._mailbox.open()
            self._poller.start()

    def _attach_again(self, epoch: int, attached: "Future[None]") -> None:
        try:
            self._attach(epoch)
        except Exception as error:  # it belongs to whoever waits
            attached.set_exception(error)
        else:
            attached.set_result(None)

    def _attach(self, epoch: int) -> None:
        """Say what nodes there are and adopt the workers that live; also those that this engine had before."""
        for worker in self._workers.values():
            worker.forsake()
        self._workers.clear()
        self._surroundings = Surroundings(epoch, self._mailbox, self._deliver, self._died)
        self._nodes = connection.nodes() if self._connected else ()
        self._deliver(CapacityChanged(self._nodes))
        if not self._connected:
            return
        for adopted in adopt_all(self._surroundings, _ADOPTION_TIMEOUT):
            self._workers[adopted.worker.id] = adopted.worker
            self._deliver(adopted.event)
            adopted.worker.outbox(adopted.reply)
            self._mailbox.put(adopted.worker.idle)

    def perform(self, commands: Sequence[EngineCommand]) -> None:
        """See Engine. Commands for one worker in one call travel together."""
        self._mailbox.put(partial(self._perform, tuple(commands)))

    def close(self, *, leave_workers: bool) -> None:
        """See Engine. Workers that end are not reported."""
        self._closing.set()
        with self._starting:
            pass  # a start under way ends first: were its cluster ended below it, Ray would look for that for minutes
        if self._poller.is_alive():
            self._poller.join()
        self._mailbox.close()
        self._files.shutdown()
        if not self._connected:
            return
        workers = list(self._workers.values())
        if leave_workers:
            partings = [call for worker in workers if (call := worker.parting()) is not None]
            if partings:
                connection.wait(partings, _PARTING_SECONDS)
        for worker in workers:
            worker.forsake()
            if not leave_workers:
                kill(worker.handle)
        connection.disconnect()
        self._connected = False

    # Commands

    def _perform(self, commands: tuple[EngineCommand, ...]) -> None:
        spoken_to: dict[WorkerId, RemoteWorker] = {}
        for command in commands:
            match command:
                case StartWorker(name, pool):
                    self._start_worker(name, pool)
                case Drain():
                    for worker in self._workers.values():
                        worker.drain()
                case Forget(study, trial):
                    self._files.submit(self._storage.forget, study, trial)
                case _:
                    found = self._workers.get(command.worker)
                    if found is not None:
                        spoken_to[found.id] = found
                        self._tell(found, command)
        for worker in spoken_to.values():
            worker.flush()

    def _tell(
        self, worker: RemoteWorker, command: RetireWorker | KillWorker | RunSegments | CancelSegment | Acknowledge
    ) -> None:
        match command:
            case RunSegments(_, segments):
                worker.run(segments)
            case CancelSegment(_, key, attempt):
                worker.cancel(key, attempt)
            case Acknowledge(_, sequence):
                worker.acknowledge(sequence)
            case RetireWorker():
                self._retire(worker)
            case KillWorker(_, reason):
                self._kill(worker, LossCause.KILLED, reason)
            case _:
                assert_never(command)

    def _start_worker(self, name: WorkerId, pool: PoolKey) -> None:
        settings = self._settings
        if not self._connected:
            self._deliver(WorkerLost(name, LossCause.UNPLACED, "there is no connection to Ray"))
            return
        told = WorkerSettings(
            worker=name,
            pool=pool,
            modules=settings.modules,
            search_path=settings.search_path,
            storage=self._storage.root,
            grace=settings.grace,
            installed=settings.installed,
        )
        try:
            handle = self._remote_class.options(
                name=actor_name(name),
                lifetime="detached",
                num_cpus=pool.resources.cpus,
                num_gpus=pool.resources.gpus,
            ).remote(packed(Beginning(told, settings.data_cache.absolute(), settings.data_roots)))
        except Exception as error:  # Ray raises what it likes for options and names that it refuses
            self._deliver(WorkerLost(name, LossCause.UNPLACED, reason_of(error)))
            return
        worker = self._workers[name] = RemoteWorker(name, handle, self._surroundings)
        worker.begin()
        self._mailbox.later(settings.placement_timeout, partial(self._give_up, worker, pool))

    def _give_up(self, worker: RemoteWorker, pool: PoolKey) -> None:
        if not worker.ready:
            needs = f"{pool.resources.cpus:g} CPUs" + (f", {pool.resources.gpus:g} GPUs" * (pool.resources.gpus > 0))
            seconds = self._settings.placement_timeout.total_seconds()
            self._kill(worker, LossCause.UNPLACED, f"not placed and ready within {seconds:g} s; it needs {needs}")

    def _retire(self, worker: RemoteWorker) -> None:
        if not worker.ready:
            self._kill(worker, LossCause.RETIRED, "retired")
            return
        if worker.leaving is None:
            worker.leaving = (LossCause.RETIRED, "retired")
            worker.retire()
            self._mailbox.later(_LEAVING_TIMEOUT, partial(self._kill, worker, LossCause.RETIRED, "retired"))

    def _kill(self, worker: RemoteWorker, cause: LossCause, reason: str) -> None:
        if self._workers.get(worker.id) is not worker:
            return
        worker.leaving = (cause, reason)
        kill(worker.handle)
        # Its calls fail when it is gone; if Ray does not say so, it is given up all the same.
        self._mailbox.later(_LEAVING_TIMEOUT, partial(self._gone, worker, cause, reason))

    # Losses

    def _died(self, worker: RemoteWorker, error: BaseException) -> None:
        cause, reason = worker.leaving or (LossCause.DIED if worker.ready else LossCause.UNPLACED, reason_of(error))
        self._gone(worker, cause, reason)

    def _gone(self, worker: RemoteWorker, cause: LossCause, reason: str) -> None:
        if self._workers.get(worker.id) is not worker:
            return
        del self._workers[worker.id]
        worker.forsake()
        # Of a worker whose training process has ended, the actor is left.
        kill(worker.handle)
        tail = "" if worker.current is None else log_tail(self._storage.log(worker.current))
        self._deliver(WorkerLost(worker.id, cause, reason, tail))

    # The cluster

    def _connect(self) -> None:
        self._address = connection.connect(self._settings.address, self._settings.namespace, self._settings.environment)
        from searchd.engines.ray.actor import remote_class  # noqa: PLC0415  # loads Ray

        self._remote_class = remote_class()
        self._connected = True

    def _poll(self) -> None:
        """On a thread of its own, since a cluster that is gone answers slowly."""
        while not self._closing.wait(self._settings.poll_interval.total_seconds()):
            try:
                if not answers(self._address):
                    self._mailbox.put(self._cut_off)
                elif self._connected:
                    self._mailbox.put(partial(self._nodes_are, connection.nodes()))
                else:
                    self._mailbox.put(self._reconnect)
            except Exception:
                _logger.exception("the nodes of the cluster could not be listed")

    def _nodes_are(self, nodes: tuple[Node, ...]) -> None:
        if nodes != self._nodes:
            self._nodes = nodes
            self._deliver(CapacityChanged(nodes))

    def _cut_off(self) -> None:
        """Leave a cluster whose control service is gone: Ray would end this process after a minute."""
        if not self._connected:
            return
        _logger.error("Ray's control service at %s does not answer any more; disconnecting", self._address)
        self._connected = False
        for worker in list(self._workers.values()):
            self._gone(worker, LossCause.DIED, "the control service of Ray was lost")
        connection.disconnect()
        self._nodes_are(())

    def _reconnect(self) -> None:
        if self._connected:
            return
        try:
            self._connect()
        except RayUnavailable as error:
            _logger.warning("%s", error)
            return
        _logger.info("reconnected to Ray at %s", self._address)
        # They were given up when the connection was lost, and what they held was handed out again.
        for _, handle in named_actors():
            kill(handle)
        self._nodes_are(connection.nodes())
