"""What every searcher promises, whatever its algorithm."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from searchd.domain.objective import Goal, Objective
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Choice, Condition, Float, Integer, Parameter, Parameters, ParameterValue, SearchSpace
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Searcher
from searchd.searchers.factory import make_searcher

DISCRETE = SearchSpace(
    (
        Parameter("units", Choice((16, 32, 64, 128))),
        Parameter("layers", Integer(1, 5)),
        Parameter("activation", Choice(("relu", "tanh", None, [1, 2]))),
        Parameter("loss", Choice(("l2",))),
        Parameter("channels", Integer(3, 4)),
        Parameter("stride", Integer(1, 2, log=True)),
    )
)
"""64 configurations; the last three parameters leave no choice."""

CONDITIONAL = SearchSpace(
    (
        Parameter("model", Choice(("svm", "forest", "linear"))),
        Parameter("kernel", Choice(("rbf", "poly")), (Condition("model", ("svm",)),)),
        Parameter("degree", Integer(2, 5), (Condition("kernel", ("poly",)),)),
        Parameter("trees", Integer(10, 100, step=10), (Condition("model", ("forest",)),)),
        Parameter("scale", Choice((True, False)), (Condition("model", ("svm", "linear")),)),
    )
)
"""2 * (1 + 3) + 10 + 2 = 20 configurations."""

MIXED = SearchSpace(
    (
        Parameter("lr", Float(1e-5, 1e-1, log=True)),
        Parameter("dropout", Float(0.0, 0.5, step=0.1)),
        Parameter("width", Integer(8, 513, log=True)),
        Parameter("batch", Integer(16, 129, log=True, step=16)),
        Parameter("optimizer", Choice(("sgd", "adam"))),
        Parameter("momentum", Float(0.0, 0.99), (Condition("optimizer", ("sgd",)),)),
    )
)


def spec(algorithm: Algorithm, space: SearchSpace, seed: int = 7, goal: Goal = Goal.MAXIMIZE) -> StudySpec:
    """A study that is searched by an algorithm."""
    return StudySpec(
        trainable="t",
        objectives=(Objective("accuracy", goal),),
        space=space,
        seed=seed,
        search=Search(algorithm, False),
    )


def observed(
    number: int, parameters: Parameters, score: float | None, state: TrialState, rung: int = 1, note: str = ""
) -> Observation:
    """A trial as searchers see it."""
    scores = () if score is None else (score,) * rung
    return Observation(TrialNumber(number), parameters, state, scores, note=note)


def suggested(searcher: Searcher, number: int) -> dict[str, ParameterValue] | None:
    """The configuration that a searcher proposes for a trial; None when it has no more."""
    suggestion = searcher.suggest(TrialNumber(number))
    return None if suggestion is None else dict(suggestion.parameters)


def score_of(parameters: Parameters) -> float:
    """Some score, from the configuration alone."""
    return sum(len(json.dumps(v)) * (i + 1) for i, v in enumerate(parameters.values())) / 10


def assert_belongs(parameters: Parameters, space: SearchSpace) -> None:
    """Exactly the active parameters, each in its domain."""
    active = list(space.active(parameters))
    assert [p.name for p in active] == list(parameters)
    for parameter in active:
        assert parameter.domain.contains(parameters[parameter.name]), (parameter, parameters)


def key(parameters: Parameters) -> str:
    """One text per configuration."""
    return json.dumps(parameters, sort_keys=True)


class SearcherContract:
    """Subclass with the fixtures ``algorithm`` and ``spaces``."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        raise NotImplementedError

    @pytest.fixture
    def spaces(self) -> Sequence[SearchSpace]:
        """The spaces that the algorithm can search."""
        return (DISCRETE, CONDITIONAL, MIXED)

    def live(self, searcher: Searcher, numbers: range) -> list[Observation]:
        """Ask, then tell, one trial after the other, ending in states of all kinds."""
        endings = [s for s in TrialState if s.ended] + [TrialState.PAUSED]
        told = []
        for number in numbers:
            suggestion = searcher.suggest(TrialNumber(number))
            if suggestion is None:
                break
            parameters = suggestion.parameters
            state = endings[number % len(endings)]
            has_score = state in (TrialState.COMPLETED, TrialState.PAUSED) or number % 2 == 0
            score = score_of(parameters) if has_score else None
            told.append(observed(number, parameters, score, state, note=suggestion.note))
            searcher.tell(told[-1:])
        return told

    def test_stays_within_the_space(self, algorithm: Algorithm, spaces: Sequence[SearchSpace]) -> None:
        """Every configuration has exactly its active parameters, each in its domain, before and after learning."""
        for space in spaces:
            told = self.live(make_searcher(spec(algorithm, space)), range(1, 41))
            assert len(told) >= 20
            for observation in told:
                assert_belongs(observation.parameters, space)

    def test_a_rebuilt_searcher_goes_on_the_same(self, algorithm: Algorithm, spaces: Sequence[SearchSpace]) -> None:
        """Told the same trials, a new searcher gives the same answers as the one that lived through them."""
        for space in spaces:
            for lived in (1, 8, 18):
                first, second = make_searcher(spec(algorithm, space)), make_searcher(spec(algorithm, space))
                told = self.live(first, range(1, lived + 1))
                second.tell(list(reversed(told)))
                numbers = [TrialNumber(n) for n in range(lived + 1, lived + 3)]
                assert [first.suggest(n) for n in numbers] == [second.suggest(n) for n in numbers]

    def test_a_restart_repeats_nothing(self, algorithm: Algorithm) -> None:
        """64 trials over 64 configurations are all different, with the searcher rebuilt every few trials."""
        told: list[Observation] = []
        for start in range(1, 65, 9):
            searcher = make_searcher(spec(algorithm, DISCRETE))
            searcher.tell(told)
            told += self.live(searcher, range(start, min(start + 9, 65)))
        assert len({key(o.parameters) for o in told}) == 64

    def test_a_batch_repeats_nothing(self, algorithm: Algorithm) -> None:
        """Configurations asked for without telling anything in between are all different."""
        searcher = make_searcher(spec(algorithm, CONDITIONAL))
        given = [suggested(searcher, n) for n in range(1, 21)]
        assert len({key(g) for g in given if g is not None}) == 20

    def test_survives_what_it_did_not_propose(self, algorithm: Algorithm, spaces: Sequence[SearchSpace]) -> None:
        """A default configuration outside the space, with parameters too many or too few, changes nothing."""
        for space in spaces:
            name = space.names()[0]
            strange: list[dict[str, Any]] = [{}, {"other": 1}, {name: "no such value"}, {name: -1e9, "other": [1]}]
            for parameters in strange:
                searcher = make_searcher(spec(algorithm, space))
                searcher.tell([observed(1, parameters, 0.5, TrialState.COMPLETED)])
                told = self.live(searcher, range(2, 16))
                assert len(told) == 14
                for observation in told:
                    assert_belongs(observation.parameters, space)

    def test_a_space_without_parameters_has_one_configuration(self, algorithm: Algorithm) -> None:
        """With nothing to search the first suggestion is empty."""
        assert suggested(make_searcher(spec(algorithm, SearchSpace())), 1) == {}


class SeededSearcherContract(SearcherContract):
    """For searchers whose order is random."""

    def test_another_seed_searches_otherwise(self, algorithm: Algorithm, spaces: Sequence[SearchSpace]) -> None:
        """The order in which configurations come depends on the study's seed."""
        for space in spaces:
            told = [self.live(make_searcher(spec(algorithm, space, seed)), range(1, 16)) for seed in (1, 2)]
            assert [key(o.parameters) for o in told[0]] != [key(o.parameters) for o in told[1]]
