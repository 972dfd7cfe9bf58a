"""Search by gradients, on functions whose derivatives are known."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from searchd.domain.objective import Goal
from searchd.domain.search import Algorithm
from searchd.domain.space import Choice, Condition, Float, Integer, Parameter, Parameters, SearchSpace
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Suggestion
from searchd.searchers.factory import make_searcher
from searchd.searchers.gradient import LEAST_RATE, RATE, STARTS, GradientSearcher
from tests.contracts.searcher import SeededSearcherContract, assert_belongs, spec

PLANE = SearchSpace((Parameter("x", Float(-5, 5)), Parameter("rate", Float(1e-4, 1.0, log=True))))
BEST = {"x": 2.0, "rate": 1e-3}
DEFAULT = {"x": -3.0, "rate": 0.1}


class TestGradient(SeededSearcherContract):
    """The contract of all searchers; where no gradients are reported there are only starts."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Algorithm.GRADIENT


def bowl(parameters: Mapping[str, Any]) -> tuple[float, tuple[float, ...]]:
    """A value that is lowest, 0, at BEST, and its derivatives by ``x`` and ``rate``."""
    x, decades = parameters["x"] - BEST["x"], math.log10(parameters["rate"] / BEST["rate"])
    return x**2 + decades**2, (2 * x, 2 * decades / (parameters["rate"] * math.log(10)))


def study(space: SearchSpace = PLANE, goal: Goal = Goal.MINIMIZE, seed: int = 7) -> StudySpec:
    """A study of ``space`` that is searched by gradients."""
    return spec(Algorithm.GRADIENT, space, seed, goal)


def told(
    number: int, parameters: Parameters, note: str = "", state: TrialState = TrialState.COMPLETED, sign: float = 1.0
) -> Observation:
    """The trial after its evaluation on the bowl, times ``sign``; without results unless its state has any."""
    if state not in (TrialState.COMPLETED, TrialState.PAUSED, TrialState.STOPPED):
        return Observation(TrialNumber(number), parameters, state, note=note)
    value, slopes = bowl(parameters)
    others = tuple(sign * slope for slope in slopes)
    return Observation(TrialNumber(number), parameters, state, (sign * value,), others, note=note)


def suggestion(searcher: GradientSearcher, number: int) -> Suggestion:
    """What the searcher proposes for a trial."""
    found = searcher.suggest(TrialNumber(number))
    assert found is not None
    return found


def lived(
    searcher: GradientSearcher, trials: int, sign: float = 1.0, ending: Callable[[int], TrialState] | None = None
) -> list[Observation]:
    """Trials one after the other, the first at DEFAULT."""
    seen = [told(1, DEFAULT, sign=sign)]
    searcher.tell(seen)
    for number in range(2, trials + 1):
        found = suggestion(searcher, number)
        state = TrialState.COMPLETED if ending is None else ending(number)
        seen.append(told(number, found.parameters, found.note, state, sign))
        searcher.tell(seen[-1:])
    return seen


def start_of(observation: Observation) -> int:
    """The trial that its start began with."""
    return int(json.loads(observation.note)["start"]) if observation.note else observation.number


@pytest.mark.parametrize(("goal", "sign"), [(Goal.MINIMIZE, 1.0), (Goal.MAXIMIZE, -1.0)])
def test_goes_downhill_or_uphill(goal: Goal, sign: float) -> None:
    """In either direction of the metric, 25 trials get within 1% of the value that the default has, for each seed."""
    for seed in range(5):
        seen = lived(GradientSearcher(study(goal=goal, seed=seed)), 25, sign)
        assert min(bowl(o.parameters)[0] for o in seen) < 0.01 * bowl(DEFAULT)[0]


def test_a_step_is_a_share_of_the_range_on_the_parameters_own_scale() -> None:
    """The first step of a start moves each parameter by RATE of its range, a log scale's in its logarithm."""
    seen = lived(GradientSearcher(study()), STARTS + 1)
    step = seen[-1]
    before = next(o for o in seen if o.number == start_of(step))
    toward = math.copysign(1, BEST["x"] - before.parameters["x"])
    assert step.parameters["x"] - before.parameters["x"] == pytest.approx(toward * RATE * 10)
    toward = math.copysign(1, BEST["rate"] - before.parameters["rate"])
    assert math.log10(step.parameters["rate"] / before.parameters["rate"]) == pytest.approx(toward * RATE * 4)


def test_default_and_drawn_starts_come_before_steps() -> None:
    """The default configuration and Sobol points are starts; then the best of them takes the first step."""
    seen = lived(GradientSearcher(study()), STARTS + 1)
    assert [o.note for o in seen[:STARTS]] == [""] * STARTS
    best = min(seen[:STARTS], key=lambda o: o.scores[-1])
    assert start_of(seen[STARTS]) == best.number


def test_slots_are_kept_busy_by_more_starts() -> None:
    """While every start waits for a result, the next suggestion is a new start, and no two are alike."""
    searcher = GradientSearcher(study())
    searcher.tell([told(1, DEFAULT, state=TrialState.RUNNING)])
    found = [suggestion(searcher, number) for number in range(2, 9)]
    assert [one.note for one in found] == [""] * 7
    assert len({json.dumps(one.parameters) for one in found}) == 7


