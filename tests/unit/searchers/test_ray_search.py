"""Ray Tune's searchers as ours."""

import random
import statistics
from typing import Any

import numpy as np
import pytest

from searchd.domain.objective import Goal
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Parameters, SearchSpace
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, OpenSearch, SearchFailed
from searchd.searchers.coordinates import Coordinates
from searchd.searchers.factory import make_searcher
from searchd.searchers.host import Desk
from searchd.searchers.ray_tune import RayModel
from searchd.searchers.replayed import Told
from searchd.worker.randomness import save_states, seeded
from tests.contracts.searcher import MIXED, SeededSearcherContract, assert_belongs, observed, spec, suggested
from tests.unit.searchers.test_tpe_search import SQUARE, best_of

OPTUNA = Search(Algorithm.RAY, False, ray="optuna")
HYPEROPT = Search(Algorithm.RAY, False, ray="hyperopt")
SEARCHES = (OPTUNA, HYPEROPT)


class TestRayOptuna(SeededSearcherContract):
    """The contract of all searchers."""

    @pytest.fixture
    def algorithm(self) -> Search:
        return OPTUNA


@pytest.mark.parametrize(
    ("search", "goal", "sign"),
    [(OPTUNA, Goal.MINIMIZE, 1.0), (HYPEROPT, Goal.MAXIMIZE, -1.0)],
    ids=["optuna", "hyperopt"],
)
def test_learns(search: Search, goal: Goal, sign: float) -> None:
    """Over 35 trials it gets nearer to the bottom of a bowl than random search, on average of 3 seeds."""
    regret = {
        each: statistics.mean(best_of(make_searcher(spec(each, SQUARE, seed, goal)), sign, 35) for seed in range(3))
        for each in (search, Algorithm.RANDOM)
    }
    assert regret[search] < regret[Algorithm.RANDOM] / 2


@pytest.mark.parametrize("search", SEARCHES, ids=["optuna", "hyperopt"])
def test_goes_on_the_same_after_a_restart(search: Search) -> None:
    """Told the same trials in another order, a new searcher gives the same plain answers in a conditional space."""
    lived, rebuilt = make_searcher(spec(search, MIXED)), make_searcher(spec(search, MIXED))
    told = []
    for number in range(1, 26):
        parameters = suggested(lived, number)
        assert parameters is not None
        assert_belongs(parameters, MIXED)
        assert {type(value) for value in parameters.values()} <= {int, float, str}
        state = (TrialState.COMPLETED, TrialState.STOPPED, TrialState.RUNNING)[number % 3]
        told.append(observed(number, parameters, number * 0.1 if number % 3 < 2 else None, state))
        lived.tell(told[-1:])
    rebuilt.tell(list(reversed(told)))
    assert [lived.suggest(TrialNumber(n)) for n in (26, 27)] == [rebuilt.suggest(TrialNumber(n)) for n in (26, 27)]


@pytest.mark.parametrize("search", SEARCHES, ids=["optuna", "hyperopt"])
def test_leaves_the_global_generators_as_they_are(search: Search) -> None:
    """Suggesting neither depends on the generators that all share nor changes them."""
    answers = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        before = save_states()
        searcher = make_searcher(spec(search, SQUARE))
        answers.append([suggested(searcher, n) for n in range(1, 4)])
        assert save_states() == before
    assert answers[0] == answers[1]


def around(search: Search, good: tuple[TrialState, int], bad: tuple[TrialState, int], feasible: bool = True) -> int:
    """How many of 20 suggestions have x > 0 after 40 trials whose state and rung depend on the sign of x; a rung's
    score is the rung."""
    searcher = make_searcher(spec(search, SQUARE, 3))
    chance = make_searcher(spec(Algorithm.RANDOM, SQUARE, 99))
    for number in range(1, 41):
        parameters = suggested(chance, number)
        assert parameters is not None
        state, rung = good if parameters["x"] > 0 else bad
        scores = tuple(float(r + 1) for r in range(rung))
        searcher.tell([Observation(TrialNumber(number), parameters, state, scores, feasible=feasible or rung < 3)])
    found = [suggested(searcher, n) for n in range(41, 61)]
    return sum(parameters is not None and parameters["x"] > 0 for parameters in found)


@pytest.mark.parametrize("search", SEARCHES, ids=["optuna", "hyperopt"])
def test_learns_from_trials_that_were_stopped_early(search: Search) -> None:
    """Where trials got further on one side, most suggestions are on that side, though none completed."""
    assert around(search, (TrialState.PAUSED, 3), (TrialState.STOPPED, 1)) > 14


