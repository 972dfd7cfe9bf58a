"""The searchers of all studies in a child process, so that a slow one never makes the service's loop late."""

import contextlib
import itertools
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from multiprocessing import Pipe
from pathlib import Path

import searchd
from searchd.ports.searcher import CloseSearch, OpenSearch, SearchCommand, SearchFailed, Tell
from searchd.searchers.host import Answer

BATCH = 256
"""Most commands in one write to the child."""

OBSERVATIONS = 256
"""About as many in one write: pickling keeps all other threads waiting, the service's loop too."""

CLOSING_TIME = timedelta(seconds=2)
"""How long the child may take to leave before it is killed."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class SearcherProcess:
    """Hosts searchers in a child process, which ends when this one does, however that happens.

    ``perform`` only queues: one thread sends what has gathered in one write, another reads the answers. ``deliver``
    is called from these threads. If the child dies, every study that is open (even one whose searcher failed before)
    gets SearchFailed, its queued commands are dropped, and the next OpenSearch starts another child.
    """

    def __init__(self, deliver: Callable[[Answer], None]) -> None:
        self._deliver = deliver
        self._inbox: queue.SimpleQueue[SearchCommand | _Gone | _Leave] = queue.SimpleQueue()
        self._open: set[str] = set()
        self._child: _Child | None = None
        self._sender = threading.Thread(target=self._send, name="searchers-send", daemon=True)
        self._sender.start()

    def perform(self, command: SearchCommand) -> None:
        """Queue a command; in order per study."""
        self._inbox.put(command)

    def close(self) -> None:
        """End the child at once; answers that have not been delivered are lost."""
        self._inbox.put(_Leave())
        if self._child is not None:
            # Before the sender comes to it: it may be waiting for a busy child to read.
            self._child.hang_up()
        self._sender.join()

    def _send(self) -> None:
        self._child = self._started()
        while True:
            batch: list[SearchCommand] = []
            message = self._inbox.get()
            while True:
                if isinstance(message, _Leave):
                    if self._child is not None:
                        self._child.end()
                    return
                if isinstance(message, _Gone):
                    self._lost(message.child)
                    batch = [command for command in batch if command.study in self._open]
                elif self._admitted(message):
                    batch.append(message)
                if len(batch) >= BATCH or self._inbox.empty():
                    break
                message = self._inbox.get()
            self._write(batch)

    def _admitted(self, command: SearchCommand) -> bool:
        """Whether the child is to hear of a command; starts a child for a study that needs one."""
        if isinstance(command, OpenSearch):
            self._child = self._child or self._started()
            if self._child is None:
                self._deliver(SearchFailed(command.study, "the searcher process cannot be started"))
                return False
            self._open.add(command.study)
            return True
        known = command.study in self._open
        if isinstance(command, CloseSearch):
            self._open.discard(command.study)
        return known

    def _write(self, batch: Sequence[SearchCommand]) -> None:
        if self._child is not None:
            # Of a child that is gone the reader tells, after its last answer.
            with contextlib.suppress(OSError):
                for part in _parts(batch):
                    self._child.connection.send(part)

    def _started(self) -> "_Child | None":
        try:
            child = _Child()
        except OSError:
            return None
        threading.Thread(target=self._read, args=(child,), name="searchers-read", daemon=True).start()
        return child

    def _read(self, child: "_Child") -> None:
        while True:
            try:
                answer: Answer = child.connection.recv()
            except (EOFError, OSError):
                break
            self._deliver(answer)
        self._inbox.put(_Gone(child))

    def _lost(self, child: "_Child") -> None:
        """The child died, and all searchers with it."""
        self._child = None
        status = child.end()
        for study in sorted(self._open):
            self._open.discard(study)
            self._deliver(SearchFailed(study, f"the searcher process ended unexpectedly (exit status {status})"))


def _parts(batch: Sequence[SearchCommand]) -> Iterator[list[SearchCommand]]:
    """The commands in order, a part for each write; a study's many trials are told bit by bit."""
    part: list[SearchCommand] = []
    room = OBSERVATIONS
    for command in itertools.chain.from_iterable(map(_bits, batch)):
        part.append(command)
        room -= len(command.observations) if isinstance(command, OpenSearch | Tell) else 0
        if room <= 0:
            yield part
            part, room = [], OBSERVATIONS
    if part:
        yield part


def _bits(command: SearchCommand) -> Iterator[SearchCommand]:
    """The command with few observations, then others that tell the rest."""
    if not isinstance(command, OpenSearch | Tell):
        yield command
        return
    yield replace(command, observations=command.observations[:OBSERVATIONS])
    for start in range(OBSERVATIONS, len(command.observations), OBSERVATIONS):
        yield Tell(command.study, command.observations[start : start + OBSERVATIONS])


class _Child:
    """A host that runs, and our end of its connection."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        package_root = str(Path(searchd.__file__).parent.parent)
        path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter, module and descriptor
            [sys.executable, "-m", "searchd.searchers.host", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # A terminal's Ctrl-C goes to its whole process group; the host leaves when its parent does.
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path, **_ONE_THREAD},
        )
        theirs.close()

    def hang_up(self) -> None:
        """Close the connection for both ends and for every thread that waits at it; the host leaves."""
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self.connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    def end(self) -> int:
        """Make sure that the process is gone; its exit status."""
        self.hang_up()
        try:
            return self._process.wait(CLOSING_TIME.total_seconds())
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class _Gone:
    """The reader's last word: this child's end of the connection is closed."""

    def __init__(self, child: _Child) -> None:
        self.child = child


class _Leave:
    """Asks the sender to end the child and itself."""
