"""The inbox: order, waking from other threads, and requests that are withdrawn."""

import asyncio
import threading
from typing import Any

from searchd.conductor.messages import Input, PauseStudy, Reconciled, Request, StopStudy, Tick
from searchd.domain.study import study_name
from searchd.service.inbox import Inbox

NAME = study_name("default", "a")


def request(token: str) -> Request:
    """A request that differs from others in its token."""
    return Request(token, "", "", StopStudy(NAME))


async def test_inputs_are_taken_in_order() -> None:
    """First come, first taken, no more than asked for; what is put back comes before everything else, in its order."""
    inbox = Inbox()
    inbox.post(request("a"))
    inbox.add(Tick())
    inbox.post(request("b"))
    assert inbox.take(2) == [request("a"), Tick()]
    inbox.put_back([Reconciled(), request("c")])
    assert inbox.take() == [Reconciled(), request("c"), request("b")]
    assert inbox.take() == []


async def test_a_post_from_another_thread_wakes() -> None:
    """Whoever waits without end for an input wakes when another thread posts one, each time."""
    inbox = Inbox()
    inbox.attend()
    for _ in range(3):
        posting = threading.Timer(0.01, inbox.post, [Tick()])
        posting.start()
        async with asyncio.timeout(10):
            await inbox.gathered(None)
        assert inbox.take() == [Tick()]
        posting.join()


async def test_a_wait_ends_in_time() -> None:
    """Nobody waits longer than told, nor at all if there is something."""
    inbox = Inbox()
    async with asyncio.timeout(10):
        await inbox.gathered(0.001)
        inbox.add(Tick())
        await inbox.gathered(None)
    assert inbox.take() == [Tick()]


async def test_a_withdrawn_request_is_not_taken() -> None:
    """A request whose caller has gone is taken out; one that has been taken already is nothing to worry about."""
    inbox = Inbox()
    inbox.post(request("a"))
    inbox.post(request("b"))
    inbox.withdraw(request("a"))
    inbox.withdraw(request("never there"))
    assert inbox.take() == [request("b")]


async def test_a_withdrawal_survives_what_other_threads_post() -> None:
    """When another thread posts at the moment of a withdrawal, nobody stumbles and nothing else is lost."""
    inbox = Inbox()

    class Posting(Request):
        """A request during whose comparison something is posted."""

        def __eq__(self, other: object) -> Any:
            inbox.post(PauseStudy(NAME, "meanwhile"))
            return NotImplemented

        __hash__ = None  # type: ignore[assignment]

    first: Input = Posting("x", "", "", StopStudy(NAME))
    inbox.post(first)
    inbox.post(request("a"))
    inbox.withdraw(request("a"))
    taken = inbox.take()
    assert taken[0] is first
    assert PauseStudy(NAME, "meanwhile") in taken[1:]
