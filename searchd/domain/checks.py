"""Whether a study definition makes sense by itself, whatever the trainable, the data and the cluster are."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

from searchd.domain.code import code_violations
from searchd.domain.constraints import constraint_violations, nothing_left, with_fixed
from searchd.domain.draft import StudyDraft
from searchd.domain.errors import Violation
from searchd.domain.evaluation import Evaluation
from searchd.domain.failure import Failure
from searchd.domain.fidelity import Fidelity, is_ladder
from searchd.domain.scheduler import SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm
from searchd.domain.space import (
    Choice,
    Domain,
    Float,
    Parameters,
    ParameterValue,
    SearchSpace,
    same_value,
    shorthand_name,
)
from searchd.domain.space import violations as space_violations
from searchd.domain.study import Budget, Dataset, Resources, Retry, StudySpec

LABEL_KEY_PATTERN = r"[a-z][a-z0-9_-]{0,62}"
MAX_LABEL_CHARACTERS = 256
MAX_LABELS = 64
MAX_SEED = 2**32 - 1
MAX_RETRIES = 1000
LONGEST = timedelta(days=3650)
"""Longer than anything that anybody waits for."""
GRID_ALGORITHMS = (Algorithm.GRID, Algorithm.RANDOM)
SINGLE_OBJECTIVE = (
    Algorithm.CMAES,
    Algorithm.HYPEROPT_TPE,
    Algorithm.HYPEROPT_ANNEAL,
    Algorithm.GRADIENT,
    Algorithm.RAY,
)
"""Algorithms that know of one objective only."""


def merged(*stages: Iterable[Violation]) -> tuple[Violation, ...]:
    """The violations of all stages in order; a later stage says nothing of a path that an earlier one found wrong.

    What an earlier stage could not read reaches the later ones as unset, so what they say of it would mislead.
    """
    found: list[Violation] = []
    for stage in stages:
        known = {violation.path for violation in found}
        found.extend(dict.fromkeys(v for v in stage if v.path not in known))
    return tuple(found)


def draft_violations(draft: StudyDraft) -> Iterator[Violation]:
    """Everything that is wrong with a draft before it meets a trainable, a dataset or a cluster.

    Yields:
        Each mistake with its path in the study file's terms and a remedy; nothing for a sensible draft.
    """
    if not draft.trainable:
        yield Violation("trainable", "is not set", "name one of those that `searchd trainables` lists")
    yield from _objective_violations(draft)
    yield from _search_violations(draft)
    yield from _dataset_violations(draft.dataset)
    yield from _space_violations(draft)
    yield from algorithm_violations(draft.space, draft.search.algorithm)
    yield from _fixed_violations(draft)
    yield from _seed_violations("seed", draft.seed)
    yield from _evaluation_violations(draft.evaluation)
    yield from _scheduler_violations(draft)
    yield from _resource_violations(draft.resources)
    yield from budget_violations(draft.budget)
    yield from _retry_violations(draft.retry)
    yield from label_violations(draft.labels)
    if len(set(draft.track)) < len(draft.track):
        yield Violation("track", "names a place twice", "name each place once")
    yield from code_violations(draft.code_id)


def configuration_violations(spec: StudySpec, parameters: Parameters) -> Iterator[Violation]:
    """What keeps a configuration from being one of a study's space; fixed parameters may be repeated."""
    active = list(spec.space.active(parameters))
    for parameter in active:
        path = f"parameters.{parameter.name}"
        if parameter.name not in parameters:
            yield Violation(path, "is not set", f"give it a value of {_domain_text(parameter.domain)}")
        elif not parameter.domain.contains(parameters[parameter.name]):
            value = parameters[parameter.name]
            yield Violation(path, f"{value!r} is outside the space", f"use a value of {_domain_text(parameter.domain)}")
    known = {parameter.name for parameter in active}
    for name, value in parameters.items():
        path = f"parameters.{name}"
        if name in spec.fixed:
            if not same_value(value, spec.fixed[name]):
                yield Violation(path, f"is fixed at {spec.fixed[name]!r}", "leave it out")
        elif name not in known:
            problem = "is not active here" if name in spec.space.names() else "is no parameter of the study"
            yield Violation(path, problem, "leave it out")
    for constraint in spec.space.constraints:
        if not SearchSpace(spec.space.parameters, (constraint,)).allows(parameters):
            yield Violation(
                "parameters", f"they do not meet {constraint!r}", "change one of them, or leave that one out"
            )


