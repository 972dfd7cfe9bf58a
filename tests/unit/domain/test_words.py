"""Ladders, trials and studies: their arithmetic and their legal moves."""

import inspect
import itertools
import pickle
from collections.abc import Callable
from datetime import timedelta

import pytest

from searchd.domain import errors
from searchd.domain.evaluation import Evaluation
from searchd.domain.facts import (
    Fact,
    MeasurementAdded,
    ProgressPut,
    RequestAnswered,
    StudyDeleted,
    StudyPut,
    TrialPut,
    study_of,
)
from searchd.domain.fidelity import Fidelity, derived_ladder, is_ladder, spaced_ladder
from searchd.domain.objective import Goal
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.study import Budget, Progress, Study, StudyState, study_id, study_name
from searchd.domain.trial import FoldRunState, Trial, TrialState
from tests.contracts.makers import AT, STUDY, fold_run, measurement, spec, study, trial

LATER = AT + timedelta(seconds=9)


@pytest.mark.parametrize(
    ("folds", "epochs", "eta", "least", "trials", "rungs"),
    [
        (5, 27, 3, 1, 200, [(1, 1), (1, 3), (1, 9), (1, 27), (5, 27)]),
        (5, 27, 3, 1, 20, [(1, 9), (1, 27), (5, 27)]),
        (5, 27, 3, 1, 3, [(1, 27), (5, 27)]),
        (5, 27, 3, 1, 2, [(5, 27)]),
        (1, 27, 3, 1, 200, [(1, 1), (1, 3), (1, 9), (1, 27)]),
        (1, 27, 3, 4, 200, [(1, 9), (1, 27)]),
        (1, 10, 3, 1, 200, [(1, 2), (1, 4), (1, 10)]),
        (5, 1, 3, 1, 200, [(1, 1), (5, 1)]),
        (1, 1, 3, 1, 200, [(1, 1)]),
        (1, 16, 2, 1, 8, [(1, 2), (1, 4), (1, 8), (1, 16)]),
    ],
)
def test_derived_ladder(
    folds: int, epochs: int, eta: int, least: int, trials: int, rungs: list[tuple[int, int]]
) -> None:
    """Epochs are divided by eta on one fold, all folds come last, and no rung is promised that trials cannot fill."""
    assert [(r.folds, r.epochs) for r in derived_ladder(folds, epochs, eta, least, trials)] == rungs


def test_every_derived_ladder_is_one() -> None:
    """Whatever the numbers, a derived ladder climbs strictly to the full evaluation, within its promotions."""
    for folds, epochs, eta, least, trials in itertools.product(
        (1, 2, 5), (1, 2, 9, 10, 100), (2, 3, 4), (1, 3, 10), (1, 5, 81, 1000)
    ):
        ladder = derived_ladder(folds, epochs, eta, min(least, epochs), trials)
        assert is_ladder(ladder)
        assert ladder[-1] == Fidelity(folds, epochs)
        assert eta ** (len(ladder) - 1) <= trials
        assert all(rung.epochs >= min(least, epochs) for rung in ladder)


@pytest.mark.parametrize(
    ("folds", "epochs", "least", "rungs"),
    [
        (1, 4, 1, [(1, 1), (1, 2), (1, 3), (1, 4)]),
        (3, 4, 3, [(1, 3), (1, 4), (3, 4)]),
        (1, 1, 1, [(1, 1)]),
        (2, 1, 1, [(1, 1), (2, 1)]),
        (1, 41, 1, [(1, epochs) for epochs in range(2, 42, 3)]),
    ],
)
def test_spaced_ladder(folds: int, epochs: int, least: int, rungs: list[tuple[int, int]]) -> None:
    """Rungs are equally many epochs apart on one fold, counted from the top down, and all folds come last."""
    assert [(r.folds, r.epochs) for r in spaced_ladder(folds, epochs, least)] == rungs


