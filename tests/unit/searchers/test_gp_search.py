"""Gaussian processes: what they learn from, and in which spaces."""

import statistics
from dataclasses import replace

import pytest

from searchd.domain.objective import Goal
from searchd.domain.search import Algorithm
from searchd.domain.space import Choice, Condition, Float, Integer, Parameter, Parameters, SearchSpace
from searchd.domain.trial import Origin, TrialNumber, TrialState
from searchd.ports.searcher import Observation, Searcher
from searchd.searchers.factory import make_searcher
from searchd.searchers.gp import GpSearcher
from tests.contracts.objectives import SQUARE, SeveralObjectivesContract
from tests.contracts.searcher import LearningSearcherContract, assert_belongs, observed, spec, suggested

pytest.importorskip("torch")


class TestGp(LearningSearcherContract, SeveralObjectivesContract):
    """The contracts of searchers that learn and of those with several objectives."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Algorithm.GP

    @pytest.fixture
    def trials(self) -> tuple[int, int]:
        return 20, 2


SPACE = SearchSpace(
    (
        Parameter("kind", Choice(("a", "b"))),
        Parameter("x", Float(1e-3, 1, log=True), (Condition("kind", ("a",)),)),
        Parameter("z", Float(0, 20), (Condition("kind", ("b",)),)),
    )
)
"""Best at kind b, z = 14."""


def taught(searcher: Searcher, count: int = 15) -> list[Observation]:
    """Tell of so many complete trials over a bowl with its lowest point at (2, -1)."""
    start = make_searcher(spec(Algorithm.SOBOL, SQUARE, 5))
    told = []
    for number in range(1, count + 1):
        p = suggested(start, number) or {}
        told.append(observed(number, p, (p["x"] - 2) ** 2 + (p["y"] + 1) ** 2, TrialState.COMPLETED))
    searcher.tell(told)
    return told


@pytest.mark.parametrize("deterministic", [True, False])
def test_finds_the_bottom_of_a_bowl(deterministic: bool) -> None:
    """Having seen 15 trials it suggests the lowest point nearly at once, whether it has to expect noise or not."""
    searcher = GpSearcher(spec(Algorithm.GP, SQUARE, 3, Goal.MINIMIZE), deterministic)
    taught(searcher)
    values = []
    for number in range(16, 21):
        p = suggested(searcher, number) or {}
        values.append((p["x"] - 2) ** 2 + (p["y"] + 1) ** 2)
        searcher.tell([observed(number, p, values[-1], TrialState.COMPLETED)])
    assert min(values) < 0.01


def test_learns_across_branches() -> None:
    """In a conditional space the values of the better branch are learnt, not drawn at random."""
    searcher, chance = make_searcher(spec(Algorithm.GP, SPACE, 3)), make_searcher(spec(Algorithm.RANDOM, SPACE, 3))
    late = []
    for number in range(1, 25):
        parameters = suggested(chance if number < 21 else searcher, number)
        assert parameters is not None
        assert_belongs(parameters, SPACE)
        score = -abs(parameters["z"] - 14) / 10 if parameters["kind"] == "b" else -3.0
        searcher.tell([observed(number, parameters, score, TrialState.COMPLETED)])
        late.append(parameters)
    good = [p["z"] for p in late[-4:] if p["kind"] == "b"]
    assert len(good) >= 3
    assert statistics.median(abs(z - 14) for z in good) < 3


def test_a_best_point_that_is_taken_is_varied() -> None:
    """In a discrete space whose best is known, suggestions differ from it in some values, not in nearly all."""
    space = SearchSpace(tuple(Parameter(name, Integer(0, 9)) for name in "abcdef"))
    searcher, chance = make_searcher(spec(Algorithm.GP, space, 3)), make_searcher(spec(Algorithm.RANDOM, space, 3))
    told = [suggested(chance, n) or {} for n in range(1, 20)] + [dict.fromkeys("abcdef", 4)]
    for number, p in enumerate(told, 1):
        searcher.tell([observed(number, p, -sum((v - 4) ** 2 for v in p.values()), TrialState.COMPLETED)])
    given = [suggested(searcher, number) or {} for number in range(21, 25)]
    differing = [sum(v != 4 for v in p.values()) for p in given]
    assert min(differing) >= 1
    assert statistics.mean(differing) < 4


def test_rebuilt_after_learning_it_goes_on_the_same() -> None:
    """Told the same trials, some of them pending, a new searcher's model makes the same suggestions."""
    first, second = (make_searcher(spec(Algorithm.GP, SQUARE, 3, Goal.MINIMIZE)) for _ in range(2))
    told = taught(first)
    pending = first.suggest(TrialNumber(16))
    assert pending is not None
    second.tell([*reversed(told), observed(16, pending.parameters, None, TrialState.RUNNING)])
    assert first.suggest(TrialNumber(17)) == second.suggest(TrialNumber(17))


def test_keeps_away_from_what_runs() -> None:
    """Suggestions asked for at once are spread, though the first would be best on its own."""
    searcher = make_searcher(spec(Algorithm.GP, SQUARE, 3, Goal.MINIMIZE))
    taught(searcher)
    batch = [suggested(searcher, n) or {} for n in range(16, 20)]
    apart = [(a["x"] - b["x"]) ** 2 + (a["y"] - b["y"]) ** 2 for i, a in enumerate(batch) for b in batch[:i]]
    assert min(apart) > 1e-4


def test_leaves_out_trials_that_did_not_complete() -> None:
    """Paused and stopped trials teach it nothing; they are no results in its eyes."""
    told, ignorant = (make_searcher(spec(Algorithm.GP, SQUARE, 3, Goal.MINIMIZE)) for _ in range(2))
    known = taught(told)
    ignorant.tell(known)
    told.tell([replace(o, number=TrialNumber(100 + o.number), state=TrialState.STOPPED) for o in known])
    assert told.suggest(TrialNumber(200)) == ignorant.suggest(TrialNumber(200))


def test_looks_near_what_was_inherited() -> None:
    """After a warm start numbers stay within a fifth of their domain, by logarithm or step as the domain has them."""
    space = SearchSpace(
        (
            Parameter("lr", Float(1e-6, 1e-1, log=True)),
            Parameter("depth", Integer(1, 11)),
            Parameter("units", Integer(8, 512, log=True)),
            Parameter("kind", Choice(("a", "b"))),
        )
    )
    searcher = make_searcher(spec(Algorithm.GP, space, 3))
    near: Parameters = {"lr": 1e-3, "depth": 6, "units": 64, "kind": "a"}
    far: Parameters = {"lr": 1e-1, "depth": 1, "units": 512, "kind": "b"}
    old = Observation(TrialNumber(2), near, TrialState.COMPLETED, (0.9,), origin=Origin.WARM_START)
    searcher.tell([*(observed(n, far, 0.1, TrialState.COMPLETED) for n in (1, 3)), old])
    for number in range(4, 6):
        p = suggested(searcher, number) or {}
        assert_belongs(p, space)
        assert 0.99e-4 <= p["lr"] <= 1.01e-2
        assert 4 <= p["depth"] <= 8
        assert 27 <= p["units"] <= 148
