"""The searchers' process, and its twin without one: commands in, answers out, and what happens when a process dies."""

import itertools
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from searchd.domain.objective import Goal as Direction
from searchd.domain.objective import Objective
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Float, Integer, Parameter, SearchSpace
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import (
    Ask,
    CloseSearch,
    OpenSearch,
    SearchCommand,
    Searchers,
    SearchFailed,
    Suggested,
    Suggestion,
    Tell,
)
from searchd.searchers.host import Answer, Desk, Turns
from searchd.searchers.local import LocalSearchers
from searchd.searchers.process import SearcherProcess
from tests.contracts.searcher import MIXED, observed, spec

PATIENCE_SECONDS = 30.0


class Hosted:
    """Searchers of either kind, and their answers in order."""

    def __init__(self, kind: type[SearcherProcess] | type[LocalSearchers]) -> None:
        self.answers: queue.Queue[Answer] = queue.Queue()
        self.searchers: Searchers = kind(self.answers.put)

    def perform(self, *commands: SearchCommand) -> None:
        for command in commands:
            self.searchers.perform(command)

    def answer(self) -> Answer:
        return self.answers.get(timeout=PATIENCE_SECONDS)


@pytest.fixture(params=[SearcherProcess, LocalSearchers])
def hosted(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    host = Hosted(request.param)
    yield host
    host.searchers.close()


@pytest.fixture
def process() -> Iterator[Hosted]:
    host = Hosted(SearcherProcess)
    yield host
    host.searchers.close()


def numbers(*given: int) -> tuple[TrialNumber, ...]:
    return tuple(map(TrialNumber, given))


def child_of(parent: int) -> psutil.Process:
    """The one process that hosts searchers for a parent."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = [p for p in psutil.Process(parent).children() if "searchd.searchers.host" in p.cmdline()]
        if found:
            (child,) = found
            return child
        time.sleep(0.02)
    raise AssertionError("no searcher process")


def test_answers_every_ask_in_order(hosted: Hosted) -> None:
    """Each Ask of a study gets one Suggested with its numbers, in the order of asking, each study its own."""
    studies = {"a": spec(Algorithm.RANDOM, MIXED, 1), "b": spec(Algorithm.SOBOL, MIXED, 2)}
    for name, study in studies.items():
        hosted.perform(OpenSearch(name, study))
    for start in range(1, 40, 4):
        for name in studies:
            hosted.perform(Ask(name, numbers(*range(start, start + 4))))
    answers = [hosted.answer() for _ in range(20)]
    for name in studies:
        mine = [a for a in answers if a.study == name]
        assert all(isinstance(a, Suggested) and len(a.suggestions) == 4 and not a.exhausted for a in mine)
        assert [a.numbers[0] for a in mine if isinstance(a, Suggested)] == list(range(1, 40, 4))


def test_tells_reach_the_searcher(hosted: Hosted) -> None:
    """TPE that was told results, at opening or later, suggests the same as when driven directly."""
    tells = tuple(observed(n, {"x": n / 20}, n % 5, TrialState.COMPLETED) for n in range(1, 21))
    study = spec(Algorithm.TPE, SearchSpace((Parameter("x", Float(0, 1)),)), 3)
    hosted.perform(OpenSearch("told at opening", study, tells), Ask("told at opening", numbers(21)))
    hosted.perform(OpenSearch("told later", study), Tell("told later", tells), Ask("told later", numbers(21)))
    hosted.perform(OpenSearch("ignorant", study), Ask("ignorant", numbers(21)))
    answers = {a.study: a.suggestions for a in (hosted.answer() for _ in range(3)) if isinstance(a, Suggested)}
    assert answers["told at opening"] == answers["told later"]
    assert answers["told at opening"] != answers["ignorant"]


def test_many_trials_reach_the_searcher(hosted: Hosted) -> None:
    """Of a space of 2,000 configurations a study that opens with 1,990 trials is offered the ten that are left."""
    study = spec(Algorithm.RANDOM, SearchSpace((Parameter("x", Integer(1, 2001)),)), 3)
    tried = tuple(observed(n, {"x": n}, 0.5, TrialState.COMPLETED) for n in range(1, 1991))
    hosted.perform(OpenSearch("large", study, tried), Ask("large", numbers(*range(1991, 2003))))
    answer = hosted.answer()
    assert isinstance(answer, Suggested)
    assert sorted(s.parameters["x"] for s in answer.suggestions) == list(range(1991, 2001))
    assert answer.exhausted


def test_studies_take_turns() -> None:
    """A study that asks for many suggestions gets one answer, and another that asks for one meanwhile waits for two."""
    turns = Turns(Desk())
    many = numbers(*range(1, 65))
    for command in (OpenSearch("many", spec(Algorithm.SOBOL, MIXED)), OpenSearch("one", spec(Algorithm.RANDOM, MIXED))):
        turns.put(command)
    turns.put(Ask("many", many))
    turns.put(Ask("one", numbers(1)))
    answers: list[Suggested] = []
    at: list[int] = []
    for step in itertools.count(1):
        if not turns:
            break
        answer = turns.step()
        if isinstance(answer, Suggested):
            answers.append(answer)
            at.append(step)
    one, all_of_many = answers
    assert (one.study, one.numbers, at[0]) == ("one", numbers(1), 4)
    assert (all_of_many.study, all_of_many.numbers, len(all_of_many.suggestions)) == ("many", many, 64)


def test_taking_turns_changes_no_answer() -> None:
    """A searcher that raises or a space that is used up in the middle of an Ask ends it at once, as without turns."""
    turns, desk = Turns(Desk()), Desk()
    few = spec(Algorithm.RANDOM, SearchSpace((Parameter("x", Integer(0, 3)),)))
    wrong = spec(Search(Algorithm.RAY, ray="optun"), MIXED)
    commands: list[SearchCommand] = [
        OpenSearch("few", few),
        Ask("few", numbers(1, 2, 3, 4, 5)),
        Ask("few", numbers(6, 7)),
    ]
    commands += [OpenSearch("wrong", wrong), Ask("wrong", numbers(1, 2)), Ask("unknown", numbers(1, 2))]
    for command in commands:
        turns.put(command)
    found = []
    while turns:
        found.append(turns.step())
    expected = [desk.handle(command) for command in commands]
    assert sorted(map(str, filter(None, found))) == sorted(map(str, filter(None, expected)))


def test_says_when_a_space_is_exhausted(hosted: Hosted) -> None:
    """Asked for more than there is, the answer holds what is left and says so."""
    study = spec(Algorithm.GRID, SearchSpace())
    hosted.perform(OpenSearch("g", study), Ask("g", numbers(1, 2, 3)))
    assert hosted.answer() == Suggested("g", numbers(1, 2, 3), (Suggestion({}),), exhausted=True)


def test_one_failing_searcher_leaves_the_others_alone(hosted: Hosted) -> None:
    """A searcher that raises is reported with its reason, once; other studies go on, and it can be opened again."""
    broken = StudySpec("t", (Objective("m", Direction.MAXIMIZE),), MIXED, search=Search(Algorithm.GRID))
    hosted.perform(OpenSearch("ok", spec(Algorithm.RANDOM, MIXED)), OpenSearch("broken", broken))
    hosted.perform(Ask("broken", numbers(1)), Tell("broken", ()), Ask("ok", numbers(1)))
    failed = hosted.answer()
    assert isinstance(failed, SearchFailed)
    assert failed.study == "broken"
    assert "a grid needs discrete parameters" in failed.reason
    assert isinstance(hosted.answer(), Suggested)
    hosted.perform(OpenSearch("broken", spec(Algorithm.RANDOM, MIXED)), Ask("broken", numbers(1)))
    answer = hosted.answer()
    assert isinstance(answer, Suggested)
    assert answer.study == "broken"


def test_a_closed_study_is_not_answered(hosted: Hosted) -> None:
    """After CloseSearch an Ask passes unheard."""
    hosted.perform(OpenSearch("a", spec(Algorithm.RANDOM, MIXED)), OpenSearch("b", spec(Algorithm.RANDOM, MIXED)))
    hosted.perform(CloseSearch("a"), Ask("a", numbers(1)), Ask("b", numbers(1)))
    assert hosted.answer().study == "b"
    assert hosted.answers.empty()


def test_when_the_process_dies_every_open_study_fails(process: Hosted) -> None:
    """Killing the child fails the open studies, not the closed ones; opening again starts another child."""
    study = spec(Algorithm.RANDOM, MIXED)
    process.perform(OpenSearch("a", study), OpenSearch("b", study), OpenSearch("c", study), CloseSearch("c"))
    process.perform(Ask("a", numbers(1)))
    before = process.answer()
    child = child_of(os.getpid())
    child.kill()
    failed = [process.answer(), process.answer()]
    assert [a.study for a in failed] == ["a", "b"]
    assert all(isinstance(a, SearchFailed) and "ended unexpectedly" in a.reason for a in failed)
    process.perform(Tell("a", ()), Ask("a", numbers(1)))
    process.perform(OpenSearch("a", study), Ask("a", numbers(1)))
    assert process.answer() == before
    assert process.answers.empty()
    assert child_of(os.getpid()).pid != child.pid


def test_closing_ends_the_process() -> None:
    """After close the child is gone; closing again is harmless."""
    process = Hosted(SearcherProcess)
    process.perform(OpenSearch("a", spec(Algorithm.TPE, MIXED)))
    child = child_of(os.getpid())
    process.searchers.close()
    process.searchers.close()
    assert not child.is_running()


def test_closing_does_not_wait_for_what_is_queued() -> None:
    """A child with minutes of work before it, and nobody taking its answers, is ended all the same."""

    def refuse(answer: Answer) -> None:
        time.sleep(60)

    searchers = SearcherProcess(refuse)
    searchers.perform(OpenSearch("a", spec(Algorithm.RANDOM, MIXED)))
    for _ in range(1000):
        searchers.perform(Ask("a", numbers(*range(1, 1001))))
    child = child_of(os.getpid())
    begun = time.monotonic()
    searchers.close()
    assert time.monotonic() - begun < PATIENCE_SECONDS
    assert not child.is_running()


def test_an_interrupt_of_the_terminal_passes_it_by(process: Hosted) -> None:
    """The child is in a session of its own and ignores SIGINT, so Ctrl-C is for its parent to handle."""
    process.perform(OpenSearch("a", spec(Algorithm.RANDOM, MIXED)), Ask("a", numbers(1)))
    before = process.answer()
    child = child_of(os.getpid())
    assert os.getsid(child.pid) == child.pid
    child.send_signal(signal.SIGINT)
    process.perform(Ask("a", numbers(1)))
    assert process.answer() == before


def test_the_process_dies_with_its_parent() -> None:
    """When the parent is killed with SIGKILL its child is gone within seconds, even one that is busy."""
    script = (
        "import time\n"
        "from searchd.searchers.process import SearcherProcess\n"
        "from searchd.domain.study import Algorithm\n"
        "from searchd.ports.searcher import Ask, OpenSearch\n"
        "from tests.contracts.searcher import MIXED, spec\n"
        "process = SearcherProcess(lambda answer: print('answered', flush=True))\n"
        "process.perform(OpenSearch('a', spec(Algorithm.RANDOM, MIXED)))\n"
        "for _ in range(100):\n"
        "    process.perform(Ask('a', tuple(range(1, 1000))))\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"answered\n"
        child = child_of(parent.pid)
        parent.kill()
        parent.wait()
        assert psutil.wait_procs([child], timeout=PATIENCE_SECONDS)[0] == [child]
