"""How long searchers let others wait, in their real process.

perform_ms is what the service's loop spends: handing over a command, or taking an answer; perform_ms_after_opening is
the most that it spends on the command right after a study with trials was opened, when another thread holds the
interpreter to pickle them. ask_ms is from an Ask, the result of a trial told just before, to its answer, by searcher
and number of trials known; 1e+04 means that none came in 10 s, or in 20 s after the study was opened. slots_waiting
is the share of slot time without work while eight slots train trials of a second, suggestions asked for ahead as the
conductor does.
"""

import heapq
import queue
import random
import statistics
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.report import Aim, Figure, Ratio
from benchmarks.search.arms import study
from benchmarks.search.tasks import hartmann
from searchd.domain.search import Algorithm
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Ask, Observation, OpenSearch, SearchCommand, Suggested, Suggestion, Tell
from searchd.searchers.host import Answer
from searchd.searchers.process import SearcherProcess

PATIENCE = 10.0
"""Seconds to wait for an answer, before a searcher counts as too slow for so many trials and more."""

OPENING_PATIENCE = 20.0
"""Seconds to wait for a study's first answer, which may have a vendor imported."""

ASKS = 5
STUDY = "projects/default/studies/benchmark"
SLOTS = 8
TRIAL_SECONDS = 1.0
TRIED = (
    Algorithm.BAYESIAN,
    Algorithm.RANDOM,
    Algorithm.SOBOL,
    Algorithm.TPE,
    Algorithm.GP,
    Algorithm.CMAES,
    Algorithm.NSGA2,
    Algorithm.HYPEROPT_TPE,
)
ON_SLOTS = (Algorithm.BAYESIAN, Algorithm.TPE, Algorithm.GP)


def measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]:
    """Ask each searcher with more and more trials known; then keep slots busy with some of them."""
    figures: list[Figure] = []
    calls = Calls()
    sizes = (100,) if quick else (100, 1000, 10_000)
    for algorithm in TRIED:
        for known, found in asked(algorithm, sizes, calls).items():
            figures.append(Figure(f"ask_ms/{known}_trials/{algorithm}", found * 1e3, "ms"))
    p99 = statistics.quantiles(calls.usual, n=100, method="inclusive")[-1]
    figures = [
        Figure("perform_ms_p99", p99 * 1e3, "ms", Aim(1.0, at_least=False)),
        Figure("perform_ms_most", max(calls.usual) * 1e3, "ms"),
        Figure("perform_ms_after_opening", max(calls.opening) * 1e3, "ms"),
        *figures,
    ]
    for algorithm in ON_SLOTS[: 1 if quick else None]:
        share = slots_waiting(algorithm, 16 if quick else 80)
        if share is not None:
            aim = Aim(0.02, at_least=False) if algorithm is Algorithm.BAYESIAN else None
            figures.append(Figure(f"slots_waiting_{algorithm}", share, "", aim))
    return (), figures


@dataclass(slots=True)
class Calls:
    """Seconds that commands and answers cost the loop: ``opening`` until a study's first answer, then ``usual``."""

    opening: list[float] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)


def asked(algorithm: Algorithm, sizes: Sequence[int], calls: Calls) -> dict[int, float]:
    """The median of seconds to an answer by number of trials known, fewest first.

    It ends with PATIENCE where an answer took longer, and before a size at which the searcher failed.
    """
    found: dict[int, float] = {}
    desk = Desk(calls)
    try:
        for known in sizes:
            seconds = _asked(desk, algorithm, known)
            if seconds is None:
                break
            found[known] = seconds
            if seconds >= PATIENCE:
                break
    finally:
        desk.close()
    return found


def _asked(desk: "Desk", algorithm: Algorithm, known: int) -> float | None:
    desk.open(algorithm, known, known + ASKS + 1)
    answer = desk.asked(TrialNumber(known + 1), OPENING_PATIENCE)
    took: list[float] = []
    for number in range(known + 2, known + ASKS + 2):
        if not isinstance(answer, Suggested):
            break
        desk.tell(TrialNumber(number - 1), answer.suggestions[0], TRIAL_SECONDS)
        began = time.perf_counter()
        answer = desk.asked(TrialNumber(number), PATIENCE)
        took.append(time.perf_counter() - began)
    if answer is None:
        return PATIENCE
    return statistics.median(took) if isinstance(answer, Suggested) else None


def slots_waiting(algorithm: Algorithm, trials: int, known: int = 100) -> float | None:
    """The share of slot time spent waiting for suggestions, in a study with so many trials behind it; 1 if none came,
    None if the searcher failed. Waiting for the very first one is not counted: that is its process starting."""
    desk = Desk(Calls())
    try:
        desk.open(algorithm, known, known + trials)
        return _Slots(desk, known, trials).share()
    finally:
        desk.close()


