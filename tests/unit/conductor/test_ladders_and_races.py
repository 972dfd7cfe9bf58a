"""How trials climb: every scheduler, every racing rule, hold-out and folds, ladders derived and given."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from searchd.conductor.active import FINISHERS
from searchd.domain.brackets import brackets_of
from searchd.domain.evaluation import Evaluation, Racing, Score
from searchd.domain.fidelity import Fidelity, Ladder
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.study import Budget, StudyName, StudyState
from searchd.domain.trial import Origin, TrialNumber, TrialState
from searchd.engines.simulated import Epoch
from searchd.ports.engine import CancelSegment, Node, Outcome, Segment
from tests.unit.conductor.simulated import House, LateEnds, Recorder, reports, score, trains

NONE = Scheduler(SchedulerAlgorithm.NONE)
PROMOTION = Scheduler(mode=SchedulerMode.PROMOTION)
STOPPING = Scheduler(mode=SchedulerMode.STOPPING)
HYPERBAND = Scheduler(SchedulerAlgorithm.HYPERBAND)
STOPPING_HYPERBAND = Scheduler(SchedulerAlgorithm.HYPERBAND, mode=SchedulerMode.STOPPING)
MEDIAN = Scheduler(SchedulerAlgorithm.MEDIAN)
FOLDED_LADDER = (Fidelity(1, 3), Fidelity(3, 3), Fidelity(5, 9))
PARTIAL_LADDER = (Fidelity(2, 1), Fidelity(3, 3), Fidelity(5, 9))


def _check_rungs(house: House, name: StudyName) -> None:
    """Every rung was reached by those who climbed to it and no others, and counts agree with the trials."""
    study, trials = house.study(name), house.trials(name)
    ladder = study.spec.ladder
    assert study.progress.rungs == tuple(sum(t.rung > rung for t in trials) for rung in range(len(ladder)))
    assert study.progress.trials == {s: n for s in TrialState if (n := sum(t.state is s for t in trials))}
    assert study.progress.busy == 0
    for trial in trials:
        assert trial.state.ended
        assert (trial.state is TrialState.COMPLETED) == (trial.rung == len(ladder))
        for rung, mean in enumerate(trial.scores):
            folds, epochs = ladder[rung].folds, ladder[rung].epochs
            expected = [score(trial.parameters["x"], fold, epochs) for fold in range(folds)]
            assert mean == pytest.approx(sum(expected) / folds)


@pytest.mark.parametrize("engine", [Recorder, LateEnds])
@pytest.mark.parametrize("folds", [0, 5])
@pytest.mark.parametrize("racing", Racing)
@pytest.mark.parametrize("scheduler", [NONE, PROMOTION, STOPPING, HYPERBAND, STOPPING_HYPERBAND, MEDIAN])
def test_every_way_to_climb_ends_with_true_scores(
    scheduler: Scheduler, racing: Racing, folds: int, engine: type[Recorder]
) -> None:
    """Whatever decides, the study succeeds, all trials end, and each rung's score is the mean over its folds."""
    house = House(engines=engine)
    evaluation = Evaluation(folds=folds, epochs=9, racing=racing)
    name = house.create(scheduler=scheduler, evaluation=evaluation, budget=Budget(trials=20))
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED
    assert len(house.trials(name)) == 20
    _check_rungs(house, name)
    assert set(house.trained.values()) == {1}


@pytest.mark.parametrize("engine", [Recorder, LateEnds])
@pytest.mark.parametrize("ladder", [FOLDED_LADDER, PARTIAL_LADDER])
@pytest.mark.parametrize("racing", Racing)
@pytest.mark.parametrize("scheduler", [PROMOTION, STOPPING, HYPERBAND, MEDIAN])
def test_ladder_with_folds_at_partial_epochs(
    scheduler: Scheduler, racing: Racing, ladder: Ladder, engine: type[Recorder]
) -> None:
    """A given ladder may grow in folds before it has all epochs; fold runs then continue from where they waited."""
    house = House(engines=engine)
    evaluation = Evaluation(folds=5, epochs=9, racing=racing, ladder=ladder)
    name = house.create(scheduler=scheduler, evaluation=evaluation, budget=Budget(trials=20))
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED
    assert house.study(name).spec.ladder == ladder
    _check_rungs(house, name)
    racers = [t for t in house.trials(name) if "lost the race" in t.reason]
    assert all(len(trial.fold_runs) == ladder[trial.rung].folds for trial in racers)
    assert set(house.trained.values()) == {1}


