"""Whether suggestions keep up with training: an expensive model steps down to a cheaper one while slots would wait."""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from statistics import fmean, median

from searchd.domain.search import Algorithm
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation

SHARE = 0.1
"""Of the time in which the slots use up a suggestion, the largest part that finding one may take."""

EASE = 0.2
"""To step up again, what the dearer model took must be less than this part of what it may take by now."""

LOOK_BACK = 5
"""Asks of one algorithm, and trials, before anything is concluded; asks are judged by their median."""

RECENT = 20
"""Trials, the last told, whose mean time counts."""

STEPS = (Algorithm.GP, Algorithm.TPE, Algorithm.SOBOL)
"""From the dearest to the cheapest. What is not among them costs no more than TPE."""


@dataclass(frozen=True, slots=True)
class Step:
    """The dearest algorithm that may be asked, and why.

    Attributes:
        by: One of STEPS.
        asked: Seconds that a suggestion took when a dearer one was left.
        trained: Seconds of training per trial at that time.
        slots: Trials at once at that time.
    """

    by: Algorithm
    asked: float
    trained: float
    slots: int

    def allows(self, algorithm: Algorithm) -> bool:
        """Whether an algorithm is as cheap as this step."""
        return _place(algorithm) >= _place(self.by)

    @property
    def remark(self) -> str:
        """Why it is not the dearer one."""
        dearer = STEPS[STEPS.index(self.by) - 1]
        return (
            f"{dearer} took {self.asked:.2g} s per suggestion, too long for {self.slots} slot{'s' * (self.slots != 1)}"
            f" and trials of {self.trained:.2g} s"
        )


TOP = Step(Algorithm.GP, 0.0, 0.0, 1)
"""Where every study begins: everything may be asked."""


def _place(algorithm: Algorithm) -> int:
    return STEPS.index(algorithm) if algorithm in STEPS else STEPS.index(Algorithm.TPE)


def written(step: Step) -> list[object]:
    """The step as JSON values."""
    return [str(step.by), step.asked, step.trained, step.slots]


def read(note: Mapping[str, object]) -> Step | None:
    """The step that a note holds under ``step``; None if there is none."""
    match note.get("step"):
        case [str(by), int() | float() as asked, int() | float() as trained, int(slots)] if by in STEPS:
            return Step(Algorithm(by), asked, trained, slots)
    return None


class Pace:
    """The step at which a study's suggestions keep up with it.

    A trial occupies a slot for its seconds of training, so that ``slots`` of them use up a suggestion every
    ``seconds / slots``. The step goes into the notes of trials, by which a rebuilt searcher goes on from it.
    """

    def __init__(self, slots: int | None) -> None:
        """At the top.

        Args:
            slots: The study's limit of fold runs at once; None for as many trials as are seen to run at once.
        """
        self.step = TOP
        self.stepped = False
        self._slots = slots
        self._noted_by = TrialNumber(0)
        self._asking: Algorithm | None = None
        self._asked: deque[float] = deque(maxlen=LOOK_BACK)
        self._trained: dict[TrialNumber, float] = {}
        self._running: set[TrialNumber] = set()

    def tell(self, observation: Observation) -> None:
        """Take in how long a trial has been trained, and the step that it was suggested at."""
        number = observation.number
        if observation.state is TrialState.RUNNING:
            self._running.add(number)
        else:
            self._running.discard(number)
            if observation.seconds > 0:
                self._trained.pop(number, None)
                self._trained[number] = observation.seconds
        if observation.note and number > self._noted_by:
            noted = read(json.loads(observation.note))
            if noted is not None:
                self.step, self.stepped, self._noted_by = noted, True, number

    def asked(self, algorithm: Algorithm, seconds: float, number: TrialNumber) -> None:
        """An algorithm took so long for a trial's suggestion: steps down, or up again, if that is called for.

        A study with one slot stays at the top: the same seed is to give the same study, however fast the machine is.
        """
        if self._slots == 1:
            return
        if algorithm is not self._asking:
            self._asking = algorithm
            self._asked.clear()
        self._asked.append(seconds)
        if min(len(self._asked), len(self._trained)) < LOOK_BACK:
            return
        trained = fmean(islice(reversed(self._trained.values()), RECENT))
        slots = self._slots or max(len(self._running), 1)
        allowed, took = SHARE * trained / slots, median(self._asked)
        if took > allowed and algorithm is not STEPS[-1]:
            by = STEPS[_place(algorithm) + 1]
        elif self.step.by is not STEPS[0] and self.step.asked < EASE * allowed:
            by, took = STEPS[_place(self.step.by) - 1], self.step.asked
        else:
            return
        self.step, self.stepped, self._noted_by = Step(by, took, trained, slots), True, number
        self._asked.clear()
