"""Commands on trials: trials, enqueue, logs."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Annotated

import typer

from searchd.cli.failures import CommandFailed, ExitCode
from searchd.cli.options import (
    Output,
    OutputFormat,
    OutputOfChange,
    Project,
    StudyArgument,
    TrialArgument,
    configuration,
)
from searchd.cli.output import show, show_change, show_json_line, width
from searchd.client import Client, Trial
from searchd.client.grid import Column, grid
from searchd.client.names import split_trial_name
from searchd.client.numbers import number, one_line, parameter, span
from searchd.client.troubles import failure_words
from searchd.domain.trial import Origin, TrialState


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("trials")(trials)
    app.command("enqueue")(enqueue)
    app.command("logs")(logs)


def trials(
    study: StudyArgument,
    state: Annotated[str | None, typer.Option("--state", help="only trials in this state, such as failed")] = None,
    project: Project = "default",
    output: Output = None,
) -> None:
    """List the trials of a study."""
    wanted = _trial_state(state) if state else None
    with Client() as client:
        found = client.study(study, project=project).trials(wanted)
        show(output, lambda: {"trials": [t.to_dict() for t in found]}, lambda: _trial_lines(found))


def enqueue(
    study: StudyArgument,
    parameters: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="a value for every parameter")],
    project: Project = "default",
    output: OutputOfChange = None,
) -> None:
    """Have a configuration tried next, and print the trial's number."""
    given = configuration("parameter", parameters)
    with Client() as client:
        trial = client.study(study, project=project).enqueue(given)
        show_change(output, trial.to_dict, f"trial {trial.number}")


def logs(
    trial: TrialArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until the trial ends")] = False,
    project: Project = "default",
    output: Output = None,
) -> None:
    """Print what a trial printed, each line with its fold."""
    name, number_of_trial = split_trial_name(trial, project)
    with Client() as client:
        for chunk in client.study(name).logs(number_of_trial, follow=follow):
            if output is OutputFormat.JSON:
                show_json_line({"repeat": chunk.repeat, "fold": chunk.fold, "text": chunk.text})
                continue
            place = f"{chunk.repeat}.{chunk.fold}" if chunk.repeat else str(chunk.fold)
            for line in chunk.text.splitlines():
                typer.echo(f"fold {place} | {line}")


def _trial_state(text: str) -> TrialState:
    try:
        return TrialState(text.lower())
    except ValueError:
        raise CommandFailed(f"--state {text!r} is none of {', '.join(TrialState)}", ExitCode.USAGE) from None


def _trial_lines(trials: Sequence[Trial]) -> list[str]:
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    columns: list[tuple[Column, Callable[[Trial], str]]] = [
        (Column("trial", right=True), lambda trial: str(trial.number)),
        (Column("state"), lambda trial: trial.state.name),
        (Column("rung", right=True), lambda trial: str(len(trial.rung_scores))),
        (Column("score", right=True), lambda trial: number(trial.rung_scores[-1]) if trial.rung_scores else "-"),
        (Column("epochs", right=True), lambda trial: str(sum(run.epoch for run in trial.fold_runs))),
        (Column("time", right=True), lambda trial: span(timedelta(seconds=trial.train_seconds))),
    ]
    if any(trial.origin is not Origin.SEARCH for trial in trials):
        columns.insert(1, (Column("origin"), lambda trial: trial.origin.replace("_", " ")))
    if any(trial.retries for trial in trials):
        columns.append((Column("retries", right=True), lambda trial: str(trial.retries)))
    if any(trial.failure for trial in trials):
        columns.append((Column("failure"), lambda trial: failure_words(trial.failure) if trial.failure else ""))
    if any(trial.reason for trial in trials):
        columns.append((Column("reason", cut=True), lambda trial: one_line(trial.reason)))
    rows = [
        [
            *(text(trial) for _, text in columns),
            *(parameter(trial.params[name]) if name in trial.params else "-" for name in names),
        ]
        for trial in trials
    ]
    return grid([*(c for c, _ in columns), *(Column(name, optional=True) for name in names)], rows, width())