def test_every_spaced_ladder_is_one() -> None:
    """Whatever the numbers, a spaced ladder climbs strictly to the full evaluation, in at most 20 rungs on one fold."""
    for folds, epochs, least in itertools.product((1, 5), (*range(1, 100), 1000, 12345), (1, 3, 10)):
        ladder = spaced_ladder(folds, epochs, min(least, epochs))
        assert is_ladder(ladder)
        assert ladder[-1] == Fidelity(folds, epochs)
        assert sum(rung.folds == 1 for rung in ladder) <= 20
        assert all(rung.epochs >= min(least, epochs) for rung in ladder)


@pytest.mark.parametrize(
    ("rungs", "climbs"),
    [([(1, 3), (3, 3), (5, 9)], True), ([], False), ([(1, 1), (1, 1)], False), ([(2, 1), (1, 9)], False)],
)
def test_ladder_must_climb(rungs: list[tuple[int, int]], climbs: bool) -> None:
    """A ladder grows in folds or epochs at each rung and shrinks in neither."""
    assert is_ladder(tuple(Fidelity(*rung) for rung in rungs)) is climbs


def test_ladder_of_a_study_is_given_derived_or_the_top_alone() -> None:
    """A given ladder stands, an unset one is derived, and without a scheduler there is only the top."""
    given = (Fidelity(1, 3), Fidelity(5, 9))
    assert spec(evaluation=Evaluation(folds=5, epochs=9, ladder=given)).ladder == given
    assert len(spec(evaluation=Evaluation(folds=5, epochs=9), budget=Budget(trials=200)).ladder) == 4
    alone = spec(evaluation=Evaluation(folds=5, repeats=2, epochs=9), scheduler=Scheduler(SchedulerAlgorithm.NONE))
    assert alone.ladder == (Fidelity(10, 9),)
    median = Scheduler(SchedulerAlgorithm.MEDIAN, min_epochs=2)
    spaced = spec(evaluation=Evaluation(folds=5, epochs=4), scheduler=median, budget=Budget(trials=2)).ladder
    assert spaced == (Fidelity(1, 2), Fidelity(1, 3), Fidelity(1, 4), Fidelity(5, 4))
    assert spec(evaluation=Evaluation(folds=5, epochs=9, ladder=given), scheduler=median).ladder == given


