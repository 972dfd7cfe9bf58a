"""The event loop in virtual time, and the processes on it."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.simulation.eventloop import NoEndInSight, NothingLeft, Process, VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """A loop, let go of afterwards."""
    made = VirtualLoop(random.Random(1), callbacks=10_000)
    yield made
    made.end()


def clockwork(heard: list[float], loop: VirtualLoop) -> Callable[[], Coroutine[Any, Any, None]]:
    """Something that notes the time every second."""

    async def tick() -> None:
        try:
            while True:
                heard.append(loop.time())
                await asyncio.sleep(1)
        finally:
            heard.append(-1.0)

    return tick


def test_time_jumps_to_the_next_timer(loop: VirtualLoop) -> None:
    """A year of sleep takes no time, and ends a year later."""
    loop.run_until_complete(asyncio.sleep(365 * 86400))
    assert loop.time() == 365 * 86400


def test_equal_times_keep_their_order(loop: VirtualLoop) -> None:
    """Timers of the same time fire in the order in which they were set."""
    fired: list[int] = []
    for number in range(50):
        loop.call_at(1.0, fired.append, number)
    loop.run_until_complete(asyncio.sleep(2))
    assert fired == list(range(50))


def test_a_killed_process_runs_no_line_more(loop: VirtualLoop) -> None:
    """Nothing of a killed process runs any more, not even what would clean up."""
    heard: list[float] = []
    process = Process(loop, "p")
    process.spawn(clockwork(heard, loop)())
    loop.call_at(2.5, process.kill)
    loop.run_until_complete(asyncio.sleep(10))
    assert heard == [0.0, 1.0, 2.0]


def test_a_paused_process_goes_on_where_it_was(loop: VirtualLoop) -> None:
    """What falls due while a process is paused runs when it is continued."""
    heard: list[float] = []
    process = Process(loop, "p")
    process.spawn(clockwork(heard, loop)())
    loop.call_at(1.5, process.pause)
    loop.call_at(7.0, process.resume)
    loop.run_until_complete(asyncio.sleep(8.5))
    assert heard == [0.0, 1.0, 7.0, 8.0]


def test_a_fuse_kills_between_two_callbacks(loop: VirtualLoop) -> None:
    """A process with a fuse of three runs three callbacks more."""
    heard: list[float] = []
    process = Process(loop, "p")
    process.fuse = 3
    process.spawn(clockwork(heard, loop)())
    loop.run_until_complete(asyncio.sleep(10))
    assert not process.alive
    assert 1 <= len(heard) <= 3


def test_work_in_an_executor_is_done_in_order_and_later(loop: VirtualLoop) -> None:
    """An executor does one thing after the other, at later moments than it is told, and nothing in threads."""
    done: list[int] = []

    async def hand_in() -> None:
        with ThreadPoolExecutor(1) as executor:
            await asyncio.gather(*(loop.run_in_executor(executor, done.append, n) for n in range(20)))

    loop.run_until_complete(hand_in())
    assert done == list(range(20))
    assert loop.time() > 0


def test_an_error_in_an_executor_reaches_its_caller(loop: VirtualLoop) -> None:
    """What work raises is raised where it is awaited."""
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(asyncio.to_thread(lambda: 1 / 0))


def test_dawdling_work_is_heard_of_late(loop: VirtualLoop) -> None:
    """Work that dawdles has its effect at once and returns so much later."""
    effects: list[float] = []

    def work() -> None:
        effects.append(loop.time())
        loop.dawdle(100.0)

    loop.run_until_complete(asyncio.to_thread(work))
    assert effects[0] < 50
    assert loop.time() >= effects[0] + 100


def test_waiting_for_nothing_is_noticed(loop: VirtualLoop) -> None:
    """Where everybody waits and no timer is set, the loop says so rather than stand still."""
    with pytest.raises(NothingLeft):
        loop.run_until_complete(asyncio.Event().wait())


def test_going_in_circles_is_noticed(loop: VirtualLoop) -> None:
    """Callbacks without end are cut off."""

    async def circle() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(NoEndInSight):
        loop.run_until_complete(circle())
