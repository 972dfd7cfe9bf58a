"""Populations in virtual time: who yields to whom, what descendants inherit, and whose checkpoints stay."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

from searchd.conductor.messages import EnqueueTrial
from searchd.domain.evaluation import Evaluation
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.study import Budget, StudyName, StudyState
from searchd.domain.trial import Origin, Trial, TrialState
from searchd.engines.simulated import Behaviour, Epoch
from searchd.ports.engine import Forget, Node, Segment
from searchd.stores.memory import MemoryStore
from tests.unit.conductor.drifting import RATES, Drifting
from tests.unit.conductor.simulated import House, LateEnds, Recorder, endings, measured
from tests.unit.conductor.test_conductor_recovery import Mortal, ServerKilledError

POPULATION = Scheduler(SchedulerAlgorithm.POPULATION)
LOSS = (Objective("loss", Goal.MINIMIZE),)


def started(
    workers: int = 4,
    behaviour: Behaviour | None = None,
    *,
    default: dict[str, float] | None = None,
    algorithm: SchedulerAlgorithm = SchedulerAlgorithm.POPULATION,
    store: MemoryStore | None = None,
    folds: int = 0,
    epochs: int = 10,
    seed: int = 1,
    trials: int = 20,
    late: bool = False,
) -> tuple[House, StudyName]:
    """A study of a population on a few workers."""
    house = House(
        [Node("a", workers, 0)],
        behaviour or Drifting(),
        store=store,
        engines=LateEnds if late else Recorder,
    )
    study = house.create(
        default=default,
        space=RATES,
        objectives=LOSS,
        seed=seed,
        scheduler=Scheduler(algorithm),
        evaluation=Evaluation(folds=folds, epochs=epochs),
        budget=Budget(trials=trials),
    )
    return house, study


def descents(house: House, study: StudyName) -> list[Trial]:
    return [trial for trial in house.trials(study) if trial.origin is Origin.DESCENT]


def outcome(house: House, study: StudyName) -> list[tuple[object, ...]]:
    return [(t.number, t.parameters, t.state, t.scores, t.of, t.of_epoch) for t in house.trials(study)]


@pytest.mark.parametrize("workers", [1, 3, 20])
@pytest.mark.parametrize("late", [False, True])
def test_the_worst_yield_to_descendants_of_the_best(workers: int, late: bool) -> None:
    """Whoever is stopped was worse at its rung than the donor, whose scores and epochs the descendant goes on from."""
    house, study = started(workers, late=late)
    house.run()
    assert house.study(study).state is StudyState.SUCCEEDED
    assert descents(house, study)
    for child in descents(house, study):
        donor = house.trial(study, child.of or 0)
        assert 0 < child.of_epoch < 10
        assert child.scores[: child.of_epoch] == donor.scores[: child.of_epoch]
        (parent,) = [t for t in house.trials(study) if f"to trial {child.number}," in t.reason]
        assert parent.state is TrialState.STOPPED
        assert donor.scores[parent.rung - 1] < parent.scores[-1]
        assert child.parameters["rate"] in (
            pytest.approx(min(max(donor.parameters["rate"] * factor, 0.01), 1.0)) for factor in (0.8, 1.2)
        )
        own = {m[4] for m in measured(house.facts()) if m[1] == child.number}
        assert min(own, default=child.of_epoch + 1) == child.of_epoch + 1


def test_members_train_side_by_side_on_few_workers() -> None:
    """On one worker members take turns: nobody is further ahead than a descendant of the foremost."""
    house, study = started(1)

    def abreast() -> bool:
        rungs = [t.rung for t in house.trials(study) if not t.state.ended]
        full = house.study(study).progress.epochs > 6
        assert not full or not rungs or max(rungs) - min(rungs) <= 2
        return False

    house.run(abreast)
    assert house.study(study).state is StudyState.SUCCEEDED


def test_the_budget_counts_descendants() -> None:
    """As many members start as the budget can replace, and when it is used nobody yields any more."""
    house, study = started(trials=8)
    house.run()
    trials = house.trials(study)
    assert Counter(t.origin for t in trials) == {Origin.SEARCH: 4, Origin.DESCENT: 4}
    assert len(house.in_state(study, TrialState.COMPLETED)) == 4


def test_the_same_seed_gives_the_same_population() -> None:
    """On one worker a study repeats itself exactly, and another seed gives another one."""
    runs = []
    for seed in (1, 1, 2):
        house, study = started(1, seed=seed)
        house.run()
        runs.append(outcome(house, study))
    assert runs[0] == runs[1] != runs[2]


def test_a_restart_changes_nothing() -> None:
    """Replaced at any moment, with its workers or without, a server goes on with the same population."""
    house, study = started(1)
    house.run()
    for lost in (False, True):
        store = Mortal()
        other, name = started(1, store=store)
        while not other.study(name).state.ended:
            store.deadly = store.commits + 3
            try:
                other.run()
            except ServerKilledError:
                store.deadly = None
                if lost and store.commits % 5 == 0:
                    other.lose_workers()
                other.boot()
        assert outcome(other, name) == outcome(house, study)
        assert set(endings(other.facts()).values()) == {1}


def test_checkpoints_stay_for_descendants_and_no_longer() -> None:
    """No descendant misses its donor's checkpoint, also when workers die, and in the end each trial is forgotten."""
    behaviour = Drifting()
    house, study = started(4, behaviour, folds=2, epochs=12)
    killed = 0

    def kill_some() -> bool:
        nonlocal killed
        for trial in descents(house, study)[killed::4]:
            held = {s.trial: w for w in house.cluster.workers() for s in house.cluster.holding(w)}
            holders = [held[trial.number]] if trial.number in held else []
            if holders and killed < 3:
                house.cluster.kill(holders[0])
                killed += 1
        return False

    house.run(kill_some)
    assert killed == 3
    assert house.study(study).state is StudyState.SUCCEEDED
    assert not house.in_state(study, TrialState.FAILED)
    begun = {t.number: t.of_epoch for t in descents(house, study)}
    assert all(epoch >= begun.get(trial, 0) for trial, _, epoch in map(tuple, behaviour.began))  # type: ignore[call-overload]
    forgotten = Counter(c.trial for c in house.engine.commands if isinstance(c, Forget))
    assert set(forgotten) == {t.number for t in house.trials(study)}


