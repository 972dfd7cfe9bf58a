"""The engine on Ray: workers are detached actors, each kept busy through one exchange at a time."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from searchd.domain.failure import Failure
from searchd.engines.ray import connection
from searchd.engines.ray.actors import end_actors, kill, named_actors
from searchd.engines.ray.adoption import AdoptedWorker, adopt_all
from searchd.engines.ray.calls import Beginning
from searchd.engines.ray.errors import RayUnavailable
from searchd.engines.ray.keeper import Concerns, Keeper
from searchd.engines.ray.local import LocalCluster
from searchd.engines.ray.losses import failure_of, log_tail, reason_of
from searchd.engines.ray.mailbox import Mailbox
from searchd.engines.ray.remote import Departure, RemoteWorker, Surroundings
from searchd.engines.ray.starter import Starter
from searchd.failpoints import reach
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
from searchd.worker.code_folder import CodeFolders, declaring_modules
from searchd.worker.files import Storage
from searchd.worker.messages import StaleEpoch, WorkerSettings

_logger = logging.getLogger(__name__)

_LEAVING_TIMEOUT = timedelta(seconds=10)
_END_TIMEOUT = timedelta(seconds=2)
_PARTING_SECONDS = 1.0

_RETIRED = Departure(LossCause.RETIRED, "retired")
_OUTDATED = Departure(LossCause.RETIRED, "it was started by another version of searchd", Failure.PREEMPTED)
_CUT_OFF = Departure(LossCause.DIED, "the connection to Ray was lost", Failure.NODE_LOST)


@dataclass(frozen=True, slots=True)
class RayEngineSettings:
    """How to reach Ray, and what workers need to know.

    Attributes:
        cluster: Says where Ray is, and starts it if need be; it may block. Called when the engine is started for the
            first time, and again whenever the cluster was lost. Raises RayUnavailable if there is none.
        namespace: Namespace of the workers' names: the same for all servers of one store, and no others.
        storage: Root of checkpoints, logs and artifacts, on a file system that all nodes share.
        data_cache: Folder of each node for cached datasets.
        data_roots: Folders that dataset files may come from.
        modules: Modules that register trainables; a worker imports them before it is ready.
        search_path: Folders in which workers look for modules before the usual ones.
        installed: Whether trainables are looked for among the installed entry points too.
        checkpoints: Root of the checkpoints, a folder or a URI; None means a folder under ``storage``.
        grace: A worker leaves when no server has spoken to it for so long.
        placement_timeout: A worker that is not ready by then is given up.
        outdated_timeout: A worker of another version that holds work has so long to reach its next epoch.
        cut_off_timeout: Workers that can still be reached when the cluster is lost have so long to save what they hold.
        poll_interval: Between looks at the cluster's nodes.
    """

    cluster: Callable[[], LocalCluster]
    namespace: str
    storage: Path
    data_cache: Path
    data_roots: tuple[Path, ...] = ()
    modules: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ()
    installed: bool = True
    checkpoints: str | None = None
    grace: timedelta = timedelta(minutes=5)
    placement_timeout: timedelta = timedelta(seconds=60)
    outdated_timeout: timedelta = timedelta(minutes=10)
    cut_off_timeout: timedelta = timedelta(seconds=15)
    poll_interval: timedelta = timedelta(seconds=2)


class RayEngine:
    """Implements the Engine port. Ray is neither loaded nor needed before ``start``.

    Events are delivered from the thread that calls ``start`` until that returns, then from a thread of the engine's
    own, one after the other; ``deliver`` must not block.
    """

    def __init__(self, settings: RayEngineSettings, deliver: Callable[[EngineEvent], None]) -> None:
        self._settings = settings
        self._deliver = deliver
        self._storage = Storage(settings.storage.absolute(), settings.checkpoints)
        self._mailbox = Mailbox("ray-engine")
        self._starter = Starter()
        self._files = ThreadPoolExecutor(1, "ray-engine-files")
        self._closing = threading.Event()
        self._starting = threading.Lock()
        concerns = Concerns(self._seen, self._lose, self._regain)
        self._keeper = Keeper(settings.cluster, settings.namespace, settings.poll_interval, concerns)
        self._parted = threading.Event()
        # From here on touched by the mailbox's thread alone, once it is open.
        self._surroundings = Surroundings(0, self._mailbox, deliver, self._died)
        self._workers: dict[WorkerId, RemoteWorker] = {}
        self._nodes: tuple[Node, ...] = ()
        self._connected = False

    def start(self, epoch: int) -> None:
        """See Engine.

        Raises:
            RayUnavailable: the cluster cannot be reached, or the engine was closed meanwhile.
        """
        with self._starting:
            if self._closing.is_set():
                raise RayUnavailable("the engine is closed", "start another one")
            reach("adopt.begun")
            if self._keeper.watching:
                self._in_mailbox(partial(self._attach, epoch))
            else:
                self._begin(epoch)
            reach("adopt.done")

    def _begin(self, epoch: int) -> None:
        self._keeper.connect()
        self._connected = True
        try:
            self._attach(epoch)
        except Exception:
            self._connected = False
            connection.disconnect()
            raise
        self._mailbox.open()
        self._keeper.watch()

    def _in_mailbox(self, action: Callable[[], None]) -> None:
        """Have the mailbox's thread do something, and wait until it has; what it raises is raised here."""
        done: Future[None] = Future()

        def act() -> None:
            try:
                action()
            except Exception as error:  # it belongs to whoever waits
                done.set_exception(error)
            else:
                done.set_result(None)

        self._mailbox.put(act)
        done.result()

    def _attach(self, epoch: int) -> None:
        """Say what nodes there are and adopt the workers that live; also those that this engine had before."""
        for worker in self._workers.values():
            worker.forsake()
        self._workers.clear()
        self._surroundings = Surroundings(epoch, self._mailbox, self._deliver, self._died)
        self._nodes = connection.nodes() if self._connected else ()
        self._deliver(CapacityChanged(self._nodes))
        if not self._connected:
            self._parted.set()
            return
        for adopted in adopt_all(self._surroundings):
            self._workers[adopted.worker.id] = adopted.worker
            self._deliver(adopted.event)
            self._go_on(adopted)

    def _go_on(self, adopted: AdoptedWorker) -> None:
        worker, holding = adopted.worker, adopted.event.holding
        if adopted.taken is not None:
            worker.taken(adopted.taken)
            self._mailbox.put(worker.idle)
        elif adopted.leaving:
            worker.depart(holding, _OUTDATED)
            self._mailbox.later(self._settings.outdated_timeout, partial(self._kill, worker, _OUTDATED))
        else:
            worker.await_taken(holding, adopted.awaited)

    def perform(self, commands: Sequence[EngineCommand]) -> None:
        """See Engine. Commands for one worker in one call travel together."""
        self._mailbox.put(partial(self._perform, tuple(commands)))

    def close(self, *, leave_workers: bool) -> None:
        """See Engine. Workers that end are not reported, and those of a newer server are left alone."""
        self._closing.set()
        self._parted.set()
        with self._starting:
            pass  # a start under way ends first: were its cluster ended below it, Ray would look for that for minutes
        self._keeper.close()
        self._starter.close()
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
            end_actors({w.id: w.handle for w in workers if w.handle is not None}, self._surroundings.epoch)
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
                self._kill(worker, Departure(LossCause.KILLED, reason))
            case _:
                assert_never(command)

    def _start_worker(self, name: WorkerId, pool: PoolKey) -> None:
        if not self._connected:
            self._deliver(WorkerLost(name, _CUT_OFF.cause, _CUT_OFF.reason, failure=_CUT_OFF.failure))
            return
        settings = self._settings
        modules, search_path = settings.modules, settings.search_path
        if pool.code_id:
            folder = CodeFolders(self._storage.root).folder(pool.code_id)
            modules, search_path = declaring_modules(folder), (str(folder), *search_path)
        told = WorkerSettings(
            worker=name,
            pool=pool,
            modules=modules,
            search_path=search_path,
            storage=self._storage.root,
            grace=settings.grace,
            installed=settings.installed and not pool.code_id,
            checkpoints=settings.checkpoints,
        )
        worker = self._workers[name] = RemoteWorker(name, self._surroundings)
        self._starter.start(
            Beginning(told, settings.data_cache.absolute(), settings.data_roots),
            lambda started: self._mailbox.put(partial(self._started, worker, started)),
        )
        self._mailbox.later(settings.placement_timeout, partial(self._give_up, worker, pool))

    def _started(self, worker: RemoteWorker, started: Any) -> None:
        wanted = self._workers.get(worker.id) is worker
        if wanted and isinstance(started, Exception):
            self._died(worker, started)
        elif wanted:
            worker.begin(started)
        elif self._connected and not isinstance(started, Exception) and worker.id not in self._workers:
            kill(started)  # it was given up meanwhile

    def _give_up(self, worker: RemoteWorker, pool: PoolKey) -> None:
        if not worker.ready:
            needs = f"{pool.resources.cpus:g} CPUs" + (f", {pool.resources.gpus:g} GPUs" * (pool.resources.gpus > 0))
            seconds = self._settings.placement_timeout.total_seconds()
            reason = f"not placed and ready within {seconds:g} s; it needs {needs}"
            self._kill(worker, Departure(LossCause.UNPLACED, reason))

    def _retire(self, worker: RemoteWorker) -> None:
        if not worker.ready:
            self._kill(worker, _RETIRED)
        elif worker.leaving is None:
            worker.leaving = _RETIRED
            worker.retire()
            self._mailbox.later(_LEAVING_TIMEOUT, partial(self._kill, worker, _RETIRED))

    def _kill(self, worker: RemoteWorker, departure: Departure) -> None:
        """Have the worker's actor end its process, which it does unless a newer server has the worker."""
        if self._workers.get(worker.id) is not worker or not self._connected:
            return
        if worker.handle is None:
            self._gone(worker, departure)
            return
        worker.leaving = departure
        asked: Future[int] = worker.handle.end.remote(self._surroundings.epoch).future()
        # Its calls fail when it is gone. An actor that has no place yet is ended by Ray, and if Ray does not say so
        # either, it is given up all the same.
        self._mailbox.later(_END_TIMEOUT, partial(self._insist, worker, asked))
        self._mailbox.later(_LEAVING_TIMEOUT, partial(self._gone, worker, departure))

    def _insist(self, worker: RemoteWorker, asked: "Future[int]") -> None:
        if self._workers.get(worker.id) is not worker or not self._connected:
            return
        if not asked.done():
            kill(worker.handle)
        elif asked.exception() is None and asked.result() > self._surroundings.epoch:
            self._died(worker, StaleEpoch(self._surroundings.epoch, asked.result()))

    # Losses

    def _died(self, worker: RemoteWorker, error: BaseException) -> None:
        if isinstance(error, StaleEpoch):
            _logger.warning("worker %s: %s", worker.id, error)
            worker.forsake()
            self._workers.pop(worker.id, None)
            return
        cause = LossCause.DIED if worker.alive else LossCause.UNPLACED
        self._gone(worker, worker.leaving or Departure(cause, reason_of(error), failure_of(error)))

    def _gone(self, worker: RemoteWorker, departure: Departure) -> None:
        if self._workers.get(worker.id) is not worker:
            return
        del self._workers[worker.id]
        worker.forsake()
        if self._connected and worker.handle is not None:
            # Of a worker whose training process has ended, the actor is left.
            kill(worker.handle)
        if not self._connected and not self._workers:
            self._parted.set()
        tail = "" if worker.current is None else log_tail(self._storage.log(worker.current[0]))
        lost = WorkerLost(worker.id, departure.cause, departure.reason, tail, departure.failure, worker.current)
        self._deliver(lost)

    # The cluster, on the keeper's thread

    def _seen(self, nodes: tuple[Node, ...]) -> None:
        self._mailbox.put(partial(self._nodes_are, nodes))

    def _lose(self) -> None:
        """The cluster is lost: have workers that can still be reached save what they hold, and give all of them up."""
        self._parted.clear()
        self._in_mailbox(self._part)
        if not self._closing.is_set():
            self._parted.wait(self._settings.cut_off_timeout.total_seconds())
        self._in_mailbox(self._part_for_good)

    def _regain(self) -> None:
        # They were given up when the connection was lost, and what they held was handed out again.
        end_actors(named_actors(), self._surroundings.epoch)
        nodes = connection.nodes()
        self._in_mailbox(partial(self._resume, nodes))

    # The cluster, on the mailbox's thread

    def _nodes_are(self, nodes: tuple[Node, ...]) -> None:
        if nodes != self._nodes and (self._connected or not nodes):
            self._nodes = nodes
            self._deliver(CapacityChanged(nodes))

    def _part(self) -> None:
        self._connected = False
        self._starter.renew()
        self._nodes_are(())
        for worker in list(self._workers.values()):
            if not (worker.alive and worker.holds):
                self._gone(worker, _CUT_OFF)
            elif worker.leaving is None:
                worker.leaving = _CUT_OFF
                worker.retire()
        if not self._workers:
            self._parted.set()

    def _part_for_good(self) -> None:
        for worker in list(self._workers.values()):
            self._gone(worker, _CUT_OFF)

    def _resume(self, nodes: tuple[Node, ...]) -> None:
        self._connected = True
        self._nodes_are(nodes)
