"""Studies between wire and domain."""

from collections.abc import Iterable
from dataclasses import replace

from searchd.domain.errors import InvalidStudy
from searchd.domain.evaluation import Confirm, Evaluation
from searchd.domain.fidelity import Fidelity
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler
from searchd.domain.search import Search
from searchd.domain.study import Best, Confirmed, Dataset, FrontPoint, Progress, Study, StudyName, StudySpec, StudyState
from searchd.ports.tracker import Tracked
from searchd.v1 import study_pb2
from searchd.wire.drafts import decode_draft
from searchd.wire.spaces import encode_space
from searchd.wire.values import decode_enum, decode_time, encode_duration, encode_enum, encode_parameters


def encode_study(study: Study, tracked: Iterable[Tracked] = ()) -> study_pb2.Study:
    """The study with every default filled in and the rungs in force, and how far it is in other places."""
    message = encode_spec(study.spec)
    message.tracked.extend(study_pb2.Tracked(sink=t.sink, place=t.place, problem=t.problem) for t in tracked)
    message.name = study.name
    message.state = encode_enum(study_pb2.StudyState.DESCRIPTOR, study.state)
    message.reason = study.reason
    message.etag = study.spec.etag
    message.progress.CopyFrom(encode_progress(study.progress))
    message.code_fingerprint = study.code
    message.data_fingerprint = study.data
    message.rungs.extend(_rungs(study.spec.ladder))
    message.other_metrics.extend(study.spec.others)
    for field, at in (
        (message.create_time, study.created_at),
        (message.start_time, study.started_at),
        (message.end_time, study.ended_at),
    ):
        if at is not None:
            field.FromDatetime(at)
    return message


def decode_study(message: study_pb2.Study) -> Study:
    """A study that a server sent.

    Raises:
        InvalidStudy: it holds what this version does not know.
        ValueError: its state is unknown, or it has no objective.
    """
    return Study(
        name=StudyName(message.name),
        spec=decode_spec(message),
        code=message.code_fingerprint,
        data=message.data_fingerprint,
        created_at=decode_time(message.create_time),
        state=decode_enum(study_pb2.StudyState.DESCRIPTOR, message.state, StudyState),
        reason=message.reason,
        started_at=decode_time(message.start_time) if message.HasField("start_time") else None,
        ended_at=decode_time(message.end_time) if message.HasField("end_time") else None,
        progress=decode_progress(message.progress),
    )


def encode_spec(spec: StudySpec) -> study_pb2.Study:
    """The definition alone: sent back to a server, it makes the same study."""
    return study_pb2.Study(
        trainable=spec.trainable,
        dataset=_dataset(spec.dataset) if spec.dataset is not None else None,
        search_space=encode_space(spec.space),
        fixed=encode_parameters(spec.fixed),
        seed=spec.seed,
        objectives=map(encode_objective, spec.objectives),
        search=_search(spec.search),
        scheduler=_scheduler(spec.scheduler),
        evaluation=_evaluation(spec.evaluation),
        resources=study_pb2.Resources(cpus=spec.resources.cpus, gpus=spec.resources.gpus),
        budget=study_pb2.Budget(
            trials=spec.budget.trials,
            slots=spec.budget.slots,
            wall_time=encode_duration(spec.budget.wall_time),
            gpu_hours=spec.budget.gpu_hours,
            patience=spec.budget.patience,
        ),
        retry=study_pb2.Retry(
            attempts=spec.retry.attempts,
            segment_timeout=encode_duration(spec.retry.segment_timeout),
            report_timeout=encode_duration(spec.retry.report_timeout),
            retries={failure.value: count for failure, count in spec.retry.retries.items()},
        ),
        priority=spec.priority,
        labels=spec.labels,
        constraints=[
            *(
                study_pb2.Constraint(metric=limit.metric, at_most=limit.at_most, at_least=limit.at_least)
                for limit in spec.limits
            ),
            *(study_pb2.Constraint(expression=text) for text in spec.space.constraints),
        ],
        warm_start=spec.warm_start,
        code_id=spec.code_id,
        parent=study_pb2.Parent(study=spec.parent.study, trial=spec.parent.trial) if spec.parent is not None else None,
        track=spec.track,
    )


def decode_spec(message: study_pb2.Study) -> StudySpec:
    """The definition of a study that a server sent: nothing is left to decide.

    Raises:
        InvalidStudy: it holds what this version does not know.
        ValueError: it has no objective.
    """
    draft, violations = decode_draft(message)
    if violations:
        raise InvalidStudy(violations)
    if not draft.objectives:
        raise ValueError(f"{message.name} has no objective")
    scheduler = draft.scheduler or Scheduler()
    return StudySpec(
        trainable=draft.trainable,
        objectives=draft.objectives,
        space=draft.space,
        dataset=draft.dataset,
        fixed=draft.fixed,
        seed=draft.seed,
        search=draft.search,
        scheduler=replace(scheduler, mode=draft.mode or scheduler.mode),
        evaluation=draft.evaluation,
        resources=draft.resources,
        budget=draft.budget,
        retry=draft.retry,
        priority=draft.priority,
        labels=draft.labels,
        limits=draft.limits,
        warm_start=draft.warm_start,
        code_id=draft.code_id,
        parent=draft.parent,
        track=draft.track,
    )


