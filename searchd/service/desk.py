"""Where callers' mutations wait for their answers: bounded, refused while nothing can be written, all answered.

What the store knows of a request is looked up right before it is decided: what it said when the request came may have
changed while it waited.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from searchd.conductor.messages import CreateStudy, DeleteStudy, Input, Request, StopStudy
from searchd.domain.errors import Overloaded, RequestReused, SearchdError, ServerStopping, StudyNotFound
from searchd.domain.study import Study
from searchd.ports.store import Store


class Desk:
    """Takes requests; used on the event loop only.

    Args:
        post: Takes a request that is to be decided; ``answer`` is called with its token sooner or later.
        withdraw: Is told of one whose caller has gone, so that it need not wait any more.
        limit: How many may wait; more are refused.

    Attributes:
        refusal: Why no request is taken now; None if they are taken.
    """

    def __init__(self, post: Callable[[Request], None], withdraw: Callable[[Request], None], limit: int) -> None:
        self.refusal: SearchdError | None = None
        self._post = post
        self._withdraw = withdraw
        self._limit = limit
        self._unanswered: set[asyncio.Future[Study]] = set()

    async def ask(self, body: CreateStudy | StopStudy | DeleteStudy, request_id: str, digest: str) -> Study:
        """Have a mutation decided; returns once it is durable.

        Raises:
            Overloaded: too many requests wait.
            SearchdError: why requests are refused now, or why this one was.
        """
        if self.refusal is not None:
            raise self.refusal.with_traceback(None)
        if len(self._unanswered) >= self._limit:
            raise Overloaded("the request queue", self._limit)
        future: asyncio.Future[Study] = asyncio.get_running_loop().create_future()
        request = Request(future, request_id, digest, body)
        try:
            self._unanswered.add(future)
            self._post(request)
            return await future
        except asyncio.CancelledError:
            self._withdraw(request)
            raise
        finally:
            self._unanswered.discard(future)

    def close(self) -> None:
        """Take nothing more, and tell everybody who waits."""
        self.refusal = ServerStopping()
        for future in self._unanswered:
            answer(future, ServerStopping())


def remembered(store: Store, request_id: str, digest: str) -> Study | None:
    """What the same request was answered before; None if it was not, or has no request_id.

    Raises:
        RequestReused: the request_id came with another body before.
        StoreUnavailable: the store cannot be read.
    """
    before = store.answered(request_id) if request_id else None
    if before is not None and before.digest != digest:
        raise RequestReused(request_id)
    return None if before is None else before.study


def looked_up(store: Store, request: Request) -> Request | Study | SearchdError:
    """The request with the study that it is about, or its answer if that is known without deciding anything."""
    try:
        before = remembered(store, request.request_id, request.digest)
        return replace(request, stored=store.study(request.name)) if before is None else before
    except StudyNotFound:
        return replace(request, stored=None)
    except SearchdError as error:
        return error


def answer(token: object, result: Study | SearchdError) -> None:
    """Resolve a request's future, unless its caller has gone."""
    if not isinstance(token, asyncio.Future) or token.done():
        return
    if isinstance(result, SearchdError):
        token.set_exception(result)
    else:
        token.set_result(result)


def refuse(events: Iterable[Input], error: SearchdError) -> None:
    """Tell the callers among them that nothing came of it."""
    for event in events:
        if isinstance(event, Request):
            answer(event.token, error)
