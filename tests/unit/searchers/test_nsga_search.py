"""NSGA-II and NSGA-III: the generations, and that they survive a restart."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from searchd.domain.evaluation import Evaluation
from searchd.domain.fidelity import Fidelity
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.search import Algorithm
from searchd.domain.space import Choice, Condition, Float, Parameter, SearchSpace
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Searcher
from searchd.searchers.factory import make_searcher
from tests.contracts.objectives import SQUARE, TWO, SeveralObjectivesContract, reported, searched
from tests.contracts.searcher import LearningSearcherContract, assert_belongs, observed, spec

NSGA = (Algorithm.NSGA2, Algorithm.NSGA3)


class TestNsga2(LearningSearcherContract, SeveralObjectivesContract):
    """The contracts of searchers that learn and of those with several objectives."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Algorithm.NSGA2

    @pytest.fixture
    def trials(self) -> tuple[int, int]:
        return 20, 140


class TestNsga3(TestNsga2):
    """The same."""

    @pytest.fixture
    def algorithm(self) -> Algorithm:
        return Algorithm.NSGA3


def two_objectives(algorithm: Algorithm, seed: int = 3) -> StudySpec:
    return replace(spec(algorithm, SQUARE, seed), objectives=TWO)


def in_flight(searcher: Searcher, study: StudySpec, numbers: range, width: int) -> list[Observation]:
    """Trials of which so many are under way at a time, those with an odd number taking twice as long."""
    told: list[Observation] = []
    waiting: list[tuple[int, Observation]] = []
    for step, number in enumerate(numbers):
        suggestion = searcher.suggest(TrialNumber(number))
        assert suggestion is not None
        due = step + width * (1 + number % 2)
        waiting.append((due, reported(study, number, suggestion.parameters, note=suggestion.note)))
        done = [o for due, o in waiting if due <= step]
        waiting = [(due, o) for due, o in waiting if due > step]
        searcher.tell(done)
        told += done
    pending = [replace(o, state=TrialState.RUNNING, scores=(), others=()) for _, o in waiting]
    return told + pending


@pytest.mark.parametrize("algorithm", NSGA)
@pytest.mark.parametrize("lived", [45, 63, 99])
def test_generations_survive_a_restart(algorithm: Algorithm, lived: int) -> None:
    """Rebuilt in the middle of a generation, with trials under way, it breeds from the same parents as before."""
    study = two_objectives(algorithm)
    first, second = make_searcher(study), make_searcher(study)
    told = in_flight(first, study, range(1, lived + 1), 7)
    second.tell(list(reversed(told)))
    for searcher in (first, second):
        searcher.tell([replace(reported(study, o.number, o.parameters), note=o.note) for o in told if not o.scores][:3])
    numbers = [TrialNumber(n) for n in range(lived + 1, lived + 30)]
    assert [first.suggest(n) for n in numbers] == [second.suggest(n) for n in numbers]


@pytest.mark.parametrize("algorithm", NSGA)
def test_without_its_notes_it_would_not_go_on_the_same(algorithm: Algorithm) -> None:
    """What results came late for a generation cannot be seen in the trials: only the notes tell."""
    study = two_objectives(algorithm)
    first, second = make_searcher(study), make_searcher(study)
    told = in_flight(first, study, range(1, 64), 7)
    second.tell([replace(o, note="") for o in told])
    numbers = [TrialNumber(n) for n in range(64, 72)]
    assert [first.suggest(n) for n in numbers] != [second.suggest(n) for n in numbers]


@pytest.mark.parametrize("algorithm", NSGA)
def test_learns_from_trials_of_others(algorithm: Algorithm) -> None:
    """With enough trials known at the start, the first suggestion is already a child of the best of them."""
    study = two_objectives(algorithm)
    other = replace(study, search=replace(study.search, algorithm=Algorithm.RANDOM))
    known = searched(make_searcher(other), other, range(1, 101))
    searcher = make_searcher(study)
    searcher.tell(known)
    late = searched(searcher, study, range(101, 121))
    assert sum(abs(o.parameters["x"] - 2) < 1.5 for o in late) > 12


@pytest.mark.parametrize("algorithm", NSGA)
def test_who_got_further_has_the_children(algorithm: Algorithm) -> None:
    """Where trials with x above 0 climb and the others stop, most children have x above 0, whatever the scores."""
    ladder = (Fidelity(1, 1), Fidelity(1, 3), Fidelity(1, 9))
    study = replace(
        spec(algorithm, SQUARE, 3),
        evaluation=Evaluation(epochs=9, ladder=ladder),
        scheduler=Scheduler(SchedulerAlgorithm.ASHA),
    )
    searcher = make_searcher(study)
    late: list[float] = []
    for number in range(1, 101):
        suggestion = searcher.suggest(TrialNumber(number))
        assert suggestion is not None
        x = suggestion.parameters["x"]
        state, rung = (TrialState.PAUSED, 2) if x > 0 else (TrialState.STOPPED, 1)
        searcher.tell([observed(number, suggestion.parameters, -x, state, rung, suggestion.note)])
        late += [x] if number > 70 else []
    assert sum(x > 0 for x in late) > 24


@pytest.mark.parametrize("algorithm", NSGA)
def test_children_of_a_conditional_space_belong_to_it(algorithm: Algorithm) -> None:
    """Children of parents from different branches have exactly the parameters of their own branch."""
    space = SearchSpace(
        (
            Parameter("kind", Choice(("a", "b"))),
            Parameter("x", Float(1e-3, 1, log=True), (Condition("kind", ("a",)),)),
            Parameter("z", Float(0, 1), (Condition("kind", ("b",)),)),
        )
    )
    searcher = make_searcher(spec(algorithm, space))
    kinds: list[str] = []
    for number in range(1, 71):
        suggestion = searcher.suggest(TrialNumber(number))
        assert suggestion is not None
        assert_belongs(suggestion.parameters, space)
        kinds.append(suggestion.parameters["kind"])
        score = suggestion.parameters.get("z", -1.0)
        searcher.tell([observed(number, suggestion.parameters, score, TrialState.COMPLETED, note=suggestion.note)])
    assert kinds[-30:].count("b") > 20


@pytest.mark.parametrize("algorithm", NSGA)
def test_parents_that_failed_later_have_no_children(algorithm: Algorithm) -> None:
    """A generation whose parents have all failed since they paused goes on with points that cover the space."""
    study = spec(algorithm, SQUARE)
    searcher = make_searcher(study)
    given: list[Observation] = []
    for number in range(1, 23):
        suggestion = searcher.suggest(TrialNumber(number))
        assert suggestion is not None
        given.append(observed(number, suggestion.parameters, 1.0, TrialState.PAUSED, note=suggestion.note))
        searcher.tell(given[-1:])
    searcher.tell(failed(given))
    assert searcher.suggest(TrialNumber(23)) is not None


def failed(observations: Sequence[Observation]) -> list[Observation]:
    return [replace(o, state=TrialState.FAILED) for o in observations]