def test_the_donor_is_kept_until_its_descendant_stands_alone() -> None:
    """A donor that ends is forgotten only when the last descendant that begins from it has a checkpoint of its own."""
    house, study = started(2, epochs=12)
    house.run()
    forgotten: list[int] = [c.trial or 0 for c in house.engine.commands if isinstance(c, Forget)]
    commands = house.engine.commands
    for child in descents(house, study):
        given = [i for i, c in enumerate(commands) if child.number in [s.trial for s in getattr(c, "segments", ())]]
        gone = next(i for i, c in enumerate(commands) if isinstance(c, Forget) and c.trial == child.of)
        assert gone > given[0]
    assert len(forgotten) == len(set(forgotten)) == len(house.trials(study))


def test_the_default_configuration_never_yields() -> None:
    """The default climbs every rung, whatever its scores, as what the best is compared with; and may be a donor."""
    house, study = started(default={"rate": 0.01})
    house.run()
    assert house.trial(study, 1).state is TrialState.COMPLETED
    assert house.study(study).progress.default_score == house.trial(study, 1).scores[-1]
    house, study = started(default={"rate": 0.9})
    house.run()
    assert any(child.of == 1 for child in descents(house, study))


def test_all_folds_are_inherited() -> None:
    """A descendant goes on from the donor's checkpoint of each fold."""
    behaviour = Drifting()
    house, study = started(6, behaviour, folds=3)
    house.run()
    assert descents(house, study)
    for child in descents(house, study):
        began = {fold: epoch for trial, fold, epoch in reversed(behaviour.began) if trial == child.number}
        assert began == dict.fromkeys(range(3), child.of_epoch)


def test_members_that_break_are_made_up_for() -> None:
    """A member whose loss is not finite is replaced by a new one of the searcher's, within the budget."""

    def behave(segment: Segment, epoch: int) -> Iterator[Epoch]:
        if segment.trial <= 3:
            yield Epoch({"loss": float("nan")}, timedelta(seconds=1))
        yield from drifting(segment, epoch)

    drifting = Drifting()
    house, study = started(4, behave, trials=12)
    house.run()
    assert house.study(study).state is StudyState.SUCCEEDED
    assert house.in_state(study, TrialState.INFEASIBLE) == [1, 2, 3]
    assert len([t for t in house.trials(study) if t.origin is Origin.SEARCH]) == 7
    assert len(house.in_state(study, TrialState.COMPLETED)) == 4


def test_a_callers_trial_is_a_member() -> None:
    """A configuration that a caller asks for joins the population, in place of one of the searcher's."""
    house, study = started(1)
    trial = house.server.enqueue(EnqueueTrial(study, {"rate": 0.5}))
    house.run()
    assert house.trial(study, trial.number).origin is Origin.REQUESTED
    assert house.study(study).state is StudyState.SUCCEEDED


def test_trials_that_return_early_are_no_donors() -> None:
    """What has returned left nothing to go on from, so the others go on by themselves."""

    def behave(segment: Segment, epoch: int) -> Iterator[Epoch]:
        yield from list(drifting(segment, epoch))[: max(3 - epoch, 0)]

    drifting = Drifting()
    house, study = started(20, behave)
    house.run()
    assert house.study(study).state is StudyState.SUCCEEDED
    assert all(child.of_epoch <= 3 for child in descents(house, study))


def test_the_schedule_of_the_best_is_told() -> None:
    """The search log ends with whose parameters the best was trained with, up to which epoch."""
    house, study = started(seed=3)
    house.run()
    progress = house.study(study).progress
    assert progress.best is not None
    best = house.trial(study, progress.best.trial)
    assert best.origin is Origin.DESCENT
    told = progress.search_log[-1]
    assert told.startswith(f"from trial {best.number}: the best is the end of a schedule: trial ")
    assert f"trial {best.of} to epoch {best.of_epoch} with rate=" in told
    assert told.endswith(f"then trial {best.number} with rate={best.parameters['rate']:.4g}")


def test_a_population_beats_as_much_training_of_fixed_rates() -> None:
    """Where the best learning rate changes during training, it ends lower than random search with as many epochs."""
    losses: dict[SchedulerAlgorithm, list[float]] = {}
    for seed in (1000, 1001):
        for algorithm, trials in ((SchedulerAlgorithm.POPULATION, 60), (SchedulerAlgorithm.NONE, 10)):
            house, study = started(4, algorithm=algorithm, epochs=60, seed=seed, trials=trials)
            house.run()
            progress = house.study(study).progress
            assert progress.best is not None
            assert progress.epochs <= 10 * 60
            losses.setdefault(algorithm, []).append(progress.best.score)
    pairs = zip(losses[SchedulerAlgorithm.POPULATION], losses[SchedulerAlgorithm.NONE], strict=True)
    assert all(ours < theirs for ours, theirs in pairs)
