"""The worker's protocol: delivery, acknowledgement, epochs, cancelling, draining, and leaving."""

import pickle
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from searchd.ports.engine import Outcome
from searchd.worker.messages import PROTOCOL_VERSION, Reply, StaleEpoch
from searchd.worker.worker import Worker
from tests.unit.worker.worker_harness import (
    DATA,
    Rows,
    Server,
    StoppedClock,
    a_segment,
    a_task,
    again,
    running,
    saved,
    settings,
)

NOW = timedelta(0)


def test_a_message_is_handed_over_once_in_an_epoch(tmp_path: Path) -> None:
    """Unacknowledged messages do not come again in the same epoch."""
    with running(tmp_path) as server:
        [first] = server.exchange(a_segment(a_task("trivial")))
        assert server.exchange(wait=NOW) == ()
        assert first.sequence == 1


def test_a_new_epoch_gets_what_was_not_acknowledged(tmp_path: Path) -> None:
    """After an adoption the new server is handed every message that was never acknowledged, and no other."""
    with running(tmp_path) as server:
        [one] = server.exchange(a_segment(a_task("trivial"), trial=1))
        [two] = server.exchange(a_segment(a_task("trivial"), trial=2))
        server.acknowledged = one.sequence
        server.exchange(wait=NOW)
        adopted = server.worker.adopt(2)
        assert (adopted.protocol, adopted.holding) == (PROTOCOL_VERSION, ())
        assert adopted.pool == settings(tmp_path).pool
        assert Server(server.worker, epoch=2).exchange() == (two,)


def test_a_new_epoch_without_adoption_gets_them_too(tmp_path: Path) -> None:
    """An exchange of a newer epoch begins that epoch."""
    with running(tmp_path) as server:
        messages = server.exchange(a_segment(a_task("trivial")))
        assert Server(server.worker, epoch=5).exchange() == messages


def test_calls_of_an_older_epoch_are_refused(tmp_path: Path) -> None:
    """A succeeded server can neither exchange nor adopt, and the error says which epoch rules."""
    with running(tmp_path) as server:
        server.worker.adopt(3)
        with pytest.raises(StaleEpoch) as refused:
            server.exchange(a_segment(a_task("trivial")))
        with pytest.raises(StaleEpoch):
            server.worker.adopt(2)
        copy = pickle.loads(pickle.dumps(refused.value))
        assert (copy.epoch, copy.current) == (1, 3)
        assert server.worker.adopt(3).holding == ()


def test_an_exchange_that_is_waiting_when_it_is_succeeded_takes_nothing(tmp_path: Path) -> None:
    """The old server's waiting call ends with StaleEpoch, and the new server gets the message."""
    with running(tmp_path) as server:
        task = a_task("quadratic", seconds=0.3)
        errors: list[BaseException] = []

        def old() -> None:
            try:
                server.exchange(a_segment(task))
            except StaleEpoch as stale:
                errors.append(stale)

        thread = threading.Thread(target=old)
        thread.start()
        time.sleep(0.1)
        adopted = server.worker.adopt(2)
        thread.join(timeout=5)
        assert len(errors) == 1
        assert adopted.holding == ((a_segment(task).key, 1),)
        [message] = Server(server.worker, epoch=2).exchange()
        assert message.ended is not None
        assert message.ended.outcome is Outcome.REACHED


def test_a_newer_exchange_ends_the_older_at_once(tmp_path: Path) -> None:
    """An exchange that is waiting returns what there is, nothing, when another one of its epoch arrives."""
    with running(tmp_path) as server:
        replies: list[Reply] = []
        began = time.monotonic()
        thread = threading.Thread(
            target=lambda: replies.append(server.worker.exchange(1, 0, (), (), timedelta(seconds=30)))
        )
        thread.start()
        time.sleep(0.05)
        server.exchange(wait=NOW)
        thread.join(timeout=5)
        assert [reply.messages for reply in replies] == [()]
        assert time.monotonic() - began < 5


def test_brief_segments_travel_together(tmp_path: Path) -> None:
    """Hundreds of brief segments are answered in far fewer replies, each message in order of sequence."""
    with running(tmp_path) as server:
        task = a_task("trivial")
        server.run(*(a_segment(task, trial=n) for n in range(1, 501)))
        assert [m.sequence for m in server.messages] == list(range(1, 501))
        replies = server.worker._exchanges
    assert replies < 100


def test_epochs_of_one_segment_travel_in_one_message(tmp_path: Path) -> None:
    """Reports that wait together become one message with the end."""
    with running(tmp_path) as server:
        server.run(a_segment(a_task("quadratic", epochs=20), target=20))
    assert sum(len(m.reports) for m in server.messages) == 20
    assert len(server.messages) < 20


def test_a_reply_tells_what_runs_and_for_how_long(tmp_path: Path) -> None:
    """While a segment runs, replies name it with its attempt and the time since it began."""
    with running(tmp_path) as server:
        segment = a_segment(a_task("quadratic", seconds=0.4))
        server.exchange(segment, wait=timedelta(seconds=0.1))
        reply = server.worker.exchange(1, 0, (), (), NOW)
        assert reply.running is not None
        key, attempt, elapsed = reply.running
        assert (key, attempt) == (segment.key, 1)
        assert timedelta(seconds=0.05) < elapsed < timedelta(seconds=5)


