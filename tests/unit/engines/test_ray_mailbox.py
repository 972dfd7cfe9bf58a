"""The thread on which the Ray engine lives."""

import queue
import threading
from datetime import timedelta

import pytest

from searchd.engines.ray.mailbox import Mailbox


def test_actions_run_in_order_on_one_thread() -> None:
    """Actions run in the order in which they were put, on one thread, those put before the opening first."""
    box, seen = Mailbox("test"), []
    for number in range(100):
        box.put(lambda number=number: seen.append((number, threading.get_ident())))  # type: ignore[misc]
    box.open()
    box.close()
    assert [number for number, _ in seen] == list(range(100))
    assert {thread for _, thread in seen} != {threading.get_ident()}
    assert len({thread for _, thread in seen}) == 1


def test_delayed_actions_come_when_due() -> None:
    """Delayed actions run after their delays, the shortest first, while others go on; those not due are dropped."""
    box = Mailbox("test")
    seen: queue.SimpleQueue[str] = queue.SimpleQueue()
    box.later(timedelta(hours=1), lambda: seen.put("never"))
    box.later(timedelta(milliseconds=60), lambda: seen.put("second"))
    box.later(timedelta(milliseconds=20), lambda: seen.put("first"))
    box.put(lambda: seen.put("at once"))
    box.open()
    assert [seen.get(timeout=5) for _ in range(3)] == ["at once", "first", "second"]
    box.close()
    assert seen.empty()


def test_an_action_that_raises_does_not_end_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    """An error in an action is logged, and the next action runs."""
    box, seen = Mailbox("test"), []
    box.put(lambda: seen.append(1 // len(seen)))
    box.put(lambda: seen.append(2))
    box.open()
    box.close()
    assert seen == [2]
    assert "ZeroDivisionError" in caplog.text