def _domain_text(domain: Domain) -> str:
    if isinstance(domain, Choice):
        return f"{shorthand_name(domain)} {list(domain.options)}"
    return f"{shorthand_name(domain)} [{domain.low}, {domain.high}]"


def algorithm_violations(space: SearchSpace, algorithm: Algorithm) -> Iterator[Violation]:
    """What of a space the search algorithm cannot propose: grid values for a model, a continuum for a grid, what is no
    number or not always there for CMA-ES.

    The service calls it again with the trainable's default space when a study gives none.
    """
    for parameter in space.parameters:
        shorthand = shorthand_name(parameter.domain)
        path = f"search_space.{parameter.name}.{shorthand}"
        if shorthand == "grid" and algorithm not in GRID_ALGORITHMS:
            message = f"grid values do not go with search.algorithm {algorithm.value}"
            yield Violation(path, message, "write choice, or set search.algorithm to grid or random")
        elif algorithm is Algorithm.GRID and isinstance(parameter.domain, Float) and parameter.domain.step is None:
            remedy = "list its values with grid, give it a step with quniform, or use another search.algorithm"
            yield Violation(path, "a grid search cannot enumerate a continuous parameter", remedy)
        elif (
            algorithm is Algorithm.CMAES and isinstance(parameter.domain, Choice) and len(parameter.domain.options) > 1
        ):
            remedy = "give a range of numbers, fix it, or set search.algorithm to tpe"
            yield Violation(path, "cmaes searches numbers, and this is a choice", remedy)
        if algorithm is Algorithm.CMAES and parameter.when:
            remedy = "remove the condition, or set search.algorithm to tpe"
            yield Violation(f"search_space.{parameter.name}.when", "cmaes needs every parameter in every trial", remedy)


def _objective_violations(draft: StudyDraft) -> Iterator[Violation]:
    named: set[str] = set()
    for index, objective in enumerate(draft.objectives):
        path = f"objectives[{index}]"
        if not objective.metric:
            yield Violation(f"{path}.metric", "is not set", "name a metric that the trainable declares")
        elif objective.metric in named:
            yield Violation(f"{path}.metric", f"{objective.metric!r} is an objective already", "name each metric once")
        named.add(objective.metric)
        if objective.target is not None and not math.isfinite(objective.target):
            yield Violation(f"{path}.target", f"{objective.target} is not finite", "use a finite number")
    for path, limit in zip(draft.limit_paths(), draft.limits, strict=True):
        if not math.isfinite(limit.bound):
            yield Violation(path, f"{limit.bound} is not finite", "use a finite number")


def _search_violations(draft: StudyDraft) -> Iterator[Violation]:
    algorithm = draft.search.algorithm
    if draft.search.cost_aware and algorithm is not Algorithm.BAYESIAN:
        message = f"does not go with search.algorithm {algorithm.value}"
        yield Violation("search.cost_aware", message, "leave it out, or set search.algorithm to bayesian")
    if (algorithm is Algorithm.RAY) != bool(draft.search.ray):
        problem = f"{draft.search.ray!r} is not used" if draft.search.ray else "does not say which of Ray Tune's"
        yield Violation("search.algorithm", problem, "write ray:NAME, such as ray:hyperopt")
    if len(draft.objectives) > 1 and algorithm in SINGLE_OBJECTIVE:
        message = f"{algorithm.value} optimises one objective, and there are {len(draft.objectives)}"
        yield Violation("search.algorithm", message, "use bayesian, tpe, gp, nsga2, nsga3, random or sobol")
    if len(set(draft.warm_start)) < len(draft.warm_start):
        yield Violation("warm_start", "names a study twice", "name each study once")