def test_a_running_segment_is_cancelled_at_its_next_yield(tmp_path: Path) -> None:
    """CANCELLED comes with the epoch that was under way, nothing is saved, and a queued segment is not touched."""
    with running(tmp_path) as server:
        task = a_task("quadratic", epochs=100, seconds=0.05)
        segment, other = a_segment(task, target=99), a_segment(a_task("trivial"), trial=2)
        server.exchange(segment, other, wait=timedelta(seconds=0.1))
        server.exchange(cancels=((segment.key, 1), (segment.key, 7)), wait=NOW)
        while len([m for m in server.messages if m.ended]) < 2:
            server.exchange()
        cancelled, finished = [m.ended for m in server.messages if m.ended]
        assert cancelled is not None
        assert cancelled.outcome is Outcome.CANCELLED
        assert 1 <= cancelled.epoch < 99
        assert finished is not None
        assert finished.outcome is Outcome.REACHED
    assert not (tmp_path / "checkpoints").exists()


def test_a_queued_segment_is_cancelled_before_it_starts(tmp_path: Path) -> None:
    """A cancelled segment that has not begun never runs."""
    with running(tmp_path) as server:
        first = a_segment(a_task("quadratic", seconds=0.2), trial=1)
        queued = a_segment(a_task("exits"), trial=2)
        server.exchange(first, queued, wait=NOW)
        server.exchange(cancels=((queued.key, 1),), wait=NOW)
        while len([m for m in server.messages if m.ended]) < 2:
            server.exchange()
        ended = server.messages[-1].ended
        assert ended is not None
        assert (ended.outcome, ended.epoch) == (Outcome.CANCELLED, 0)


def test_draining_saves_and_sets_everything_aside(tmp_path: Path) -> None:
    """Held and later segments end DRAINED; an adopted worker goes on where it stopped."""
    with running(tmp_path) as server:
        task = a_task("quadratic", epochs=1000, seconds=0.02)
        held, queued = a_segment(task, target=500), a_segment(task, trial=2, target=500)
        server.exchange(held, queued, wait=timedelta(seconds=0.1))
        server.worker.drain()
        late = a_segment(task, trial=3)
        server.exchange(late)
        while len([m for m in server.messages if m.ended]) < 3:
            server.exchange()
        ends = {m.key.trial: m.ended for m in server.messages if m.ended}
        assert [ends[n].outcome for n in sorted(ends)] == [Outcome.DRAINED] * 3
        stopped_at = ends[held.key.trial].epoch
        assert stopped_at >= 1
        assert [folder.name for folder in saved(tmp_path / "checkpoints")] == [f"{stopped_at}-1"]
        server.worker.adopt(2)
        successor = Server(server.worker, epoch=2)
        successor.acknowledged = server.messages[-1].sequence
        [(reports, ended)] = successor.run(again(held, target=stopped_at + 2))
        assert [r.epoch for r in reports] == [stopped_at + 1, stopped_at + 2]
        assert ended.outcome is Outcome.REACHED


def test_without_a_server_it_saves_and_leaves(tmp_path: Path) -> None:
    """When no exchange comes for the grace time, a running fold run is saved and main returns."""
    worker = Worker(settings(tmp_path, grace=timedelta(seconds=0.3)), Rows(), StoppedClock())
    thread = threading.Thread(target=worker.main, daemon=True)
    thread.start()
    Server(worker).exchange(a_segment(a_task("quadratic", epochs=10000, seconds=0.02), target=5000), wait=NOW)
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert len(saved(tmp_path / "checkpoints")) == 1


def test_an_idle_worker_leaves_after_the_grace_time_only(tmp_path: Path) -> None:
    """Exchanges keep an idle worker; silence ends it."""
    worker = Worker(settings(tmp_path, grace=timedelta(seconds=0.4)), Rows(), StoppedClock())
    thread = threading.Thread(target=worker.main, daemon=True)
    thread.start()
    for _ in range(4):
        Server(worker).exchange(wait=timedelta(seconds=0.2))
    assert thread.is_alive()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_a_retired_worker_answers_at_once(tmp_path: Path) -> None:
    """After main has returned an exchange does not wait."""
    with running(tmp_path) as server:
        server.worker.retire()
        began = time.monotonic()
        assert server.exchange(wait=timedelta(seconds=30)) == ()
    assert time.monotonic() - began < 10


def test_ctrl_c_does_not_end_a_worker(tmp_path: Path) -> None:
    """SIGINT, which a terminal sends to the whole process group, is ignored while main runs."""
    program = f"""
import os, signal, sys, threading, time
sys.path.insert(0, {str(DATA.parents[1])!r})
from pathlib import Path
from tests.unit.worker.worker_harness import *
worker = Worker(settings(Path({str(tmp_path)!r})), Rows(), StoppedClock())
def drive():
    server = Server(worker)
    server.exchange(a_segment(a_task("quadratic", seconds=0.3)), wait=timedelta(0))
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)
    server.exchange()
    sys.stdout.write(server.messages[-1].ended.outcome)
    worker.retire()
threading.Thread(target=drive).start()
worker.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "reached"), done.stderr
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