def test_starts_step_side_by_side() -> None:
    """When several starts wait, several suggestions in a row are steps of different starts."""
    searcher = GradientSearcher(study())
    searcher.tell([told(1, DEFAULT, state=TrialState.RUNNING)])
    drawn = [suggestion(searcher, number) for number in range(2, 5)]
    searcher.tell([told(1, DEFAULT), *(told(number, one.parameters) for number, one in enumerate(drawn, 2))])
    steps = [suggestion(searcher, number) for number in range(5, 9)]
    assert sorted(json.loads(step.note)["start"] for step in steps) == [1, 2, 3, 4]


@pytest.mark.parametrize("ending", [TrialState.FAILED, TrialState.INFEASIBLE, TrialState.STOPPED, TrialState.CANCELLED])
def test_a_step_that_came_to_nothing_is_halved(ending: TrialState) -> None:
    """After a step failed or was stopped, the next one goes the same way from the same place, half as far."""
    searcher = GradientSearcher(study())
    seen = lived(searcher, STARTS + 1, ending=lambda number: ending if number > STARTS else TrialState.COMPLETED)
    start = next(o for o in seen if o.number == start_of(seen[-1]))
    rivals = [o.number for o in seen[:STARTS] if o.number != start.number]
    again = suggestion(searcher, STARTS + 2)
    assert json.loads(again.note)["start"] == start.number not in rivals
    moved = seen[-1].parameters["x"] - start.parameters["x"]
    assert again.parameters["x"] - start.parameters["x"] == pytest.approx(moved / 2)


def test_a_step_that_made_it_worse_is_taken_back() -> None:
    """Close to the lowest point steps shorten, begin at the best trial so far, and in the end the start is replaced."""
    searcher = GradientSearcher(study())
    searcher.tell([told(1, BEST | {"x": 2.01})])
    searcher.tell([told(n, {"x": -5.0, "rate": 1.0}) for n in range(2, STARTS + 1)])
    steps: list[Observation] = []
    for number in range(STARTS + 1, STARTS + 9):
        found = suggestion(searcher, number)
        steps.append(told(number, found.parameters, found.note))
        searcher.tell(steps[-1:])
    own = [o for o in steps if o.note and start_of(o) == 1]
    lengths = [abs(o.parameters["x"] - 2.01) / 10 for o in own]
    assert lengths == pytest.approx([RATE / 2**k for k in range(len(own))])
    assert RATE / 2 ** len(own) < LEAST_RATE
    assert any(o.note == "" for o in steps)


def test_a_start_that_fails_is_replaced() -> None:
    """A start whose first trial failed takes no steps: others are drawn until enough are alive."""
    searcher = GradientSearcher(study())
    seen = lived(searcher, STARTS + 2, ending=lambda number: TrialState.FAILED if number < 4 else TrialState.COMPLETED)
    assert all(o.note == "" for o in seen)
    assert start_of(told(9, DEFAULT, suggestion(searcher, STARTS + 3).note)) not in (2, 3)


def test_paused_trials_are_enough_for_the_next_step() -> None:
    """A trial that waits for promotion has a gradient at its rung, and its start goes on from there."""
    seen = lived(GradientSearcher(study()), 12, ending=lambda number: TrialState.PAUSED)
    assert sum(bool(o.note) for o in seen) > 5
    assert min(o.scores[-1] for o in seen[STARTS:]) < min(o.scores[-1] for o in seen[:STARTS])


def test_trials_are_compared_at_a_rung_that_both_completed() -> None:
    """A step that is better at the first rung counts as better, whatever the start scored at a later one."""
    searcher = GradientSearcher(study())
    value, slopes = bowl(DEFAULT)
    climbed = Observation(TrialNumber(1), DEFAULT, TrialState.COMPLETED, (value, value / 100), slopes)
    rivals = [told(n, {"x": -5.0, "rate": 1.0}) for n in range(2, STARTS + 1)]
    searcher.tell([climbed, *rivals])
    first = suggestion(searcher, STARTS + 1)
    assert json.loads(first.note)["start"] == 1
    searcher.tell([told(STARTS + 1, first.parameters, first.note, TrialState.PAUSED)])
    following = suggestion(searcher, STARTS + 2)
    assert json.loads(following.note)["start"] == 1
    assert following.parameters["x"] > first.parameters["x"] > DEFAULT["x"]


def test_steps_stay_at_the_bounds() -> None:
    """Where the lowest point lies outside, steps end at the bounds, and a start that cannot move is replaced."""
    space = SearchSpace((Parameter("x", Float(-5, 1)), Parameter("rate", Float(1e-2, 1.0, log=True))))
    seen = lived(GradientSearcher(study(space)), 30)
    for observation in seen:
        assert_belongs(observation.parameters, space)
    best = min(seen, key=lambda o: o.scores[-1])
    assert best.parameters == pytest.approx({"x": 1.0, "rate": 1e-2})
    assert seen[best.number].note == "" or start_of(seen[best.number]) != start_of(best)


