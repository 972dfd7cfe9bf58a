"""Which configurations of earlier studies are tried, and when the rest of them is left alone."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from searchd.domain.objective import Goal
from searchd.domain.search import Algorithm
from searchd.domain.space import Float, Integer, Parameter, Parameters, SearchSpace
from searchd.domain.study import StudySpec
from searchd.domain.trial import Origin, TrialNumber, TrialState
from searchd.ports.searcher import Observation, Searcher, Suggestion
from searchd.searchers.factory import make_searcher
from searchd.searchers.inheritance import DROPPED, Inheritance
from tests.contracts.searcher import spec

SPACE = SearchSpace((Parameter("x", Float(0, 1)), Parameter("n", Integer(0, 100))))
EARLIER: tuple[Parameters, ...] = tuple({"x": 0.5, "n": n} for n in range(4))

Scores = Callable[[Suggestion], float]


def study(algorithm: Algorithm = Algorithm.TPE) -> StudySpec:
    """A study that inherited four configurations; larger scores are better."""
    return replace(spec(algorithm, SPACE, 5, Goal.MAXIMIZE), inherited=EARLIER)


def scored(inherited: float | Sequence[float]) -> Scores:
    """Inherited configurations score this, in turn, all others 0.5."""
    given = itertools.repeat(inherited) if isinstance(inherited, float) else iter(inherited)
    return lambda suggestion: next(given) if suggestion.origin is Origin.WARM_START else 0.5


def result(number: int, of: Suggestion, score: float, state: TrialState = TrialState.COMPLETED) -> Observation:
    return Observation(TrialNumber(number), of.parameters, state, (score,), note=of.note, origin=of.origin)


def run(searcher: Searcher, scores: Scores, count: int = 12, first: int = 1) -> list[Suggestion]:
    """So many trials one after the other, from this number on."""
    found: list[Suggestion] = []
    for number in range(first, first + count):
        suggestion = searcher.suggest(TrialNumber(number))
        assert suggestion is not None
        found.append(suggestion)
        searcher.tell([result(number, suggestion, scores(suggestion))])
    return found


def places(suggestions: Sequence[Suggestion]) -> list[int]:
    """The numbers of the trials that were inherited."""
    return [n for n, suggestion in enumerate(suggestions, start=1) if suggestion.origin is Origin.WARM_START]


def test_what_does_better_is_tried_at_once() -> None:
    """One comes first, the second after two trials of the study's own, and the rest as soon as they do better."""
    found = run(make_searcher(study()), scored(0.9))
    assert places(found) == [1, 4, 5, 6]
    assert [found[n - 1].parameters for n in places(found)] == list(EARLIER)
    assert not any(suggestion.remark for suggestion in found)


def test_what_does_no_better_is_dropped() -> None:
    """When two do no better than the first two others, the rest is not tried, and the remark says so."""
    found = run(make_searcher(study()), scored(0.5))
    assert places(found) == [1, 4]
    assert [suggestion.remark for suggestion in found] == [""] * 4 + [DROPPED] * 8


def test_one_that_does_worse_is_not_enough() -> None:
    """Others are tried, though not all at once, until a second one does worse or there are none left."""
    assert places(run(make_searcher(study()), scored([0.1, 0.9, 0.9, 0.9]))) == [1, 4, 6, 7]
    assert places(run(make_searcher(study()), scored([0.1, 0.9, 0.1, 0.9]))) == [1, 4, 6]


def test_those_asked_for_side_by_side_take_turns() -> None:
    """Before anything is known, every second suggestion is an inherited one."""
    searcher = make_searcher(study())
    found = [searcher.suggest(TrialNumber(n)) for n in range(1, 11)]
    assert places([suggestion for suggestion in found if suggestion is not None]) == [1, 4, 6, 8]