def test_fold_runs_are_placed_repeat_by_repeat() -> None:
    """All folds of a repeat come before the next repeat's; a hold-out split is fold 0."""
    evaluation = Evaluation(folds=3, repeats=2)
    assert [evaluation.place(i) for i in range(6)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert Evaluation(repeats=2).place(1) == (1, 0)


def test_goals() -> None:
    """Better is larger or smaller by the goal, never equal, and signed scores are always better when larger."""
    for goal, better, worse in ((Goal.MAXIMIZE, 2.0, 1.0), (Goal.MINIMIZE, 1.0, 2.0)):
        assert goal.better(better, worse)
        assert not goal.better(worse, better)
        assert not goal.better(better, better)
        assert goal.signed(better) > goal.signed(worse)


def test_score_at_a_rung() -> None:
    """A run's score at a rung is that of its epoch, the next noted one if it was lost, and the last if it returned."""
    run = fold_run(scores=((1, 0.1), (9, 0.9)))
    assert (run.score_at(1), run.score_at(3), run.score_at(9), run.score_at(27)) == (0.1, 0.9, 0.9, None)
    ended = fold_run(scores=((1, 0.1),), state=FoldRunState.FINISHED)
    assert ended.score_at(27) == 0.1
    assert fold_run(state=FoldRunState.FINISHED).score_at(1) is None


def test_trial_moves() -> None:
    """A trial runs, pauses, climbs and ends; its fold runs end with it; it moves nowhere from its end."""
    pending = trial(state=TrialState.PENDING, started_at=None)
    running = pending.running(AT)
    assert (running.state, running.started_at) == (TrialState.RUNNING, AT)
    assert running.paused().running(LATER).started_at == AT
    assert running.climbed(0.5).climbed(0.6).rung == 2
    ended = running.ended(TrialState.STOPPED, LATER, "enough", "log")
    assert (ended.ended_at, ended.reason, ended.log_tail) == (LATER, "enough", "log")
    assert [run.state for run in ended.fold_runs] == [FoldRunState.FINISHED]
    moves: tuple[Callable[[], Trial], ...] = (
        lambda: ended.running(AT),
        lambda: ended.ended(TrialState.FAILED, AT),
        lambda: running.ended(TrialState.PAUSED, AT),
        lambda: running.paused().paused(),
        pending.paused,
    )
    for illegal in moves:
        with pytest.raises(ValueError, match="trial 1"):
            illegal()


def test_study_moves() -> None:
    """A study moves only as the words say, from state to state, and nowhere from its end."""
    moves: dict[StudyState, Callable[[Study], Study]] = {
        StudyState.RUNNING: lambda s: s.started(AT),
        StudyState.PAUSED: lambda s: s.paused("why"),
        StudyState.STOPPING: lambda s: s.stopping("why"),
        StudyState.STOPPED: lambda s: s.stopped(AT),
        StudyState.SUCCEEDED: lambda s: s.succeeded(AT, ""),
        StudyState.FAILED: lambda s: s.failed(AT, "why"),
    }
    legal = {
        StudyState.PENDING: {StudyState.RUNNING, StudyState.PAUSED, StudyState.STOPPING, StudyState.FAILED},
        StudyState.RUNNING: {StudyState.PAUSED, StudyState.STOPPING, StudyState.SUCCEEDED, StudyState.FAILED},
        StudyState.PAUSED: {StudyState.STOPPING},
        StudyState.STOPPING: {StudyState.STOPPED, StudyState.SUCCEEDED, StudyState.FAILED},
    }
    for state in StudyState:
        here = study(state=state)
        for to, move in moves.items():
            if to in legal.get(state, set()):
                assert move(here).state is to
                assert move(here).state.ended == (move(here).ended_at is not None)
            else:
                with pytest.raises(ValueError, match="cannot go"):
                    move(here)


def test_names_and_differences() -> None:
    """A study's name holds its project and id; two definitions differ in the fields that they name."""
    assert study_id(study_name("vision", "digits")) == "digits"
    assert spec(seed=1).differing(spec(seed=2, priority=3)) == ("seed", "priority")
    assert spec().differing(spec()) == ()


def test_every_fact_knows_its_study() -> None:
    """Each kind of fact names the study it is about; an answered request is about none."""
    facts: list[Fact] = [
        StudyPut(study()),
        TrialPut(trial()),
        MeasurementAdded(STUDY, measurement()),
        ProgressPut(STUDY, Progress()),
    ]
    assert {study_of(fact) for fact in (*facts, StudyDeleted(STUDY))} == {STUDY}
    assert study_of(RequestAnswered("r", "d", study())) is None


EXAMPLES: dict[str, object] = {
    "violations": (errors.Violation("a.b", "is wrong", "mend it"),),
    "known": ("a", "b"),
    "differing": ("seed",),
    "limit": 5,
    "trial": 3,
    "revision": 7,
    "oldest": 9,
}


@pytest.mark.parametrize(
    "kind",
    [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.SearchdError)],
    ids=lambda kind: kind.__name__,
)
def test_errors_survive_pickling_with_all_fields(kind: type[errors.SearchdError]) -> None:
    """Every error crosses process boundaries with its fields and its message, and says something."""
    names = [] if kind.__init__ is Exception.__init__ else list(inspect.signature(kind).parameters)
    names = [name for name in names if name not in ("args", "kwargs")]
    error = kind(*(EXAMPLES.get(name, f"some {name}") for name in names))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)
    assert str(error) or kind is errors.SearchdError
    assert set(vars(error)) == set(names)
