"""A Gaussian process that looks for improvement per second."""

import math
from dataclasses import replace

import numpy as np
import pytest

from searchd.domain.search import Algorithm
from searchd.domain.space import Float, Parameter, SearchSpace
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Searcher
from searchd.searchers.factory import make_searcher
from tests.contracts.searcher import MIXED, assert_belongs, spec, suggested

PLANE = SearchSpace((Parameter("x", Float(0.0, 1.0)), Parameter("y", Float(0.0, 1.0))))


def searcher(cost_aware: bool, space: SearchSpace = PLANE) -> Searcher:
    study = spec(Algorithm.GP, space)
    return make_searcher(replace(study, search=replace(study.search, cost_aware=cost_aware)))


def two_hills(parameters: dict[str, float]) -> float:
    """As good around x = 0.2 as around x = 0.8."""
    return max(math.exp(-20 * ((parameters["x"] - x) ** 2 + (parameters["y"] - 0.5) ** 2)) for x in (0.2, 0.8))


def late_places(cost_aware: bool, trials: int, seconds_of_trials: bool = True) -> list[float]:
    """X of the suggestions after the tenth, where trials take from 1 to 100 s along x."""
    asked, places = searcher(cost_aware), []
    for number in range(1, trials + 1):
        parameters = suggested(asked, number)
        assert parameters is not None
        seconds = 100.0 ** parameters["x"] if seconds_of_trials else 0.0
        score = two_hills(parameters)
        told = Observation(TrialNumber(number), parameters, TrialState.COMPLETED, (score,), seconds=seconds)
        asked.tell([told])
        if number > 10:
            places.append(parameters["x"])
    return places


def test_prefers_the_cheap_one_of_two_equals() -> None:
    """Of two equal hills, one of which takes sixteen times as long, it spends less time than one blind to cost."""
    aware, blind = (sum(100.0**x for x in late_places(cost_aware, 17)) for cost_aware in (True, False))
    assert aware < blind / 1.5


def test_without_times_it_is_the_plain_one() -> None:
    """As long as no trial's time is known, it suggests what the Gaussian process alone would."""
    assert late_places(True, 12, seconds_of_trials=False) == late_places(False, 12, seconds_of_trials=False)


def test_options_have_times_of_their_own() -> None:
    """In a space with options and conditions it stays within the space."""
    asked = searcher(True, MIXED)
    for number in range(1, 13):
        parameters = suggested(asked, number)
        assert parameters is not None
        assert_belongs(parameters, MIXED)
        told = Observation(TrialNumber(number), parameters, TrialState.COMPLETED, (0.1 * number,), seconds=number)
        asked.tell([told])


def test_time_is_learnt_from_few_trials() -> None:
    """From 20 trials that take 1 to 100 s along one number, and twice as long with one option, times are off by less
    than a half; far outside what was seen they stay within it."""
    import torch

    from searchd.searchers.cost import LogTime

    rng = np.random.default_rng(1)
    inputs = np.column_stack([rng.random(20), rng.random(20), rng.integers(0, 2, 20)])
    seconds = 100 ** inputs[:, 0] * (1 + inputs[:, 2])
    model = LogTime(inputs, seconds, np.array([False, False, True]))
    for x, option in ((0.3, 0.0), (0.3, 1.0), (0.8, 1.0)):
        expected = float(model.at(torch.tensor([[x, 0.5, option]], dtype=torch.float64))[0])
        assert math.exp(expected) == pytest.approx(100**x * (1 + option), rel=0.5)
    far = float(model.at(torch.tensor([[50.0, 0.5, 0.0]], dtype=torch.float64))[0])
    assert math.exp(far) <= seconds.max() * 1.0001