@pytest.mark.parametrize("algorithm", [Algorithm.RANDOM, Algorithm.SOBOL])
def test_a_searcher_that_does_not_learn_tries_all(algorithm: Algorithm) -> None:
    """It is not told of results, so nothing is dropped, also where it happens to hear of them."""
    assert places(run(make_searcher(study(algorithm)), scored(0.1))) == [1, 4, 6, 8]


def test_a_configuration_that_a_trial_has_is_not_tried_again() -> None:
    """One that is the default, or that a caller asked for, is passed over."""
    searcher = make_searcher(study())
    searcher.tell(
        [
            Observation(TrialNumber(1), EARLIER[0], TrialState.RUNNING, origin=Origin.DEFAULT),
            Observation(TrialNumber(2), EARLIER[1], TrialState.RUNNING, origin=Origin.REQUESTED),
        ]
    )
    found = run(searcher, scored(0.9), first=3)
    assert [s.parameters for s in found if s.origin is Origin.WARM_START] == list(EARLIER[2:])
    assert found[0].origin is Origin.WARM_START


@pytest.mark.parametrize("score", [0.1, 0.9])
@pytest.mark.parametrize("algorithm", [Algorithm.TPE, Algorithm.BAYESIAN, Algorithm.RANDOM])
def test_a_rebuilt_searcher_goes_on(algorithm: Algorithm, score: float) -> None:
    """Told the trials so far, a new one suggests what the old one would have, wherever it begins."""
    scores = scored(score)
    whole = run(make_searcher(study(algorithm)), scores, 8)
    for begin in range(1, 8):
        rebuilt = make_searcher(study(algorithm))
        rebuilt.tell([result(n, s, scores(s)) for n, s in enumerate(whole[:begin], start=1)])
        again = run(rebuilt, scores, 8 - begin, first=begin + 1)
        assert [s.parameters for s in again] == [s.parameters for s in whole[begin:]]


def judged(*trials: tuple[Origin, float, TrialState]) -> Inheritance:
    """What is thought of what was inherited after these trials."""
    inheritance = Inheritance(study())
    inheritance.tell(
        [
            Observation(TrialNumber(n), {"x": 0.5, "n": n}, state, (score,), origin=origin)
            for n, (origin, score, state) in enumerate(trials, start=1)
        ]
    )
    return inheritance


OWN = (Origin.SEARCH, 0.5, TrialState.COMPLETED)
BETTER = (Origin.WARM_START, 0.9, TrialState.COMPLETED)
WORSE = (Origin.WARM_START, 0.1, TrialState.COMPLETED)


def test_what_callers_asked_for_is_no_measure() -> None:
    """Enqueued trials are not among those that inherited ones are compared with, however good they are."""
    asked = (Origin.REQUESTED, 1.0, TrialState.COMPLETED)
    assert judged(asked, asked, BETTER).worse is None
    assert judged(asked, asked, BETTER, OWN, OWN).trusted
    assert judged(OWN, (Origin.DEFAULT, 0.95, TrialState.COMPLETED), BETTER).worse == 1


def test_trusts_a_majority() -> None:
    """More than half must be better than the better of two others, and there must be any."""
    assert not judged(OWN, OWN).trusted
    assert judged(OWN, OWN, BETTER).trusted
    assert not judged(OWN, OWN, BETTER, WORSE).trusted
    assert judged(OWN, OWN, BETTER, WORSE, BETTER).trusted
    assert judged(OWN, OWN, WORSE, WORSE, BETTER, BETTER, BETTER).trusted


def test_judges_what_has_ended() -> None:
    """Trials that run or failed say nothing; one that was stopped early is worse than one that was not."""
    running = (Origin.WARM_START, 0.1, TrialState.RUNNING)
    failed = (Origin.WARM_START, 0.1, TrialState.FAILED)
    stopped = (Origin.WARM_START, 0.9, TrialState.STOPPED)
    assert judged(OWN, OWN, WORSE, running, failed).worse == 1
    assert judged(OWN, OWN, WORSE, stopped).misleads
