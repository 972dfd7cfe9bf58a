"""One fold run while it is in memory: advanced segment by segment, saved, and closed."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum

from searchd.domain.errors import SearchdError
from searchd.domain.failure import Failure
from searchd.domain.trial import FoldRunKey
from searchd.ports.clock import Clock
from searchd.ports.engine import Ended, Outcome, Report, Segment
from searchd.trainable import Context, Infeasible, Registration, TrainedModel, set_current
from searchd.worker.checkpoint import Checkpoint, FoldRunCheckpoints, identity
from searchd.worker.failures import failure_of, first_line, reason_of, traceback_of
from searchd.worker.forms import Running, start
from searchd.worker.host import FoldRunHost, Surroundings
from searchd.worker.logs import FoldRunLog
from searchd.worker.metrics import MissingMetric, RefusedReport, checked_metrics, not_finite
from searchd.worker.randomness import save_states, seed_everything

SAVE_EVERY_SECONDS = 30.0

SAVE_PATIENCE_SECONDS = 120.0
"""For how long a checkpoint that a rung needs is tried to be saved again while the storage refuses it."""

SAVE_AGAIN_SECONDS = 2.0

Step = tuple[Report | None, Ended | None]
"""What one epoch adds to a segment's messages: a report, the segment's end, or both."""


class LostDonor(SearchdError):  # noqa: N818  # named for what went wrong
    """A descendant cannot begin, since no checkpoint of its donor can be read."""

    def __init__(self, trial: int, epoch: int) -> None:
        super().__init__(trial, epoch)
        self.trial = trial
        self.epoch = epoch

    def __str__(self) -> str:
        return f"trial {self.trial} has no checkpoint of epoch {self.epoch} or before to go on from"


class Order(Enum):
    """What the worker wants of the running segment; asked at each yield."""

    GO_ON = "go on"
    CANCEL = "cancel"
    DRAIN = "drain"


class LiveFoldRun:
    """A fold run in memory. Not thread-safe, and to be used from one thread only.

    Attributes:
        key: Which fold run.
        attempt: The newest attempt that it serves.
        epoch: Epochs trained so far; 0 before the first.
        log: What it printed.
        over: Whether it can train no further.
        seconds: Time spent in its segments.
    """

    def __init__(self, segment: Segment, registration: Registration, surroundings: Surroundings, clock: Clock) -> None:
        self.key: FoldRunKey = segment.key
        self.attempt = segment.attempt
        self.epoch = 0
        self.log = FoldRunLog(surroundings.storage.log(self.key))
        self.over = False
        self.seconds = 0.0
        self._registration = registration
        self._surroundings = surroundings
        self._clock = clock
        self._segment = segment
        self._running: Running | None = None
        self._context: Context | None = None
        self._host: FoldRunHost | None = None
        self._stepped = False
        self._last: Report | None = None
        self._checkpoints = FoldRunCheckpoints(surroundings.storage.checkpoints, self.key, surroundings.device)
        self._continued: Report | None = None
        self._saved_at = 0.0

    @property
    def model(self) -> TrainedModel | None:
        """What its trainable has handed over, until it is closed; None if it hands over none."""
        return self._host.handed_over if self._host is not None else None

    def continues(self, segment: Segment) -> bool:
        """Whether ``segment`` is a later hand-out of this very fold run."""
        return (
            segment.key == self.key
            and segment.attempt > self.attempt
            and not self.over
            and identity(segment) == identity(self._segment)
        )

    def advance(self, segment: Segment, order: Callable[[], Order]) -> Iterator[Step]:
        """Train up to the segment's target; yields what there is to report, the last time with the end.

        A fold run that is at the target already, or beyond, reports its last epoch again: the report may have been
        lost with the worker or the server that had it.
        """
        began = time.perf_counter()
        self._segment = segment
        self.attempt = segment.attempt
        self._saved_at = self._saved_at or began
        try:
            yield from self._epochs(segment, order)
        except Infeasible as gave_up:
            reason = first_line(gave_up) or "the trainable gave up"
            yield None, self._end(Outcome.INFEASIBLE, reason, Failure.NOT_FINITE)
        except RefusedReport as refused:
            yield None, self._failed(refused, str(refused), str(refused))
        except GeneratorExit:
            raise
        except BaseException as error:
            # SystemExit too: a trainable that calls sys.exit() has failed, the worker has not.
            yield None, self._failed(error, reason_of(error, self._source()))
        finally:
            self.seconds += time.perf_counter() - began
            set_current(None)

    def close(self) -> None:
        """Let go of the trainable; what it raises on the way out is only logged."""
        self.over = True
        running, self._running, self._context, self._host = self._running, None, None, None
        if running is not None:
            try:
                running.close()
            except BaseException as error:
                self._note(traceback_of(error))
        self.log.close()

    def _epochs(self, segment: Segment, order: Callable[[], Order]) -> Iterator[Step]:
        checkpoint = self._newest_checkpoint(segment) if self._running is None else None
        reached = self._reached_before(segment, checkpoint)
        if reached is not None:
            yield reached, Ended(Outcome.REACHED, reached.epoch)
            return
        since = time.perf_counter()
        running = self._running or self._start(checkpoint)
        del checkpoint
        set_current(self._context)
        while True:
            reported = running.step()
            if not self._stepped:
                self._stepped = True
                self.epoch = running.resumed
            if reported is None:
                yield self._returned()
                return
            self.epoch += 1
            metrics = checked_metrics(reported, segment.task.metrics, self.epoch)
            report = Report(self.epoch, metrics, time.perf_counter() - since, self._clock.now())
            self._last = report
            ended = self._verdict(segment, report, order)
            yield report, ended
            if ended is not None:
                return
            since = time.perf_counter()

    def _start(self, checkpoint: Checkpoint | None) -> Running:
        host = self._host = FoldRunHost(self._segment, self._surroundings, checkpoint)
        context = self._context = host.context()
        set_current(context)
        seed_everything(context.seed, context.device)
        self._running = start(self._registration, context, host, checkpoint, self._segment)
        self._continued = None if checkpoint is None else checkpoint.report
        return self._running

    def _newest_checkpoint(self, segment: Segment) -> Checkpoint | None:
        """Where to go on: from its own checkpoint, else its donor's; None at the beginning.

        Raises:
            LostDonor: it has a donor, which has no checkpoint that could be read.
        """
        own = self._checkpoints.newest(identity(segment), self._note) if segment.attempt > 1 else None
        donor = segment.donor
        if own is not None or donor is None:
            return own
        key = self.key._replace(trial=donor.trial)
        theirs = FoldRunCheckpoints(self._surroundings.storage.checkpoints, key, self._surroundings.device)
        belongs_to = identity(replace(segment, parameters=donor.parameters))
        found = theirs.newest(belongs_to, self._note, donor.epoch)
        if found is None:
            raise LostDonor(donor.trial, donor.epoch)
        return replace(found, donated=True)

    def _reached_before(self, segment: Segment, checkpoint: Checkpoint | None) -> Report | None:
        """The report at or beyond the target, if the fold run has been there."""
        if self._stepped:
            return self._last if self.epoch >= segment.target else None
        if checkpoint is not None and checkpoint.epoch >= segment.target:
            self.epoch = checkpoint.epoch
            return checkpoint.report
        return None

    def _verdict(self, segment: Segment, report: Report, order: Callable[[], Order]) -> Ended | None:
        """Whether the segment ends after this report; its state is saved where it must be."""
        bad = not_finite(report.metrics, segment.task.metrics)
        if bad is not None:
            reason = f"{bad} is {report.metrics[bad]} at epoch {report.epoch}"
            return self._end(Outcome.INFEASIBLE, reason, Failure.NOT_FINITE)
        wanted = order()
        if wanted is Order.CANCEL:
            return self._end(Outcome.CANCELLED, "cancelled on request")
        if report.epoch >= segment.target:
            return self._reached(segment, report, order)
        if wanted is Order.DRAIN:
            self._save_if_possible(report)
            return Ended(Outcome.DRAINED, report.epoch)
        if time.perf_counter() - self._saved_at > SAVE_EVERY_SECONDS:
            self._save_if_possible(report)
        return None

    def _reached(self, segment: Segment, report: Report, order: Callable[[], Order]) -> Ended:
        if segment.target >= segment.task.evaluation.epochs:
            return self._whole(Outcome.REACHED)
        where = self._surroundings.storage.checkpoints
        patience_ends = time.perf_counter() + SAVE_PATIENCE_SECONDS
        while True:
            try:
                self._save(report)
                return Ended(Outcome.REACHED, report.epoch)
            except Exception as error:
                # A storage that is full or out of reach may come back; what was trained is still in memory.
                if not isinstance(error, OSError) or time.perf_counter() > patience_ends:
                    return self._failed(error, f"the checkpoint cannot be saved in {where}: {reason_of(error)}")
                self._note(f"searchd: the checkpoint cannot be saved in {where} yet: {reason_of(error)}")
            match order():
                case Order.CANCEL:
                    return self._end(Outcome.CANCELLED, "cancelled on request")
                case Order.DRAIN:
                    return Ended(Outcome.DRAINED, report.epoch)
                case Order.GO_ON:
                    time.sleep(SAVE_AGAIN_SECONDS)

    def _returned(self) -> Step:
        if self.epoch == 0:
            reason = "the trainable never reported"
            return None, self._failed(MissingMetric(reason), reason, f"{reason}: it returned before its first yield")
        return self._continued if self._last is None else None, self._whole(Outcome.FINISHED)

    def _whole(self, outcome: Outcome) -> Ended:
        """The end of a fold run that was evaluated in full."""
        if self._host is not None:
            self._host.keep_predictions()
        return self._end(outcome)

    def _failed(self, error: BaseException, reason: str, logged: str | None = None) -> Ended:
        self._note(logged or traceback_of(error))
        return self._end(Outcome.FAILED, reason, failure_of(error), self.log.tail())

    def _end(self, outcome: Outcome, reason: str = "", failure: Failure | None = None, log_tail: str = "") -> Ended:
        self.over = True
        return Ended(outcome, self.epoch, reason, log_tail, failure)

    def _note(self, text: str) -> None:
        self.log.write(text if text.endswith("\n") else f"{text}\n")

    def _source(self) -> str:
        module = sys.modules.get(self._registration.target.__module__)
        return getattr(module, "__file__", None) or ""

    def _save(self, report: Report) -> None:
        if self._running is None or not self._running.keeps:
            return
        checkpoint = Checkpoint(identity(self._segment), report, self._running.state(), save_states())
        self._checkpoints.save(checkpoint, self.attempt, self._segment.keep)
        self._saved_at = time.perf_counter()

    def _save_if_possible(self, report: Report) -> None:
        try:
            self._save(report)
        except Exception as error:
            self._note(f"searchd: the checkpoint of epoch {report.epoch} was not saved: {reason_of(error)}")
            self._saved_at = time.perf_counter()
