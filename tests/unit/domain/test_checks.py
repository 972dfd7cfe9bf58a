"""Checks of a definition by itself."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from searchd.domain.checks import MAX_LABELS, algorithm_violations, draft_violations, merged
from searchd.domain.draft import StudyDraft
from searchd.domain.errors import Violation
from searchd.domain.evaluation import Confirm, Evaluation
from searchd.domain.failure import Failure
from searchd.domain.fidelity import Fidelity
from searchd.domain.objective import Goal, Limit, Objective
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Choice, Condition, Domain, Float, Integer, Parameter, SearchSpace
from searchd.domain.study import Budget, Dataset, Resources, Retry

GOOD = StudyDraft("torch_cnn")
ACCURACY = Objective("accuracy", Goal.MAXIMIZE)
LOSS = Objective("loss", Goal.MINIMIZE)
ZERO = timedelta(0)


def _space(*domains: Domain) -> SearchSpace:
    return SearchSpace(tuple(Parameter(f"p{i}", domain) for i, domain in enumerate(domains)))


def test_a_sensible_draft_has_no_violations() -> None:
    """The defaults, and a full cross-validated definition, pass."""
    full = StudyDraft(
        "torch_cnn",
        objectives=(replace(ACCURACY, target=0.99), LOSS),
        limits=(Limit("latency_ms", at_most=5.0),),
        search=Search(Algorithm.BAYESIAN, cost_aware=True),
        warm_start=("a", "b"),
        space=_space(Float(1e-4, 1e-1, log=True), Choice(("sgd", "adam"))),
        dataset=Dataset(builtin="digits"),
        fixed={"dropout": 0.1},
        scheduler=Scheduler(metric="loss"),
        evaluation=Evaluation(folds=5, epochs=27, ladder=(Fidelity(1, 3), Fidelity(5, 27)), confirm=Confirm()),
        resources=Resources(1, 0.25),
        budget=Budget(trials=200, slots=8, wall_time=timedelta(hours=1), gpu_hours=12, patience=50),
        retry=Retry(
            6,
            timedelta(minutes=9),
            timedelta(minutes=9),
            {Failure.WORKER_KILLED: 5, Failure.ERROR: 0, Failure.HUNG: 1000},
        ),
        labels={"team": "vision"},
        track=("tensorboard", "mlflow"),
    )
    assert [*draft_violations(GOOD), *draft_violations(full)] == []


@pytest.mark.parametrize(
    ("draft", "path"),
    [
        (StudyDraft(""), "trainable"),
        (replace(GOOD, objectives=(ACCURACY, ACCURACY)), "objectives[1].metric"),
        (replace(GOOD, objectives=(replace(ACCURACY, target=math.inf),)), "objectives[0].target"),
        (replace(GOOD, limits=(Limit("latency", at_most=math.nan),)), "constraints[0]"),
        (replace(GOOD, search=Search(Algorithm.TPE, cost_aware=True)), "search.cost_aware"),
        (replace(GOOD, search=Search(Algorithm.RAY)), "search.algorithm"),
        (replace(GOOD, search=Search(Algorithm.TPE, ray="hyperopt")), "search.algorithm"),
        (replace(GOOD, objectives=(ACCURACY, LOSS), search=Search(Algorithm.CMAES)), "search.algorithm"),
        (replace(GOOD, warm_start=("a", "a")), "warm_start"),
        (replace(GOOD, track=("mlflow", "mlflow")), "track"),
        (replace(GOOD, dataset=Dataset(builtin="digits", test=1.0)), "dataset.test"),
        (replace(GOOD, evaluation=Evaluation(confirm=Confirm(top=0))), "evaluation.confirm.top"),
        (replace(GOOD, evaluation=Evaluation(confirm=Confirm(repeats=0))), "evaluation.confirm.repeats"),
        (replace(GOOD, evaluation=Evaluation(confirm=Confirm(share=1.5))), "evaluation.confirm.share"),
        (replace(GOOD, scheduler=Scheduler(brackets=0)), "scheduler.brackets"),
        (replace(GOOD, scheduler=Scheduler(SchedulerAlgorithm.RAY)), "scheduler.algorithm"),
        (replace(GOOD, scheduler=Scheduler(ray="fifo")), "scheduler.algorithm"),
        (replace(GOOD, objectives=(ACCURACY,), scheduler=Scheduler(metric="loss")), "scheduler.metric"),
        (replace(GOOD, budget=Budget(gpu_hours=0.0)), "budget.gpu_hours"),
        (replace(GOOD, budget=Budget(patience=0)), "budget.patience"),
        (replace(GOOD, objectives=(Objective("", Goal.MINIMIZE),)), "objectives[0].metric"),
        (replace(GOOD, dataset=Dataset()), "dataset"),
        (replace(GOOD, dataset=Dataset(builtin="digits", uri="a.csv")), "dataset"),
        (replace(GOOD, space=_space(Float(1, 0))), "search_space.p0.uniform"),
        (replace(GOOD, space=_space(Choice((1, math.nan)))), "search_space.p0.choice"),
        (replace(GOOD, space=_space(Choice((1, 2), grid=True))), "search_space.p0.grid"),
        (replace(GOOD, space=SearchSpace((Parameter("", Choice((1,))),))), "search_space"),
        (replace(GOOD, space=_space(Choice((1,))), fixed={"p0": 1}), "fixed.p0"),
        (replace(GOOD, fixed={"x": {"deep": [math.inf]}}), "fixed.x"),
        (replace(GOOD, fixed={"": 1}), "fixed"),
        (replace(GOOD, seed=-1), "seed"),
        (replace(GOOD, evaluation=Evaluation(folds=1)), "evaluation.folds"),
        (replace(GOOD, evaluation=Evaluation(folds=-5)), "evaluation.folds"),
        (replace(GOOD, evaluation=Evaluation(holdout=0.0)), "evaluation.holdout"),
        (replace(GOOD, evaluation=Evaluation(holdout=1.0)), "evaluation.holdout"),
        (replace(GOOD, evaluation=Evaluation(holdout=math.nan)), "evaluation.holdout"),
        (replace(GOOD, evaluation=Evaluation(split_seed=2**32)), "evaluation.split_seed"),
        (replace(GOOD, evaluation=Evaluation(repeats=0)), "evaluation.repeats"),
        (replace(GOOD, evaluation=Evaluation(epochs=0)), "evaluation.epochs"),
        (replace(GOOD, evaluation=Evaluation(epochs=3, ladder=(Fidelity(1, 2),))), "evaluation.ladder"),
        (
            replace(GOOD, evaluation=Evaluation(epochs=3, ladder=(Fidelity(1, 3), Fidelity(1, 3)))),
            "evaluation.ladder",
        ),
        (
            replace(GOOD, evaluation=Evaluation(epochs=3, ladder=(Fidelity(0, 3), Fidelity(1, 3)))),
            "evaluation.ladder[0]",
        ),
        (
            replace(
                GOOD,
                evaluation=Evaluation(epochs=3, ladder=(Fidelity(1, 1), Fidelity(1, 3))),
                scheduler=Scheduler(SchedulerAlgorithm.NONE),
            ),
            "evaluation.ladder",
        ),
        (replace(GOOD, scheduler=Scheduler(eta=1)), "scheduler.eta"),
        (replace(GOOD, scheduler=Scheduler(min_epochs=0)), "scheduler.min_epochs"),
        (replace(GOOD, scheduler=Scheduler(SchedulerAlgorithm.HYPERBAND, brackets=2)), "scheduler.brackets"),
        (replace(GOOD, scheduler=Scheduler(SchedulerAlgorithm.MEDIAN, brackets=2)), "scheduler.brackets"),
        (
            replace(GOOD, scheduler=Scheduler(SchedulerAlgorithm.MEDIAN), mode=SchedulerMode.PROMOTION),
            "scheduler.mode",
        ),
        (replace(GOOD, scheduler=Scheduler(min_epochs=2)), "scheduler.min_epochs"),
        (replace(GOOD, resources=Resources(cpus=0)), "resources.cpus"),
        (replace(GOOD, resources=Resources(cpus=math.inf)), "resources.cpus"),
        (replace(GOOD, resources=Resources(gpus=-1)), "resources.gpus"),
        (replace(GOOD, resources=Resources(gpus=1.5)), "resources.gpus"),
        (replace(GOOD, budget=Budget(trials=-3)), "budget.trials"),
        (replace(GOOD, budget=Budget(slots=0)), "budget.slots"),
        (replace(GOOD, budget=Budget(wall_time=ZERO)), "budget.wall_time"),
        (replace(GOOD, budget=Budget(wall_time=timedelta(days=9999))), "budget.wall_time"),
        (replace(GOOD, retry=Retry(segment_timeout=timedelta(days=9999))), "retry.segment_timeout"),
        (replace(GOOD, retry=Retry(attempts=0)), "retry.attempts"),
        (replace(GOOD, retry=Retry(segment_timeout=-timedelta(seconds=1))), "retry.segment_timeout"),
        (replace(GOOD, retry=Retry(report_timeout=ZERO)), "retry.report_timeout"),
        (replace(GOOD, retry=Retry(report_timeout=timedelta(minutes=11))), "retry.report_timeout"),
        (replace(GOOD, retry=Retry(segment_timeout=ZERO, report_timeout=timedelta(1))), "retry.segment_timeout"),
        (replace(GOOD, retry=Retry(retries={Failure.ERROR: -1})), "retry.retries.error"),
        (replace(GOOD, retry=Retry(retries={Failure.HUNG: 1001})), "retry.retries.hung"),
        (replace(GOOD, retry=Retry(retries={Failure.WORKER_KILLED: 1001})), "retry.retries.worker_killed"),
        (replace(GOOD, retry=Retry(retries={Failure.WORKER_KILLED: 3})), "retry.retries.worker_killed"),
        (replace(GOOD, labels={"Team": "x"}), "labels.Team"),
        (replace(GOOD, labels={"team": "x" * 257}), "labels.team"),
        (replace(GOOD, labels={"team": "a\nb"}), "labels.team"),
        (replace(GOOD, labels={f"k{i}": "" for i in range(MAX_LABELS + 1)}), "labels"),
    ],
)
def test_each_mistake_is_found_at_its_path(draft: StudyDraft, path: str) -> None:
    """Each mistake gives one violation, at the path where the caller wrote it, with a remedy."""
    found = list(draft_violations(draft))
    assert [v.path for v in found] == [path]
    assert found[0].remedy


def test_a_condition_without_values_is_found() -> None:
    """A parameter that could never be active is reported."""
    space = SearchSpace((Parameter("a", Choice((1,))), Parameter("b", Choice((1,)), (Condition("a", ()),))))
    assert [v.path for v in draft_violations(replace(GOOD, space=space))] == ["search_space.b.when.a"]


def test_a_negative_budget_is_called_negative() -> None:
    """The message says what is wrong with the number."""
    (violation,) = draft_violations(replace(GOOD, budget=Budget(trials=-3)))
    assert str(violation) == "budget.trials: -3 is negative; use at least 1"


def test_attempts_and_retries_that_contradict_each_other_are_explained() -> None:
    """The message says which attempts the retries would be."""
    (violation,) = draft_violations(replace(GOOD, retry=Retry(4, retries={Failure.WORKER_KILLED: 5})))
    assert str(violation) == (
        "retry.retries.worker_killed: 5 contradicts retry.attempts, which is 4; "
        "keep one of them: 5 retries are 6 attempts"
    )


def test_all_mistakes_are_found_at_once() -> None:
    """Nothing hides behind the first mistake."""
    draft = StudyDraft("", evaluation=Evaluation(folds=1, epochs=0), budget=Budget(trials=0), seed=-1)
    paths = {v.path for v in draft_violations(draft)}
    assert paths == {"trainable", "evaluation.folds", "evaluation.epochs", "budget.trials", "seed"}


@pytest.mark.parametrize("algorithm", Algorithm)
def test_grid_values_and_continua_go_with_some_algorithms(algorithm: Algorithm) -> None:
    """Grid values go with grid and random, continua with all but grid, choices with all but CMA-ES, others all."""
    space = _space(Choice((1, 2), grid=True), Float(0, 1), Choice((1, 2)), Integer(0, 3), Float(0, 1, step=0.5))
    paths = [v.path for v in algorithm_violations(space, algorithm)]
    expected = {
        Algorithm.GRID: ["search_space.p1.uniform"],
        Algorithm.RANDOM: [],
        Algorithm.CMAES: ["search_space.p0.grid", "search_space.p2.choice"],
    }
    assert paths == expected.get(algorithm, ["search_space.p0.grid"])
    search = Search(algorithm, ray="hyperopt" if algorithm is Algorithm.RAY else "")
    assert paths == [v.path for v in draft_violations(replace(GOOD, space=space, search=search))]


def test_cmaes_takes_no_conditions() -> None:
    """A parameter that is not always there is named, and its remedy; a choice that leaves none is no obstacle."""
    when = (Condition("n", (1,)),)
    space = SearchSpace(
        (Parameter("n", Integer(0, 3)), Parameter("x", Float(0, 1), when), Parameter("loss", Choice(("l2",))))
    )
    (violation,) = algorithm_violations(space, Algorithm.CMAES)
    assert str(violation) == (
        "search_space.x.when: cmaes needs every parameter in every trial; "
        "remove the condition, or set search.algorithm to tpe"
    )


def test_merging_keeps_the_earlier_words_for_a_path() -> None:
    """A later stage adds only paths that no earlier stage found wrong; one stage may say two things of a path."""
    first = [Violation("a", "is text", "write a number"), Violation("a", "is long", "shorten it")]
    second = [Violation("a", "is not set", "set it"), Violation("b", "is bad", "mend it")]
    assert merged(first, second, [second[1]]) == (*first, second[1])
