"""What every searcher promises, whatever its algorithm."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from searchd.domain.lattice import Lattice
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

CONSTRAINED = SearchSpace(
    (
        Parameter("units_1", Choice((16, 32, 64, 128))),
        Parameter("units_2", Integer(16, 128, step=16)),
        Parameter("kind", Choice(("a", "b"))),
        Parameter("depth", Integer(1, 5), (Condition("kind", ("b",)),)),
    ),
    ("units_2 <= units_1", "depth * units_1 <= 64 or kind == 'a'"),
)
"""units_2 takes 1, 2, 4 or 8 values, and depth 4, 2, 1 or none below them: 15 + 4 + 4 + 4 = 27 configurations."""


def spec(algorithm: Algorithm | Search, space: SearchSpace, seed: int = 7, goal: Goal = Goal.MAXIMIZE) -> StudySpec:
    """A study that is searched by an algorithm."""
    return StudySpec(
        trainable="t",
        objectives=(Objective("accuracy", goal),),
        space=space,
        seed=seed,
        search=algorithm if isinstance(algorithm, Search) else Search(algorithm, False),
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
    """Subclass with the fixture ``algorithm``, and ``spaces``, ``discrete`` and ``constrained`` if it cannot search
    all."""

    @pytest.fixture
    def algorithm(self) -> Algorithm | Search:
        raise NotImplementedError

    @pytest.fixture
    def spaces(self) -> Sequence[SearchSpace]:
        """The spaces that the algorithm can search."""
        return (DISCRETE, CONDITIONAL, MIXED)

    @pytest.fixture
    def discrete(self) -> SearchSpace:
        """A space of 64 configurations."""
        return DISCRETE

    @pytest.fixture
    def constrained(self) -> SearchSpace:
        """A space of 27 configurations that its constraints allow."""
        return CONSTRAINED

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

    def test_a_restart_repeats_nothing(self, algorithm: Algorithm, discrete: SearchSpace) -> None:
        """64 trials over 64 configurations are all different, with the searcher rebuilt every few trials."""
        told: list[Observation] = []
        for start in range(1, 65, 9):
            searcher = make_searcher(spec(algorithm, discrete))
            searcher.tell(told)
            told += self.live(searcher, range(start, min(start + 9, 65)))
        assert len({key(o.parameters) for o in told}) == 64

    def test_a_batch_repeats_nothing(self, algorithm: Algorithm, discrete: SearchSpace) -> None:
        """As many configurations as there are, asked for without telling anything in between, are all different."""
        searcher = make_searcher(spec(algorithm, discrete))
        given = [suggested(searcher, n) for n in range(1, 65)]
        assert len({key(g) for g in given if g is not None}) == 64

    def test_meets_constraints_until_nothing_is_left(self, algorithm: Algorithm, constrained: SearchSpace) -> None:
        """Of a constrained discrete space every allowed configuration comes once, and then none, while it learns."""
        searcher = make_searcher(spec(algorithm, constrained))
        told = self.live(searcher, range(1, 41))
        assert all(constrained.allows(o.parameters) for o in told)
        assert len(told) == len({key(o.parameters) for o in told}) == 27

    def test_gives_nothing_that_another_trial_has(self, algorithm: Algorithm, discrete: SearchSpace) -> None:
        """The default configuration and those that a caller asked for are not proposed again, and none is lost."""
        lived = [p for n in (3, 9) if (p := suggested(make_searcher(spec(algorithm, discrete)), n)) is not None]
        searcher = make_searcher(spec(algorithm, discrete))
        searcher.tell([observed(n, p, None, TrialState.PENDING) for n, p in enumerate(lived, start=1)])
        given = [key(p) for n in range(3, 70) if (p := suggested(searcher, n)) is not None]
        assert len(set(given)) == len(given) == 64 - len({key(p) for p in lived})
        assert not {key(p) for p in lived} & set(given)

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


HALF_CONTINUOUS = SearchSpace(
    (
        Parameter("kind", Choice(("a", "b"))),
        Parameter("x", Float(0, 1), (Condition("kind", ("a",)),)),
        Parameter("n", Integer(0, 4), (Condition("kind", ("b",)),)),
    )
)
"""A continuum on one side, 4 configurations on the other."""

FLAT = 0.25
"""The score of every trial of a study that is all the same."""


class LearningSearcherContract(SeededSearcherContract):
    """For searchers that learn from results."""

    @pytest.fixture
    def lopsided(self) -> SearchSpace:
        """A space with few configurations in one part of it and many in another."""
        return HALF_CONTINUOUS

    def test_a_used_up_space_ends(self, algorithm: Algorithm, discrete: SearchSpace) -> None:
        """After all 64 configurations there is none left, for a rebuilt searcher neither."""
        searcher, rebuilt = make_searcher(spec(algorithm, discrete)), make_searcher(spec(algorithm, discrete))
        told = self.live(searcher, range(1, 65))
        rebuilt.tell(told)
        for each in (searcher, rebuilt):
            assert each.suggest(TrialNumber(65)) is None

    def test_a_wide_batch_has_no_duplicates(
        self, algorithm: Algorithm, spaces: Sequence[SearchSpace], lopsided: SearchSpace
    ) -> None:
        """64 configurations asked for at once, after some results, are all different where there are as many."""
        for space in (*spaces, lopsided):
            searcher = make_searcher(spec(algorithm, space))
            told = [key(o.parameters) for o in self.live(searcher, range(1, 9))]
            given = [key(g) for n in range(9, 73) if (g := suggested(searcher, n)) is not None]
            assert len(set(told + given)) == len(told + given)
            assert len(told + given) == min(72, Lattice(space).size or 72)

    def test_goes_on_the_same_in_the_middle_of_a_batch(
        self, algorithm: Algorithm, spaces: Sequence[SearchSpace]
    ) -> None:
        """Rebuilt while half of a batch is pending, a searcher gives the other half as it would have been."""
        for space in spaces:
            lived, rebuilt = make_searcher(spec(algorithm, space)), make_searcher(spec(algorithm, space))
            told = self.live(lived, range(1, 9))
            for number in range(9, 13):
                suggestion = lived.suggest(TrialNumber(number))
                assert suggestion is not None
                told.append(observed(number, suggestion.parameters, None, TrialState.PENDING, note=suggestion.note))
            rebuilt.tell(told)
            numbers = [TrialNumber(n) for n in range(13, 17)]
            assert [lived.suggest(n) for n in numbers] == [rebuilt.suggest(n) for n in numbers]

    @pytest.mark.parametrize("scores", [(FLAT,), (1e308, -1e308, 5e-324, 0.0)])
    def test_strange_scores_do_no_harm(
        self, algorithm: Algorithm, spaces: Sequence[SearchSpace], scores: Sequence[float]
    ) -> None:
        """Where all scores are the same, or larger than a model can add up, suggestions stay within the space."""
        for space in spaces:
            searcher = make_searcher(spec(algorithm, space))
            told = []
            for number in range(1, 13):
                parameters = suggested(searcher, number)
                assert parameters is not None
                assert_belongs(parameters, space)
                told.append(observed(number, parameters, scores[number % len(scores)], TrialState.COMPLETED))
                searcher.tell(told[-1:])
            assert all(json.dumps(o.parameters, allow_nan=False) for o in told)

    def test_asking_again_for_a_number_gives_the_same(self, algorithm: Algorithm, discrete: SearchSpace) -> None:
        """A suggestion does not stand in the way of itself."""
        searcher = make_searcher(spec(algorithm, discrete))
        for number in range(1, 13):
            first, again = searcher.suggest(TrialNumber(number)), searcher.suggest(TrialNumber(number))
            assert first == again
            assert first is not None
            searcher.tell([observed(number, first.parameters, number % 3, TrialState.COMPLETED, note=first.note)])
