"""A worker in virtual time: it trains what it is given, one segment after the other, and keeps what it has said."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from searchd.domain.failure import Failure
from searchd.domain.study import StudyName
from searchd.domain.trial import FoldRunKey, TrialNumber
from searchd.ports.engine import (
    Ended,
    EngineEvent,
    Outcome,
    PoolKey,
    Report,
    Segment,
    SegmentReported,
    SegmentStarted,
    WorkerId,
)

AT_ONCE = timedelta(0)


class VirtualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        """The current virtual time."""
        return self._now

    def advance_to(self, at: datetime) -> None:
        """Move to a time that is not before the current one."""
        self._now = max(self._now, at)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What training one epoch gives: metrics, and how long it took."""

    metrics: Mapping[str, float]
    duration: timedelta


Behaviour = Callable[[Segment, int], Iterator[Epoch]]
"""Trains a segment from the epoch after the given one. Returning ends the fold run early; raising fails it; a duration
longer than any timeout is a hang. What is not finite or missing in the metrics is refused as a worker refuses it."""


class Checkpoints:
    """The reports with which fold runs were saved: of each the newest two, and those that a segment says to keep."""

    def __init__(self) -> None:
        self._saved: dict[tuple[StudyName, TrialNumber], dict[FoldRunKey, list[Report]]] = {}

    def get(self, key: FoldRunKey, most: int | None = None) -> Report | None:
        """What was reported when the fold run was last saved, after at most so many epochs; None if it was not."""
        saved = self._saved.get((key.study, key.trial), {}).get(key, ())
        return next((report for report in reversed(saved) if most is None or report.epoch <= most), None)

    def save(self, segment: Segment, report: Report) -> None:
        """Save a fold run as of a report."""
        saved = self._saved.setdefault((segment.key.study, segment.key.trial), {}).setdefault(segment.key, [])
        saved.append(report)
        saved[:] = [old for old in saved[:-2] if old.epoch in segment.keep] + saved[-2:]

    def forget(self, study: StudyName, trial: TrialNumber | None) -> None:
        """Forget those of a trial, or of a whole study."""
        if trial is not None:
            self._saved.pop((study, trial), None)
            return
        for saved in [saved for saved in self._saved if saved[0] == study]:
            del self._saved[saved]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all workers of a cluster share.

    Attributes:
        clock: Virtual time.
        behaviour: How trainables train.
        plan: Has something happen after a delay.
        checkpoints: What is saved, by fold run.
        say: Sends what a worker says on its way.
        vacated: Called when a worker holds nothing any more.
    """

    clock: VirtualClock
    behaviour: Behaviour
    plan: Callable[[timedelta, Callable[[], None]], None]
    checkpoints: Checkpoints
    say: Callable[["SimulatedWorker", EngineEvent], None]
    vacated: Callable[["SimulatedWorker"], None]


class SimulatedWorker:
    """What a worker's process does.

    Attributes:
        id: Its name.
        pool: What it was started for.
        node: Where it is.
        alive: Whether its process has not ended; set by whoever ends it.
        running: The segment that it trains, or None.
        draining: Whether it saves at the next epoch and sets aside what it holds.
        outbox: What it has said and not heard the acknowledgement of.
    """

    def __init__(self, name: WorkerId, pool: PoolKey, node: str, around: Surroundings) -> None:
        self.id = name
        self.pool = pool
        self.node = node
        self.alive = True
        self.running: Segment | None = None
        self.draining = False
        self.outbox: deque[SegmentReported] = deque()
        self._around = around
        self._ready = False
        self._queue: deque[Segment] = deque()
        self._epochs: Iterator[Epoch] = iter(())
        self._epoch = 0
        self._announced = False
        self._cancelled: set[tuple[FoldRunKey, int]] = set()
        self._sequence = 0

    @property
    def held(self) -> list[Segment]:
        """What it runs and has queued, in this order."""
        return [*([self.running] if self.running else []), *self._queue]

    def become_ready(self) -> None:
        """Begin with what is queued."""
        self._ready = True
        self._begin()

    def run(self, segments: Sequence[Segment]) -> None:
        """Queue segments."""
        self._queue.extend(segments)
        self._begin()

    def cancel(self, key: FoldRunKey, attempt: int) -> None:
        """Cancel a segment at its next yield."""
        self._cancelled.add((key, attempt))

    def acknowledge(self, sequence: int) -> None:
        """Forget what was said up to there."""
        while self.outbox and self.outbox[0].sequence <= sequence:
            self.outbox.popleft()

    def _begin(self) -> None:
        """Start the next queued segment if the worker is free."""
        while self._ready and self.running is None and self._queue:
            segment = self._queue.popleft()
            if (segment.key, segment.attempt) in self._cancelled or self.draining:
                self._report(segment, (), self._unwanted(segment, None))
                continue
            saved = self._saved(segment)
            if saved is None and segment.donor is not None:
                reason = f"the checkpoint of trial {segment.donor.trial} at epoch {segment.donor.epoch} is gone"
                self._report(segment, (), self._failed(reason, Failure.ERROR))
                continue
            if saved is not None and saved.epoch >= segment.target:
                # The report of that epoch may have been lost with the worker that made it.
                self._report(segment, (saved,), Ended(Outcome.REACHED, saved.epoch))
                continue
            self.running = segment
            self._epoch = saved.epoch if saved is not None else 0
            self._epochs = self._around.behaviour(segment, self._epoch)
            self._announced = False
            self._train(segment)

    def _saved(self, segment: Segment) -> Report | None:
        """Where to go on: from its own checkpoint, or its donor's; None if there is none."""
        saved, donor = self._around.checkpoints.get(segment.key), segment.donor
        if saved is not None or donor is None:
            return saved
        return self._around.checkpoints.get(segment.key._replace(trial=donor.trial), donor.epoch)

    def _train(self, segment: Segment) -> None:
        """Plan the end of the running segment's next epoch."""
        plan = self._around.plan
        try:
            epoch = next(self._epochs, None)
        except Exception as error:
            failed = self._failed(f"{type(error).__name__}: {error}", Failure.ERROR)
            plan(AT_ONCE, lambda: self._end(segment, (), failed))
            return
        if epoch is None:
            saved = self._saved(segment)
            again = (saved,) if saved is not None and saved.epoch == self._epoch else ()
            plan(AT_ONCE, lambda: self._end(segment, again, Ended(Outcome.FINISHED, self._epoch)))
            return
        if not self._announced and epoch.duration >= timedelta(seconds=1):
            self._announced = True
            self._around.say(self, SegmentStarted(self.id, segment.key, segment.attempt, AT_ONCE))
        plan(epoch.duration, lambda: self._epoch_done(segment, epoch))

    def _epoch_done(self, segment: Segment, epoch: Epoch) -> None:
        if not self.alive:
            return
        missing = [metric for metric in segment.task.metrics if metric not in epoch.metrics]
        if missing:
            told = ", ".join(sorted(epoch.metrics)) or "nothing"
            reason = f"epoch {self._epoch + 1} reported no {missing[0]!r}, only {told}"
            self._end(segment, (), self._failed(reason, Failure.METRIC_MISSING))
            return
        self._epoch += 1
        report = Report(self._epoch, epoch.metrics, epoch.duration.total_seconds(), self._around.clock.now())
        ended = self._verdict(segment, report)
        if ended is not None:
            self._end(segment, (report,), ended)
        else:
            self._report(segment, (report,), None)
            self._train(segment)

    def _verdict(self, segment: Segment, report: Report) -> Ended | None:
        """Whether the segment ends after this report; it is saved where it must be."""
        reached = report.epoch >= segment.target
        bad = [metric for metric in segment.task.metrics if not math.isfinite(report.metrics[metric])]
        if bad:
            reason = f"{bad[0]} is {report.metrics[bad[0]]} at epoch {report.epoch}"
            return Ended(Outcome.INFEASIBLE, report.epoch, reason, failure=Failure.NOT_FINITE)
        if (segment.key, segment.attempt) in self._cancelled or (self.draining and not reached):
            return self._unwanted(segment, report)
        if not reached:
            return None
        if segment.target < segment.task.evaluation.epochs:
            self._around.checkpoints.save(segment, report)
        return Ended(Outcome.REACHED, report.epoch)

    def _unwanted(self, segment: Segment, report: Report | None) -> Ended:
        epoch = report.epoch if report is not None else 0
        if (segment.key, segment.attempt) in self._cancelled:
            self._cancelled.discard((segment.key, segment.attempt))
            return Ended(Outcome.CANCELLED, epoch)
        if report is not None:
            self._around.checkpoints.save(segment, report)
        return Ended(Outcome.DRAINED, epoch)

    def _failed(self, reason: str, failure: Failure) -> Ended:
        return Ended(Outcome.FAILED, self._epoch, reason, failure=failure)

    def _end(self, segment: Segment, reports: tuple[Report, ...], ended: Ended) -> None:
        if not self.alive:
            return
        self.running = None
        self._report(segment, reports, ended)
        self._begin()
        if not self.held:
            self._around.vacated(self)

    def _report(self, segment: Segment, reports: tuple[Report, ...], ended: Ended | None) -> None:
        self._sequence += 1
        message = SegmentReported(self.id, self._sequence, segment.key, segment.attempt, reports, ended)
        self.outbox.append(message)
        self._around.say(self, message)