def _dataset_violations(dataset: Dataset | None) -> Iterator[Violation]:
    if dataset is not None and bool(dataset.builtin) == bool(dataset.uri):
        message = "names both a bundled dataset and a file" if dataset.uri else "names no source of rows"
        yield Violation("dataset", message, "set exactly one of builtin and uri")
    if dataset is not None and dataset.test is not None and not 0 < dataset.test < 1:
        yield Violation("dataset.test", f"{dataset.test} is not a share of the rows", "use a number such as 0.2")


def _space_violations(draft: StudyDraft) -> Iterator[Violation]:
    """What is wrong with the space; a draft without parameters means the trainable's, which the service knows."""
    wrong = [*space_violations(draft.space), *_space_value_violations(draft.space)]
    yield from wrong
    if draft.space.parameters:
        yield from constrained_violations(draft.space, draft, sound=not wrong)


def constrained_violations(space: SearchSpace, draft: StudyDraft, *, sound: bool = True) -> Iterator[Violation]:
    """What is wrong with a space's constraints, and whether they leave any configuration of a ``sound`` one.

    The service calls it with the trainable's default space when a study gives constraints only.
    """
    wrong = list(constraint_violations(space, draft.fixed, draft.expressions_at))
    yield from wrong
    if sound and not wrong:
        yield from nothing_left(with_fixed(space, draft.fixed), draft.seed)


def _space_value_violations(space: SearchSpace) -> Iterator[Violation]:
    for parameter in space.parameters:
        path = f"search_space.{parameter.name}"
        if not parameter.name:
            yield Violation("search_space", "has a parameter without a name", "name every parameter")
        if isinstance(parameter.domain, Choice) and not all(map(_is_json, parameter.domain.options)):
            yield _not_json(f"{path}.{shorthand_name(parameter.domain)}")
        for condition in parameter.when:
            if not condition.values:
                remedy = "list at least one, or leave the condition out"
                yield Violation(f"{path}.when.{condition.parameter}", "has no values", remedy)


def _fixed_violations(draft: StudyDraft) -> Iterator[Violation]:
    searched = draft.space.names()
    for name, value in draft.fixed.items():
        path = f"fixed.{name}"
        if not name:
            yield Violation("fixed", "has a parameter without a name", "name every parameter")
        if name in searched:
            yield Violation(path, "is in search_space as well", "keep it in one of the two")
        if not _is_json(value):
            yield _not_json(path)


def _seed_violations(path: str, seed: int) -> Iterator[Violation]:
    if not 0 <= seed <= MAX_SEED:
        yield Violation(path, f"{seed} is not a seed", f"use a whole number from 0 to {MAX_SEED}")


def _evaluation_violations(evaluation: Evaluation) -> Iterator[Violation]:
    if evaluation.folds != 0 and evaluation.folds < 2:
        remedy = "use at least 2, or evaluation.holdout for a single split"
        yield Violation("evaluation.folds", f"{evaluation.folds} cannot be cross-validated", remedy)
    if not 0 < evaluation.holdout < 1:
        message = f"{evaluation.holdout} is not a share of the rows"
        yield Violation("evaluation.holdout", message, "use a number between 0 and 1, such as 0.2")
    yield from _seed_violations("evaluation.split_seed", evaluation.split_seed)
    yield from _at_least("evaluation.repeats", evaluation.repeats, 1)
    yield from _at_least("evaluation.epochs", evaluation.epochs, 1)
    if evaluation.ladder:
        yield from _ladder_violations(evaluation)
    if evaluation.confirm is not None:
        yield from _at_least("evaluation.confirm.top", evaluation.confirm.top, 1)
        yield from _at_least("evaluation.confirm.repeats", evaluation.confirm.repeats, 1)
        if not 0 < evaluation.confirm.share <= 1:
            message = f"{evaluation.confirm.share} is not a share"
            yield Violation("evaluation.confirm.share", message, "use a number above 0 and at most 1, such as 0.2")


