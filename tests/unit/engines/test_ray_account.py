"""What a worker's actor knows of its process without asking it."""

from datetime import timedelta

import pytest

from searchd.engines.ray.account import Account
from searchd.engines.ray.calls import Adopt, Call, Drain, Exchange, Retire, Taken
from searchd.ports.engine import Ended, Outcome, Segment
from searchd.worker.messages import Adopted, Reply, SegmentMessage, StaleEpoch
from tests.contracts.engine import POOL, segment

ONE, TWO, THREE = segment(1), segment(2), segment(3)


def exchange(*segments: Segment, epoch: int = 1, acknowledged: int = 0) -> Exchange:
    """An exchange that hands over segments."""
    return Exchange(1, epoch, acknowledged, segments, (), timedelta(0))


def told(sequence: int, of: Segment, outcome: Outcome | None = Outcome.REACHED) -> Reply:
    """A reply with one message."""
    ended = None if outcome is None else Ended(outcome, 1)
    return Reply((SegmentMessage(sequence, of.key, of.attempt, (), ended),), None)


def held(*segments: Segment) -> tuple[object, ...]:
    """Segments as the account names them."""
    return tuple((segment.key, segment.attempt) for segment in segments)


def test_a_segment_is_held_until_its_end_is_acknowledged() -> None:
    """A segment counts from the exchange that brings it until one acknowledges the message with its end, however often
    that was told before; reports change nothing."""
    account = Account()
    account.passes(exchange(ONE, TWO))
    account.passes(exchange(THREE))
    assert account.holding == held(ONE, TWO, THREE)
    account.answered(told(1, ONE, None))
    account.answered(told(2, ONE))
    account.answered(told(2, ONE))
    account.passes(exchange(acknowledged=1))
    assert account.holding == held(ONE, TWO, THREE)
    account.passes(exchange(acknowledged=2))
    assert account.holding == held(TWO, THREE)
    account.answered(told(2, ONE))
    account.passes(exchange(acknowledged=9))
    assert account.holding == held(TWO, THREE)


def test_the_outbox_of_an_adoption_counts() -> None:
    """Ends that a worker tells when it is adopted are acknowledged like any others."""
    account = Account()
    account.passes(exchange(ONE, TWO))
    account.passes(Adopt(2))
    account.answered(Taken(Adopted(2, POOL, ()), told(1, ONE)))
    account.answered(None)
    account.passes(exchange(epoch=2, acknowledged=1))
    assert account.holding == held(TWO)


@pytest.mark.parametrize("call", [exchange(ONE, epoch=1, acknowledged=9), Adopt(1), Drain(1), Retire(1)])
def test_an_older_server_is_not_listened_to(call: Call) -> None:
    """Once a newer server has spoken, no call of an older one passes, and nothing of it counts."""
    account = Account()
    account.passes(exchange(TWO))
    account.answered(told(1, TWO))
    account.begin(2)
    with pytest.raises(StaleEpoch) as refused:
        account.passes(call)
    assert (refused.value.epoch, refused.value.current) == (1, 2)
    assert account.epoch == 2
    assert account.holding == held(TWO)
