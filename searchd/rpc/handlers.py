"""From bytes to methods and back: one wrapper for all of them, which alone turns errors into statuses.

Handlers take and give bytes. Were requests parsed by gRPC, malformed ones would be answered UNKNOWN, with internals.
"""

import contextlib
import itertools
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from searchd.domain.errors import InvalidArgument, SearchdError
from searchd.rpc.status import DOMAIN, build_status, status_of

log = logging.getLogger("searchd.rpc")

_incidents = itertools.count(1)

Context = grpc.aio.ServicerContext[bytes, bytes]


class Refusal(Exception):  # noqa: N818  (named for what it is)
    """An answer that a protocol other than ours prescribes: a code and a message without details."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


def generic_handler(service: Any, servicer: object, max_bytes: int) -> "grpc.GenericRpcHandler[Any, Any]":
    """The handlers of a service: ``CreateStudy`` is answered by ``servicer.create_study``.

    Args:
        service: The service's descriptor.
        servicer: Has a coroutine function for each unary method and an async generator function for each stream, both
            from the request alone.
        max_bytes: Largest answer.
    """
    handlers = {}
    for method in service.methods:
        request = message_factory.GetMessageClass(method.input_type)
        answer = getattr(servicer, re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower())
        if method.server_streaming:
            handlers[method.name] = grpc.unary_stream_rpc_method_handler(_streaming(request, answer, max_bytes))
        else:
            handlers[method.name] = grpc.unary_unary_rpc_method_handler(_unary(request, answer, max_bytes))
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _unary(request: type[Message], answer: Callable[[Any], Awaitable[Message]], max_bytes: int) -> Any:
    async def handle(raw: bytes, context: Context) -> bytes:
        try:
            return _serialised(await answer(_parsed(request, raw)), max_bytes)
        except Exception as error:
            await _abort(context, error)
            raise  # abort has raised

    return handle


def _streaming(request: type[Message], answer: Callable[[Any], AsyncIterator[Message]], max_bytes: int) -> Any:
    async def handle(raw: bytes, context: Context) -> AsyncIterator[bytes]:
        try:
            async with contextlib.aclosing(answer(_parsed(request, raw))) as messages:  # type: ignore[type-var]
                async for message in messages:
                    yield _serialised(message, max_bytes)
        except Exception as error:
            await _abort(context, error)

    return handle


def _parsed(kind: type[Message], raw: bytes) -> Message:
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        reason = f"the bytes are not a {kind.DESCRIPTOR.full_name}"
        raise InvalidArgument("request", reason, "send one that was made from this server's protos") from error


def _serialised(message: Message, max_bytes: int) -> bytes:
    raw = message.SerializeToString()
    if len(raw) > max_bytes:
        raise InvalidArgument("request", f"the answer would take {len(raw)} bytes", f"ask for less: {max_bytes} fit")
    return raw


async def _abort(context: Context, error: Exception) -> None:
    if isinstance(error, Refusal):
        await context.abort(error.code, error.message)
    try:
        status = status_of(error) if isinstance(error, SearchdError) else _fault(error)
    except KeyError:  # an adapter's own error, which should not have come this far
        status = _fault(error)
    answer = rpc_status.to_status(status)
    await context.abort(answer.code, answer.details, answer.trailing_metadata)


def _fault(error: Exception) -> status_pb2.Status:
    """What a caller is told of a fault of ours; the log is told the rest."""
    incident = f"{os.getpid():x}-{next(_incidents)}"
    log.error("incident %s", incident, exc_info=error)
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"incident": incident})
    message = f"the server has a fault; its log tells more under incident {incident}"
    return build_status(grpc.StatusCode.INTERNAL, message, [info])