def test_other_parameters_keep_what_their_start_was_drawn_with() -> None:
    """Choices, integers and what conditions hang on change between starts, never within one."""
    space = SearchSpace(
        (
            *PLANE.parameters,
            Parameter("layers", Integer(1, 100)),
            Parameter("gate", Float(0, 1)),
            Parameter("kind", Choice(("a", "b"))),
            Parameter("slope", Float(0, 1), (Condition("kind", ("a",)),)),
            Parameter("late", Integer(1, 9), (Condition("gate", (0.5,)),)),
        )
    )
    names = study(space).others
    searcher = GradientSearcher(study(space))
    seen: list[Observation] = []
    for number in range(1, 31):
        found = suggestion(searcher, number)
        assert_belongs(found.parameters, space)
        value, (by_x, by_rate) = bowl(found.parameters)
        known = {"d accuracy/d x": by_x, "d accuracy/d rate": by_rate, "d accuracy/d gate": 1.0}
        others = tuple(known.get(name, 0.0) for name in names)
        seen.append(
            Observation(TrialNumber(number), found.parameters, TrialState.COMPLETED, (value,), others, note=found.note)
        )
        searcher.tell(seen[-1:])
    steps = [o for o in seen if o.note]
    assert len(steps) > 10
    for step in steps:
        start = seen[start_of(step) - 1]
        for name in ("layers", "gate", "kind", "late"):
            assert step.parameters.get(name) == start.parameters.get(name)
    assert len({o.parameters["layers"] for o in seen if not o.note}) > 1


def endings(number: int) -> TrialState:
    """Every fifth trial fails."""
    return TrialState.FAILED if number % 5 == 0 else TrialState.COMPLETED


def test_a_rebuilt_searcher_takes_the_same_steps() -> None:
    """Told the stored trials in any order, a new searcher goes on like the one that lived through them."""
    for count in (3, 4, 7, 16, 25):
        first, second = GradientSearcher(study()), GradientSearcher(study())
        second.tell(lived(first, count, ending=endings)[::-1])
        for number in range(count + 1, count + 4):
            assert first.suggest(TrialNumber(number)) == second.suggest(TrialNumber(number))


def test_asking_again_gives_the_same_answer() -> None:
    """A suggestion that was lost on its way is made again, step or start."""
    searcher = GradientSearcher(study())
    lived(searcher, 6)
    first = [suggestion(searcher, number) for number in (7, 8)]
    assert suggestion(searcher, 8) == first[1]
    other = GradientSearcher(study())
    lived(other, 6)
    assert [suggestion(other, number) for number in (7, 7, 8, 8)] == [first[0], first[0], first[1], first[1]]


@pytest.mark.parametrize("slope", [0.0, 1e308, -1e308, 5e-324])
def test_slopes_of_any_size(slope: float) -> None:
    """Flat places end a start, and neither huge nor tiny slopes lead out of the space or to an error."""
    searcher = GradientSearcher(study())
    for number in range(1, 12):
        found = suggestion(searcher, number)
        assert_belongs(found.parameters, PLANE)
        value = -float(number)
        searcher.tell(
            [
                Observation(
                    TrialNumber(number),
                    found.parameters,
                    TrialState.COMPLETED,
                    (value,),
                    (slope, slope),
                    note=found.note,
                )
            ]
        )
        if slope == 0.0:
            assert found.note == ""


def test_what_others_asked_for_is_a_start() -> None:
    """A requested or warm trial inside the space is climbed from; one outside it is not."""
    near, outside = {"x": 1.0, "rate": 2e-3}, {"x": 9.0, "rate": 2e-3}
    searcher = GradientSearcher(study())
    searcher.tell([told(1, outside), told(2, near), told(3, DEFAULT), told(4, {"x": -4.0, "rate": 0.5})])
    assert json.loads(suggestion(searcher, 5).note)["start"] == 2


def test_parameters_beside_the_space_do_not_keep_a_default_from_being_a_start() -> None:
    """A default configuration may name more than is searched; its steps name what is searched."""
    searcher = GradientSearcher(study())
    searcher.tell([told(1, {**BEST, "x": 0.0, "width": 32}), told(2, DEFAULT), told(3, DEFAULT)])
    found = suggestion(searcher, 4)
    assert json.loads(found.note)["start"] == 1
    assert_belongs(found.parameters, PLANE)


def test_only_continuous_parameters_have_gradients() -> None:
    """A study by gradients keeps the derivatives by real parameters without steps, and no others."""
    space = SearchSpace(
        (
            Parameter("lr", Float(1e-4, 1.0, log=True)),
            Parameter("width", Integer(8, 65)),
            Parameter("dropout", Float(0.0, 0.5, step=0.1)),
            Parameter("kind", Choice(("a", "b"))),
        )
    )
    assert study(space).others == ("d accuracy/d lr",)
    other: Sequence[str] = replace(study(space), search=replace(study().search, algorithm=Algorithm.TPE)).others
    assert other == ()


def test_the_factory_makes_it() -> None:
    """``search.algorithm: gradient`` is this searcher."""
    assert isinstance(make_searcher(study()), GradientSearcher)
