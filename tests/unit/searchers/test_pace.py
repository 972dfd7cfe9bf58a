"""When a searcher steps down because slots would wait for it, and up again."""

import json
from dataclasses import replace

import pytest

from searchd.domain.search import Algorithm
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation
from searchd.searchers.pace import LOOK_BACK, RECENT, TOP, Pace, written


def trained(number: int, seconds: float, note: str = "", state: TrialState = TrialState.COMPLETED) -> Observation:
    return Observation(TrialNumber(number), {}, state, (0.5,), seconds=seconds, note=note)


def paced(seconds: float, slots: int | None = 4) -> Pace:
    """After enough trials of so many seconds."""
    pace = Pace(slots)
    for number in range(1, LOOK_BACK + 1):
        pace.tell(trained(number, seconds))
    return pace


def ask(pace: Pace, algorithm: Algorithm, seconds: float, times: int = LOOK_BACK) -> None:
    for _ in range(times):
        pace.asked(algorithm, seconds, TrialNumber(100))


def test_steps_down_when_slots_would_wait() -> None:
    """0.3 s for a suggestion is more than a tenth of the 2.5 s in which four slots use one up; 0.2 s is not."""
    slow, quick = paced(10.0), paced(10.0)
    ask(slow, Algorithm.GP, 0.3)
    ask(quick, Algorithm.GP, 0.2)
    assert slow.step.by is Algorithm.TPE
    assert quick.step.by is Algorithm.GP
    assert not slow.step.allows(Algorithm.GP)
    assert slow.step.allows(Algorithm.CMAES)
    assert replace(slow.step, slots=1).remark.endswith("too long for 1 slot and trials of 10 s")
    assert slow.step.remark == "gp took 0.3 s per suggestion, too long for 4 slots and trials of 10 s"


def test_one_slow_suggestion_says_nothing() -> None:
    """A first suggestion that had to import a library does not count among quick ones."""
    pace = paced(10.0)
    ask(pace, Algorithm.GP, 5.0, times=2)
    ask(pace, Algorithm.GP, 0.01)
    assert pace.step.by is Algorithm.GP


def test_nothing_is_concluded_before_trials_have_ended() -> None:
    """As long as nobody knows how long trials take, the dearest model may be asked."""
    pace = Pace(4)
    ask(pace, Algorithm.GP, 60.0, times=20)
    assert pace.step.by is Algorithm.GP


@pytest.mark.parametrize("algorithm", [Algorithm.TPE, Algorithm.CMAES, Algorithm.NSGA2])
def test_the_last_step_is_a_fixed_sequence(algorithm: Algorithm) -> None:
    """Where even a cheap model is too slow, nothing but the Sobol sequence may be asked, and that always."""
    pace = paced(0.01)
    ask(pace, algorithm, 0.02)
    assert pace.step.by is Algorithm.SOBOL
    assert not pace.step.allows(Algorithm.TPE)
    ask(pace, Algorithm.SOBOL, 1.0)
    assert pace.step.by is Algorithm.SOBOL


def test_steps_up_only_when_trials_get_much_longer() -> None:
    """After 0.3 s was too long, trials twice as long change nothing; trials ten times as long do."""
    pace = paced(10.0)
    ask(pace, Algorithm.GP, 0.3)
    for seconds, by in ((20.0, Algorithm.TPE), (100.0, Algorithm.GP)):
        for number in range(200, 200 + RECENT):
            pace.tell(trained(number, seconds))
        ask(pace, Algorithm.TPE, 0.01)
        assert pace.step.by is by


def test_slots_are_counted_where_the_study_has_no_limit() -> None:
    """With ten trials at once a suggestion is used up ten times as fast as with one."""
    for running, by in ((0, Algorithm.GP), (10, Algorithm.TPE)):
        pace = paced(10.0, slots=None)
        for number in range(50, 50 + running):
            pace.tell(trained(number, 0.0, state=TrialState.RUNNING))
        ask(pace, Algorithm.GP, 0.3)
        assert pace.step.by is by


def test_a_rebuilt_one_goes_on_from_the_newest_note() -> None:
    """The step comes back with the trials, in whatever order they are told."""
    pace = paced(10.0)
    ask(pace, Algorithm.GP, 0.3)
    down = pace.step
    note = json.dumps({"step": written(down)})
    later = json.dumps({"step": ["sobol", 0.5, 0.1, 4]})
    for order in ((7, 9), (9, 7)):
        rebuilt = Pace(4)
        for number in order:
            rebuilt.tell(trained(number, 1.0, later if number == 7 else note))
        assert rebuilt.step == down
        assert rebuilt.stepped


def test_notes_of_others_are_no_steps() -> None:
    """A note without a step, or with one of another form, is passed over."""
    pace = Pace(4)
    for note in ({}, {"step": None}, {"step": ["gp"]}, {"step": ["grid", 1.0, 1.0, 1]}, {"by": "cmaes"}):
        pace.tell(trained(1, 1.0, json.dumps(note)))
    assert not pace.stepped


def test_one_slot_never_steps_down() -> None:
    """With one slot the same seed gives the same study, so that time decides nothing."""
    pace = Pace(1)
    for number in range(1, 21):
        pace.tell(Observation(TrialNumber(number), {}, TrialState.COMPLETED, (0.5,), seconds=0.01))
        pace.asked(Algorithm.GP, 10.0, TrialNumber(number))
    assert (pace.step, pace.stepped) == (TOP, False)
