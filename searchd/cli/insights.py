"""Commands that tell what a study teaches: pareto, importance, curve."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from searchd.cli.options import Output, Project, StudyArgument
from searchd.cli.output import show, width
from searchd.client import Client, Curve, CurvePoint, Importance, ParetoFront, ParetoTrial
from searchd.client.chart import staircase
from searchd.client.grid import Column, grid
from searchd.client.numbers import decimals_for, fixed, number, parameter, percent, span
from searchd.domain.objective import Goal, Objective

BAR = 40


class Against(StrEnum):
    """What a curve is drawn against."""

    TRIALS = "trials"
    EPOCHS = "epochs"
    CPU = "cpu"
    GPU = "gpu"
    TIME = "time"


_PLACES: dict[Against, tuple[str, Callable[[CurvePoint], float]]] = {
    Against.TRIALS: ("trials ended", lambda point: point.trials),
    Against.EPOCHS: ("fold epochs", lambda point: point.fold_epochs),
    Against.CPU: ("CPU-seconds", lambda point: point.cpu_seconds),
    Against.GPU: ("GPU-seconds", lambda point: point.gpu_seconds),
    Against.TIME: ("seconds", lambda point: point.wall_time.total_seconds()),
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("pareto")(pareto)
    app.command("importance")(importance)
    app.command("curve")(curve)


def pareto(study: StudyArgument, project: Project = "default", output: Output = None) -> None:
    """List the trials that no other beats in all objectives."""
    with Client() as client:
        handle = client.study(study, project=project)
        front = handle.pareto()
        show(output, front.to_dict, lambda: _front_lines(front))


def importance(
    study: StudyArgument,
    metric: Annotated[str, typer.Option("--metric", help="one of the objectives; by default the one ranked by")] = "",
    project: Project = "default",
    output: Output = None,
) -> None:
    """Show how much each parameter matters for being among the best trials."""
    with Client() as client:
        found = client.study(study, project=project).importance(metric)
        show(output, found.to_dict, lambda: _importance_lines(found))


def curve(
    study: StudyArgument,
    against: Annotated[Against, typer.Option("--against", help="what the picture has from left to right")] = (
        Against.TRIALS
    ),
    project: Project = "default",
    output: Output = None,
) -> None:
    """Show how good the best was after how much work."""
    with Client() as client:
        found = client.study(study, project=project).curve()
        show(output, found.to_dict, lambda: _curve_lines(found, against))


def _front_lines(front: ParetoFront) -> list[str]:
    if not len(front):
        return ["no trial that keeps all limits has completed the top rung yet"]
    goals = ", ".join(f"{objective.goal.value} {objective.metric}" for objective in front.objectives)
    lines = [f"{len(front)} {'trials' if len(front) > 1 else 'trial'} on the front: {goals}"]
    if front.hypervolume is not None:
        worst = zip(front.objectives, front.reference, strict=True)
        corner = ", ".join(f"{objective.metric} {number(value)}" for objective, value in worst)
        lines.append(f"hypervolume {number(front.hypervolume)} from the worst seen: {corner}")
    return [*lines, "", *_members(list(front), front.objectives)]


def _members(members: Sequence[ParetoTrial], objectives: Sequence[Objective]) -> list[str]:
    names = list(dict.fromkeys(name for member in members for name in member.trial.params))
    columns = [Column("trial", right=True)]
    columns += [Column(objective.metric, right=True) for objective in objectives]
    columns += [Column(name, optional=True) for name in names]
    decimals = {o.metric: decimals_for([member.values[o.metric] for member in members]) for o in objectives}
    rows = [
        [
            str(member.trial.number),
            *(fixed(member.values[metric], places) for metric, places in decimals.items()),
            *(parameter(member.trial.params[name]) if name in member.trial.params else "-" for name in names),
        ]
        for member in members
    ]
    return grid(columns, rows, width())


def _importance_lines(found: Importance) -> list[str]:
    rung = f"{found.rung.folds}x{found.rung.epochs}"
    best = percent(found.best_share, 1)
    lines = [
        f"what {found.metric} depends on",
        f"{found.evaluator} over {found.trials} trials at rung {rung}: the best {best} against all",
        "",
    ]
    columns = [Column("parameter", cut=True), Column("share", right=True), Column("")]
    rows = [[name, percent(share, 1), "█" * round(BAR * share)] for name, share in found.shares.items()]
    return [*lines, *grid(columns, rows, width())]


def _curve_lines(found: Curve, against: Against) -> list[str]:
    if not found.points:
        return ["no trial that keeps all limits has completed the top rung yet"]
    study = found.study
    several = len(study.objectives) > 1
    metric = "hypervolume" if several else study.objectives[0].metric
    direction = "higher" if several or study.objectives[0].goal is Goal.MAXIMIZE else "lower"
    what, place = _PLACES[against]
    lines = [f"{study.id}: best {metric} ({direction} is better) by {what}"]
    drawn = [(place(point), point.value) for point in found.points if point.value is not None]
    if drawn:
        values = [value for _, value in drawn]
        labels = (number(max(values)), number(min(values)))
        picture = staircase(drawn, width(), labels)
        margin = len(picture[-1]) - len(picture[-1].lstrip()) + 1
        end = f"{number(drawn[-1][0])} {what}"
        lines += ["", *picture, f"{'0':>{margin + 1}}{end:>{width() - margin - 1}}"]
    return [*lines, "", *_point_lines(found.points, metric, gpu=bool(study.resources.gpus), ended=study.state.ended)]


def _point_lines(points: Sequence[CurvePoint], metric: str, *, gpu: bool, ended: bool) -> list[str]:
    columns = [
        Column("", right=False),
        Column(metric, right=True),
        Column("trials", right=True),
        Column("epochs", right=True),
        Column("CPU-s", right=True),
        *([Column("GPU-s", right=True)] if gpu else []),
        Column("time", right=True),
    ]
    decimals = decimals_for([point.value for point in points if point.value is not None])
    last = len(points) - 1
    rows = [
        [
            f"trial {point.trial}" if index < last else "end" if ended else "now",
            fixed(point.value, decimals) if point.value is not None else "-",
            str(point.trials),
            str(point.fold_epochs),
            f"{point.cpu_seconds:.1f}",
            *([f"{point.gpu_seconds:.1f}"] if gpu else []),
            span(point.wall_time),
        ]
        for index, point in enumerate(points)
    ]
    return grid(columns, rows, width())