def encode_progress(progress: Progress) -> study_pb2.StudyProgress:
    """The counts of a study."""
    best = progress.best
    return study_pb2.StudyProgress(
        trials=progress.trials,
        rungs=progress.rungs,
        best_trial=best.trial if best is not None else None,
        best_score=best.score if best is not None else None,
        default_score=progress.default_score,
        busy=progress.busy,
        epochs=progress.epochs,
        full_epochs=progress.full_epochs,
        train_seconds=progress.train_seconds,
        front=[study_pb2.FrontPoint(trial=point.trial, values=point.values) for point in progress.front],
        worst=progress.worst,
        search_log=progress.search_log,
        since_best=progress.since_best,
        follow_ups=progress.follow_ups,
        confirmed=map(_confirmed, progress.confirmed),
    )


def _confirmed(confirmed: Confirmed) -> study_pb2.Confirmed:
    return study_pb2.Confirmed(
        trial=confirmed.trial,
        selected=confirmed.selected,
        mean=confirmed.mean,
        standard_error=confirmed.standard_error,
        shrunk=confirmed.shrunk,
        test=confirmed.test,
    )


def _decode_confirmed(message: study_pb2.Confirmed) -> Confirmed:
    return Confirmed(
        trial=message.trial,
        selected=message.selected,
        mean=message.mean if message.HasField("mean") else None,
        standard_error=message.standard_error if message.HasField("standard_error") else None,
        shrunk=message.shrunk if message.HasField("shrunk") else None,
        test=message.test if message.HasField("test") else None,
    )


def decode_progress(message: study_pb2.StudyProgress) -> Progress:
    """The counts of a study."""
    return Progress(
        trials=dict(sorted(message.trials.items())),
        rungs=tuple(message.rungs),
        best=Best(message.best_trial, message.best_score) if message.HasField("best_trial") else None,
        default_score=message.default_score if message.HasField("default_score") else None,
        busy=message.busy,
        epochs=message.epochs,
        full_epochs=message.full_epochs,
        train_seconds=message.train_seconds,
        front=tuple(FrontPoint(point.trial, tuple(point.values)) for point in message.front),
        worst=tuple(message.worst),
        search_log=tuple(message.search_log),
        since_best=message.since_best,
        follow_ups=message.follow_ups,
        confirmed=tuple(map(_decode_confirmed, message.confirmed)),
    )


def encode_objective(objective: Objective) -> study_pb2.Objective:
    """A metric and its direction."""
    goal = encode_enum(study_pb2.Goal.DESCRIPTOR, objective.goal)
    return study_pb2.Objective(metric=objective.metric, goal=goal, target=objective.target)


def decode_objective(message: study_pb2.Objective) -> Objective:
    """A metric and its direction.

    Raises:
        ValueError: the direction is unknown.
    """
    goal = decode_enum(study_pb2.Goal.DESCRIPTOR, message.goal, Goal)
    return Objective(message.metric, goal, message.target if message.HasField("target") else None)


def _dataset(dataset: Dataset) -> study_pb2.Dataset:
    return study_pb2.Dataset(
        builtin=dataset.builtin or "",
        uri=dataset.uri or "",
        target=dataset.target or "",
        drop=dataset.drop,
        groups=dataset.groups or "",
        order_by=dataset.order_by or "",
        fold_column=dataset.fold_column or "",
        test=dataset.test,
    )


def _search(search: Search) -> study_pb2.Search:
    algorithm = encode_enum(study_pb2.SearchAlgorithm.DESCRIPTOR, search.algorithm)
    return study_pb2.Search(
        algorithm=algorithm,
        default_first=search.default_first,
        ray_searcher=search.ray,
        cost_aware=search.cost_aware,
    )


def _scheduler(scheduler: Scheduler) -> study_pb2.Scheduler:
    return study_pb2.Scheduler(
        algorithm=encode_enum(study_pb2.SchedulerAlgorithm.DESCRIPTOR, scheduler.algorithm),
        eta=scheduler.eta,
        mode=encode_enum(study_pb2.SchedulerMode.DESCRIPTOR, scheduler.mode),
        min_epochs=scheduler.min_epochs,
        metric=scheduler.metric or "",
        brackets=scheduler.brackets,
        ray_scheduler=scheduler.ray,
        explore=scheduler.explore,
    )


def _evaluation(evaluation: Evaluation) -> study_pb2.Evaluation:
    return study_pb2.Evaluation(
        folds=evaluation.folds or None,
        holdout=None if evaluation.folds else evaluation.holdout,
        split=encode_enum(study_pb2.SplitMethod.DESCRIPTOR, evaluation.split),
        split_seed=evaluation.split_seed,
        repeats=evaluation.repeats,
        epochs=evaluation.epochs,
        score=encode_enum(study_pb2.ScoreRule.DESCRIPTOR, evaluation.score),
        racing=encode_enum(study_pb2.RacingRule.DESCRIPTOR, evaluation.racing),
        ladder=_rungs(evaluation.ladder),
        confirm=_confirm(evaluation.confirm) if evaluation.confirm is not None else None,
    )


def _confirm(confirm: Confirm) -> study_pb2.Confirm:
    return study_pb2.Confirm(top=confirm.top, repeats=confirm.repeats, share=confirm.share)


def _rungs(ladder: Iterable[Fidelity]) -> list[study_pb2.Rung]:
    return [study_pb2.Rung(folds=rung.folds, epochs=rung.epochs) for rung in ladder]
