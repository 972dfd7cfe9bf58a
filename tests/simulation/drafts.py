"""Studies by chance: every scheduler, several objectives, limits, confirmations, tests, all kinds of budgets."""

import random
from collections.abc import Mapping
from datetime import timedelta

from searchd.domain.draft import StudyDraft
from searchd.domain.evaluation import Confirm, Evaluation, Racing, Score
from searchd.domain.failure import Failure
from searchd.domain.fidelity import Fidelity
from searchd.domain.objective import Goal, Limit, Objective
from searchd.domain.population import SMALLEST
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Choice, Float, Integer, Parameter, SearchSpace
from searchd.domain.study import Budget, Dataset, Resources, Retry

DEFAULTS: Mapping[str, object] = {"x": 0.5, "n": 1, "kind": "a"}

METRICS = {"accuracy": Goal.MAXIMIZE, "loss": Goal.MINIMIZE}

TESTED = Dataset(builtin="digits", test=0.2)


def drafted(chance: random.Random, gpus: float) -> StudyDraft:
    """A study that servers take, on a cluster whose nodes have so many GPUs each."""
    objectives = _objectives(chance)
    scheduler = _scheduler(chance, objectives)
    population = scheduler.algorithm is SchedulerAlgorithm.POPULATION
    algorithms = (Algorithm.RANDOM, Algorithm.SOBOL, *([Algorithm.GRID] if len(objectives) < 2 else []))
    algorithm = chance.choice(algorithms)
    evaluation = _evaluation(chance, scheduler)
    resources = Resources(chance.choice((1.0, 1.0, 2.0)), chance.choice((0.0, 0.5)) if gpus else 0.0)
    retries = dict.fromkeys((Failure.ERROR, Failure.NOT_FINITE, Failure.METRIC_MISSING), 1)
    return StudyDraft(
        chance.choice(("t0", "t1")),
        objectives=objectives,
        limits=(Limit("loss", at_most=0.6),) if chance.random() < 0.2 else (),
        space=_space(chance, algorithm),
        dataset=TESTED if chance.random() < 0.25 and not population else None,
        seed=chance.randrange(10**9),
        search=Search(algorithm, default_first=chance.random() < 0.5),
        scheduler=scheduler,
        mode=_mode(chance, scheduler.algorithm),
        evaluation=evaluation,
        racing=chance.choice((None, *Racing)) if evaluation.fold_runs > 1 and not population else None,
        resources=resources,
        budget=_budget(chance, population, resources),
        retry=Retry(
            attempts=chance.choice((1, 2, 3)),
            segment_timeout=timedelta(seconds=60),
            report_timeout=chance.choice((None, timedelta(seconds=20))),
            retries=chance.choice(({}, retries)),
        ),
        priority=chance.choice((0, 0, 1)),
    )


def _scheduler(chance: random.Random, objectives: tuple[Objective, ...]) -> Scheduler:
    climbing = (
        SchedulerAlgorithm.ASHA,
        SchedulerAlgorithm.ASHA,
        SchedulerAlgorithm.HYPERBAND,
        SchedulerAlgorithm.MEDIAN,
        SchedulerAlgorithm.POPULATION,
    )
    algorithm = chance.choice(climbing) if chance.random() < 0.75 else SchedulerAlgorithm.NONE
    metric = chance.choice(objectives).metric if len(objectives) > 1 else None
    return Scheduler(algorithm, eta=chance.choice((2, 3)), metric=metric)


def _mode(chance: random.Random, algorithm: SchedulerAlgorithm) -> SchedulerMode | None:
    modes = {SchedulerAlgorithm.POPULATION: (None,), SchedulerAlgorithm.MEDIAN: (None, SchedulerMode.STOPPING)}
    return chance.choice(modes.get(algorithm, tuple(SchedulerMode)))


def _objectives(chance: random.Random) -> tuple[Objective, ...]:
    """Both metrics, so that any may decide who climbs, or one of them; now and then with a target."""
    targets = {"accuracy": 0.05, "loss": 0.45}
    count = 2 if chance.random() < 0.3 else 1
    aims = chance.random() < 0.2
    return tuple(
        Objective(metric, goal, targets[metric] if aims else None) for metric, goal in list(METRICS.items())[:count]
    )


def _budget(chance: random.Random, population: bool, resources: Resources) -> Budget:
    return Budget(
        trials=chance.randint(SMALLEST, 14) if population else chance.randint(1, 9),
        slots=chance.choice((None, None, 1, 2)),
        wall_time=timedelta(seconds=chance.uniform(5, 40)) if chance.random() < 0.15 else None,
        gpu_hours=chance.uniform(1, 20) / 3600 if resources.gpus and chance.random() < 0.4 else None,
        patience=chance.randint(1, 5) if chance.random() < 0.2 else None,
    )


def _evaluation(chance: random.Random, scheduler: Scheduler) -> Evaluation:
    population = scheduler.algorithm is SchedulerAlgorithm.POPULATION
    folds, epochs = chance.choice((0, 2, 3)), chance.choice((3, 4, 6) if population else (1, 2, 4))
    repeats = chance.choice((1, 1, 1, 2))
    fold_runs = max(folds, 1) * repeats
    ladders: tuple[tuple[Fidelity, ...], ...] = ((),)
    by_folds = scheduler.algorithm in (SchedulerAlgorithm.ASHA, SchedulerAlgorithm.HYPERBAND)
    if by_folds and fold_runs > 1 and epochs > 1:
        ladders = ((), (Fidelity(1, 1), Fidelity(2, 1), Fidelity(fold_runs, epochs)))
        ladders = ladders if fold_runs > 2 else ((), (Fidelity(1, 1), Fidelity(fold_runs, epochs)))
    confirm = Confirm(chance.randint(1, 3), chance.randint(1, 2), chance.choice((0.2, 1.0)))
    return Evaluation(
        folds=folds,
        epochs=epochs,
        repeats=repeats,
        score=chance.choice(tuple(Score)),
        ladder=chance.choice(ladders),
        confirm=confirm if chance.random() < 0.35 and not population else None,
    )


def _space(chance: random.Random, algorithm: Algorithm) -> SearchSpace:
    x = Parameter("x", Float(0.0, 1.0, step=0.25 if algorithm is Algorithm.GRID or chance.random() < 0.3 else None))
    others = (Parameter("n", Integer(1, 3)), Parameter("kind", Choice(("a", "b"))))
    return SearchSpace((x, *others[: chance.randint(0, 2)]))
