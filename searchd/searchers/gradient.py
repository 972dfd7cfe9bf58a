"""Search by gradients: ascent in the continuous parameters, by the derivatives that trials report, from several starts.

Adam (Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015), its steps projected onto the space. Where
such derivatives come from: Franceschi et al., "Forward and Reverse Gradient-Based Hyperparameter Optimization", ICML
2017.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from searchd.domain.space import Float, Parameters
from searchd.domain.study import StudySpec, gradient_name
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Suggestion
from searchd.searchers.chance import uniforms
from searchd.searchers.distinct import Novelty
from searchd.searchers.sobol import SobolPoints

STARTS = 3
"""Starts that are kept alive; one that has stalled is replaced."""

RATE = 0.1
"""Length of a start's first steps in each parameter, as a share of its range on its own scale."""

LEAST_RATE = RATE / 8
"""A start whose steps are shorter than this has stalled."""

KEPT_MEAN, KEPT_SQUARE = 0.9, 0.99
"""How much a step keeps of the running means of the slopes and of their squares."""

STILL = 1e-9
"""A step of this share of the range is none; at a bound, rounding leaves no more."""

LARGEST_SLOPE = 1e100
"""Beyond it squares overflow. Only the sign of such a slope can be true anyway."""

Point = Mapping[str, float]
"""A number for each parameter that is steered, by name."""


class GradientSearcher:
    """Climbs from several starts, one step whenever a start's trials have all ended.

    The continuous parameters are steered, each on the unit interval of its own scale; all others keep the values that
    the start was drawn with. A start is a trial that no step led to: a point of a Sobol sequence, or what others asked
    for, such as the default configuration. Of the starts that wait for their next step the best one takes it; if none
    waits, or fewer than STARTS are alive, a new start is drawn.

    What a start does next follows from its trials alone. The note of a step names the start; other trials have none.
    Without a continuous parameter there are only starts.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._space = spec.space
        self._seed = spec.seed
        self._view = _View(spec)
        self._points = SobolPoints(len(spec.space.parameters), spec.seed)
        self._novelty = Novelty(spec.space, spec.seed)
        self._trials: dict[TrialNumber, dict[TrialNumber, Observation]] = {}
        self._climbs: dict[TrialNumber, _Climb] = {}

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; the newest observation of a trial replaces older ones."""
        for observation in observations:
            self._novelty.take(observation.number, observation.parameters)
            self._trials.setdefault(_start_of(observation), {})[observation.number] = observation
            self._climbs.pop(_start_of(observation), None)

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """The next step of a start, or a new start; None if a discrete space is used up."""
        self._forget(number)
        climbs = {start: self._climb(start) for start in sorted(self._trials)}
        alive = {start: climb for start, climb in climbs.items() if not climb.over}
        waiting = [start for start, climb in alive.items() if not climb.under_way]
        if waiting and len(alive) >= STARTS:
            best = max(waiting, key=lambda start: alive[start].standing)
            suggestion = Suggestion(self._view.moved(alive[best]), json.dumps({"start": best}))
        else:
            drawn = self._novelty.fresh(number, lambda attempt: self._draw(number, attempt))
            if drawn is None:
                return None
            suggestion = Suggestion(drawn)
        self.tell([Observation(number, suggestion.parameters, TrialState.PENDING, note=suggestion.note)])
        return suggestion

    def _forget(self, number: TrialNumber) -> None:
        """Nothing follows from an earlier answer for the same trial."""
        for start, trials in list(self._trials.items()):
            if trials.pop(number, None) is not None:
                self._climbs.pop(start, None)
                if not trials:
                    del self._trials[start]

    def _climb(self, start: TrialNumber) -> "_Climb":
        if start not in self._climbs:
            trials = self._trials[start]
            self._climbs[start] = _climbed([self._view.seen(trials[number]) for number in sorted(trials)])
        return self._climbs[start]

    def _draw(self, number: TrialNumber, attempt: int) -> Parameters:
        count = len(self._space.parameters)
        return self._space.draw(uniforms(self._seed, number, count, attempt) if attempt else self._points.point(number))


def _start_of(observation: Observation) -> TrialNumber:
    return TrialNumber(json.loads(observation.note)["start"]) if observation.note else observation.number


@dataclass(frozen=True, slots=True)
class _Seen:
    """A trial as a climber sees it.

    Attributes:
        parameters: Its configuration.
        under_way: Whether it may still be trained without anybody's decision.
        scores: At each completed rung, larger is better; empty if it failed or was stopped.
        at: Where it is, in [0, 1] for each steered parameter that is active.
        slopes: Of the last score there; empty without any.
    """

    parameters: Parameters
    under_way: bool
    scores: tuple[float, ...] = ()
    at: Point = field(default_factory=dict)
    slopes: Point = field(default_factory=dict)

    def better_than(self, other: "_Seen") -> bool:
        """Whether its score is better at the highest rung that both have completed."""
        common = min(len(self.scores), len(other.scores))
        return common > 0 and self.scores[common - 1] > other.scores[common - 1]


