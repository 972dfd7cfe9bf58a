"""Searching without repeats, within constraints, and to the end."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from searchd.domain.constraints import nothing_left
from searchd.domain.lattice import Lattice
from searchd.domain.search import Algorithm
from searchd.domain.space import Choice, Condition, Float, Integer, Parameter, Parameters, SearchSpace
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Searcher
from searchd.searchers.distinct import ATTEMPTS, Novelty, Supply, Turns
from searchd.searchers.factory import make_searcher
from searchd.searchers.random import RandomSearcher
from searchd.searchers.sobol import SobolSearcher
from tests.contracts.searcher import CONDITIONAL, CONSTRAINED, DISCRETE, MIXED, key, observed, spec, suggested

SEARCHERS = pytest.mark.parametrize("make", [RandomSearcher, SobolSearcher])
Make = Callable[[SearchSpace, int], Searcher]

SWITCHED = SearchSpace(
    (
        Parameter("kind", Choice(("none", "some"))),
        Parameter("amount", Float(0, 1), (Condition("kind", ("some",)),)),
    )
)
"""One configuration beside a continuum."""

LARGE = SearchSpace(tuple(Parameter(f"p{i}", Integer(0, 10)) for i in range(4)))
"""10,000 configurations, more than are listed."""


def asked(searcher: Searcher, numbers: Iterable[int]) -> list[str]:
    """The configurations that a searcher proposes for trials, as texts, to the first None."""
    found = []
    for number in numbers:
        parameters = suggested(searcher, number)
        if parameters is None:
            break
        found.append(key(parameters))
    return found


@SEARCHERS
@pytest.mark.parametrize(("space", "size"), [(CONDITIONAL, 20), (DISCRETE, 64), (CONSTRAINED, 27), (SearchSpace(), 1)])
def test_a_used_up_space_ends(make: Make, space: SearchSpace, size: int) -> None:
    """A discrete space gives each of its configurations once, and then None."""
    searcher = make(space, 3)
    given = asked(searcher, range(1, 100))
    assert len(given) == len(set(given)) == size
    assert suggested(searcher, 1000) is None


@SEARCHERS
@pytest.mark.parametrize("space", [DISCRETE, CONDITIONAL, CONSTRAINED, MIXED, SWITCHED])
def test_suggestion_n_depends_on_the_seed_and_n(make: Make, space: SearchSpace) -> None:
    """In whatever order they are asked for, and whichever of them a rebuilt searcher is told, they are the same."""
    first = make(space, 3)
    given = {n: suggested(first, n) for n in range(1, 16)}
    rebuilt = make(space, 3)
    rebuilt.tell([observed(n, given[n] or {}, None, TrialState.RUNNING) for n in (2, 7, 11)])
    assert {n: suggested(rebuilt, n) for n in (15, 4, 9, 12, 1, 3)} == {n: given[n] for n in (15, 4, 9, 12, 1, 3)}


@SEARCHERS
def test_64_at_once_are_64_different_ones(make: Make) -> None:
    """Told of nothing in between, a searcher repeats nothing, be the space small, large, continuous or constrained."""
    narrow = SearchSpace(LARGE.parameters, ("p0 < p1 < p2 < p3", "p3 - p0 <= 6"))
    for space in (DISCRETE, LARGE, MIXED, SWITCHED, narrow):
        given = asked(make(space, 5), range(1, 65))
        assert len(given) == len(set(given)) == 64


@SEARCHERS
def test_configurations_that_others_have_change_only_what_they_must(make: Make) -> None:
    """If trial 1 has what trial 5 would get, trial 5 gets what trial 1 would have got, and the others their own."""
    undisturbed = make(CONDITIONAL, 3)
    alone = [suggested(undisturbed, n) for n in range(1, 22)]
    searcher = make(CONDITIONAL, 3)
    searcher.tell([observed(1, alone[4] or {}, None, TrialState.PENDING)])
    given = [suggested(searcher, n) for n in range(2, 22)]
    assert given == [*alone[1:4], alone[0], *alone[5:]]


@SEARCHERS
def test_a_configuration_asked_for_in_mid_search_is_not_given_again(make: Make) -> None:
    """A caller's trial may take the number of a suggestion that is on its way; still nothing repeats or is lost."""
    undisturbed = make(CONDITIONAL, 3)
    future = [suggested(undisturbed, n) or {} for n in range(1, 21)]
    searcher = make(CONDITIONAL, 3)
    given = asked(searcher, range(1, 6))
    searcher.tell([observed(3, future[11], None, TrialState.PENDING), observed(4, future[7], None, TrialState.PENDING)])
    given += asked(searcher, range(6, 30))
    assert len(given) == len(set(given)) == 18
    assert not {key(future[11]), key(future[7])} & set(given)