def test_derived_ladder_has_its_rungs() -> None:
    """Five folds of 27 epochs with 200 trials climb by epochs on one fold, then to all folds."""
    house = House()
    name = house.create(evaluation=Evaluation(folds=5, epochs=27), budget=Budget(trials=200))
    assert [(r.folds, r.epochs) for r in house.study(name).spec.ladder] == [(1, 1), (1, 3), (1, 9), (1, 27), (5, 27)]
    house.run()
    _check_rungs(house, name)


@pytest.mark.parametrize("scheduler", [NONE, PROMOTION, STOPPING, HYPERBAND, STOPPING_HYPERBAND, MEDIAN])
@pytest.mark.parametrize("racing", Racing)
def test_default_reaches_the_top_however_bad_it_is(scheduler: Scheduler, racing: Racing) -> None:
    """The default configuration is never paused for good, stopped or raced out, so that gains can be told."""

    def slow_default(segment: Segment, epoch: int) -> Iterator[Epoch]:
        for epoch_done in trains(segment, epoch):
            yield replace(epoch_done, duration=timedelta(seconds=20 if segment.trial == 1 else 1))

    house = House(behaviour=slow_default)
    evaluation = Evaluation(folds=5, epochs=9, racing=racing)
    worst = {"x": 1.0}
    name = house.create(default=worst, scheduler=scheduler, evaluation=evaluation, budget=Budget(trials=20))
    house.run()
    first = house.trial(name, 1)
    assert first.origin is Origin.DEFAULT
    assert first.state is TrialState.COMPLETED
    assert house.study(name).progress.default_score == first.scores[-1]


@pytest.mark.parametrize("seed", range(10))
def test_three_searched_trials_finish_under_promotion(seed: int) -> None:
    """With 20 trials promotion alone brings hardly anybody to the top; three searched ones get there all the same."""
    house = House()
    name = house.create(evaluation=Evaluation(folds=5, epochs=27), budget=Budget(trials=20), seed=seed)
    house.run()
    finished = [t for t in house.trials(name) if t.state is TrialState.COMPLETED and t.origin is Origin.SEARCH]
    assert len(finished) >= FINISHERS


@pytest.mark.parametrize("late_ends", [True, False])
@pytest.mark.parametrize("mode", SchedulerMode)
def test_hyperbands_trials_are_judged_from_their_brackets_on(mode: SchedulerMode, late_ends: bool) -> None:
    """A trial climbs to the rung of its bracket in one go; whoever ends below the top was judged there or above."""
    house = House(engines=LateEnds if late_ends else Recorder)
    scheduler = Scheduler(SchedulerAlgorithm.HYPERBAND, mode=mode)
    name = house.create(default=None, scheduler=scheduler, evaluation=Evaluation(epochs=27), budget=Budget(trials=60))
    house.run()
    brackets = brackets_of(house.study(name).spec)
    found = Counter((brackets.of(trial.number), trial.rung) for trial in house.trials(name))
    assert {bracket for bracket, _ in found} == {0, 1, 2, 3}
    assert all(rungs > bracket for bracket, rungs in found)
    assert {bracket for bracket, rungs in found if rungs == 4} >= {2, 3}
    targets = {(brackets.of(TrialNumber(s.trial)), s.target) for s in house.engine.segments() if s.attempt == 1}
    assert targets == (
        {(0, 1), (1, 3), (2, 9), (3, 27)} if mode is SchedulerMode.PROMOTION else {(b, 27) for b in range(4)}
    )
    _check_rungs(house, name)


def test_the_median_rule_says_why_it_stops() -> None:
    """Trials that are worse than the median stop early with that reason, and the better half trains fully."""
    house = House()
    name = house.create(scheduler=MEDIAN, evaluation=Evaluation(epochs=9), budget=Budget(trials=40))
    house.run()
    stopped = [trial for trial in house.trials(name) if trial.state is TrialState.STOPPED]
    assert 10 <= len(stopped) <= 30
    assert {trial.reason for trial in stopped if trial.rung == 1} == {
        "worse than the median of the others at 1 fold x 1 epoch"
    }
    worst_finished = min(t.scores[-1] for t in house.trials(name)[4:] if t.state is TrialState.COMPLETED)
    assert all(trial.scores[0] < worst_finished for trial in stopped)


def test_finishers_are_the_best_of_the_paused() -> None:
    """Whom promotion brings to the top out of turn are the best that were paused, not just anybody."""
    house = House()
    name = house.create(default=None, evaluation=Evaluation(epochs=9), budget=Budget(trials=8))
    house.run()
    trials = house.trials(name)
    lowest = sorted((t for t in trials if t.rung == 1), key=lambda t: -t.scores[0])
    climbed = [t for t in trials if t.rung > 1]
    assert min(t.scores[0] for t in climbed) >= max(t.scores[0] for t in lowest)


