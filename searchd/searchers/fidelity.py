"""What trials that did not reach the top rung would have scored there, so that a model of complete trials learns from
them too.

From each rung to the next a line is fitted on the trials that completed both, and lines are chained up to the top. A
trial climbs because of its score at the lower rung, which is the line's input: choosing by it does not bias the line,
as it would bias a comparison of means.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from searchd.domain.fidelity import Fidelity, Ladder
from searchd.domain.trial import TrialState
from searchd.ports.searcher import Observation

PRIOR_PAIRS = 2.0
"""So many pairs say beforehand that the line from a rung to the next keeps the spread of scores."""

LARGEST = 1e300
"""No expected score is beyond plus or minus this, so that all are finite."""

PARTIAL = (TrialState.PENDING, TrialState.RUNNING, TrialState.PAUSED, TrialState.STOPPED)
"""States of trials that may have completed a lower rung and will be imputed from there."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a score at one rung says of the next: ``slope * score + shift`` is to be expected there."""

    slope: float
    shift: float

    def at(self, score: float) -> float:
        """The expected score at the next rung."""
        return min(max(self.slope * score + self.shift, -LARGEST), LARGEST)


def imputed(observations: Sequence[Observation], ladder: Ladder) -> list[Observation]:
    """The observations, those with a score below the top rung turned into complete ones, with the score to be expected
    there and the seconds that getting there would take.

    Args:
        observations: Trials, each once.
        ladder: The study's.
    """
    if not any(_is_partial(o, ladder) for o in observations):
        return list(observations)
    lines = [
        _line([(o.scores[rung], o.scores[rung + 1]) for o in observations if len(o.scores) > rung + 1])
        for rung in range(len(ladder) - 1)
    ]
    return [_completed(o, lines, ladder) if _is_partial(o, ladder) else o for o in observations]


def _is_partial(observation: Observation, ladder: Ladder) -> bool:
    return observation.state in PARTIAL and 0 < len(observation.scores) < len(ladder)


def _completed(observation: Observation, lines: Sequence[Line], ladder: Ladder) -> Observation:
    reached = len(observation.scores)
    score = observation.scores[-1]
    for line in lines[reached - 1 :]:
        score = line.at(score)
    # Its real scores stay in front, as those of a trial that got there.
    scores = (*observation.scores, *(score,) * (len(ladder) - reached))
    seconds = observation.seconds * _epochs(ladder[-1]) / _epochs(ladder[reached - 1])
    return replace(observation, state=TrialState.COMPLETED, scores=scores, seconds=seconds)


def _epochs(rung: Fidelity) -> int:
    return rung.folds * rung.epochs


def _line(pairs: Sequence[tuple[float, float]]) -> Line:
    """Least squares, the slope drawn towards 1 and kept from turning the order round."""
    if not pairs:
        return Line(1.0, 0.0)
    # Scaled, so that squares of huge scores are finite.
    scale = max(max(abs(a), abs(b)) for a, b in pairs) or 1.0
    scaled = [(a / scale, b / scale) for a, b in pairs]
    x, y = fmean(a for a, _ in scaled), fmean(b for _, b in scaled)
    across = sum((a - x) ** 2 for a, _ in scaled)
    along = sum((a - x) * (b - y) for a, b in scaled)
    weight = PRIOR_PAIRS * across / len(pairs)
    slope = max((along + weight) / (across + weight), 0.0) if across > 0 else 1.0
    return Line(slope, (y - slope * x) * scale)