@SEARCHERS
def test_what_an_outsider_displaced_comes_at_the_end(make: Make) -> None:
    """Where other trials are outside the space, forbidden, or repeats, every configuration comes all the same."""
    searcher = make(CONSTRAINED, 3)
    first = suggested(searcher, 1) or {}
    forbidden = {"units_1": 16, "units_2": 128, "kind": "a"}
    strange: list[dict[str, Any]] = [first, forbidden, {"units_1": 3}, first]
    searcher.tell([observed(n, p, None, TrialState.PENDING) for n, p in enumerate(strange, start=1)])
    given = asked(searcher, range(5, 60))
    assert len(given) == 26
    assert len({*given, key(first)}) == 27


@examples(deadline=None, max_examples=60)
@given(st.dictionaries(st.integers(1, 30), st.integers(-3, 19)), st.integers(1, 5))
def test_turns_lose_nothing_and_repeat_nothing(foreign: dict[int, int], seed: int) -> None:
    """Whatever trials others made, of configurations inside or outside, the rest get each of the rest once."""
    searcher = RandomSearcher(CONDITIONAL, seed)
    lattice = Lattice(CONDITIONAL)
    configurations: dict[int, Parameters] = {
        n: lattice.at(index) if index >= 0 else {"strange": index} for n, index in foreign.items()
    }
    searcher.tell([observed(n, p, None, TrialState.PENDING) for n, p in configurations.items()])
    given = asked(searcher, (n for n in range(1, 80) if n not in foreign))
    taken = {key(configurations[n]) for n, index in foreign.items() if index >= 0}
    assert len(given) == len(set(given)) == 20 - len(taken)
    assert not taken & set(given)


@SEARCHERS
def test_a_large_space_is_searched_to_its_end_without_repeats(make: Make) -> None:
    """Where a space is too large to be listed, what draws do not find is found by walking through it."""
    digits = tuple(Parameter(f"p{i}", Integer(0, 10)) for i in range(6))
    space = SearchSpace(digits, ("p0 * p1 == 81", "p2 >= p1", "p3 + p4 + p5 >= 27"))
    given = asked(make(space, 3), range(1, 100))
    assert len(given) == len(set(given)) == 1


def test_a_continuum_that_constraints_empty_ends() -> None:
    """Where many draws find nothing, there is nothing to suggest."""
    space = SearchSpace(MIXED.parameters, ("lr > 1",))
    assert suggested(RandomSearcher(space, 1), 1) is None
    assert Novelty(space, 1).fresh(TrialNumber(1), lambda attempt: MIXED.draw([0.5] * 6)) is None


def test_constrained_draws_keep_their_distribution() -> None:
    """Draws that a constraint lets through are spread over what it leaves as they would be without it."""
    space = SearchSpace((Parameter("x", Float(0, 1)), Parameter("y", Float(0, 1))), ("y < x",))
    searcher = RandomSearcher(space, 1)
    found = [suggested(searcher, n) or {} for n in range(1, 1001)]
    assert all(p["y"] < p["x"] for p in found)
    assert sum(p["x"] for p in found) / 1000 == pytest.approx(2 / 3, abs=0.02)


def test_novelty_asks_the_searcher_first() -> None:
    """A proposal that is new and allowed is taken; one that is taken, forbidden or no configuration is not."""
    novelty = Novelty(CONSTRAINED, 1)
    proposals: list[Parameters] = [
        {"units_1": 16, "units_2": 32, "kind": "a"},
        {"units_1": 16, "units_2": 17, "kind": "a"},
        {"units_1": 16, "units_2": 16, "kind": "a"},
        {"units_1": 32, "units_2": 32, "kind": "a"},
    ]
    assert len(proposals) <= ATTEMPTS
    assert novelty.fresh(TrialNumber(1), proposals.__getitem__) == proposals[2]
    assert novelty.fresh(TrialNumber(1), proposals.__getitem__) == proposals[2]
    assert novelty.fresh(TrialNumber(2), proposals.__getitem__) == proposals[3]
    third = novelty.fresh(TrialNumber(3), proposals.__getitem__)
    assert third is not None
    assert CONSTRAINED.allows(third)
    assert third not in proposals