def _ladder_violations(evaluation: Evaluation) -> Iterator[Violation]:
    path = "evaluation.ladder"
    for index, rung in enumerate(evaluation.ladder):
        if rung.folds < 1 or rung.epochs < 1:
            yield Violation(f"{path}[{index}]", f"{_rung(rung)} trains nothing", "use at least 1 fold and 1 epoch")
    if not is_ladder(evaluation.ladder):
        remedy = "let every rung have at least the folds and epochs of the one before, and more of one of them"
        yield Violation(path, "does not climb", remedy)
    if evaluation.ladder[-1] != evaluation.top:
        message = f"ends at {_rung(evaluation.ladder[-1])}, but a full evaluation is {_rung(evaluation.top)}"
        yield Violation(path, message, f"end it with [{evaluation.top.folds}, {evaluation.top.epochs}]")


def _scheduler_violations(draft: StudyDraft) -> Iterator[Violation]:
    scheduler = draft.scheduler
    if scheduler is None:
        return
    yield from _at_least("scheduler.eta", scheduler.eta, 2)
    yield from _at_least("scheduler.min_epochs", scheduler.min_epochs, 1)
    yield from _at_least("scheduler.brackets", scheduler.brackets, 1)
    if (scheduler.algorithm is SchedulerAlgorithm.RAY) != bool(scheduler.ray):
        problem = f"{scheduler.ray!r} is not used" if scheduler.ray else "does not say which of Ray Tune's"
        yield Violation("scheduler.algorithm", problem, "write ray:NAME, such as ray:median_stopping_rule")
    metrics = [objective.metric for objective in draft.objectives]
    if scheduler.metric is not None and metrics and scheduler.metric not in metrics:
        message = f"{scheduler.metric!r} is no objective of the study"
        yield Violation("scheduler.metric", message, f"use one of {', '.join(metrics)}")
    if scheduler.min_epochs > max(draft.evaluation.epochs, 1):
        message = f"{scheduler.min_epochs} is more than evaluation.epochs, which is {draft.evaluation.epochs}"
        yield Violation("scheduler.min_epochs", message, "use fewer, or raise evaluation.epochs")
    if scheduler.brackets > 1 and scheduler.algorithm not in (SchedulerAlgorithm.ASHA, SchedulerAlgorithm.RAY):
        message = f"{scheduler.algorithm.value} has no number of brackets to choose"
        yield Violation("scheduler.brackets", message, "leave it out, or set scheduler.algorithm to asha")
    if scheduler.algorithm is SchedulerAlgorithm.MEDIAN and draft.mode is SchedulerMode.PROMOTION:
        message = "the median rule promotes nobody"
        yield Violation("scheduler.mode", message, "leave it out, or set scheduler.algorithm to asha")
    if scheduler.algorithm is SchedulerAlgorithm.NONE and draft.evaluation.ladder:
        message = "there is no scheduler to climb it"
        yield Violation("evaluation.ladder", message, "leave it out, or set scheduler.algorithm to asha")


def _resource_violations(resources: Resources) -> Iterator[Violation]:
    if not 0 < resources.cpus < math.inf:
        yield Violation("resources.cpus", f"{resources.cpus} CPUs run nothing", "use a number above 0")
    if not 0 <= resources.gpus < math.inf:
        yield Violation("resources.gpus", f"{resources.gpus} is not a number of GPUs", "use 0 or more")
    elif resources.gpus > 1 and resources.gpus != int(resources.gpus):
        message = f"{resources.gpus} GPUs cannot be divided"
        yield Violation("resources.gpus", message, "use a share up to 1, or a whole number")