@pytest.mark.parametrize("search", SEARCHES, ids=["optuna", "hyperopt"])
def test_trials_that_break_a_limit_are_bad(search: Search) -> None:
    """The side whose better scores break a limit is left alone."""
    assert around(search, (TrialState.COMPLETED, 3), (TrialState.COMPLETED, 2), feasible=False) < 6


def told(number: int, x: float, state: TrialState, scores: tuple[float, ...]) -> Told:
    """A trial over SQUARE, as a model is told of it."""
    parameters = {"x": x, "y": 0.0}
    coordinates = Coordinates(SQUARE).inward(parameters)
    assert coordinates is not None
    return Told(Observation(TrialNumber(number), parameters, state, scores), coordinates)


def test_optuna_is_told_of_stopped_trials_as_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that ended early is pruned to Optuna at its last rung, with every rung's mean; a completed one is
    complete; one that runs stays running, and none hangs about for ever."""
    from ray.tune.search.optuna import OptunaSearch

    seen: list[Any] = []
    setup = OptunaSearch._setup_study

    def noting(self: OptunaSearch, mode: str) -> None:
        setup(self, mode)
        seen.append(self._ot_study)

    monkeypatch.setattr(OptunaSearch, "_setup_study", noting)
    model = RayModel("optuna", Coordinates(SQUARE).axes, Goal.MAXIMIZE, 20)
    trials = [
        told(1, 1.0, TrialState.STOPPED, (0.1, 0.2)),
        told(2, 2.0, TrialState.COMPLETED, (0.3, 0.4, 0.5)),
        told(3, 3.0, TrialState.RUNNING, ()),
    ]
    assert model.proposal(trials, TrialNumber(4), 1) is not None
    shown = [(t.state.name, t.value, t.intermediate_values, round(t.params["p0"], 9)) for t in seen[-1].get_trials()]
    assert shown == [
        ("PRUNED", 0.2, {1: 0.1, 2: 0.2}, 0.6),
        ("COMPLETE", 0.5, {1: 0.3, 2: 0.4, 3: 0.5}, 0.7),
        ("RUNNING", None, {}, 0.8),
        ("RUNNING", None, {}, shown[3][3]),
    ]


def test_a_searcher_that_ignores_what_it_is_given_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that answers a given point with another is not told results that belong to the point."""
    from ray.tune.search.optuna import OptunaSearch

    monkeypatch.setattr(OptunaSearch, "suggest", lambda self, trial: {"p0": 0.1, "p1": 0.1})
    model = RayModel("optuna", Coordinates(SQUARE).axes, Goal.MAXIMIZE, 20)
    with pytest.raises(RuntimeError, match="ray:optuna does not take the points that it is given"):
        model.proposal([told(1, 1.0, TrialState.COMPLETED, (0.1,))], TrialNumber(2), 1)


@pytest.mark.parametrize("answer", [None, "FINISHED"])
def test_chance_proposes_when_a_searcher_does_not(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    """A searcher that wants to wait, or has had enough, leaves a study with different random configurations."""
    from ray.tune.search.optuna import OptunaSearch

    monkeypatch.setattr(OptunaSearch, "suggest", lambda self, trial: answer)
    searcher = make_searcher(spec(OPTUNA, SQUARE))
    found = [suggested(searcher, n) for n in range(1, 6)]
    for number, parameters in enumerate(found, 1):
        assert parameters is not None
        searcher.tell([observed(number, parameters, 1.0, TrialState.COMPLETED)])
    later = suggested(searcher, 6)
    assert len({str(p) for p in [*found, later]}) == 6
    assert None not in found


def test_a_space_that_leaves_no_choice_needs_no_searcher() -> None:
    """Where nothing is to be chosen, Ray Tune's searchers, which refuse such spaces, are not asked."""
    nothing: Parameters = {}
    assert suggested(make_searcher(spec(HYPEROPT, SearchSpace())), 1) == nothing


def test_a_study_that_got_past_the_checks_fails_with_their_words() -> None:
    """Where a named searcher is unknown, or its package is gone by now, the study hears of it when it is opened."""
    answer = Desk().handle(OpenSearch("s", spec(Search(Algorithm.RAY, ray="optun"), SQUARE)))
    assert isinstance(answer, SearchFailed)
    assert "did you mean ray:optuna?" in answer.reason


def test_the_generators_are_put_back_after_a_failure() -> None:
    """Whatever happens while they are seeded, the global generators go on as if nothing had."""

    def fails() -> None:
        with seeded(5):
            raise LookupError(random.random())

    before = save_states()
    with pytest.raises(LookupError):
        fails()
    assert save_states() == before
