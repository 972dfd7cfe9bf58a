"""Where callers' mutations wait for their answers: bounded, refused while nothing can be written, all answered.

What the store knows of a request is looked up right before it is decided: what it said when the request came may have
changed while it waited.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from searchd.conductor.messages import ChangeStudy, Input, Mutation, Request
from searchd.domain.errors import Overloaded, RequestReused, SearchdError, ServerStopping, StudyNotFound
from searchd.domain.study import Study, StudyName
from searchd.domain.trial import Trial
from searchd.ports.store import Store

PAGE = 1000


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
        self._unanswered: set[asyncio.Future[Study | Trial]] = set()

    async def ask(self, body: Mutation, request_id: str, digest: str) -> Study | Trial:
        """Have a mutation decided; returns once it is durable.

        Raises:
            Overloaded: too many requests wait.
            SearchdError: why requests are refused now, or why this one was.
        """
        if self.refusal is not None:
            raise self.refusal.with_traceback(None)
        if len(self._unanswered) >= self._limit:
            raise Overloaded("the request queue", self._limit)
        future: asyncio.Future[Study | Trial] = asyncio.get_running_loop().create_future()
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


def remembered(store: Store, request_id: str, digest: str) -> Study | Trial | None:
    """What the same request was answered before; None if it was not, or has no request_id.

    Raises:
        RequestReused: the request_id came with another body before.
        StoreUnavailable: the store cannot be read.
    """
    before = store.answered(request_id) if request_id else None
    if before is not None and before.digest != digest:
        raise RequestReused(request_id)
    return None if before is None else before.answer


def looked_up(store: Store, request: Request) -> Request | Study | Trial | SearchdError:
    """The request with the study that it is about, or its answer if that is known without deciding anything."""
    try:
        before = remembered(store, request.request_id, request.digest)
        if before is not None:
            return before
        stored = store.study(request.name)
        may_go_on = stored.state.ended and isinstance(request.body, ChangeStudy)
        return replace(request, stored=stored, trials=tuple(all_trials(store, request.name)) if may_go_on else ())
    except StudyNotFound:
        return replace(request, stored=None)
    except SearchdError as error:
        return error


def all_trials(store: Store, study: StudyName) -> list[Trial]:
    """Every trial of a study, read in pages."""
    trials: list[Trial] = []
    while True:
        page = store.trials(study, None, trials[-1].number if trials else 0, PAGE)
        trials += page
        if len(page) < PAGE:
            return trials


def answer(token: object, result: Study | Trial | SearchdError) -> None:
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
