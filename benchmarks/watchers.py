"""Watchers that resume after each cut, and a proxy that cuts them."""

import asyncio
from array import array
from collections.abc import Callable
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from searchd.v1.study_service_pb2 import WatchStudyRequest, WatchStudyResponse
from searchd.v1.study_service_pb2_grpc import StudyServiceStub


class Proxy:
    """Passes bytes between clients and a server, and breaks connections in the middle of what the server says.

    Attributes:
        port: Where clients connect.
        target: The server's port; 0 while there is none.
        budgets: After how many bytes from the server a new connection breaks; None never.
        broken: How many were broken.
    """

    def __init__(self, budgets: Callable[[], int | None] = lambda: None) -> None:
        self.port = 0
        self.target = 0
        self.budgets = budgets
        self.broken = 0
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Break everything and take no more."""
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._pass(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        up = asyncio.create_task(_copied(reader, to_server, None))
        down = asyncio.create_task(_copied(from_server, writer, self.budgets()))
        try:
            done, _ = await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            self.broken += down in done and down.exception() is None and down.result()
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            to_server.transport.abort()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None) -> bool:
    """Pass on what is read until its end, or until the budget is spent; whether it was."""
    while data := await reader.read(65536):
        if budget is not None:
            data, budget = data[:budget], budget - len(data)
        writer.write(data)
        await writer.drain()
        if budget is not None and budget <= 0:
            return True
    return False


class Watcher:
    """Watches a study to its end, through whatever happens to its connection.

    Attributes:
        revisions: Of the events that it saw, in the order in which they came.
        left: How often it left by itself.
        after: The last revision that it saw.
        expired: For each time that it was told so: the revision it asked to go on after, and the oldest that was kept.
    """

    def __init__(
        self,
        study: str,
        address: Callable[[], str],
        stays: Callable[[], int | None] = lambda: None,
        hear: Callable[[WatchStudyResponse], None] = lambda _: None,
    ) -> None:
        """Nothing happens yet.

        Args:
            study: Full name.
            address: Where to connect, asked each time.
            stays: For how many events it stays each time; None for as long as it can.
            hear: Called with each event.
        """
        self.revisions = array("q")
        self.left = 0
        self.expired: list[tuple[int, int]] = []
        self._study = study
        self._address = address
        self._stays = stays
        self._hear = hear
        self.after = 0
        self._over = False

    def was_told(self, revision: int) -> bool:
        """Whether it was told that this event is no longer kept."""
        return any(after < revision < oldest for after, oldest in self.expired)

    async def run(self) -> None:
        """Watch until the study has ended or is deleted."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        while not self._over:
            async with grpc.aio.insecure_channel(self._address(), options) as channel:
                stub: Any = StudyServiceStub(channel)
                call = stub.WatchStudy(WatchStudyRequest(name=self._study, after_revision=self.after))
                try:
                    await self._listen(call)
                except grpc.aio.AioRpcError as error:
                    await self._interrupted(error)
                finally:
                    call.cancel()

    async def _listen(self, call: Any) -> None:
        stays = self._stays()
        async for response in call:
            self.after = max(self.after, response.revision)
            kind = response.WhichOneof("event")
            if kind == "bookmark":
                continue
            self.revisions.append(response.revision)
            self._hear(response)
            self._over = kind == "deleted" or (kind == "study" and response.study.HasField("end_time"))
            stays = None if stays is None else stays - 1
            if stays == 0 and not self._over:
                self.left += 1
                return

    async def _interrupted(self, error: grpc.aio.AioRpcError) -> None:
        if error.code() is grpc.StatusCode.OUT_OF_RANGE:
            oldest = _oldest(error)
            self.expired.append((self.after, oldest))
            self.after = oldest - 1
        elif error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            await asyncio.sleep(0.01)
        else:
            raise error


def _oldest(error: grpc.aio.AioRpcError) -> int:
    metadata: Any = error.trailing_metadata()
    info = error_details_pb2.ErrorInfo()
    status_pb2.Status.FromString(dict(metadata)["grpc-status-details-bin"]).details[0].Unpack(info)
    return int(info.metadata["oldest"])
