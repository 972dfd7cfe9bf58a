"""A proxy before a server's socket that cuts a connection at a moment of the test's choice."""

import contextlib
import select
import socket
import threading
from enum import Enum
from pathlib import Path


class Cut(Enum):
    """When to cut a connection that sends what is waited for.

    BEFORE: the server never gets it. AFTER: the server has answered it, which is lost. HALF_BEFORE, HALF_AFTER:
    the client is cut off, and the server, which got it or not, does not hear of that.
    """

    BEFORE = "before"
    AFTER = "after"
    HALF_BEFORE = "half before"
    HALF_AFTER = "half after"


class CuttingProxy:
    """Listens on a free port of this machine and passes on what it gets, until it is told to cut.

    Attributes:
        port: Where it listens.
        cuts: What has been cut so far.
    """

    def __init__(self, server: Path) -> None:
        self._server = server
        self._waited_for: tuple[bytes, Cut] | None = None
        self._down = False
        self._stays_down = False
        self.cuts: list[Cut] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._kept: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._run(self._listen)

    def cut(self, waited_for: bytes, how: Cut, *, stay_down: bool = False) -> None:
        """Cut the next connection whose client sends these bytes; stay down afterwards if told so."""
        self._stays_down = stay_down
        self._waited_for = (waited_for, how)

    def up(self) -> None:
        """Take connections again."""
        self._down = False

    def close(self) -> None:
        """Cut everything and stop listening."""
        self._waited_for = None
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for kept in self._kept:
            with contextlib.suppress(OSError):
                kept.shutdown(socket.SHUT_RDWR)
            kept.close()
        for thread in self._threads:
            thread.join()

    def _run(self, target: object, *args: socket.socket) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._down:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                self._kept += [client, server]
                self._run(self._pass_on, client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):  # of a socket that was closed meanwhile
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if ready is client and self._is_waited_for(data):
                        self._end(client, server, data)
                        return
                    if not data:
                        client.close()
                        server.close()
                        return
                    (server if ready is client else client).sendall(data)

    def _is_waited_for(self, data: bytes) -> bool:
        return self._waited_for is not None and self._waited_for[0] in data

    def _end(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        assert self._waited_for is not None
        how, self._waited_for = self._waited_for[1], None
        if how in (Cut.AFTER, Cut.HALF_AFTER):
            server.sendall(data)
        if how is Cut.AFTER:
            server.recv(65536)
        if how in (Cut.BEFORE, Cut.AFTER):
            server.close()
        self._down = self._stays_down
        self.cuts.append(how)
        client.close()
