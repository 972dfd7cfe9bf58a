"""What a Gaussian process makes of earlier studies."""

import math
import random
from dataclasses import replace

import pytest

from searchd.domain.objective import Goal
from searchd.domain.search import Algorithm, Precedent
from searchd.domain.space import Choice, Float, Integer, Parameter, Parameters, SearchSpace
from searchd.domain.study import StudySpec
from searchd.domain.trial import Origin, TrialNumber, TrialState
from searchd.ports.searcher import Observation, Searcher
from searchd.searchers.factory import make_searcher
from tests.contracts.searcher import assert_belongs, spec, suggested

pytest.importorskip("torch")

SPACE = SearchSpace(
    (
        Parameter("x", Float(0, 1)),
        Parameter("rate", Float(1e-4, 1, log=True)),
        Parameter("depth", Integer(0, 9)),
        Parameter("kind", Choice(("a", "b"))),
    )
)

BEST: Parameters = {"x": 0.6, "rate": 0.01, "depth": 4, "kind": "b"}


def loss(parameters: Parameters) -> float:
    """Lowest, 0, at BEST."""
    apart = (parameters["x"] - 0.6) ** 2 + (math.log10(parameters["rate"]) / 4 + 0.5) ** 2
    return float(apart + ((parameters["depth"] - 4) / 9) ** 2 + 0.1 * (parameters["kind"] == "a"))


def drawn(count: int, seed: int) -> list[Parameters]:
    chance = random.Random(seed)
    return [SPACE.draw([chance.random() for _ in SPACE.parameters]) for _ in range(count)]


def earlier(sign: float = -1.0, count: int = 30) -> tuple[Precedent, ...]:
    """An earlier study of the same function, or with a sign of 1 of its opposite."""
    return tuple(Precedent(parameters, sign * loss(parameters)) for parameters in drawn(count, 1))


def study(*precedents: tuple[Precedent, ...]) -> StudySpec:
    return replace(spec(Algorithm.GP, SPACE, 3, Goal.MINIMIZE), precedents=precedents)


def begun(of: StudySpec) -> Searcher:
    """A searcher that has seen four trials of its own, and one that was inherited and is better."""
    searcher = make_searcher(of)
    seen: list[Parameters] = [{**BEST, "x": 0.75, "depth": 5}, *drawn(4, 2)]
    searcher.tell(
        [
            Observation(
                TrialNumber(n),
                parameters,
                TrialState.COMPLETED,
                (loss(parameters),),
                origin=Origin.WARM_START if n == 1 else Origin.SEARCH,
            )
            for n, parameters in enumerate(seen, start=1)
        ]
    )
    return searcher


def first(of: StudySpec) -> Parameters:
    return suggested(begun(of), 6) or {}


def test_goes_where_earlier_studies_found_the_best() -> None:
    """Two suggestions after a handful of trials come nearer to the optimum that two earlier studies know of."""
    found = {}
    for name, of in {"with": study(earlier(), earlier(count=20)), "without": study()}.items():
        searcher, losses = begun(of), []
        for number in (6, 7):
            parameters = suggested(searcher, number) or {}
            assert_belongs(parameters, SPACE)
            losses.append(loss(parameters))
            searcher.tell([Observation(TrialNumber(number), parameters, TrialState.COMPLETED, (losses[-1],))])
        found[name] = min(losses)
    assert found["with"] < 0.01
    assert found["with"] < found["without"]


def test_studies_that_mislead_are_left_out() -> None:
    """Where earlier studies found good what is bad here, suggestions are the same as without them."""
    assert first(study(earlier(sign=1.0))) == first(study())


def test_scores_count_by_rank() -> None:
    """An earlier study on another scale says the same."""
    stretched = tuple(Precedent(p.parameters, 1000 * math.exp(p.score)) for p in earlier())
    assert first(study(stretched)) == first(study(earlier()))


def test_strange_studies_do_no_harm() -> None:
    """Earlier studies outside this space, of equal scores, or of one trial repeated, are as good as none."""
    outside = (Precedent({**BEST, "x": 7.0}, 1.0),) * 6
    equal = tuple(Precedent(parameters, 0.5) for parameters in drawn(6, 3))
    repeated = (Precedent(BEST, 0.5),) * 6
    assert first(study(outside, equal, repeated)) == first(study())
    assert first(study(outside)) == first(study())


def test_running_trials_are_kept_away_from() -> None:
    """Asked several times at once, it suggests different configurations."""
    searcher = begun(study(earlier()))
    asked = [suggested(searcher, number) for number in (6, 7, 8)]
    assert len({str(parameters) for parameters in asked}) == 3
