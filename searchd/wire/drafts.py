"""A study as a caller sends it, and what in it has no meaning."""

from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

from searchd.domain.draft import StudyDraft
from searchd.domain.errors import Violation
from searchd.domain.evaluation import Confirm, Evaluation, Racing, Score, Split
from searchd.domain.failure import Failure
from searchd.domain.fidelity import Fidelity
from searchd.domain.objective import Goal, Limit, Objective
from searchd.domain.parent import Parent
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm, Search
from searchd.domain.study import Budget, Dataset, Resources, Retry
from searchd.v1 import study_pb2
from searchd.wire.file_values import nearest
from searchd.wire.spaces import decode_space
from searchd.wire.values import decode_duration, decode_enum, decode_parameters, short_names

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")


def decode_draft(study: study_pb2.Study) -> tuple[StudyDraft, tuple[Violation, ...]]:
    """The definition in a message, and everything in it that the domain cannot represent.

    Where something cannot be represented its default stands in, so that the rest can still be checked
    (``domain.checks.draft_violations`` does). Output-only fields are not looked at.

    Returns:
        The draft, and violations with paths in the study file's terms; nothing may be stored if there are any.
    """
    found: list[Violation] = []
    scheduler = _scheduler(study.scheduler, found) if study.HasField("scheduler") else None
    mode = _enum(study.scheduler, "mode", SchedulerMode, "scheduler.mode", found)
    split = _enum(study.evaluation, "split", Split, "evaluation.split", found)
    racing = _enum(study.evaluation, "racing", Racing, "evaluation.racing", found)
    limits, expressions = _constraints(study, found)
    draft = StudyDraft(
        trainable=study.trainable,
        objectives=tuple(_objective(o, f"objectives[{i}]", found) for i, o in enumerate(study.objectives)),
        space=replace(decode_space(study.search_space, found), constraints=tuple(expressions.values())),
        dataset=_dataset(study.dataset) if study.HasField("dataset") else None,
        fixed=decode_parameters(study.fixed),
        seed=study.seed,
        search=_search(study.search, found) if study.HasField("search") else Search(),
        scheduler=scheduler,
        mode=mode,
        evaluation=_evaluation(study.evaluation, split, racing, found),
        split=split,
        racing=racing,
        resources=Resources(
            cpus=_given(study.resources, "cpus", Resources().cpus),
            gpus=_given(study.resources, "gpus", Resources().gpus),
        ),
        budget=_budget(study.budget, found),
        retry=_retry(study.retry, found),
        priority=study.priority,
        labels=dict(sorted(study.labels.items())),
        limits=tuple(limits.values()),
        warm_start=tuple(study.warm_start),
        code_id=study.code_id,
        parent=_parent(study.parent, found) if study.HasField("parent") else None,
        track=tuple(study.track),
        limits_at=tuple(limits),
        expressions_at=tuple(expressions),
    )
    return draft, tuple(found)


def _objective(message: study_pb2.Objective, path: str, found: list[Violation]) -> Objective:
    goal = _required(message, "goal", Goal, f"{path}.goal", found)
    return Objective(message.metric, goal or Goal.MAXIMIZE, _given(message, "target", None))


def _constraints(study: study_pb2.Study, found: list[Violation]) -> tuple[dict[int, Limit], dict[int, str]]:
    """The limits on metrics, and the expressions over parameters, each by its place in the list."""
    limits: dict[int, Limit] = {}
    expressions: dict[int, str] = {}
    for index, message in enumerate(study.constraints):
        path = f"constraints[{index}]"
        bounds = [field for field in ("at_most", "at_least") if message.HasField(field)]
        if message.expression and not message.metric and not bounds:
            expressions[index] = message.expression
        elif message.expression or not message.metric:
            remedy = "write {metric: latency_ms, at_most: 5}, or an expression such as units_2 <= units_1"
            found.append(Violation(path, "is neither a limit on a metric nor an expression", remedy))
        elif len(bounds) != 1:
            problem = "has both at_most and at_least" if bounds else "has no bound"
            found.append(Violation(path, problem, "give one of at_most and at_least; two limits make an interval"))
        else:
            limits[index] = Limit(message.metric, **{bounds[0]: getattr(message, bounds[0])})
    return limits, expressions


def _dataset(message: study_pb2.Dataset) -> Dataset:
    return Dataset(
        builtin=message.builtin or None,
        uri=message.uri or None,
        target=message.target or None,
        drop=tuple(message.drop),
        groups=message.groups or None,
        order_by=message.order_by or None,
        fold_column=message.fold_column or None,
        test=_given(message, "test", None),
    )


def _parent(message: study_pb2.Parent, found: list[Violation]) -> Parent:
    if not message.study:
        found.append(Violation("parent.study", "is not set", "name a study that `searchd ls` lists"))
    trial = _given(message, "trial", None)
    if trial is not None and trial < 1:
        found.append(Violation("parent.trial", f"{trial} is no trial", "give its number, or leave it out for the best"))
    return Parent(message.study, trial)