def test_fewer_trials_than_finishers_all_finish() -> None:
    """A study of two trials promotes both, then ends."""
    house = House()
    ladder = (Fidelity(1, 1), Fidelity(1, 9))
    name = house.create(default=None, evaluation=Evaluation(epochs=9, ladder=ladder), budget=Budget(trials=2))
    house.run()
    assert house.in_state(name, TrialState.COMPLETED) == [1, 2]


@pytest.mark.parametrize("racing", [Racing.FORGIVING, Racing.AGGRESSIVE])
def test_race_compares_the_same_rung_and_only_complete_ones(racing: Racing) -> None:
    """Who loses a race was at least as bad, on the folds that it had finished, as an incumbent with the whole rung."""
    house = House()
    name = house.create(scheduler=NONE, evaluation=Evaluation(folds=5, racing=racing), budget=Budget(trials=30))
    house.run()
    best_so_far: list[tuple[float, ...]] = []
    lost = 0
    for trial in sorted(house.trials(name), key=lambda t: (t.ended_at or t.created_at, t.state is TrialState.STOPPED)):
        scores = {run.fold: run.scores[0][1] for run in trial.fold_runs if run.scores}
        if trial.state is TrialState.COMPLETED:
            best_so_far.append(tuple(scores[fold] for fold in range(5)))
            continue
        lost += 1
        assert trial.rung == 0
        assert "lost the race at 5 folds x 1 epoch" in trial.reason
        assert len(scores) < 5
        mean = sum(scores.values()) / len(scores)
        bars = [
            min(whole) if racing is Racing.FORGIVING else sum(whole[f] for f in scores) / len(scores)
            for whole in best_so_far
        ]
        assert mean <= max(bars)
    assert lost > 0


def test_racing_runs_folds_in_parallel_only_while_slots_idle() -> None:
    """With work for every slot a raced trial runs one fold at a time; alone on many slots it runs all at once."""
    busy = House([Node("a", 4, 0)])
    evaluation = Evaluation(folds=5, racing=Racing.FORGIVING)
    busy.create(scheduler=NONE, evaluation=evaluation, budget=Budget(trials=40), default=None)
    busy.run(lambda: len(busy.engine.segments()) >= 4)
    assert len({s.trial for s in busy.engine.segments()[:4]}) == 4

    def look() -> bool:
        handed = Counter(key.trial for key, _ in promoting.server.conductor.mind.holders)
        if promoting.active(name).suggestions:
            at_once.append(max(handed.values(), default=0))
        return promoting.study(name).progress.rungs[0] > 40

    promoting = House([Node("a", 4, 0)])
    at_once: list[int] = []
    climbing = replace(evaluation, ladder=(Fidelity(1, 1), Fidelity(5, 1)))
    name = promoting.create(evaluation=climbing, budget=Budget(trials=100), default=None)
    promoting.run(look)
    assert promoting.study(name).progress.rungs[1] > 0
    assert max(at_once) == 1

    idle = House([Node("a", 20, 0)])
    idle.create(scheduler=NONE, evaluation=evaluation, budget=Budget(trials=1), default=None)
    idle.run()
    assert len(idle.engine.segments()) == 5
    assert idle.elapsed().total_seconds() == pytest.approx(2 + 1 + 2 + 1, abs=3)


def test_folds_in_flight_are_cancelled_when_the_race_is_lost() -> None:
    """When one fold of a trial decides its race, its other folds are cancelled at their next epoch."""

    def first_is_best_and_fastest(segment: Segment, epoch: int) -> Iterator[Epoch]:
        seconds = 1 if segment.trial == 1 else 10 + segment.fold
        for _ in range(epoch, 3):
            yield Epoch({"accuracy": 1.0 / segment.trial}, timedelta(seconds=seconds))

    house = House([Node("a", 10, 0)], first_is_best_and_fastest)
    evaluation = Evaluation(folds=5, epochs=3, racing=Racing.AGGRESSIVE)
    name = house.create(scheduler=NONE, evaluation=evaluation, budget=Budget(trials=2), default=None)
    house.run()
    cancelled = [c.key.fold for c in house.engine.commands if isinstance(c, CancelSegment)]
    assert house.trial(name, 2).state is TrialState.STOPPED
    assert sorted(cancelled) == [1, 2, 3, 4]
    outcomes = [e.ended.outcome for e in house.engine.reported() if e.ended is not None]
    assert outcomes.count(Outcome.CANCELLED) == 4
    assert house.study(name).progress.busy == 0


