"""The outbox keeps results until they are committed."""

from datetime import UTC, datetime

from searchd.domain.study import StudyName
from searchd.domain.trial import FoldRunKey, TrialNumber
from searchd.ports.engine import Ended, Outcome, Report
from searchd.worker.outbox import Outbox


def key(trial: int) -> FoldRunKey:
    return FoldRunKey(StudyName("s"), TrialNumber(trial), 0, 0)


def report(epoch: int) -> Report:
    return Report(epoch, {"loss": 1.0}, 0.1, datetime(2030, 1, 1, tzinfo=UTC))


END = Ended(Outcome.REACHED, 2)


def test_what_waits_is_merged_by_segment() -> None:
    """Reports of one segment that nobody has fetched travel as one message; another attempt's are apart."""
    outbox = Outbox()
    outbox.post(key(1), 1, report(1), None)
    outbox.post(key(1), 1, report(2), END)
    outbox.post(key(1), 2, report(3), None)
    messages = outbox.take()
    assert [(m.sequence, m.attempt, [r.epoch for r in m.reports], m.ended) for m in messages] == [
        (1, 1, [1, 2], END),
        (2, 2, [3], None),
    ]


def test_a_message_that_left_never_changes() -> None:
    """What follows a message that was handed over gets a sequence of its own, also in a later epoch."""
    outbox = Outbox()
    outbox.post(key(1), 1, report(1), None)
    before = outbox.take()
    outbox.begin_epoch()
    outbox.post(key(1), 1, report(2), END)
    after = outbox.take()
    assert after[0] == before[0]
    assert [(m.sequence, [r.epoch for r in m.reports]) for m in after] == [(1, [1]), (2, [2])]


def test_acknowledged_messages_are_forgotten() -> None:
    """A new epoch sees only what is above the acknowledgement; one beyond the last message harms nothing."""
    outbox = Outbox()
    for trial in (1, 2, 3):
        outbox.post(key(trial), 1, report(1), END)
    outbox.take()
    outbox.acknowledge(2)
    outbox.begin_epoch()
    assert [m.sequence for m in outbox.take()] == [3]
    outbox.acknowledge(99)
    outbox.begin_epoch()
    assert not outbox.undelivered
    outbox.post(key(4), 1, report(1), END)
    assert [m.sequence for m in outbox.take()] == [4]
