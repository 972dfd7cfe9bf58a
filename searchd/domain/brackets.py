"""Brackets: from which rung on a trial is judged."""

import bisect
import hashlib
import itertools
from dataclasses import dataclass

from searchd.domain.scheduler import SchedulerAlgorithm
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber


@dataclass(frozen=True, slots=True)
class Brackets:
    """Trials divided into brackets. One in bracket b climbs below rung b whatever its score, which counts for nobody.

    A trial's bracket depends on the study's seed and the trial's number alone, so that it need not be stored and is
    the same after a restart and in every attempt.

    Attributes:
        seed: The study's.
        weights: The expected share of trials in each bracket, not normalised, at least 1 each; shape (n_brackets,).
    """

    seed: int = 0
    weights: tuple[int, ...] = (1,)

    def of(self, trial: TrialNumber) -> int:
        """The trial's bracket, from 0."""
        if len(self.weights) == 1:
            return 0
        digest = hashlib.blake2b(f"bracket {self.seed} {trial}".encode(), digest_size=8).digest()
        bounds = list(itertools.accumulate(self.weights))
        return bisect.bisect_right(bounds, int.from_bytes(digest, "big") * bounds[-1] >> 64)


ONE_BRACKET = Brackets()
"""All trials are judged from the lowest rung on."""


def brackets_of(spec: StudySpec) -> Brackets:
    """The brackets of a study: as many as ASHA is told to use, all that its ladder has for Hyperband, else one.

    With R rungs, bracket b has ceil(R / (R - b) * eta^(R - 1 - b)) trials to R of the last one, which goes straight to
    the top, so that all cost about the same (Li et al., "Hyperband", JMLR 2018, Algorithm 1).
    """
    rungs, eta = len(spec.ladder), spec.scheduler.eta
    match spec.scheduler.algorithm:
        case SchedulerAlgorithm.HYPERBAND:
            count = rungs
        case SchedulerAlgorithm.ASHA:
            count = min(spec.scheduler.brackets, rungs)
        case _:
            count = 1
    return Brackets(spec.seed, tuple(-(-rungs * eta ** (rungs - 1 - b) // (rungs - b)) for b in range(count)))
