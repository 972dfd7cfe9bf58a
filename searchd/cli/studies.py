"""Commands on studies: submit, ls, show, watch, extend, stop, rm."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from searchd.cli.failures import CommandFailed, ExitCode
from searchd.cli.options import Labels, Output, OutputFormat, OutputOfChange, Project, StudyArgument, pairs
from searchd.cli.output import on_terminal, show, show_change, show_json_line, show_line, width
from searchd.client import Client, Study, StudyHandle
from searchd.client.grid import Column, grid
from searchd.client.handle import PAGE_SIZE
from searchd.client.lines import event_lines
from searchd.client.live import live_console, show_live
from searchd.client.numbers import number, span
from searchd.client.progress import header, search_lines, tracked_lines
from searchd.client.troubles import Troubles
from searchd.domain.study import StudyState
from searchd.domain.trial import TrialState


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (
        ("submit", submit),
        ("ls", ls),
        ("show", show_study),
        ("watch", watch),
        ("extend", extend),
        ("stop", stop),
        ("rm", rm),
    ):
        app.command(name)(command)


def submit(
    file: Annotated[list[Path], typer.Argument(metavar="FILE...", help="study files (YAML), started in this order")],
    wait: Annotated[
        bool, typer.Option("--wait", help="wait until each has ended, the next after it; exit code 1 if one fails")
    ] = False,
    validate: Annotated[bool, typer.Option("--validate", help="only check the files")] = False,
    study_id: Annotated[str, typer.Option("--study-id", help="last part of the name; overrides the file's")] = "",
    code: Annotated[
        Path | None,
        typer.Option("--code", metavar="DIR", help="folder with your trainable: its Python files are sent along"),
    ] = None,
    project: Project = "default",
) -> None:
    """Start studies and print their names."""
    if study_id and len(file) > 1:
        reason = f"--study-id cannot be that of {len(file)} studies; write study_id into the files"
        raise CommandFailed(reason, ExitCode.USAGE)
    with Client() as client:
        for one in file:
            study = client.create_study(one, study_id=study_id, project=project, validate_only=validate, code=code)
            show_line(f"{one} is valid" if validate else study.name)
            if wait and not validate:
                _exit_by_state(study.wait(progress=on_terminal()))


def ls(
    state: Annotated[str | None, typer.Option("--state", help="only studies in this state, such as running")] = None,
    label: Labels = None,
    project: Project = "default",
    output: Output = None,
) -> None:
    """List studies."""
    wanted = _study_state(state) if state else None
    with Client() as client:
        studies = client.studies(project=project, state=wanted, labels=pairs("--label", label))
        show(output, lambda: {"studies": [s.to_dict() for s in studies]}, lambda: _study_lines(studies))


def show_study(study: StudyArgument, project: Project = "default", output: Output = None) -> None:
    """Show how a study is doing, and its definition with every default filled in."""
    with Client() as client:
        handle = client.study(study, project=project)
        found = handle.get()
        show(output, found.to_dict, lambda: _lines(found, handle))


def watch(study: StudyArgument, project: Project = "default", output: Output = None) -> None:
    """Follow a study until it has ended; Ctrl-C leaves it running. Exit code 1 if it fails."""
    with Client() as client:
        handle = client.study(study, project=project)
        try:
            ended = _watched(handle, output)
        except KeyboardInterrupt:
            return
        _exit_by_state(ended)


def extend(
    study: StudyArgument,
    trials: Annotated[int, typer.Option("--trials", min=1, help="trials in all, those it has had included")],
    project: Project = "default",
    output: OutputOfChange = None,
) -> None:
    """Give a study more trials; one that has ended goes on."""
    with Client() as client:
        extended = client.study(study, project=project).extend(trials)
        show_change(output, extended.to_dict, f"{extended.name} {extended.state.name}: {extended.max_trials} trials")


def stop(study: StudyArgument, project: Project = "default") -> None:
    """End a study with what it has."""
    with Client() as client:
        stopped = client.study(study, project=project).stop()
        show_line(f"{stopped.name} {stopped.state.name}")


def rm(study: StudyArgument, project: Project = "default") -> None:
    """Delete an ended study and everything in it."""
    with Client() as client:
        handle = client.study(study, project=project)
        handle.delete()
        show_line(f"{handle.name} deleted")


def _lines(study: Study, handle: StudyHandle) -> list[str]:
    troubles = Troubles()
    if study.limits:
        for trial in handle.trials():
            troubles.add(trial)
    elif study.progress.trials.get(TrialState.FAILED.value):
        for trial in islice(handle.trials(TrialState.FAILED), PAGE_SIZE):
            troubles.add(trial)
    columns = width() - len("# ")
    lines = [*header(study, datetime.now(UTC), troubles, columns), *search_lines(study, columns)]
    lines += tracked_lines(study, columns)
    return [*(f"# {line}" for line in lines), "", *study.to_file().splitlines()]


def _watched(study: StudyHandle, output: OutputFormat | None) -> Study:
    events = study.watch()
    console = live_console(None)
    if console is not None and output is not OutputFormat.JSON:
        return show_live(study, events, console)
    if output is OutputFormat.JSON:
        for event in events:
            show_json_line(event.to_dict())
    else:
        for line in event_lines(events):
            show_line(line)
    return study.get()


def _exit_by_state(study: Study) -> None:
    if study.state is StudyState.FAILED:
        raise CommandFailed(f"{study.id} failed: {study.reason or 'no trial completed'}", ExitCode.FAILED)


def _study_state(text: str) -> StudyState:
    try:
        return StudyState(text.lower())
    except ValueError:
        known = ", ".join(StudyState)
        raise CommandFailed(f"--state {text!r} is none of {known}", ExitCode.USAGE) from None


def _study_lines(studies: Sequence[Study]) -> list[str]:
    now = datetime.now(UTC)
    columns = [
        Column("study", cut=True),
        Column("state"),
        Column("trainable", cut=True),
        Column("trials", right=True),
        Column("metric", optional=True),
        Column("best", right=True),
        Column("default", right=True),
        Column("age", right=True),
    ]
    rows = [
        [
            s.id,
            s.state.name,
            s.trainable,
            f"{sum(s.progress.trials.values())}/{s.max_trials}",
            s.metric,
            number(s.progress.best.score) if s.progress.best else "-",
            number(s.progress.default_score) if s.progress.default_score is not None else "-",
            span(now - s.created_at),
        ]
        for s in studies
    ]
    return grid(columns, rows, width())
