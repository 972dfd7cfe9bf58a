"""What searchers promise that can pursue several objectives, or keep to limits."""

import statistics
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from searchd.domain.objective import Goal, Limit, Objective
from searchd.domain.search import Algorithm
from searchd.domain.space import Float, Parameter, Parameters, SearchSpace
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber, TrialState, keeps_limits
from searchd.ports.searcher import Observation, Searcher
from searchd.searchers.factory import make_searcher
from tests.contracts.searcher import assert_belongs, spec

SQUARE = SearchSpace((Parameter("x", Float(-5, 5)), Parameter("y", Float(-5, 5))))

TWO = (Objective("gain", Goal.MAXIMIZE), Objective("cost", Goal.MINIMIZE))
"""Both are best at x = 2: the gain at y = -1, the cost at y = 3. In between is the Pareto front."""

LIMIT = Limit("size", at_most=0.0)
"""Kept where x is not above 0."""


def metrics(parameters: Parameters) -> Mapping[str, float]:
    """What a trial reports."""
    x, y = parameters["x"], parameters["y"]
    return {"gain": -((x - 2) ** 2) - (y + 1) ** 2, "cost": (x - 2) ** 2 + (y - 3) ** 2, "size": x}


def reported(
    study: StudySpec, number: int, parameters: Parameters, state: TrialState = TrialState.COMPLETED, **more: Any
) -> Observation:
    """A trial of a study with its metrics, as searchers see it."""
    values = metrics(parameters)
    others = tuple(values[name] for name in study.others)
    scores = (values[study.objective.metric],)
    feasible = keeps_limits(study, others)
    return Observation(TrialNumber(number), parameters, state, scores, others, feasible, **more)


def searched(searcher: Searcher, study: StudySpec, numbers: range) -> list[Observation]:
    """Trials one after the other, all of them completed."""
    told = []
    for number in numbers:
        suggestion = searcher.suggest(TrialNumber(number))
        assert suggestion is not None
        told.append(reported(study, number, suggestion.parameters, note=suggestion.note))
        searcher.tell(told[-1:])
    return told


class SeveralObjectivesContract:
    """Subclass with the fixtures ``algorithm`` and ``trials``."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        raise NotImplementedError

    @pytest.fixture
    def trials(self) -> tuple[int, int]:
        """Random trials that are known at the start, and own trials after which something has been learnt."""
        raise NotImplementedError

    def late(self, study: StudySpec, trials: tuple[int, int]) -> list[Parameters]:
        """The last of a study's trials, at most 8."""
        known, own = trials
        by_chance = replace(study, search=replace(study.search, algorithm=Algorithm.RANDOM))
        searcher = make_searcher(study)
        searcher.tell(searched(make_searcher(by_chance), by_chance, range(1, known + 1)))
        told = searched(searcher, study, range(known + 1, known + own + 1))
        return [o.parameters for o in told[-8:]]

    def test_comes_near_the_front(self, algorithm: Algorithm, trials: tuple[int, int]) -> None:
        """With one metric to maximise and one to minimise, the last trials are nearer to the front than chance."""
        late = self.late(replace(spec(algorithm, SQUARE, 3), objectives=TWO), trials)
        assert statistics.median(abs(p["x"] - 2) for p in late) < 1.25
        assert statistics.median(max(-1 - p["y"], p["y"] - 3, 0) for p in late) < 1

    def test_keeps_to_a_limit(self, algorithm: Algorithm, trials: tuple[int, int]) -> None:
        """Where the best lies beyond a limit, most of the last trials are within, or at it, and few deep inside."""
        late = self.late(replace(spec(algorithm, SQUARE, 3), objectives=TWO[1:], limits=(LIMIT,)), trials)
        assert statistics.mean(p["x"] <= 0.5 for p in late) > 0.7
        assert statistics.median(p["x"] for p in late) > -2

    def test_several_objectives_within_a_limit(self, algorithm: Algorithm, trials: tuple[int, int]) -> None:
        """Both at once: the last trials are near what is best of the allowed part."""
        late = self.late(replace(spec(algorithm, SQUARE, 3), objectives=TWO, limits=(LIMIT,)), trials)
        assert statistics.mean(p["x"] <= 0.5 for p in late) > 0.6
        assert statistics.median(p["x"] for p in late) > -2.5

    def test_what_lacks_a_metric_teaches_nothing(self, algorithm: Algorithm) -> None:
        """Told of trials without the second objective, it goes on like one that was told nothing of them."""
        study = replace(spec(algorithm, SQUARE, 3), objectives=TWO)
        told, ignorant = make_searcher(study), make_searcher(study)
        told.tell([replace(reported(study, n, {"x": 0.1 * n, "y": 0.0}), others=()) for n in range(1, 26)])
        numbers = [TrialNumber(n) for n in range(26, 29)]
        assert [told.suggest(n) for n in numbers] == [ignorant.suggest(n) for n in numbers]

    def test_trials_that_went_part_of_the_way_do_no_harm(self, algorithm: Algorithm) -> None:
        """Paused and stopped trials with several objectives are taken in like any other."""
        study = replace(spec(algorithm, SQUARE, 3), objectives=TWO, limits=(LIMIT,))
        states = (TrialState.PAUSED, TrialState.STOPPED, TrialState.RUNNING, TrialState.COMPLETED, TrialState.COMPLETED)
        searcher = make_searcher(study)
        told = searched(make_searcher(spec(Algorithm.RANDOM, SQUARE)), study, range(1, 31))
        searcher.tell([replace(o, state=states[o.number % len(states)]) for o in told])
        for number in (31, 32):
            suggestion = searcher.suggest(TrialNumber(number))
            assert suggestion is not None
            assert_belongs(suggestion.parameters, SQUARE)