def budget_violations(budget: Budget) -> Iterator[Violation]:
    """What is wrong with a budget by itself."""
    yield from _at_least("budget.trials", budget.trials, 1)
    if budget.slots is not None:
        yield from _at_least("budget.slots", budget.slots, 1)
    if budget.wall_time is not None:
        yield from _duration_violations("budget.wall_time", budget.wall_time)
    if budget.gpu_hours is not None and not 0 < budget.gpu_hours < math.inf:
        yield Violation("budget.gpu_hours", f"{budget.gpu_hours} is not above 0", "use a number above 0")
    if budget.patience is not None:
        yield from _at_least("budget.patience", budget.patience, 1)


def _duration_violations(path: str, duration: timedelta) -> Iterator[Violation]:
    remedy = "use a duration such as 90s, 15m or 12h"
    if duration <= timedelta(0):
        yield Violation(path, "is not above 0", remedy)
    elif duration > LONGEST:
        yield Violation(path, f"is longer than {LONGEST.days} days", remedy)


def _retry_violations(retry: Retry) -> Iterator[Violation]:
    yield from _at_least("retry.attempts", retry.attempts, 1)
    yield from _duration_violations("retry.segment_timeout", retry.segment_timeout)
    if retry.report_timeout is not None and retry.report_timeout <= timedelta(0):
        yield from _duration_violations("retry.report_timeout", retry.report_timeout)
    elif retry.report_timeout is not None and timedelta(0) < retry.segment_timeout < retry.report_timeout:
        message = "is longer than retry.segment_timeout, so that it would never pass"
        yield Violation("retry.report_timeout", message, "use a shorter one, or raise retry.segment_timeout")
    for failure, retries in retry.retries.items():
        path = f"retry.retries.{failure.value}"
        if not 0 <= retries <= MAX_RETRIES:
            yield Violation(path, f"{retries} is out of range", f"use a whole number from 0 to {MAX_RETRIES}")
        elif failure is Failure.WORKER_KILLED and retry.attempts != retries + 1:
            message = f"{retries} contradicts retry.attempts, which is {retry.attempts}"
            yield Violation(path, message, f"keep one of them: {retries} retries are {retries + 1} attempts")


def label_violations(labels: Mapping[str, str]) -> Iterator[Violation]:
    """What is wrong with labels."""
    if len(labels) > MAX_LABELS:
        yield Violation("labels", f"there are {len(labels)}", f"keep at most {MAX_LABELS}")
    for key, value in labels.items():
        path = f"labels.{key}"
        if not re.fullmatch(LABEL_KEY_PATTERN, key):
            yield Violation(path, "is not a label's name", f"use a name that matches {LABEL_KEY_PATTERN}")
        if len(value) > MAX_LABEL_CHARACTERS:
            remedy = f"use at most {MAX_LABEL_CHARACTERS}"
            yield Violation(path, f"has {len(value)} characters", remedy)
        elif not value.isprintable():
            yield Violation(path, "has characters that cannot be printed", "use plain text on one line")


def _at_least(path: str, value: int, least: int) -> Iterator[Violation]:
    if value < least:
        kind = "is negative" if value < 0 else "is too few" if least == 1 else "is too small"
        yield Violation(path, f"{value} {kind}", f"use at least {least}")


def _rung(rung: Fidelity) -> str:
    return f"[{rung.folds}, {rung.epochs}]"


def _not_json(path: str) -> Violation:
    return Violation(path, "holds a number that is not finite", "use finite numbers, text, true, false or null")


def _is_json(value: ParameterValue) -> bool:
    match value:
        case float():
            return math.isfinite(value)
        case list() | tuple():
            return all(map(_is_json, value))
        case dict():
            return all(map(_is_json, value.values()))
    return True