def test_incumbent_of_equal_trials_is_the_lower_number() -> None:
    """Ties go to the lower number, as on the leaderboard, whoever was faster."""

    def equal(segment: Segment, epoch: int) -> Iterator[Epoch]:
        yield Epoch({"accuracy": 0.5}, timedelta(seconds=50 - segment.trial))

    house = House([Node("a", 9, 0)], equal)
    name = house.create(scheduler=NONE, budget=Budget(trials=9), default=None)
    house.run()
    best = house.study(name).progress.best
    assert best is not None
    assert best.trial == 1 == house.store.ranked(name, 1)[0].number


def test_best_epoch_counts_over_all_segments() -> None:
    """With score: best, the best epoch of earlier segments stands after a trial was paused and promoted."""

    def peaks_early(segment: Segment, epoch: int) -> dict[str, float]:
        return {"accuracy": 10.0 * segment.trial + {1: 1, 2: 5, 3: 3}.get(epoch, 0)}

    house = House(behaviour=reports(peaks_early))
    ladder = (Fidelity(1, 3), Fidelity(1, 9))
    evaluation = Evaluation(epochs=9, ladder=ladder, score=Score.BEST)
    name = house.create(evaluation=evaluation, budget=Budget(trials=4), default=None)
    house.run()
    top = house.store.ranked(name, 1)[0]
    assert top.fold_runs[0].attempt == 2
    assert top.scores == (45.0, 45.0)


def test_goal_minimize_turns_everything_round() -> None:
    """With a loss, lower trials climb and the lowest is the best."""

    def loss(segment: Segment, epoch: int) -> dict[str, float]:
        return {"loss": float(segment.trial) + segment.fold / 10}

    house = House(behaviour=reports(loss))
    name = house.create(
        objectives=(Objective("loss", Goal.MINIMIZE),),
        evaluation=Evaluation(folds=5, epochs=9, racing=Racing.AGGRESSIVE),
        budget=Budget(trials=20),
        default=None,
    )
    house.run()
    best = house.study(name).progress.best
    assert best is not None
    assert best.trial == 1
    assert all(n <= 7 for n in house.in_state(name, TrialState.COMPLETED))


@pytest.mark.parametrize("scheduler", [NONE, PROMOTION, STOPPING, HYPERBAND, STOPPING_HYPERBAND, MEDIAN])
def test_trial_that_returns_early_keeps_its_last_score(scheduler: Scheduler) -> None:
    """A trainable that returns before its last epoch is complete there: it is judged as ever, but trains no more."""

    def returns_after_two(segment: Segment, epoch: int) -> Iterator[Epoch]:
        yield from itertools.islice(trains(segment, epoch), max(2 - epoch, 0))

    house = House(behaviour=returns_after_two)
    name = house.create(evaluation=Evaluation(epochs=9), scheduler=scheduler, budget=Budget(trials=9))
    house.run()
    assert house.study(name).state is StudyState.SUCCEEDED
    completed = house.in_state(name, TrialState.COMPLETED)
    assert len(completed) >= FINISHERS
    for number in completed:
        trial = house.trial(name, number)
        assert trial.fold_runs[0].epoch == 2
        assert trial.scores[-1] == pytest.approx(score(trial.parameters["x"], 0, 2))
    assert set(house.trained.values()) == {1}


@pytest.mark.parametrize(
    "ladder", [(), (Fidelity(1, 3), Fidelity(5, 9)), (Fidelity(1, 1), Fidelity(1, 9), Fidelity(5, 9))]
)
def test_stopping_never_interrupts_a_fold_run_that_is_alone(ladder: Ladder) -> None:
    """Where every partial rung has one fold, stopping runs each fold run in one segment: nothing needs a checkpoint."""
    house = House()
    evaluation = Evaluation(folds=5, epochs=9, ladder=ladder)
    name = house.create(scheduler=STOPPING, evaluation=evaluation, budget=Budget(trials=20))
    house.run()
    _check_rungs(house, name)
    assert {run.attempt for trial in house.trials(name) for run in trial.fold_runs} <= {0, 1}


def test_losers_at_the_top_do_not_send_everybody_there() -> None:
    """Where the default configuration wins every race, twice FINISHERS searched trials lose it, and no more."""
    unbeatable = reports(lambda s, _: {"accuracy": 1.0 if s.trial == 1 else 0.5 - s.trial / 1000})
    house = House(behaviour=unbeatable)
    name = house.create(
        scheduler=PROMOTION,
        evaluation=Evaluation(folds=5, epochs=9, racing=Racing.FORGIVING),
        budget=Budget(trials=30),
    )
    house.run()
    on_top = [t for t in house.trials(name) if t.origin is Origin.SEARCH and "lost the race" in t.reason]
    assert house.study(name).progress.rungs[-1] == 1
    assert FINISHERS <= len(on_top) <= 2 * FINISHERS
