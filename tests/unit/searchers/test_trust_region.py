"""Where a warm start has the search look."""

from searchd.domain.objective import Goal
from searchd.domain.search import Algorithm
from searchd.domain.space import Float, Parameter, Parameters, SearchSpace
from searchd.domain.trial import Origin, TrialNumber, TrialState
from searchd.ports.searcher import Observation
from searchd.searchers.trust_region import PATIENCE, TrustRegion
from tests.contracts.searcher import spec

SPACE = SearchSpace((Parameter("x", Float(0, 100)),))


def result(number: int, score: float, inherited: bool = False, state: TrialState = TrialState.COMPLETED) -> Observation:
    """A trial whose configuration is its number."""
    origin = Origin.WARM_START if inherited else Origin.SEARCH
    return Observation(TrialNumber(number), {"x": number}, state, (score,), origin=origin)


START = (result(1, 0.5), result(2, 0.7, True), result(3, 0.4))
"""The default configuration, one that was inherited and does better, and one by chance."""


def centre(*observations: Observation) -> Parameters | None:
    """Where it looks after these trials; larger scores are better."""
    region = TrustRegion(spec(Algorithm.GP, SPACE, 0, Goal.MAXIMIZE))
    region.tell(observations)
    return region.centre()


def test_looks_around_the_best_that_was_inherited() -> None:
    """The inherited configuration that does best here is the centre once most have beaten the first two others."""
    inherited = [result(2, 0.4, True), result(3, 0.9, True), result(4, 0.8, True)]
    assert centre(result(1, 0.5), *inherited) is None
    assert centre(result(1, 0.5), *inherited, result(5, 0.6)) == {"x": 3}
    assert centre(result(1, 0.5), result(5, 0.6)) is None


def test_what_misleads_is_dropped() -> None:
    """Inherited configurations that are mostly no better than the first two others are not looked around."""
    assert centre(result(1, 0.7), result(2, 0.7, True), result(3, 0.6)) is None
    assert centre(result(1, 0.5), result(2, 0.9, True), result(3, 0.4, True), result(4, 0.1)) is None


def test_follows_what_is_better() -> None:
    """A better trial becomes the centre, whoever proposed it."""
    assert centre(*START, result(4, 0.75)) == {"x": 4}


def test_gives_up_when_nothing_better_comes() -> None:
    """After a number of trials without improvement the whole space is searched, until a better one is found."""
    worse = [result(number, 0.6) for number in range(4, 3 + PATIENCE)]
    assert centre(*START, *worse[:-1]) == {"x": 2}
    assert centre(*START, *worse) is None
    assert centre(*START, *worse, result(40, 0.8)) == {"x": 40}


def test_counts_complete_trials_only() -> None:
    """Trials that failed, run or were stopped early neither lead nor count; the newest word on a trial holds."""
    lost = [result(number, 0.9, state=TrialState.FAILED) for number in range(4, 4 + PATIENCE)]
    running = [result(number, 0.9, state=TrialState.RUNNING) for number in range(20, 20 + PATIENCE)]
    assert centre(*START, *lost, *running) == {"x": 2}
    assert centre(*START, result(2, 0.7, True, state=TrialState.FAILED)) is None