class _View:
    """How trials look on the unit interval of each steered parameter's own scale."""

    def __init__(self, spec: StudySpec) -> None:
        self._space = spec.space
        self._goal = spec.objective.goal
        named = {condition.parameter for p in spec.space.parameters for condition in p.when}
        # What others are conditional on stays where it is, so that a step changes no parameter's being.
        self._steered = {
            p.name: p.domain for p in spec.space.continuous() if isinstance(p.domain, Float) and p.name not in named
        }
        self._places = {name: spec.others.index(gradient_name(spec.objective.metric, name)) for name in self._steered}

    def seen(self, trial: Observation) -> _Seen:
        """The trial, its slopes by the chain rule those on the unit interval. One outside the space has none."""
        under_way = trial.state in (TrialState.PENDING, TrialState.RUNNING)
        active = {p.name: p.domain for p in self._space.active(trial.parameters)}
        parameters: dict[str, Any] = {name: trial.parameters.get(name) for name in active}
        inside = all(name in trial.parameters and domain.contains(parameters[name]) for name, domain in active.items())
        usable = trial.state in (TrialState.COMPLETED, TrialState.PAUSED) and trial.others and inside
        if not usable:
            return _Seen(parameters, under_way)
        steered = {name: domain for name, domain in self._steered.items() if name in active}
        slopes = {
            name: self._goal.signed(trial.others[self._places[name]]) * _stretch(domain, parameters[name])
            for name, domain in steered.items()
        }
        return _Seen(
            parameters,
            under_way,
            tuple(map(self._goal.signed, trial.scores)),
            {name: _position(domain, parameters[name]) for name, domain in steered.items()},
            {name: min(max(slope, -LARGEST_SLOPE), LARGEST_SLOPE) for name, slope in slopes.items()},
        )

    def moved(self, climb: "_Climb") -> Parameters:
        """The configuration that a climb goes to next."""
        moved = {name: self._steered[name].at(u) for name, u in climb.target.items() if u != climb.at[name]}
        return {**climb.parameters, **moved}


def _position(domain: Float, value: float) -> float:
    """Where a value is on the unit interval of its scale; the inverse of ``Float.at``."""
    if domain.log:
        return math.log(value / domain.low) / math.log(domain.high / domain.low)
    return (value - domain.low) / (domain.high - domain.low)


def _stretch(domain: Float, value: float) -> float:
    """The derivative of the value by its position."""
    return value * math.log(domain.high / domain.low) if domain.log else domain.high - domain.low


@dataclass(frozen=True, slots=True)
class _Climb:
    """Where a start has got to.

    Attributes:
        under_way: Whether one of its trials has not ended.
        over: Whether it takes no further step.
        standing: Completed rungs and score of its best trial, by which starts are compared.
        parameters: That trial's configuration.
        at: Its position.
        target: The position to go to next.
    """

    under_way: bool
    over: bool = False
    standing: tuple[int, float] = (0, -math.inf)
    parameters: Parameters = field(default_factory=dict)
    at: Point = field(default_factory=dict)
    target: Point = field(default_factory=dict)


def _climbed(trials: Sequence[_Seen]) -> _Climb:
    """Replay a start: its trials in order, the first of which no step led to.

    A trial that is better than the best so far is where the next step begins. One that is not, that failed or was
    stopped, is taken back: steps are half as long from then on, and begin at the best one with nothing in memory.
    """
    if any(trial.under_way for trial in trials):
        return _Climb(under_way=True)
    best, *steps = trials
    if not best.slopes:
        return _Climb(under_way=False, over=True)
    rate, adam = RATE, _Adam(best.slopes)
    for trial in steps:
        if trial.better_than(best):
            best = trial
            adam.take(best.slopes)
        else:
            rate, adam = rate / 2, _Adam(best.slopes)
    target = {name: min(max(u + rate * adam.direction(name), 0.0), 1.0) for name, u in best.at.items()}
    standing = (len(best.scores), best.scores[-1])
    still = all(math.isclose(target[name], u, abs_tol=STILL) for name, u in best.at.items())
    over = rate < LEAST_RATE or still
    return _Climb(False, over, standing, best.parameters, best.at, target)


class _Adam:
    """The running means of slopes and of their squares, since a first one."""

    def __init__(self, slopes: Point) -> None:
        self._mean = dict.fromkeys(slopes, 0.0)
        self._square = dict.fromkeys(slopes, 0.0)
        self._taken = 0
        self.take(slopes)

    def take(self, slopes: Point) -> None:
        """One more."""
        self._taken += 1
        for name, slope in slopes.items():
            self._mean[name] = KEPT_MEAN * self._mean[name] + (1 - KEPT_MEAN) * slope
            self._square[name] = KEPT_SQUARE * self._square[name] + (1 - KEPT_SQUARE) * slope**2

    def direction(self, name: str) -> float:
        """The step in one parameter, about 1 long where slopes agree; 0 where there has been none."""
        mean = self._mean[name] / (1 - KEPT_MEAN**self._taken)
        square = self._square[name] / (1 - KEPT_SQUARE**self._taken)
        return mean / math.sqrt(square) if square else 0.0
