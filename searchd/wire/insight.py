"""Fronts, importances and curves on their way to the wire."""

from searchd.domain.insight import Curve, Importance, ParetoTrial
from searchd.domain.space import Parameters
from searchd.v1 import leaderboard_service_pb2, study_pb2
from searchd.wire.studies import encode_study
from searchd.wire.trials import encode_trial


def encode_pareto_trial(member: ParetoTrial, fixed: Parameters) -> leaderboard_service_pb2.ParetoTrial:
    """A trial of the front; ``fixed`` are its study's parameters."""
    return leaderboard_service_pb2.ParetoTrial(trial=encode_trial(member.trial, fixed), values=member.values)


def encode_importance(importance: Importance) -> leaderboard_service_pb2.GetImportanceResponse:
    """How much each parameter matters."""
    return leaderboard_service_pb2.GetImportanceResponse(
        metric=importance.metric,
        evaluator=importance.evaluator,
        rung=study_pb2.Rung(folds=importance.rung.folds, epochs=importance.rung.epochs),
        trials=importance.trials,
        best_share=importance.best_share,
        parameters=[
            leaderboard_service_pb2.ParameterImportance(parameter=name, share=share)
            for name, share in importance.shares
        ],
    )


def encode_curve(curve: Curve) -> leaderboard_service_pb2.GetCurveResponse:
    """The anytime curve."""
    resources = curve.study.spec.resources
    return leaderboard_service_pb2.GetCurveResponse(
        study=encode_study(curve.study),
        points=[
            leaderboard_service_pb2.CurvePoint(
                trial=point.trial,
                value=point.value,
                trials=point.trials,
                fold_epochs=point.fold_epochs,
                train_seconds=point.train_seconds,
                cpu_seconds=point.train_seconds * resources.cpus,
                gpu_seconds=point.train_seconds * resources.gpus,
                wall_seconds=point.wall_time.total_seconds(),
            )
            for point in curve.points
        ],
        reference=curve.study.progress.worst,
    )