def _search(message: study_pb2.Search, found: list[Violation]) -> Search:
    default = Search()
    return Search(
        algorithm=_enum(message, "algorithm", Algorithm, "search.algorithm", found) or default.algorithm,
        default_first=_given(message, "default_first", default.default_first),
        ray=message.ray_searcher,
        cost_aware=message.cost_aware,
    )


def _scheduler(message: study_pb2.Scheduler, found: list[Violation]) -> Scheduler:
    default = Scheduler()
    return Scheduler(
        algorithm=_enum(message, "algorithm", SchedulerAlgorithm, "scheduler.algorithm", found) or default.algorithm,
        eta=_given(message, "eta", default.eta),
        min_epochs=_given(message, "min_epochs", default.min_epochs),
        metric=message.metric or None,
        brackets=_given(message, "brackets", default.brackets),
        ray=message.ray_scheduler,
        explore=tuple(message.explore),
    )


def _evaluation(
    message: study_pb2.Evaluation, split: Split | None, racing: Racing | None, found: list[Violation]
) -> Evaluation:
    default = Evaluation()
    if message.HasField("folds") and message.HasField("holdout"):
        found.append(Violation("evaluation", "has both folds and holdout", "give one of the two"))
    if message.HasField("folds") and message.folds == 0:  # in the domain it means a hold-out, which has its own field
        remedy = "use at least 2, or leave it out for a single split"
        found.append(Violation("evaluation.folds", "0 cannot be cross-validated", remedy))
    return Evaluation(
        folds=_given(message, "folds", default.folds),
        holdout=_given(message, "holdout", default.holdout),
        split=split or default.split,
        split_seed=message.split_seed,
        repeats=_given(message, "repeats", default.repeats),
        epochs=_given(message, "epochs", default.epochs),
        score=_enum(message, "score", Score, "evaluation.score", found) or default.score,
        racing=racing or default.racing,
        ladder=tuple(Fidelity(rung.folds, rung.epochs) for rung in message.ladder),
        confirm=_confirm(message.confirm) if message.HasField("confirm") else None,
    )


def _confirm(message: study_pb2.Confirm) -> Confirm:
    default = Confirm()
    return Confirm(
        top=_given(message, "top", default.top),
        repeats=_given(message, "repeats", default.repeats),
        share=_given(message, "share", default.share),
    )


def _budget(message: study_pb2.Budget, found: list[Violation]) -> Budget:
    return Budget(
        trials=_given(message, "trials", Budget().trials),
        slots=_given(message, "slots", None),
        wall_time=_duration(message, "wall_time", None, "budget.wall_time", found),
        gpu_hours=_given(message, "gpu_hours", None),
        patience=_given(message, "patience", None),
    )


def _retry(message: study_pb2.Retry, found: list[Violation]) -> Retry:
    default = Retry()
    retries = _retries(message, found)
    # Both say the same: how often a killed worker is forgiven.
    attempts = max(retries.get(Failure.WORKER_KILLED, default.attempts - 1), 0) + 1
    return Retry(
        attempts=_given(message, "attempts", attempts),
        segment_timeout=_duration(message, "segment_timeout", default.segment_timeout, "retry.segment_timeout", found),
        report_timeout=_duration(message, "report_timeout", default.report_timeout, "retry.report_timeout", found),
        retries=retries,
    )


def _retries(message: study_pb2.Retry, found: list[Violation]) -> dict[Failure, int]:
    names = [failure.value for failure in Failure]
    for name in sorted(set(message.retries).difference(names)):
        found.append(Violation(f"retry.retries.{name}", "is not a known failure", nearest(name, names)))
    return {failure: message.retries[failure.value] for failure in Failure if failure.value in message.retries}


def _given(message: Message, field: str, default: T) -> T:
    value: Any = getattr(message, field)
    return value if message.HasField(field) else default


def _duration(message: Message, field: str, default: T, path: str, found: list[Violation]) -> Any:
    if not message.HasField(field):
        return default
    try:
        return decode_duration(getattr(message, field))
    except ValueError:
        found.append(Violation(path, "is not a duration", "use a duration such as 90s, 15m or 12h"))
        return default


def _required(message: Message, field: str, kind: type[E], path: str, found: list[Violation]) -> E | None:
    if getattr(message, field) == 0:
        choices = ", ".join(short_names(_enum_of(message, field)))
        found.append(Violation(path, "is not set", f"use one of {choices}"))
        return None
    return _enum(message, field, kind, path, found)


def _enum(message: Message, field: str, kind: type[E], path: str, found: list[Violation]) -> E | None:
    number = getattr(message, field)
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    if descriptor.has_presence and not message.HasField(field):
        return None
    enum = _enum_of(message, field)
    try:
        return decode_enum(enum, number, kind)
    except ValueError:
        problem = f"{number} is a value that this version does not know" if number else "is unspecified"
        found.append(Violation(path, problem, f"use one of {', '.join(short_names(enum))}"))
        return None


def _enum_of(message: Message, field: str) -> EnumDescriptor:
    enum: Any = message.DESCRIPTOR.fields_by_name[field].enum_type  # one of two classes, by protobuf's implementation
    return cast("EnumDescriptor", enum)
