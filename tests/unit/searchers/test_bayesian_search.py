"""The searcher that chooses: what it chooses, what it shows to those it chose, and how it goes on after a restart."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from searchd.domain.evaluation import Evaluation
from searchd.domain.fidelity import Fidelity
from searchd.domain.objective import Goal, Objective
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Choice, Condition, Float, Parameter, SearchSpace
from searchd.domain.study import Budget, StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Ask, Observation, OpenSearch, Searcher, Suggested, Suggestion, Tell
from searchd.searchers.bayesian import MANY, BayesianSearcher, choice
from searchd.searchers.host import Desk
from searchd.searchers.random import RandomSearcher
from tests.contracts.searcher import SeededSearcherContract

NUMERIC = SearchSpace((Parameter("x", Float(0.0, 1.0)), Parameter("y", Float(0.0, 1.0))))
MIXED = SearchSpace((*NUMERIC.parameters, Parameter("kind", Choice(("a", "b")))))
CONDITIONAL = SearchSpace((*MIXED.parameters, Parameter("z", Float(0.0, 1.0), (Condition("kind", ("a",)),))))


def study(space: SearchSpace = NUMERIC, objectives: int = 1, cost_aware: bool = False) -> StudySpec:
    return StudySpec(
        "t",
        tuple(Objective(f"m{n}", Goal.MAXIMIZE) for n in range(objectives)),
        space,
        seed=5,
        search=Search(Algorithm.BAYESIAN, cost_aware=cost_aware),
        evaluation=Evaluation(folds=5, epochs=3, ladder=(Fidelity(1, 3), Fidelity(5, 3))),
        budget=Budget(trials=1000, slots=4),
    )


class Told:
    """A searcher that remembers what it was told, draws by chance, and notes its own name."""

    def __init__(self, spec: StudySpec) -> None:
        self.name = spec.search.algorithm
        self.seen: dict[int, Observation] = {}
        self.tellings: list[int] = []
        self._draws = RandomSearcher(spec.space, spec.seed)

    def tell(self, observations: Sequence[Observation]) -> None:
        self.tellings.append(len(observations))
        self.seen.update((o.number, o) for o in observations)

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        drawn = self._draws.suggest(number)
        return None if drawn is None else replace(drawn, note=f"{self.name} {len(self.seen)}")


class Clock:
    """Advances by ``step`` at each look."""

    def __init__(self) -> None:
        self.step = self.now = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class House:
    """A searcher that chooses, those that it chose, and its clock."""

    def __init__(self, spec: StudySpec) -> None:
        self.chosen: dict[Algorithm, Told] = {}
        self.clock = Clock()
        self.searcher = BayesianSearcher(spec, self._make, self.clock, has_torch=True)

    def _make(self, spec: StudySpec) -> Searcher:
        return self.chosen.setdefault(spec.search.algorithm, Told(spec))

    def ask(self, number: int) -> Suggestion:
        suggestion = self.searcher.suggest(TrialNumber(number))
        assert suggestion is not None
        return suggestion


def ended(number: int, of: Suggestion, *scores: float, seconds: float = 0.0) -> Observation:
    state = TrialState.COMPLETED if len(scores) == 2 else TrialState.STOPPED
    return Observation(TrialNumber(number), of.parameters, state, scores, seconds=seconds, note=of.note)


class TestBayesian(SeededSearcherContract):
    """The contract of all searchers."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Algorithm.BAYESIAN


@pytest.mark.parametrize(
    ("spec", "few", "many"),
    [
        (study(), Algorithm.GP, Algorithm.CMAES),
        (study(SearchSpace(NUMERIC.parameters[:1])), Algorithm.GP, Algorithm.TPE),
        (study(MIXED), Algorithm.GP, Algorithm.TPE),
        (study(CONDITIONAL), Algorithm.TPE, Algorithm.TPE),
        (study(objectives=3), Algorithm.GP, Algorithm.NSGA2),
        (study(MIXED, objectives=2), Algorithm.GP, Algorithm.NSGA2),
        (study(objectives=4), Algorithm.TPE, Algorithm.NSGA3),
        (study(MIXED, cost_aware=True), Algorithm.GP, Algorithm.TPE),
        (study(SearchSpace()), Algorithm.GP, Algorithm.TPE),
    ],
)
def test_chooses_by_space_objectives_and_trials(spec: StudySpec, few: Algorithm, many: Algorithm) -> None:
    """Few trials are a Gaussian process's, conditions TPE's; what scales takes over later."""
    assert choice(spec, 10, lambda _: True, True)[0] is few
    assert choice(spec, MANY, lambda _: True, True)[0] is many


def test_says_why() -> None:
    """The remark names the algorithm and the reason with figures, and stays the same while the reason does."""
    house = House(study())
    remarks = {house.ask(number).remark for number in range(1, 5)}
    assert remarks == {f"GP: 2 numeric parameters, fewer than {MANY} results"}
    reason = choice(study(MIXED, 2), 100, lambda _: True, True)[1]
    assert reason == "TPE: 2 objectives, 1 of 3 parameters categorical, 100 results or more"