class Desk:
    """The loop's side of a searcher process; ``calls`` takes what each command and each answer cost it."""

    def __init__(self, calls: Calls) -> None:
        self.answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._task = hartmann(6)
        self._rng = random.Random(0)
        self._calls = calls
        self._noting = calls.opening
        self._process = SearcherProcess(self._take)

    def open(self, algorithm: Algorithm, known: int, trials: int) -> None:
        """Open a study of so many trials, of which some are complete, in place of the one before."""
        self._noting = self._calls.opening
        drawn = [self._task.space.draw([self._rng.random() for _ in range(6)]) for _ in range(known)]
        complete = [self._observed(TrialNumber(i), Suggestion(p), 1.0) for i, p in enumerate(drawn, start=1)]
        self.perform(OpenSearch(STUDY, study(algorithm, self._task, 0, trials), tuple(complete)))

    def tell(self, number: TrialNumber, of: Suggestion, seconds: float | None = None) -> None:
        """Tell of a trial that runs, or is complete after so many seconds."""
        self.perform(Tell(STUDY, (self._observed(number, of, seconds),)))

    def asked(self, number: TrialNumber, patience: float) -> Answer | None:
        """Ask for a trial and wait for the answer, but not for ever."""
        self.perform(Ask(STUDY, (number,)))
        try:
            return self.answers.get(timeout=patience)
        except queue.Empty:
            return None

    def perform(self, command: SearchCommand) -> None:
        """Hand over a command."""
        began = time.perf_counter()
        self._process.perform(command)
        self._noting.append(time.perf_counter() - began)

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def _take(self, answer: Answer) -> None:
        began = time.perf_counter()
        self.answers.put(answer)
        self._noting.append(time.perf_counter() - began)
        self._noting = self._calls.usual

    def _observed(self, number: TrialNumber, of: Suggestion, seconds: float | None) -> Observation:
        if seconds is None:
            return Observation(number, of.parameters, TrialState.RUNNING, note=of.note)
        values = self._task.evaluate(of.parameters, self._rng)
        return Observation(number, of.parameters, TrialState.COMPLETED, values, seconds=seconds, note=of.note)


class _Slots:
    """Slots that train by the clock, supplied as the conductor does: as many suggestions ahead as there are slots."""

    def __init__(self, desk: Desk, known: int, trials: int) -> None:
        self._desk = desk
        self._next = known + 1
        self._last = known + trials
        self._asked = 0
        self._ready: deque[tuple[TrialNumber, Suggestion]] = deque()
        self._running: list[tuple[float, int, Suggestion, float]] = []
        self._free: list[float] = []
        self._rng = random.Random(0)
        self._waited = 0.0
        self._trained = 0.0

    def share(self) -> float | None:
        self._ask()
        try:
            if not self._take(self._desk.answers.get(timeout=OPENING_PATIENCE)):
                return None
        except queue.Empty:
            return 1.0
        self._free = [time.perf_counter()] * SLOTS
        while self._running or self._ready or self._asked:
            self._start()
            self._ask()
            until = self._running[0][0] - time.perf_counter() if self._running else PATIENCE
            try:
                if not self._take(self._desk.answers.get(timeout=max(until, 0.0))):
                    return None
            except queue.Empty:
                if not self._running:
                    return 1.0
            self._end()
        return self._waited / (self._waited + self._trained)

    def _start(self) -> None:
        now = time.perf_counter()
        while self._ready and self._free:
            number, suggestion = self._ready.popleft()
            self._waited += now - self._free.pop()
            seconds = self._rng.uniform(0.5, 1.5) * TRIAL_SECONDS
            self._trained += seconds
            heapq.heappush(self._running, (now + seconds, number, suggestion, seconds))
            self._desk.tell(number, suggestion)

    def _end(self) -> None:
        now = time.perf_counter()
        while self._running and self._running[0][0] <= now:
            at, number, suggestion, seconds = heapq.heappop(self._running)
            self._free.append(at)
            self._desk.tell(TrialNumber(number), suggestion, seconds)

    def _ask(self) -> None:
        missing = min(SLOTS - len(self._ready) - self._asked, self._last - self._next + 1)
        if missing > 0:
            self._desk.perform(Ask(STUDY, tuple(TrialNumber(self._next + i) for i in range(missing))))
            self._next += missing
            self._asked += missing

    def _take(self, answer: Answer) -> bool:
        if not isinstance(answer, Suggested):
            return False
        self._asked -= len(answer.numbers)
        self._ready.extend(zip(answer.numbers, answer.suggestions, strict=True))
        return True