def test_novelty_keeps_what_was_taken() -> None:
    """What was suggested under one number and became another trial is proposed to nobody else in between."""
    novelty = Novelty(SearchSpace((Parameter("x", Choice((1, 2, 3))),)), 1)
    assert novelty.fresh(TrialNumber(1), lambda attempt: {"x": 1}) == {"x": 1}
    novelty.take(TrialNumber(1), {"x": 2})
    assert novelty.fresh(TrialNumber(2), lambda attempt: {"x": 1}) == {"x": 3}
    novelty.take(TrialNumber(3), {"x": 1})
    assert novelty.fresh(TrialNumber(4), lambda attempt: {"x": 1}) is None


def test_novelty_refuses_repeats_in_a_continuum() -> None:
    """A model that proposes the same real numbers again gets something else."""
    novelty = Novelty(SWITCHED, 1)
    same = {"kind": "some", "amount": 0.5}
    found = [novelty.fresh(TrialNumber(n), lambda attempt: same) for n in range(1, 11)]
    assert found[0] == same
    assert len({key(p or {}) for p in found}) == 10


def test_novelty_goes_through_a_small_space() -> None:
    """However narrow-minded the searcher, and however unlikely the rest, every configuration is found."""
    rare = Float(1e-6, 1.0, log=True, step=0.01)
    space = SearchSpace((Parameter("x", rare), Parameter("y", Choice((1, 2)))), ("x < 0.5 or y == 1",))
    novelty = Novelty(space, 1)
    found: list[str] = []
    while (new := novelty.fresh(TrialNumber(len(found) + 1), lambda attempt: {"x": 0.01, "y": 1})) is not None:
        found.append(key(new))
    assert len(found) == len(set(found)) == 149


def test_turns_for_a_trial_that_is_told_and_asked_again() -> None:
    """A number whose trial has something else already gets what is free, and there is no endless search."""

    class Three:
        length = 3

        def at(self, place: int) -> Parameters | None:
            return {"x": place} if place <= 3 else None

    turns = Turns(Supply(SearchSpace((Parameter("x", Choice((1, 2, 3))),))).lattice, Three())
    for number, value in ((1, 9), (2, 2), (4, 1)):
        turns.take(TrialNumber(number), {"x": value})
    assert turns.configuration(TrialNumber(1)) == {"x": 3}
    assert turns.configuration(TrialNumber(3)) is None
    assert turns.configuration(TrialNumber(5)) is None


def test_turns_beyond_the_end_are_the_same_when_asked_again() -> None:
    """A trial that got what was left over keeps it, and the next gets nothing."""
    searcher = RandomSearcher(CONDITIONAL, 1)
    searcher.tell([observed(4, {"strange": 1}, None, TrialState.PENDING)])
    asked(searcher, [1, 2, 3, *range(5, 21)])
    last = suggested(searcher, 21)
    assert last is not None
    assert suggested(searcher, 21) == last
    assert suggested(searcher, 22) is None


def test_numbers_that_were_lost_leave_nothing_out() -> None:
    """Suggestions that never became trials, before a restart, come at the end."""
    lived = RandomSearcher(CONDITIONAL, 1)
    told = [observed(n, suggested(lived, n) or {}, None, TrialState.PENDING) for n in range(1, 8)]
    rebuilt = RandomSearcher(CONDITIONAL, 1)
    rebuilt.tell([*told, observed(15, {"strange": 1}, None, TrialState.PENDING)])
    given = asked(rebuilt, range(16, 60))
    assert len({*given, *(key(o.parameters) for o in told)}) == 20


def test_seeds_differ_within_constraints() -> None:
    """Another seed gives another order of the same configurations."""
    one, other = (asked(RandomSearcher(CONSTRAINED, seed), range(1, 40)) for seed in (1, 2))
    assert one != other
    assert sorted(one) == sorted(other)
    assert replace(CONSTRAINED, constraints=()).allows({"units_1": 16, "units_2": 128, "kind": "a"})


@pytest.mark.parametrize("algorithm", [Algorithm.GRID, Algorithm.TPE])
def test_what_was_found_when_a_study_was_created_is_found_again(algorithm: Algorithm) -> None:
    """The only configuration in two million that constraints allow, which draws do not find, is suggested."""
    digits = tuple(Parameter(f"p{i}", Integer(0, 8)) for i in range(7))
    space = SearchSpace(digits, ("p0 + p1 == 7", "p0 - p1 == 3", "p2 + p3 + p4 + p5 + p6 == 35"))
    assert not list(nothing_left(space, 0))
    searcher = make_searcher(spec(algorithm, space))
    assert suggested(searcher, 1) == {"p0": 5, "p1": 2, **{f"p{i}": 7 for i in range(2, 7)}}