def test_without_torch_tpe_takes_over_and_says_so() -> None:
    """Where a Gaussian process cannot be fitted the study goes on with TPE, and is told what is missing."""
    algorithm, remark = choice(study(), 3, lambda _: True, has_torch=False)
    assert algorithm is Algorithm.TPE
    assert "torch" in remark


def test_stopped_trials_are_shown_as_complete_to_those_that_need_it() -> None:
    """A Gaussian process sees a stopped trial as complete at an expected score; TPE, which learns from it, as it is."""
    for space, algorithm in ((NUMERIC, Algorithm.GP), (CONDITIONAL, Algorithm.TPE)):
        house = House(study(space))
        first, second = house.ask(1), house.ask(2)
        house.searcher.tell([ended(1, first, 0.5, 0.7), ended(2, second, 0.3)])
        house.ask(3)
        seen = house.chosen[algorithm].seen[2]
        if algorithm is Algorithm.GP:
            assert seen.state is TrialState.COMPLETED
            assert list(seen.scores) == pytest.approx([0.3, 0.5])
        else:
            assert seen.state is TrialState.STOPPED
            assert seen.scores == (0.3,)


def test_only_what_changed_is_told_again() -> None:
    """A suggestion after nothing was told shows nothing; one after a trial has ended shows that trial."""
    house = House(study())
    suggestions = [house.ask(number) for number in range(1, 4)]
    assert house.chosen[Algorithm.GP].tellings == []
    house.searcher.tell([ended(2, suggestions[1], 0.5, 0.7)])
    house.ask(4)
    # All are looked at, since one may change what is expected of another.
    assert house.chosen[Algorithm.GP].tellings == [3]
    house.searcher.tell([ended(2, suggestions[1], 0.5, 0.7)])
    house.ask(5)
    assert house.chosen[Algorithm.GP].tellings == [3, 1]


def test_the_next_algorithm_starts_from_all_trials() -> None:
    """Where CMA-ES takes over, it is shown all results; notes of the one before it are not among them."""
    house = House(study())
    for number in range(1, MANY + 1):
        house.searcher.tell([ended(number, house.ask(number), 0.5, 0.001 * number)])
    assert house.ask(MANY + 1).remark == f"CMA-ES: 2 numeric parameters, {MANY} results or more"
    seen = house.chosen[Algorithm.CMAES].seen
    assert len(seen) == MANY
    assert {o.note for o in seen.values()} == {""}


def test_notes_come_back_to_who_wrote_them() -> None:
    """A rebuilt searcher shows each algorithm its own notes as it wrote them."""
    house = House(study())
    suggestion = house.ask(1)
    assert json.loads(suggestion.note) == {"by": "gp", "note": "gp 0"}
    rebuilt = House(study())
    rebuilt.searcher.tell([ended(1, suggestion, 0.5, 0.6)])
    rebuilt.ask(2)
    assert rebuilt.chosen[Algorithm.GP].seen[1].note == "gp 0"


def test_steps_down_when_it_is_too_slow_and_stays_there_after_a_restart() -> None:
    """Suggestions of 2 s for trials of 1 s end the Gaussian process; a searcher rebuilt from the trials goes on so."""
    house = House(study())
    told = []
    house.clock.step = 2.0
    for number in range(1, 12):
        told.append(ended(number, house.ask(number), 0.5, 0.6, seconds=1.0))
        house.searcher.tell(told[-1:])
    remark = house.ask(12).remark
    assert remark == "Sobol: tpe took 2 s per suggestion, too long for 4 slots and trials of 1 s"
    rebuilt = House(study())
    rebuilt.searcher.tell([*told, ended(12, house.ask(12), 0.5, 0.6)])
    assert rebuilt.ask(13).remark == remark


def test_an_exhausted_space_is_the_end() -> None:
    """Where the chosen algorithm has nothing left, neither has this one."""

    class Empty(Told):
        def suggest(self, number: TrialNumber) -> Suggestion | None:
            return None

    searcher = BayesianSearcher(study(), Empty, Clock(), has_torch=True)
    assert searcher.suggest(TrialNumber(1)) is None


def test_the_desk_lends_its_clock() -> None:
    """A study at a desk by whose clock each suggestion takes 2 s steps down after a few trials of 1 s."""
    clock = Clock()
    clock.step = 2.0
    desk = Desk(clock)
    desk.handle(OpenSearch("s", study()))
    remarks = []
    for number in range(1, 8):
        answer = desk.handle(Ask("s", (TrialNumber(number),)))
        assert isinstance(answer, Suggested)
        desk.handle(Tell("s", (ended(number, answer.suggestions[0], 0.5, 0.1 * number, seconds=1.0),)))
        remarks.append(answer.suggestions[0].remark)
    assert remarks[0].startswith("GP: ")
    assert remarks[-1].startswith("TPE: gp took 2 s per suggestion")
